"""Lines on a grid: between local metres, pixels and CRS coordinates, and the pixels that they part."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float

from ..core.grid import Grid

Line = Float[np.ndarray, "points 2"]


def local_matrix(grid: Grid) -> Float[np.ndarray, "2 2"]:
    """Turns (columns, rows) into (east, north) metres by the grid's linear part at its middle row."""
    m = grid.metric_transform()
    return np.array([[m.a, m.b], [m.d, m.e]])


def to_pixels(grid: Grid, line: Line) -> Line:
    """(east, north) in metres from the grid's centre as (column, row); pixel corners are whole numbers."""
    return line @ np.linalg.inv(local_matrix(grid)).T + np.array([grid.width, grid.height]) / 2


def to_crs(grid: Grid, line: Line) -> Line:
    """(east, north) in metres from the grid's centre as (x, y) in its CRS (pixel corners without one)."""
    column, row = to_pixels(grid, line).T
    return np.stack(grid.transform @ (column, row), 1)


def from_crs(grid: Grid, line: Line) -> Line:
    """(x, y) in the grid's CRS (pixel corners without one) as (east, north) in metres from the grid's centre."""
    column, row = ~grid.transform @ tuple(line.T)  # pyright: ignore[reportOperatorIssue] affine takes arrays
    return (np.stack([column, row], 1) - np.array([grid.width, grid.height]) / 2) @ local_matrix(grid).T


def parted_pixels(
    shape: tuple[int, int], lines: Iterable[Float[np.ndarray, "_ 2"]]
) -> Bool[np.ndarray, "height width"]:
    """True on pixels that a line, as (column, row), parts from one of their four neighbours.

    A line parts two neighbours where it crosses the stretch between their centres an odd number of times.
    """
    parted = np.zeros(shape, bool)
    for line in lines:
        beside = _crossed(line[:, ::-1], shape)  # pairs in one row
        parted[:, :-1] |= beside
        parted[:, 1:] |= beside
        below = _crossed(line, (shape[1], shape[0])).T  # pairs in one column
        parted[:-1] |= below
        parted[1:] |= below
    return parted


def _crossed(line: Line, shape: tuple[int, int]) -> Bool[np.ndarray, "lanes gaps"]:
    """Which gaps between neighbouring centres of each lane the line crosses an odd number of times.

    `line` is given as (across the lanes, along them); `shape` counts (lanes, centres in each).
    """
    lanes, centres = shape
    first = np.ceil(np.minimum(line[:-1, 0], line[1:, 0]) - 0.5).astype(int)
    last = np.ceil(np.maximum(line[:-1, 0], line[1:, 0]) - 0.5).astype(int)  # left out: a shared end counts once
    first, last = np.clip(first, 0, lanes), np.clip(last, 0, lanes)
    piece = np.repeat(np.arange(len(first)), last - first)
    lane = np.arange(len(piece)) - np.repeat(np.cumsum(last - first) - (last - first), last - first) + first[piece]
    start, end = line[piece], line[piece + 1]
    share = (lane + 0.5 - start[:, 0]) / (end[:, 0] - start[:, 0])
    gap = np.floor(start[:, 1] + share * (end[:, 1] - start[:, 1]) - 0.5).astype(int)
    inside = (gap >= 0) & (gap < centres - 1)
    count = np.zeros((lanes, max(centres - 1, 0)), int)
    np.add.at(count, (lane[inside], gap[inside]), 1)
    return count % 2 == 1
