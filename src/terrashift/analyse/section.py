"""Displacement along a line across a field, with its error."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..core.field import DisplacementField
from ..core.grid import Grid
from ..errors import InputError

PER_CELL = 1.0
"""Samples along the line for every cell that it crosses, at least."""
ENOUGH = 0.5 - 1e-6
"""Part of the bilinear weight that must stand on cells with a value, so that values reach half a cell into gaps.

A little less than half, so that rounding does not decide at exactly half a cell."""

Samples = Float[np.ndarray, " samples"]


class Section(NamedTuple):
    """Displacement at even distances along a line, in the field's unit; NaN where there is none."""

    distance: Samples
    """From the start of the line, on the ground."""
    x: Samples
    """Of the samples, in the CRS of the field."""
    y: Samples
    east: Samples
    north: Samples
    sigma_east: Samples
    sigma_north: Samples
    along: Samples
    """In the direction of the line."""
    across: Samples
    """Toward the left of the line's direction."""
    sigma_along: Samples
    sigma_across: Samples


def section(field: DisplacementField, line: Float[np.ndarray, "points 2"]) -> Section:
    """Sample a field along a line of (x, y) in its CRS (columns and rows, corners being whole, without one).

    Each value is the bilinear mean of the four cells around, over those that have a value, as long as these carry half
    of the weight; outside the field there is none. Errors are the same mean of the cells' errors: neighbours share
    their windows, so averaging them makes nothing more certain. East and north errors count as independent.

    Raises:
        InputError: the line has fewer than two different points.
    """
    corners = to_cells(field.grid, np.asarray(line, float))
    points, distance, direction = _walk(field.grid, corners)
    rows, columns = points[:, 1] - 0.5, points[:, 0] - 0.5
    names = ("east", "north", "sigma_east", "sigma_north")
    east, north, sigma_east, sigma_north = (_bilinear(getattr(field, name).numpy(), rows, columns) for name in names)
    x, y = to_crs(field.grid, points).T
    u, v = direction.T  # east and north of the unit vector along the line
    return Section(
        distance,
        x,
        y,
        east,
        north,
        sigma_east,
        sigma_north,
        along=u * east + v * north,
        across=u * north - v * east,
        sigma_along=np.hypot(u * sigma_east, v * sigma_north),
        sigma_across=np.hypot(u * sigma_north, v * sigma_east),
    )


def to_cells(grid: Grid, points: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "points 2"]:
    """(column, row) of points in the CRS of a grid, corners of cells being whole."""
    t = ~grid.transform
    x, y = points.T
    return np.stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f], 1)


def to_crs(grid: Grid, cells: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "points 2"]:
    """The inverse of `to_cells`."""
    t = grid.transform
    x, y = cells.T
    return np.stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f], 1)


def ground_vector(grid: Grid, begin: Float[np.ndarray, " 2"], end: Float[np.ndarray, " 2"]) -> tuple[float, float]:
    """(east, north) on the ground, in the grid's unit, from one (column, row) to another."""
    metric = grid.metric_transform((begin[1] + end[1]) / 2 - 0.5)
    columns, rows = end - begin
    return metric.a * columns + metric.b * rows, metric.d * columns + metric.e * rows


def _walk(grid: Grid, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (column, row) along a line of cells, how far each is from the start, and which way (east, north)."""
    points, distances, directions, so_far = [], [], [], 0.0
    for begin, end in pairwise(corners):
        east, north = ground_vector(grid, begin, end)
        length = math.hypot(east, north)
        if not length > 0:
            continue
        steps = max(1, math.ceil(PER_CELL * math.hypot(*(end - begin))))
        share = np.arange(0 if not points else 1, steps + 1) / steps
        points.append(begin + share[:, None] * (end - begin))
        distances.append(so_far + share * length)
        directions.append(np.broadcast_to([east / length, north / length], (len(share), 2)))
        so_far += length
    if not points:
        raise InputError("a section needs a line of two different points.")
    return np.concatenate(points), np.concatenate(distances), np.concatenate(directions)


def _bilinear(band: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> Samples:
    """Mean of the cells around each place (cell centres being whole), weighted by nearness, over those with a value."""
    height, width = band.shape
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = rows - top, columns - left
    total, weight = np.zeros(len(rows)), np.zeros(len(rows))
    for i in (0, 1):
        for j in (0, 1):
            row, column = top + i, left + j
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            value = band[row.clip(0, height - 1), column.clip(0, width - 1)].astype(float)
            w = np.where(inside & np.isfinite(value), (down if i else 1 - down) * (right if j else 1 - right), 0)
            total += w * np.nan_to_num(value)
            weight += w
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight >= ENOUGH, total / weight, np.nan)
