"""How far the cells of a field are from the trace of a fault, and which side of it they are on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from scipy.spatial import KDTree

from ..core.grid import Grid

Line = Float[np.ndarray, "_ 2"]
POINTS_PER_CELL = 2
"""Along a trace: distances are right to about a tenth of a cell from a cell away on."""
LEAST_SHARE = 0.01
"""Part of the field that a side holds at least; smaller patches belong to no side."""


class Sides(NamedTuple):
    """The parts into which traces cut a field."""

    number: Int[np.ndarray, "rows columns"]
    """1, 2, ... on each side; 0 on the trace, near it, and in small patches."""
    count: int


def distance(lines: Sequence[Line], grid: Grid, every: int = 1) -> Float[np.ndarray, "rows columns"]:
    """Distance of the middle of every `every`-th cell from the nearest trace, in the grid's unit (m, or px).

    Args:
        lines: (x, y) in the CRS of the grid, or columns and rows where it has none.
    """
    metric = grid.metric_transform()
    linear = np.array([[metric.a, metric.b], [metric.d, metric.e]])
    points = np.concatenate([_dense(_to_cells(line, grid)) for line in lines])
    row, column = np.meshgrid(*(np.arange(0, n, every) + 0.5 for n in grid.shape), indexing="ij")
    cells = np.stack([column.ravel(), row.ravel()], 1)
    found, _ = KDTree(points @ linear.T).query(cells @ linear.T)
    return found.reshape(row.shape)


def sides(far: Bool[np.ndarray, "rows columns"]) -> Sides:
    """The connected parts of the cells that are far enough from the traces.

    >>> sides(np.array([[True, False, True]] * 2)).count
    2
    """
    number = np.zeros(far.shape, np.int32)
    count = int(ndimage.label(far, output=number))  # pyright: ignore[reportArgumentType] with an output, the count
    sizes = np.bincount(number.ravel(), minlength=count + 1)
    kept = [k for k in range(1, count + 1) if sizes[k] >= LEAST_SHARE * far.size]
    table = np.zeros(count + 1, int)
    table[kept] = np.arange(1, len(kept) + 1)
    return Sides(table[number], len(kept))


def _to_cells(line: Line, grid: Grid) -> Line:
    """(column, row) of points, corners of cells being whole numbers."""
    inverse = ~grid.transform  # without a CRS, that of columns and rows of the images
    return np.array([inverse @ (x, y) for x, y in line])


def _dense(line: Line) -> Line:
    """Points along a line, no farther apart than a part of a cell."""
    parts = []
    for start, end in pairwise(line):
        count = max(2, int(np.ceil(POINTS_PER_CELL * np.abs(end - start).max())) + 1)
        parts.append(start + np.linspace(0, 1, count)[:, None] * (end - start))
    return np.concatenate(parts)
