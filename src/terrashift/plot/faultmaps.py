"""Maps with a trace on them, and maps of strain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ..core.field import DisplacementField
from ..core.grid import Grid
from ..io.atomic import atomic_path
from .maps import DOTS_PER_INCH, FONT_PT, INK, LARGEST_PX, NO_VALUE_GREY, leave_frame, robust_limit, scale_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 4.2  # inches of one map
TALLEST = 6.5
STRAIN_PERCENTILE = 98


def draw_trace(
    field: DisplacementField, lines: Sequence[Float[np.ndarray, "_ 2"]], labels: Sequence[str], path: Path
) -> None:
    """Write a PNG of east and north displacement with lines, (x, y) in the field's CRS, and a label beside each.

    Raises:
        OutputError: where the file cannot be written.
    """
    bands = {"East": field.east, "North": field.north}
    every = _every(field.grid)
    shown = {name: np.asarray(band[::every, ::every].cpu(), float) for name, band in bands.items()}
    limit = robust_limit(list(shown.values()))
    panels = [(f"{name} displacement ({field.grid.unit})", band, (-limit, limit)) for name, band in shown.items()]
    pixels = [np.stack(~field.grid.transform @ tuple(np.asarray(line, float).T), 1) / every for line in lines]  # pyright: ignore
    _draw(field.grid, panels, path, list(zip(pixels, labels, strict=True)))


def draw_strain(layers: Mapping[str, Float[np.ndarray, "height width"]], grid: Grid, path: Path) -> None:
    """Write a PNG of dilatation, curl (or rotation) and maximum shear, each in its own scale.

    Raises:
        OutputError: where the file cannot be written.
    """
    every = _every(grid)
    panels = []
    for name in ("dilatation", "curl", "rotation", "max_shear"):
        if name in layers:
            band = np.asarray(layers[name][::every, ::every], float)
            size = np.abs(band[np.isfinite(band)])
            limit = float(np.percentile(size, STRAIN_PERCENTILE)) if size.size else 1.0
            limit = limit or 1.0
            panels.append((name.replace("_", " "), band, (0.0 if name == "max_shear" else -limit, limit)))
    _draw(grid, panels, path, [])


def _every(grid: Grid) -> int:
    return max(1, -(-max(grid.shape) // LARGEST_PX))


def _draw(
    grid: Grid, panels: Sequence[tuple[str, np.ndarray, tuple[float, float]]], path: Path, lines: Sequence[Any]
) -> None:
    from cmcrameri import cm
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across, down = grid.width * grid.pixel_size[0], grid.height * grid.pixel_size[1]
    width = min(WIDTH, TALLEST * across / down)
    height = max(width * down / across, 0.8)
    figure = Figure((len(panels) * (width + 1.1) + 0.2, height + 1.0), dpi=DOTS_PER_INCH, layout="constrained")
    for axes, (title, band, (low, high)) in zip(
        figure.subplots(1, len(panels), squeeze=False).flat, panels, strict=True
    ):
        colours: Any = (cm.lajolla if low == 0 else cm.vik).with_extremes(bad=NO_VALUE_GREY)  # pyright: ignore
        shown = axes.imshow(
            np.ma.masked_invalid(band), cmap=colours, vmin=low, vmax=high,
            extent=(0, band.shape[1], band.shape[0], 0), aspect=grid.pixel_size[1] / grid.pixel_size[0],
        )  # fmt: skip
        for line, label in lines:
            axes.plot(*line.T, color="white", linewidth=2.2)
            axes.plot(*line.T, color="black", linewidth=1.1)
            middle = line[len(line) // 2]
            axes.annotate(label, middle, xytext=(6, 6), textcoords="offset points", fontsize=7.5, color="black",
                          bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1})  # fmt: skip
        axes.set_xlim(0, band.shape[1])
        axes.set_ylim(band.shape[0], 0)
        _finish(axes, title)
        bar = figure.colorbar(shown, ax=axes, shrink=0.8, extend="max" if low == 0 else "both")
        bar.ax.tick_params(labelsize=FONT_PT - 1.5)
    measure = scale_bar(grid, width, width / 3)
    figure.supxlabel(f"scale: the width of a map is {across / 1000 if grid.crs else across:.3g} "
                     f"{'km' if grid.crs else grid.unit} (a third is about {measure.label}); grey: no value",
                     fontsize=FONT_PT - 1, color=INK)  # fmt: skip
    with atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_png(str(temporary))


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=FONT_PT + 0.5, color=INK, loc="left")
    leave_frame(axes)
