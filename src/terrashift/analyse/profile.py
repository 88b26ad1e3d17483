"""Profiles of displacement across a fault, stacked in boxes along its trace.

As is done by hand in the tools that come with optical correlators: every box gives one profile, in which each value is
the mean, the median, or a weighted median (weights: a power of the score) of all cells at the same distance from the
trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, Field

from ..core.field import DisplacementField
from ..core.grid import Grid
from ..errors import InputError
from ..simulate.trace import from_crs, joined
from .boxes import Box, Cells, Layout, Line, boxes_along, cells_in
from .robust import nmad, weighted_median

MEDIAN_TO_MEAN = float(np.sqrt(np.pi / 2))
"""Standard error of a median over that of the mean, for normal values."""
LENGTH_CELLS, WIDTH_CELLS = 100, 20
MOST_BOXES = 20_000
Statistic = Literal["mean", "median", "score-weighted", "sigma-weighted"]


class ProfileOptions(BaseModel, frozen=True, extra="forbid"):
    """Boxes along a trace, and what is made of the cells in them. Without a CRS a metre is an image pixel."""

    length_m: float | None = Field(
        default=None, gt=0, description="Length of a profile, both sides together, m. Empty: 100 cells."
    )
    width_m: float | None = Field(default=None, gt=0, description="Width of a box along the trace, m. Empty: 20 cells.")
    spacing_m: float | None = Field(
        default=None, gt=0, description="Distance between profiles along the trace, m. Empty: the width."
    )
    bin_m: float | None = Field(
        default=None, gt=0, description="Length of the pieces of a profile that are stacked, m. Empty: one cell."
    )
    statistic: Statistic = Field(
        default="median", description="What the cells of a piece are stacked to; weighted ones are weighted medians."
    )
    exponent: float | None = Field(
        default=None,
        ge=0,
        description="Power of score or 1/sigma that cells weigh by. Empty: 6 for score, 2 for sigma.",
    )
    min_score: float = Field(default=0.0, ge=0, le=1, description="Cells of a lower score do not count.")
    follow_trace: bool = Field(
        default=True, description="Count distance from the trace as it winds within a box, not from a straight line."
    )


DEFAULT = ProfileOptions()


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Motion across a trace. All lengths are in the unit of the field's grid (m; px without a CRS)."""

    box: Box
    distance: Float[np.ndarray, " bins"]
    """Mean distance of each bin's cells from the trace: positive to the right of its direction, rising."""
    parallel: Float[np.ndarray, " bins"]
    """Motion along the trace's direction."""
    perpendicular: Float[np.ndarray, " bins"]
    """Motion to the right of it."""
    sigma_parallel: Float[np.ndarray, " bins"]
    """Standard error, from the sigma of the cells as if their errors were independent; NaN where one has none."""
    sigma_perpendicular: Float[np.ndarray, " bins"]
    scatter_parallel: Float[np.ndarray, " bins"]
    """Robust standard deviation of the cells in the bin."""
    scatter_perpendicular: Float[np.ndarray, " bins"]
    count: Float[np.ndarray, " bins"]
    """Cells with a value in each bin; bins without any are left out."""
    unit: str


def layout_of(grid: Grid, options: ProfileOptions) -> Layout:
    """The sizes of boxes on a grid, those left open counted in its cells."""
    cell = max(grid.pixel_size)
    width = options.width_m or WIDTH_CELLS * cell
    return Layout(options.length_m or LENGTH_CELLS * cell, width, options.spacing_m or width)


def local_lines(grid: Grid, lines: Sequence[Float[np.ndarray, "_ 2"]]) -> list[Line]:
    """Lines in the grid's CRS as (east, north) from its centre, pieces that continue each other joined."""
    return [from_crs(grid, line) for line in joined([np.asarray(line, float) for line in lines])]


