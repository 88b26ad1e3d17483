"""Maps and profiles for a publication: one figure of journal width, as PNG, PDF or SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, Field

from ..analyse.section import section, to_cells
from ..core.field import DisplacementField
from ..core.grid import Grid
from ..errors import OptionError
from ..io.atomic import atomic_path
from ..io.exchange.arrows import arrows_of
from .frame import Frame, thin
from .lettering import refuse_broken_formula
from .maps import INK, NO_VALUE_GREY, north_on_screen, robust_limit, round_length, scale_bar
from .plan import Plan, Wanted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BandName = Literal["east", "north", "magnitude", "sigma", "score"]
SUFFIXES = (".png", ".pdf", ".svg")
LONGEST_CELLS = 2400
ARROWS_PER_INCH = 6
COLOURS = {"east": "#b5493c", "north": "#1f6f8b", "along": "#b5493c", "across": "#1f6f8b"}
TITLES = {"east": "East", "north": "North", "magnitude": "Size", "sigma": "Stated error", "score": "Score"}
MAPS = {"east": "vik", "north": "vik", "magnitude": "batlowW_r", "sigma": "lajolla_r", "score": "batlow"}


class PlotOptions(BaseModel, frozen=True, extra="forbid"):
    """How a figure looks."""

    bands: tuple[BandName, ...] = Field(
        default=("east", "north"), min_length=1, description="Maps, from left to right."
    )
    limit: float | None = Field(
        default=None, gt=0, description="End of the displacement's colour scale, metres. Default: 98th percentile."
    )
    opacity: float = Field(default=0.6, gt=0, le=1, description="Of the displacement over a background; 1 hides it.")
    hillshade: bool = Field(default=False, description="The background is a DEM: show its relief, lit from the NW.")
    vectors: bool = Field(default=False, description="Draw arrows.")
    vector_every: int | None = Field(default=None, ge=1, description="An arrow at every n-th cell.")
    vector_scale: float | None = Field(default=None, gt=0, description="How many times longer than the motion.")
    components: Literal["compass", "line"] = Field(
        default="compass", description="Profiles of east and north, or of motion along and across the line."
    )
    width_cm: float = Field(default=17.0, ge=5, le=100, description="Of the figure; journals: 8.5 or 17.")
    dpi: int = Field(default=300, ge=50, le=1200, description="Dots per inch of PNG, and of images inside PDF and SVG.")
    font_pt: float = Field(default=8.0, ge=4, le=20, description="Size of the text.")
    title: str = Field(default="", description="Over the maps.")


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """What is drawn with the field; lines are (x, y) in its CRS."""

    backdrop: Float[np.ndarray, "rows columns"] | None = None
    """Brightness or height over the area of the field: see `io.backdrop`."""
    trace: Sequence[np.ndarray] = ()
    profiles: Sequence[np.ndarray] = ()
    """Lines whose profiles are drawn below the maps, called A, B, ..."""


def draw_figure(
    field: DisplacementField,
    path: Path | str,
    options: PlotOptions | None = None,
    overlay: Overlay | None = None,
) -> None:
    """Write a figure: maps with their colour scales, scale bar and arrow to the north, and profiles below.

    Maps are true to scale. Displacement has one diverging scale for east and north, warm toward the east and north;
    colours are even to the eye and safe for colour-blind readers (Crameri et al. 2020). Text in PDF and SVG
    stays text, but for what has a white rim.

    Raises:
        OptionError: a name that does not end in .png, .pdf or .svg, or a band that the field does not have.
        OutputError: the file cannot be written; nothing is left behind then.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    options, overlay = options or PlotOptions(), overlay or Overlay()
    kind = Path(path).suffix.lower()
    if kind not in SUFFIXES:
        raise OptionError(f"call the figure {Path(path).with_suffix('.png')}, or .pdf or .svg, instead of {path}")
    small = thin(field, LONGEST_CELLS)
    wanted = Wanted(options.width_cm, len(options.bands), len(overlay.profiles), bool(options.title))
    layout = Plan.of(small.grid, wanted)
    style: dict[Any, Any] = {
        "font.size": options.font_pt,
        "pdf.fonttype": 42,
        "svg.fonttype": "none",
        "axes.linewidth": 0.6,
    }
    style |= {"svg.hashsalt": "terrashift", "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": "0.4"}
    style |= {"xtick.color": INK, "ytick.color": INK, "font.family": "sans-serif"}
    with mpl.rc_context(style):
        figure = Figure(layout.size, dpi=options.dpi, facecolor="white")
        FigureCanvasAgg(figure)
        for k, name in enumerate(options.bands):
            _draw_map(figure, layout, k, _Panel(small, name, options, overlay))
        for k, line in enumerate(overlay.profiles):
            _draw_profile(figure.add_axes(layout.profile(k)), field, line, chr(65 + k), options)
        if options.title:
            refuse_broken_formula(options.title)
            left, top = layout.left / layout.size[0], 1 - 0.05 / layout.size[1]
            figure.text(left, top, options.title, ha="left", va="top", fontsize="large")
        with atomic_path(path) as part:
            # no date in the file: the same figure is the same file
            about = {"Date": None} if kind == ".svg" else {"CreationDate": None} if kind == ".pdf" else None
            figure.savefig(part, format=kind[1:], dpi=options.dpi, metadata=about)


