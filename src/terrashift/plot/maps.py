"""The quicklook: east and north displacement side by side, with all that is needed to read them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core.field import DisplacementField
from ..core.grid import Grid
from ..io.atomic import atomic_path
from .lettering import lettering

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

LARGEST_PX = 1500  # of the field that is drawn; more would not show
DOTS_PER_INCH = 150
NO_VALUE_GREY = "0.68"
INK = "0.15"
FONT_PT = 9.5
LIMIT_PERCENTILE = 98

# inches
PANEL_SPACE = (4.6, 6.2)
WIDE_PANEL_SPACE = (8.6, 4.0)
THINNEST_PANEL = 0.5
MARGIN, GAP, HEAD, FOOT, BAR_SPACE = 0.3, 0.3, 0.75, 0.8, 1.2
PANEL_TITLE = 0.3
LEAST_WIDTH = 6.4


def quicklook(field: DisplacementField, path: Path | str) -> None:
    """Write a PNG of east and north displacement in one colour scale: warm is east or north, cold is west or south.

    The scale ends at the 98th percentile of both components' sizes. Grey cells have no value. The scale bar and the
    arrow to the north follow the grid, however it is turned. Fields above 1500 px are drawn at every n-th cell.

    Raises:
        OutputError: where the file cannot be written; nothing is left behind then.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    every = max(1, -(-max(field.grid.shape) // LARGEST_PX))
    bands = [np.asarray(band[::every, ::every].cpu(), dtype=np.float32) for band in (field.east, field.north)]
    layout = _Layout.of(field.grid)
    figure = Figure(layout.size, dpi=DOTS_PER_INCH, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    limit = robust_limit(bands)
    for k, (band, name) in enumerate(zip(bands, ("East", "North"), strict=True)):
        shown = _draw_panel(figure.add_axes(layout.panel(k)), band, name, limit)
    _draw_colour_bar(figure.add_axes(layout.bar), shown, field.grid.unit)
    _write_head(figure, layout, field)
    _draw_foot(figure.add_axes(layout.foot), layout, field.grid, bands[0])
    with atomic_path(path) as temporary:
        canvas.print_png(str(temporary))


def robust_limit(bands: list[np.ndarray]) -> float:
    """End of the colour scale on either side: the 98th percentile of all sizes; 1 where nothing is known or moved."""
    sizes = np.abs(np.concatenate([band[np.isfinite(band)] for band in bands]))
    return float(np.percentile(sizes, LIMIT_PERCENTILE)) or 1.0 if sizes.size else 1.0


def round_length(longest: float) -> float:
    """The largest of 1, 2, 5, 10, 20, ... that is not above `longest`.

    >>> [round_length(v) for v in (0.7, 2.0, 4999.0)]
    [0.5, 2.0, 2000.0]
    """
    power = 10.0 ** math.floor(math.log10(longest) + 1e-9)
    return float(f"{next(step for step in (5, 2, 1) if step * power <= longest * (1 + 1e-9)) * power:.6g}")


class ScaleBar(NamedTuple):
    """A length on the ground and on the figure."""

    inches: float
    label: str


def scale_bar(grid: Grid, width_inches: float, longest_inches: float) -> ScaleBar:
    """A bar along the rows of a map of `grid` that is drawn `width_inches` wide."""
    per_inch = grid.width * grid.pixel_size[0] / width_inches
    length = round_length(longest_inches * per_inch)
    unit = grid.unit
    shown = f"{length / 1000:g} km" if unit == "m" and length >= 1000 else f"{length:g} {unit}"
    return ScaleBar(length / per_inch, shown)


def north_on_screen(grid: Grid) -> tuple[float, float]:
    """Unit vector (right, up) of the direction to the north on a map drawn row by row, downwards, true to scale."""
    column, row = ~grid.metric_transform() @ (0.0, 1.0)
    right, up = column * grid.pixel_size[0], -row * grid.pixel_size[1]
    size = math.hypot(right, up)
    return right / size, up / size


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where everything goes, in inches, so that the scale bar has its length exactly."""

    width: float
    """Of one panel."""
    height: float
    below: bool
    """True where the second panel lies under the first, for wide fields."""

    @classmethod
    def of(cls, grid: Grid) -> _Layout:
        """Fit two maps of `grid`, true to scale unless that made them thinner than half an inch."""
        across, down = (n * size for n, size in zip((grid.width, grid.height), grid.pixel_size, strict=True))
        below = across > 1.7 * down
        space = WIDE_PANEL_SPACE if below else PANEL_SPACE
        scale = min(space[0] / across, space[1] / down)
        return cls(max(across * scale, THINNEST_PANEL), max(down * scale, THINNEST_PANEL), below)

    @property
    def maps(self) -> tuple[float, float]:
        """Width and height of both panels together."""
        if self.below:
            return self.width, 2 * self.height + GAP + PANEL_TITLE
        return 2 * self.width + GAP, self.height

    @property
    def size(self) -> tuple[float, float]:
        """Of the figure."""
        width, height = self.maps
        return max(width + 2 * MARGIN + BAR_SPACE, LEAST_WIDTH), HEAD + PANEL_TITLE + height + FOOT

    @property
    def left(self) -> float:
        """Where the panels begin: in the middle, if they are narrow."""
        return MARGIN + max(0.0, (LEAST_WIDTH - self.maps[0] - 2 * MARGIN - BAR_SPACE) / 2)

    def panel(self, k: int) -> tuple[float, float, float, float]:
        """Panel 0 or 1 as (left, bottom, width, height) in shares of the figure."""
        left = self.left + (0 if self.below else k * (self.width + GAP))
        first = FOOT + self.maps[1] - self.height
        return self._share(
            left, first - (k * (self.height + GAP + PANEL_TITLE) if self.below else 0), self.width, self.height
        )

    @property
    def bar(self) -> tuple[float, float, float, float]:
        """Of the colour bar."""
        length = min(self.maps[1], 3.6)
        return self._share(self.left + self.maps[0] + 0.2, FOOT + (self.maps[1] - length) / 2, 0.16, length)

    @property
    def foot(self) -> tuple[float, float, float, float]:
        """Of the strip with scale bar, arrow and legend; its axes count inches."""
        return self._share(MARGIN, 0.0, self.size[0] - 2 * MARGIN, FOOT)

    def _share(self, left: float, bottom: float, width: float, height: float) -> tuple[float, float, float, float]:
        full = self.size
        return left / full[0], bottom / full[1], width / full[0], height / full[1]


def _draw_panel(axes: Axes, band: np.ndarray, name: str, limit: float) -> ScalarMappable:
    """One component, filling its axes."""
    from cmcrameri import cm

    colours = cm.vik.with_extremes(bad=NO_VALUE_GREY)  # pyright: ignore[reportAttributeAccessIssue] made at import
    shown = axes.imshow(np.ma.masked_invalid(band), cmap=colours, vmin=-limit, vmax=limit, aspect="auto")
    axes.set_title(name, fontsize=FONT_PT + 1, color=INK, pad=5, loc="left")
    leave_frame(axes)
    return shown


def leave_frame(axes: Axes, width_pt: float = 0.6) -> None:
    """Take all ticks off axes that show an image, and draw a thin grey line around it."""
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color("0.5")
        side.set_linewidth(width_pt)


def _draw_colour_bar(axes: Axes, shown: ScalarMappable, unit: str) -> None:
    """The scale that both panels share."""
    bar = axes.get_figure().colorbar(shown, cax=axes, extend="both", extendfrac=0.04)  # pyright: ignore[reportOptionalMemberAccess]
    bar.set_label(f"displacement ({unit})", fontsize=FONT_PT, color=INK)
    bar.ax.tick_params(labelsize=FONT_PT, colors=INK, width=0.6)
    bar.outline.set_linewidth(0.6)
    bar.outline.set_edgecolor("0.5")
    bar.locator = _few_ticks()
    bar.update_ticks()


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5, symmetric=True)


def _write_head(figure: Figure, layout: _Layout, field: DisplacementField) -> None:
    """Title with the dates, and a line that says by which method and from which images."""
    title, origin = _head(field.made_by)
    left, height = MARGIN / layout.size[0], layout.size[1]
    figure.text(left, 1 - 0.3 / height, title, fontsize=FONT_PT + 3, color=INK, va="center")
    room = int((layout.size[0] - 2 * MARGIN) * 13)  # characters of this size to the inch, roughly
    origin = origin if len(origin) <= room else origin[: room - 3] + "..."
    figure.text(left, 1 - 0.57 / height, origin, fontsize=FONT_PT, color="0.4", va="center")


def _head(made_by: dict[str, Any]) -> tuple[str, str]:
    """Title and origin, from what is known of the two images."""
    dates = [str(made_by.get(f"{role}_DATE") or "")[:10] for role in ("BEFORE", "AFTER")]
    names = [str(made_by.get(role) or "") for role in ("BEFORE", "AFTER")]
    title = "Ground displacement" + (f", {dates[0]} to {dates[1]}" if all(dates) else "")
    method = f"{made_by['METHOD']} method" if made_by.get("METHOD") else ""
    origin = ": ".join(part for part in (method, " to ".join(names) if all(names) else "") if part)
    return lettering(title), lettering(origin)


def _draw_foot(axes: Axes, layout: _Layout, grid: Grid, band: np.ndarray) -> None:
    """Scale bar, arrow to the north and what grey means, left to right."""
    from matplotlib.patches import Rectangle

    axes.set_axis_off()
    axes.set_xlim(0, layout.size[0] - 2 * MARGIN)
    axes.set_ylim(0, FOOT)
    middle, small = FOOT / 2 - 0.02, {"fontsize": FONT_PT, "color": INK}
    bar = scale_bar(grid, layout.width, min(1.6, layout.width))
    at = layout.left - MARGIN
    axes.plot([at, at + bar.inches], [middle - 0.12] * 2, color=INK, linewidth=2.2, solid_capstyle="butt")
    axes.text(at, middle + 0.08, bar.label, va="center", ha="left", **small)

    right, up = north_on_screen(grid)
    at += max(bar.inches, 0.75) + 0.55
    axes.annotate(
        "",
        (at + 0.2 * right, middle + 0.2 * up),
        (at - 0.2 * right, middle - 0.2 * up),
        arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0},
    )
    axes.text(
        at + 0.12 + 0.2 * abs(right), middle, "N" if grid.crs else "N is up the image (no CRS)", va="center", **small
    )

    at += 0.8 if grid.crs else 2.45
    missing = 1 - np.isfinite(band).mean()
    axes.add_patch(Rectangle((at, middle - 0.08), 0.24, 0.16, facecolor=NO_VALUE_GREY, edgecolor="0.5", linewidth=0.6))
    axes.text(at + 0.34, middle, f"no value ({_percent(missing)})", va="center", **small)


def _percent(share: float) -> str:
    """A share in words that never round a little to nothing or nearly all to all."""
    if 0 < share < 0.01:
        return "< 1 %"
    if 0.99 < share < 1:
        return "> 99 %"
    return f"{100 * share:.0f} %"
