"""The contact sheet of a data set: some of its pairs with their truth, to be looked at before they are used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ..io.atomic import atomic_path
from .lettering import lettering
from .maps import leave_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOTS_PER_INCH = 110
PANEL, GAP, LEFT, HEAD, TITLE, BETWEEN, FOOT = 1.55, 0.05, 0.25, 0.72, 0.36, 0.3, 0.2  # inches
PANELS = 4
STRETCH = (1.0, 99.0)  # percentiles of both images together that become black and white
NO_VALUE = "0.68"
INK = "0.15"
LEAST_LIMIT_PX = 1e-3


class Shown(NamedTuple):
    """One pair of the sheet."""

    name: str
    before: Float[np.ndarray, "height width"]
    after: Float[np.ndarray, "height width"]
    motion: Float[np.ndarray, "2 height width"]
    """(x right, y down) px."""
    trace: Bool[np.ndarray, "height width"]


def contact_sheet(pairs: Sequence[Shown], path: Path | str, title: str) -> None:
    """Write a PNG with before, after, x and y of the motion for each pair, the trace in black.

    Both images of a pair share one grey scale, both components one colour scale, which its caption tells: warm is to
    the right, or down.

    Raises:
        OutputError: where the file cannot be written; nothing is left behind then.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = 2 if len(pairs) > 3 else 1
    rows = -(-len(pairs) // across)
    block = PANELS * PANEL + (PANELS - 1) * GAP
    width = 2 * LEFT + across * block + (across - 1) * BETWEEN
    height = HEAD + rows * (PANEL + TITLE) + FOOT
    figure = Figure((width, height), dpi=DOTS_PER_INCH, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    figure.text(LEFT / width, 1 - 0.26 / height, lettering(title), fontsize=11, color=INK, va="center")
    legend = "before | after (same greys) | motion of the ground to the right, and down (same colours; trace black), px"
    figure.text(LEFT / width, 1 - 0.52 / height, legend, fontsize=8.5, color="0.4", va="center")
    for number, pair in enumerate(pairs):
        row, column = divmod(number, across)
        left = LEFT + column * (block + BETWEEN)
        bottom = height - HEAD - (row + 1) * (PANEL + TITLE) + TITLE / 2
        limit = motion_limit(pair.motion)
        panels = [
            figure.add_axes(((left + k * (PANEL + GAP)) / width, bottom / height, PANEL / width, PANEL / height))
            for k in range(PANELS)
        ]
        _draw_images(panels[:2], pair)
        _draw_motion(panels[2:], pair, limit)
        caption = f"{lettering(pair.name)}   ±{limit:.3g} px"
        figure.text(left / width, (bottom + PANEL + 0.11) / height, caption, fontsize=8.5, color=INK, va="center")
    with atomic_path(path) as temporary:
        canvas.print_png(str(temporary))


def motion_limit(motion: Float[np.ndarray, "2 height width"]) -> float:
    """End of the colour scale on either side: the largest size of a component.

    >>> motion_limit(np.array([[[0.2, np.nan]], [[-0.5, 0.1]]]))
    0.5
    """
    sizes = np.abs(motion[np.isfinite(motion)])
    return max(float(sizes.max(initial=0.0)), LEAST_LIMIT_PX)


def _draw_images(panels: Sequence[Axes], pair: Shown) -> None:
    from matplotlib import colormaps

    known = np.concatenate([image[np.isfinite(image)] for image in (pair.before, pair.after)])
    low, high = np.percentile(known, STRETCH) if known.size else (0.0, 1.0)
    for axes, image in zip(panels, (pair.before, pair.after), strict=True):
        _show(axes, image, colormaps["gray"], (float(low), float(max(high, low + 1e-12))))


def _draw_motion(panels: Sequence[Axes], pair: Shown, limit: float) -> None:
    from cmcrameri import cm

    beside = np.where(pair.trace, 1.0, np.nan)
    for axes, part in zip(panels, pair.motion, strict=True):
        _show(axes, part, cm.vik, (-limit, limit))  # pyright: ignore[reportAttributeAccessIssue] made at import
        axes.imshow(beside, cmap="gray", vmin=1, vmax=2, interpolation="nearest")


def _show(axes: Axes, band: np.ndarray, colours: Any, limits: tuple[float, float]) -> None:
    """One band, true to scale, grey where it has no value."""
    low, high = limits
    shades = colours.with_extremes(bad=NO_VALUE)
    axes.imshow(np.ma.masked_invalid(band), cmap=shades, vmin=low, vmax=high, interpolation="nearest")
    leave_frame(axes, 0.5)