@dataclass(frozen=True, slots=True, eq=False)
class _Panel:
    field: DisplacementField
    band: BandName
    options: PlotOptions
    overlay: Overlay


def _draw_map(figure: Figure, layout: Plan, k: int, panel: _Panel) -> None:
    from cmcrameri import cm

    axes, grid = figure.add_axes(layout.map(k)), panel.field.grid
    frame = Frame.of(grid)
    left, right, bottom, top = frame.extent(grid)
    place: dict[str, Any] = {
        "extent": (left, right, bottom, top),
        "origin": "upper" if frame.dy < 0 else "lower",
        "aspect": "auto",
        "interpolation": "none",
    }
    under = panel.overlay.backdrop
    if under is not None:
        _draw_backdrop(axes, under, panel, place | {"interpolation": "antialiased"})
    values = _values(panel.field, panel.band)
    low, high = _limits(panel, values)
    colours = getattr(cm, MAPS[panel.band]).with_extremes(bad=(0, 0, 0, 0) if under is not None else NO_VALUE_GREY)
    opacity = 1.0 if under is None else panel.options.opacity
    shown = axes.imshow(np.ma.masked_invalid(values), cmap=colours, vmin=low, vmax=high, alpha=opacity, **place)
    _draw_lines(axes, frame, panel)
    if panel.options.vectors:
        _draw_vectors(axes, frame, panel, layout)
    if k == 0:
        _draw_scale(axes, layout, grid)
        _draw_north(axes, layout, grid)
    _dress(axes, frame, f"({chr(97 + k)}) {TITLES[panel.band]}" if layout.maps > 1 else TITLES[panel.band], k, layout)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    _draw_bar(figure, layout, k, shown, "" if panel.band == "score" else grid.unit)


def _draw_backdrop(axes: Axes, under: np.ndarray, panel: _Panel, place: dict[str, Any]) -> None:
    """Relief or image in grey, between its 2nd and 98th percentile."""
    if panel.options.hillshade:
        under = relief(under, panel.field.grid)
    known = under[np.isfinite(under)]
    low, high = np.percentile(known, [2, 98]) if known.size else (0.0, 1.0)
    axes.imshow(np.ma.masked_invalid(under), cmap="gray", vmin=low, vmax=high if high > low else low + 1, **place)


def relief(heights: Float[np.ndarray, "rows columns"], grid: Grid) -> Float[np.ndarray, "rows columns"]:
    """Brightness of a surface lit from the north-west at 45 degrees, 0 to 1 (Horn's hillshade), NaN where unknown.

    Args:
        heights: over the area of `grid`, in the unit of its lengths.
        grid: turned grids are lit from the upper left of the image, as it is shown.
    """
    rows, columns = heights.shape
    across = grid.pixel_size[0] * grid.width / columns
    down = grid.pixel_size[1] * grid.height / rows
    north_first = not (grid.crs and not grid.is_oblique and grid.transform.e > 0)
    slope_down, slope_across = np.gradient(np.where(np.isfinite(heights), heights, np.nan), down, across)
    to_north = -slope_down if north_first else slope_down
    light = np.array([-1.0, 1.0, math.sqrt(2)]) / 2  # east, north, up
    shade = (-slope_across * light[0] - to_north * light[1] + light[2]) / np.sqrt(1 + slope_across**2 + to_north**2)
    return np.clip(shade, 0, 1)


