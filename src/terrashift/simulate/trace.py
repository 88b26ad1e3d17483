"""Lines on a grid: between local metres, pixels and CRS coordinates, joined, and the pixels that they part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float

from ..core.grid import Grid
from ..ops.edges import at_breaks

Line = Float[np.ndarray, "_ 2"]
MIDDLE = (0.5, 0.5)
"""Where metres are counted from: shares of the grid's width and height."""


def local_matrix(grid: Grid) -> Float[np.ndarray, "2 2"]:
    """Turns (columns, rows) into (east, north) metres by the grid's linear part at its middle row."""
    m = grid.metric_transform()
    return np.array([[m.a, m.b], [m.d, m.e]])


def to_pixels(grid: Grid, line: Line, centre: tuple[float, float] = MIDDLE) -> Line:
    """(east, north) in metres from `centre` as (column, row); pixel corners are whole numbers."""
    return line @ np.linalg.inv(local_matrix(grid)).T + np.array(centre) * [grid.width, grid.height]


def from_pixels(
    grid: Grid, points: Float[np.ndarray, "*points 2"], centre: tuple[float, float] = MIDDLE
) -> Float[np.ndarray, "*points 2"]:
    """(column, row), pixel corners being whole numbers, as (east, north) in metres from `centre`."""
    return (points - np.array(centre) * [grid.width, grid.height]) @ local_matrix(grid).T


def to_crs(grid: Grid, line: Line, centre: tuple[float, float] = MIDDLE) -> Line:
    """(east, north) in metres from `centre` as (x, y) in the grid's CRS (pixel corners without one)."""
    column, row = to_pixels(grid, line, centre).T
    return np.stack(grid.transform @ (column, row), 1)


def from_crs(grid: Grid, line: Line) -> Line:
    """(x, y) in the grid's CRS (pixel corners without one) as (east, north) in metres from the grid's centre."""
    column, row = ~grid.transform @ tuple(line.T)  # pyright: ignore[reportOperatorIssue] affine takes arrays
    return from_pixels(grid, np.stack([column, row], 1))


def joined(lines: Sequence[Float[np.ndarray, "_ 2"]]) -> list[Float[np.ndarray, "_ 2"]]:
    """The lines with those in one that continue each other: where exactly two ends lie at the same point.

    A joined line runs as the first of its pieces does; others are turned round where needed. Where three ends or more
    meet nothing is joined, nor is the last gap of a ring closed.
    """
    chains = list(lines)
    ends = Counter(_place(line[end]) for line in lines for end in (0, -1))
    for place in (place for place, count in ends.items() if count == 2):
        meeting = [k for k, line in enumerate(chains) if place in (_place(line[0]), _place(line[-1]))]
        if len(meeting) != 2:  # both ends of one line
            continue
        whole = _continued(chains[meeting[0]], chains[meeting[1]], place)
        if _place(whole[0]) != _place(whole[-1]):
            chains[meeting[0]] = whole
            del chains[meeting[1]]
    return chains


def _continued(
    one: Float[np.ndarray, "_ 2"], other: Float[np.ndarray, "_ 2"], place: tuple[float, float]
) -> Float[np.ndarray, "_ 2"]:
    """Two lines that meet at `place`, as one in the direction of the first."""
    if _place(one[-1]) == place:
        return np.concatenate([one, (other if _place(other[0]) == place else other[::-1])[1:]])
    return np.concatenate([(other if _place(other[-1]) == place else other[::-1])[:-1], one])


def _place(point: Float[np.ndarray, " 2"]) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def parted_pixels(
    shape: tuple[int, int], lines: Iterable[Float[np.ndarray, "_ 2"]]
) -> Bool[np.ndarray, "height width"]:
    """True on pixels that a line, as (column, row), parts from one of their four neighbours; see `parted_gaps`."""
    across, down = parted_gaps(shape, lines)
    return at_breaks(torch.from_numpy(across), torch.from_numpy(down)).numpy()


def parted_gaps(
    shape: tuple[int, int], lines: Iterable[Float[np.ndarray, "_ 2"]]
) -> tuple[Bool[np.ndarray, "height gaps"], Bool[np.ndarray, "between width"]]:
    """Which neighbours in a row, and which in a column, are parted by a line, as (column, row).

    A line parts two neighbours where it crosses the stretch between their centres an odd number of times.
    """
    height, width = shape
    across, down = np.zeros((height, max(width - 1, 0)), bool), np.zeros((max(height - 1, 0), width), bool)
    for line in lines:
        across |= _crossed(line[:, ::-1], shape)
        down |= _crossed(line, (width, height)).T
    return across, down


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
