"""A window of a registered pair at full resolution, before and after, for people to look at."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from .pair import Job
from .result import Registration
from .sources import Mapped

SIDE_PX = 640


class Preview(NamedTuple):
    """Three images of one window of the reference's grid."""

    reference: Float[Tensor, "height width"]
    before: Float[Tensor, "height width"]
    """The moving image where its georeferencing (or what it shows, roughly) puts it."""
    after: Float[Tensor, "height width"]
    row: int
    column: int
    """First pixel of the window."""


def preview(job: Job, found: Registration, side_px: int = SIDE_PX) -> Preview:
    """The window of at most `side_px` that holds most tie points."""
    grid = found.reference
    height, width = (min(side_px, n) for n in grid.shape)
    row, column = (grid.height - height) // 2, (grid.width - width) // 2
    places = found.ties.reference[:, found.ties.used]
    if places.shape[1] and (height, width) != grid.shape:
        rows = np.unique(np.linspace(0, grid.height - height, 17).astype(int))
        columns = np.unique(np.linspace(0, grid.width - width, 17).astype(int))
        counts = [
            (int(_inside(places, top, left, (height, width)).sum()), int(top), int(left))
            for top in rows
            for left in columns
        ]
        _, row, column = max(counts)
    window = row, column, height, width
    before, after = (Mapped(job.moving, m, grid, "bicubic").read(*window) for m in (found.start, found.mapping))
    return Preview(job.reference.read(*window), before, after, row, column)


def _inside(places: np.ndarray, top: int, left: int, shape: tuple[int, int]) -> np.ndarray:
    x, y = places
    return (x >= left) & (x < left + shape[1]) & (y >= top) & (y < top + shape[0])