def _values(field: DisplacementField, band: BandName) -> np.ndarray:
    if band == "magnitude":
        return np.hypot(field.east.numpy(), field.north.numpy())
    if band != "sigma":
        return getattr(field, band).float().numpy()
    sigma = np.hypot(field.sigma_east.numpy(), field.sigma_north.numpy())
    if not np.isfinite(sigma).any():
        raise OptionError("the field states no errors: leave sigma out of --bands.")
    return sigma


def _limits(panel: _Panel, values: np.ndarray) -> tuple[float, float]:
    limit = panel.options.limit
    if panel.band in ("east", "north"):
        limit = limit or robust_limit([panel.field.east.numpy(), panel.field.north.numpy()])
        return -limit, limit
    if panel.band == "score":
        return 0.0, 1.0
    return 0.0, (limit if panel.band == "magnitude" else None) or robust_limit([values])


def _draw_lines(axes: Axes, frame: Frame, panel: _Panel) -> None:
    """Trace and profiles, readable over any colour."""
    from matplotlib.patheffects import Normal, Stroke

    halo = [Stroke(linewidth=2.4, foreground="white"), Normal()]
    for line in panel.overlay.trace:
        x, y = frame.place(to_cells(panel.field.grid, np.asarray(line, float))).T
        axes.plot(x, y, color=INK, linewidth=0.9, path_effects=halo)
    for k, line in enumerate(panel.overlay.profiles):
        x, y = frame.place(to_cells(panel.field.grid, np.asarray(line, float))).T
        axes.plot(x, y, color="#d6006c", linewidth=1.1, path_effects=halo)
        for at, name in ((0, chr(65 + k)), (-1, chr(65 + k) + "′")):
            axes.annotate(
                name, (x[at], y[at]), textcoords="offset points", xytext=(0, 3), ha="center", color="#a00050",
                weight="bold", path_effects=[Stroke(linewidth=2, foreground="white"), Normal()], annotation_clip=False,
            )  # fmt: skip


def _draw_vectors(axes: Axes, frame: Frame, panel: _Panel, layout: Plan) -> None:
    """Arrows, six to the inch unless told, and one of known length above the map."""
    field, options = panel.field, panel.options
    every = options.vector_every or max(1, math.ceil(field.grid.width / (ARROWS_PER_INCH * layout.width)))
    arrows = arrows_of(field, every, options.vector_scale)
    if not len(arrows.tails):
        return
    tails, tips = (frame.place(to_cells(field.grid, points)) for points in (arrows.tails, arrows.tips))
    place: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.0035, "headwidth": 4}
    drawn = axes.quiver(*tails.T, *(tips - tails).T, color=INK, edgecolor="white", linewidth=0.3, **place)
    size = float(np.percentile(np.hypot(arrows.values["east"], arrows.values["north"]), 98))
    if not size > 0:
        return
    known = round_length(size)
    length = known * arrows.exaggeration * abs(frame.dx) / field.grid.pixel_size[0]
    axes.quiverkey(
        drawn, 0.98, 1.035, length, f"{known:g} {field.grid.unit}", labelpos="W", coordinates="axes", labelsep=0.05
    )


def _draw_scale(axes: Axes, layout: Plan, grid: Grid) -> None:
    """A bar along the rows, in the lower left corner."""
    from matplotlib.patches import Rectangle

    bar = scale_bar(grid, layout.width, 0.35 * layout.width)
    share, x, y = bar.inches / layout.width, 0.09 / layout.width, 0.1 / layout.height
    high = 0.04 / layout.height
    box = {"transform": axes.transAxes, "zorder": 6}
    pad = 0.05 / layout.width, 0.05 / layout.height
    text = 0.15 / layout.height
    axes.add_patch(
        Rectangle(
            (x - pad[0], y - pad[1]), share + 2 * pad[0], high + text + 2 * pad[1], facecolor="white", alpha=0.75, **box
        )
    )
    axes.add_patch(Rectangle((x, y), share, high, facecolor=INK, edgecolor=INK, linewidth=0.4, **box))
    axes.add_patch(
        Rectangle((x + share / 2, y), share / 2, high, facecolor="white", edgecolor=INK, linewidth=0.4, **box)
    )
    axes.text(x + share / 2, y + high + 0.02 / layout.height, bar.label, ha="center", va="bottom", **box)


