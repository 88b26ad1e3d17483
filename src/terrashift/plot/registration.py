"""How a registration looks: checkerboards, shift vectors, residuals; and shifts of a group over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..core.grid import Grid
from ..io.atomic import atomic_path
from ..register.group import Group
from ..register.preview import Preview
from ..register.result import Registration
from ..register.ties import EXCLUDED, OUTLIER
from .lettering import lettering

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELL_PX = 64
DOTS_PER_INCH = 130
MOST_ARROWS = 1200
USED_INK, OUTLIER_INK, EXCLUDED_INK = "#1b6ca8", "#c0392b", "0.6"


def stretched(image: Float[np.ndarray, "height width"], like: Float[np.ndarray, "height width"]) -> np.ndarray:
    """Brightness 0 to 1 between the 2nd and 98th percentile of `like`, or of the image itself where `like` is empty."""
    known = like[np.isfinite(like)]
    known = known if known.size else image[np.isfinite(image)]
    if not known.size:
        return np.zeros(image.shape)
    low, high = np.percentile(known, [2, 98])
    return np.clip((np.nan_to_num(image, nan=low) - low) / max(high - low, 1e-12), 0, 1)


def checkerboard(
    first: Float[np.ndarray, "height width"], second: Float[np.ndarray, "height width"], cell_px: int = CELL_PX
) -> Float[np.ndarray, "height width"]:
    """Squares of one image and the other in turn; lines that cross from square to square show whether they fit.

    >>> checkerboard(np.zeros((2, 2)), np.ones((2, 2)), 1).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    row, column = np.indices(first.shape) // cell_px
    return np.where((row + column) % 2 == 0, first, second)


def registration_picture(found: Registration, shown: Preview, path: Path) -> None:
    """Write a PNG: checkerboards before and after, shift vectors, residuals before and after with their CE90.

    Raises:
        OutputError: where the file cannot be written; nothing is left behind then.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((12.6, 11.2), dpi=DOTS_PER_INCH, facecolor="white", layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2)
    reference = stretched(shown.reference.numpy(), shown.reference.numpy())
    for axis, image, name in ((axes[0, 0], shown.before, "before"), (axes[0, 1], shown.after, "after")):
        # the moving image is stretched alike before and after
        board = checkerboard(reference, stretched(image.numpy(), shown.after.numpy()))
        axis.imshow(board, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(f"{name}: squares of the reference and of the moving image", fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    _draw_shifts(axes[1, 0], found)
    _draw_residuals(axes[1, 1], found)
    used = int(found.ties.used.sum())
    figure.suptitle(lettering(f"{found.model} from {used} tie points; {found.started_by}"), fontsize=12)
    with atomic_path(path) as temporary:
        canvas.print_png(str(temporary))


def _draw_shifts(axis: Axes, found: Registration) -> None:
    """Arrows from each tie point, drawn at one magnification that is told."""
    ties, grid = found.ties, found.reference
    flag = ties.flag
    some = np.arange(len(ties))[:: max(1, len(ties) // MOST_ARROWS)]
    x, y = ties.reference
    middle = np.median(ties.shift[:, ties.used], 1) if ties.used.any() else np.zeros(2)
    local = ties.shift - middle[:, None]
    size = float(np.quantile(np.hypot(*local[:, ties.used]), 0.95)) if ties.used.any() else 1.0
    factor = 0.05 * max(grid.shape) / max(size, 1e-6)
    for code, ink in ((EXCLUDED, EXCLUDED_INK), (OUTLIER, OUTLIER_INK), (0, USED_INK)):
        k = some[flag[some] == code]
        if code == 0:
            axis.quiver(
                *(x[k], y[k], factor * local[0, k], factor * local[1, k]),
                angles="xy", scale_units="xy", scale=1, color=ink, width=0.0022,
            )  # fmt: skip
        else:
            axis.plot(x[k], y[k], "x", color=ink, markersize=4)
    axis.set_xlim(-0.5, grid.width - 0.5)
    axis.set_ylim(grid.height - 0.5, -0.5)
    axis.set_aspect("equal")
    axis.set_title(
        f"shifts less their median ({middle[0]:+.2f} right, {middle[1]:+.2f} down px), drawn {factor:.3g} times as "
        "long\nred: outliers; grey: excluded",
        fontsize=9,
    )
    axis.set_xlabel("column, px", fontsize=9)
    axis.set_ylabel("row, px", fontsize=9)


def _draw_residuals(axis: Axes, found: Registration) -> None:
    numbers, used = found.numbers(), found.ties.used
    parts = (
        ("shift", found.ties.shift, numbers["ce90 before px"], "0.6"),
        ("residual", found.residual, numbers["ce90 after px"], USED_INK),
        ("held out", found.held_out, numbers["ce90 held out px"], "#e08a1e"),
    )
    lengths = [np.hypot(*values[:, used]) for _, values, _, _ in parts]
    lengths = [length[np.isfinite(length)] for length in lengths]
    top = max([float(np.quantile(length, 0.98)) for length in lengths[1:] if len(length)] + [0.1])
    # what is longer counts in the last bar, so that no tie point is out of sight
    for (name, _, ce90, ink), length in zip(parts, lengths, strict=True):
        axis.hist(
            np.minimum(length, 1.5 * top), bins=40, range=(0, 1.5 * top), histtype="step", color=ink, linewidth=1.6,
            label=f"{name}: CE90 {ce90:.3g} px",
        )  # fmt: skip
    axis.set_xlabel("length, px of the reference (last bar: and longer)", fontsize=9)
    axis.set_ylabel("tie points", fontsize=9)
    axis.set_title(f"standard error of the map {found.error_px:.2g} px", fontsize=10)
    axis.legend(fontsize=9)


def group_picture(group: Group, names: Sequence[str], grid: Grid, path: Path) -> None:
    """Write a PNG: shift of each image at the middle with its error, and what the adjustment leaves of each pair.

    Raises:
        OutputError: where the file cannot be written; nothing is left behind then.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((12.0, 5.4), dpi=DOTS_PER_INCH, facecolor="white", layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    labels = [lettering(Path(name).stem) for name in names]
    middle = np.array([[(grid.width - 1) / 2], [(grid.height - 1) / 2]])
    shifts = np.stack([shift.shift(middle)[:, 0] for shift in group.shifts])
    for k, (name, ink) in enumerate((("x (right)", USED_INK), ("y (down)", "#e08a1e"))):
        error = np.nan_to_num(np.array(group.errors_px))
        left.errorbar(np.arange(len(names)), shifts[:, k], error, fmt="o-", color=ink, capsize=3, label=name)
    left.set_xticks(np.arange(len(names)), labels, rotation=30, ha="right", fontsize=8)
    left.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    left.set_ylabel("shift against the common frame, px")
    left.legend(fontsize=9)
    matrix = np.full((len(names),) * 2, np.nan)
    for offset in group.offsets:
        matrix[offset.first, offset.second] = offset.closure_px
    shown = right.imshow(matrix, cmap="viridis", vmin=0)
    figure.colorbar(shown, ax=right, label="left by the adjustment, px")
    right.set_xticks(np.arange(len(names)), labels, rotation=30, ha="right", fontsize=8)
    right.set_yticks(np.arange(len(names)), labels, fontsize=8)
    right.set_title("pairs", fontsize=10)
    with atomic_path(path) as temporary:
        canvas.print_png(str(temporary))