def stack_profiles(
    field: DisplacementField,
    lines: Sequence[Float[np.ndarray, "_ 2"]],
    options: ProfileOptions = DEFAULT,
) -> tuple[Profile, ...]:
    """Profiles across a trace, in the order of its lines; those without any cell of a value are left out.

    Args:
        field: displacement; cells that are NaN in either component do not count.
        lines: the trace, (x, y) in the CRS of the field's grid (columns and rows without one). Its direction decides
            which side is positive; an offset does not depend on it.
        options: see there.

    Raises:
        InputError: weights are asked for that the field does not have, no box holds a value, or there would be more
            than 20,000 boxes.
    """
    layout = layout_of(field.grid, options)
    weights = _weights(field, options)
    bands = [np.asarray(band, float) for band in (field.east, field.north, field.sigma_east, field.sigma_north)]
    counted = np.isfinite(bands[0]) & np.isfinite(bands[1]) & (weights > 0)
    if options.min_score > 0:
        counted &= np.asarray(field.score, float) >= options.min_score
    local = local_lines(field.grid, lines)
    total = sum(float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum()) for line in local)
    if total / layout.spacing > MOST_BOXES:
        raise InputError(
            f"{total / layout.spacing:.0f} profiles would lie along this trace: give a larger --spacing-m or "
            "--width-m, or the part of the trace that lies on the field."
        )
    found = []
    for box in boxes_along(local, layout):
        cells = cells_in(field.grid, box, layout, options.follow_trace)
        keep = counted[cells.rows, cells.columns]
        cells = Cells(*(part[keep] for part in cells))
        if len(cells.rows):
            found.append(_stacked(box, cells, bands, weights, options, field.grid))
    if not found:
        raise InputError(
            "no profile holds a value: the trace passes beside the field, or where it has no values. Check both in a "
            "map, or give longer or wider profiles."
        )
    return tuple(found)


def _weights(field: DisplacementField, options: ProfileOptions) -> Float[np.ndarray, "height width"]:
    if options.statistic == "score-weighted":
        score = np.nan_to_num(np.asarray(field.score, float))
        return score ** (6.0 if options.exponent is None else options.exponent)
    if options.statistic == "sigma-weighted":
        sigma = np.hypot(np.asarray(field.sigma_east, float), np.asarray(field.sigma_north, float))
        known = np.isfinite(sigma) & (sigma > 0)
        if not known.any():
            raise InputError(
                "this field has no sigma to weigh by: choose --statistic median or score-weighted, or measure with a "
                "method that gives sigma."
            )
        least = float(np.median(sigma[known]))  # only ratios count: keeps the power within range
        power = 2.0 if options.exponent is None else options.exponent
        return np.where(known, (least / np.where(known, sigma, 1)) ** power, 0)
    return np.ones(field.grid.shape)


def _stacked(
    box: Box,
    cells: Cells,
    bands: Sequence[np.ndarray],
    weights: np.ndarray,
    options: ProfileOptions,
    grid: Grid,
) -> Profile:
    """One profile from the cells of its box."""
    east, north, sigma_east, sigma_north = (band[cells.rows, cells.columns] for band in bands)
    (a, b), (c, d) = box.toward, box.right
    motion = np.stack([a * east + b * north, c * east + d * north])
    variance = np.stack(
        [(a * sigma_east) ** 2 + (b * sigma_north) ** 2, (c * sigma_east) ** 2 + (d * sigma_north) ** 2]
    )
    weight = weights[cells.rows, cells.columns]
    number = np.floor(cells.distance / (options.bin_m or max(grid.pixel_size))).astype(int)
    order = np.argsort(number, kind="stable")
    pieces = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
    rows = [_bin(cells.distance[p], motion[:, p], variance[:, p], weight[p], options.statistic) for p in pieces]
    return Profile(box, *np.array(rows, float).T, unit=grid.unit)


def _bin(
    distance: np.ndarray, motion: np.ndarray, variance: np.ndarray, weight: np.ndarray, statistic: Statistic
) -> list[float]:
    """Distance, two values, their two standard errors, two scatters and the count of one bin."""
    if statistic == "mean":
        values, factor = motion.mean(1), 1.0
    else:
        values, factor = np.array([weighted_median(part, weight) for part in motion]), MEDIAN_TO_MEAN
    if len(weight) < 3:
        factor = 1.0  # the median of one or two values is their mean
    sigma = factor * np.sqrt((weight**2 * variance).sum(1)) / weight.sum()
    scatter = [nmad(part) if len(part) > 2 else float("nan") for part in motion]
    return [float(distance.mean()), *values, *sigma, *scatter, float(len(weight))]