def _draw_north(axes: Axes, layout: Plan, grid: Grid) -> None:
    """An arrow to the north, in the lower right corner; on maps in their own coordinates north is up."""
    from matplotlib.patheffects import Normal, Stroke

    right, up = north_on_screen(grid)
    if not Frame.of(grid).from_corner:
        right, up = 0.0, 1.0
    middle = np.array([1 - 0.22 / layout.width, 0.25 / layout.height])
    half = 0.13 * np.array([right / layout.width, up / layout.height])
    halo = [Stroke(linewidth=2.2, foreground="white"), Normal()]
    axes.annotate(
        "", tuple(middle + half), tuple(middle - half), xycoords="axes fraction", zorder=6,
        arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0,
                    "path_effects": halo},
    )  # fmt: skip
    x, y = middle + half * 1.35
    axes.text(x, y, "N", transform=axes.transAxes, ha="center", va="center", zorder=6, path_effects=halo)


def _dress(axes: Axes, frame: Frame, title: str, k: int, layout: Plan) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_title(title, loc="left", pad=4, fontsize="medium")
    axes.xaxis.set_major_locator(MaxNLocator(3 if layout.width < 2 else 4))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(length=2, width=0.5, pad=1.5, labelsize="small")
    sign = FuncFormatter(lambda v, _: f"{abs(v):g}" if frame.from_corner else f"{v:.8g}")
    axes.yaxis.set_major_formatter(sign)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.8g}"))
    axes.set_xlabel(frame.labels[0], labelpad=1, fontsize="small")
    if k % layout.across:
        axes.set_yticklabels([])
    else:
        axes.set_ylabel(frame.labels[1], labelpad=2, fontsize="small")
        for label in axes.get_yticklabels():
            label.set(rotation=90, va="center")


def _draw_bar(figure: Figure, layout: Plan, k: int, shown: Any, unit: str) -> None:
    from matplotlib.ticker import MaxNLocator

    bar = figure.colorbar(shown, cax=figure.add_axes(layout.bar(k)), orientation="horizontal")
    bar.solids.set_alpha(1)  # pyright: ignore[reportOptionalMemberAccess]
    bar.ax.tick_params(length=2, width=0.5, pad=1.5, labelsize="small")
    bar.locator = MaxNLocator(5)
    bar.outline.set_linewidth(0.5)  # pyright: ignore[reportCallIssue]
    if unit:
        bar.ax.text(1.02, 0.5, unit, transform=bar.ax.transAxes, va="center", fontsize="small")
    bar.update_ticks()


def _draw_profile(axes: Axes, field: DisplacementField, line: np.ndarray, name: str, options: PlotOptions) -> None:
    """Two components along a line of the field, each with one standard error either way."""
    cut = section(field, np.asarray(line, float))
    names = ("east", "north") if options.components == "compass" else ("along", "across")
    scale, unit = (1000, "km") if field.grid.unit == "m" and cut.distance[-1] >= 5000 else (1, field.grid.unit)
    x = cut.distance / scale
    for part in names:
        values, sigma = getattr(cut, part), getattr(cut, f"sigma_{part}")
        axes.fill_between(x, values - sigma, values + sigma, color=COLOURS[part], alpha=0.2, linewidth=0)
        label = {"along": f"along {name}{name}′", "across": "to its left"}.get(part, part)
        axes.plot(x, values, color=COLOURS[part], linewidth=0.9, label=label)
    axes.axhline(0, color="0.7", linewidth=0.5, zorder=0)
    axes.set_xlim(0, x[-1])
    axes.set_xlabel(f"distance ({unit})", labelpad=1, fontsize="small")
    axes.set_ylabel(f"displacement ({field.grid.unit})", labelpad=2, fontsize="small")
    axes.tick_params(length=2, width=0.5, pad=1.5, labelsize="small")
    axes.set_title(f"{name}–{name}′", loc="left", pad=3, fontsize="medium", color="#a00050", weight="bold")
    axes.legend(frameon=False, fontsize="small", ncols=2, loc="lower right", bbox_to_anchor=(1.0, 0.97), borderpad=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
