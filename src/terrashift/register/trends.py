"""Ramps of a displacement field: a robust polynomial of low order, fitted to stable ground and taken out everywhere.

What orbits, orthorectification and misregistration leave in a field is smooth over the whole scene (Leprince et al.
2007). The trouble is to take it out and leave the earthquake in: cells near a trace are left out of the fit, and where
the trace cuts the field, each side has a constant of its own in the fit, which stays in the field. Without that a plane
would swallow a good part of a fault's offset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, Field

from ..core.field import DisplacementField
from ..core.grid import Grid
from ..errors import InputError
from .traces import Line, Sides, distance, sides

MOST_CELLS = 200_000
"""That are fitted to, evenly spread: a smooth surface needs no more."""
LEAST_PER_TERM = 20
"""Cells for each number that is fitted."""
TUKEY = 4.685
"""Of the biweight: 95 % efficiency on normal errors (Beaton & Tukey 1974)."""
WORST = 1e8
"""Condition of the normal equations beyond which cells do not tell the polynomial."""
ROUNDS = 50
TOLERANCE = 1e-5
"""Of the scale of the residuals, below which nothing moves any more."""


class TrendOptions(BaseModel, frozen=True, extra="forbid"):
    """What is taken for a ramp."""

    degree: int = Field(
        default=1, ge=0, le=3, description="Of the polynomial: 0 a constant, 1 a plane, 2 a parabola, 3 a cubic."
    )
    exclude_m: float = Field(
        default=0.0,
        ge=0.0,
        description="Leave cells nearer to the trace than this out of the fit, metres (px without a CRS).",
    )
    sides: bool = Field(
        default=True,
        description="Give each side of a trace that cuts the field a constant of its own, which stays in the field.",
    )


class Trend(NamedTuple):
    """What a fit found of one component."""

    surface: Float[np.ndarray, "rows columns"]
    """The polynomial at every cell of the field, in its unit."""
    coefficients: dict[str, float]
    """By term: `1`, `x`, `y`, `x2`, ...; x and y run from -1 to 1, to the right and down, over the longer side."""
    steps: tuple[float, ...]
    """Constants of the sides against the first one; they stay in the field."""
    scale: float
    """Robust deviation of the residuals (1.4826 MAD)."""
    used: int
    """Cells with a weight."""
    outliers: int
    """Cells that were looked at and weigh nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Detrended:
    """A field without its ramp, and the ramp: what was measured is the sum of both."""

    corrected: DisplacementField
    removed: DisplacementField
    east: Trend
    north: Trend
    warnings: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The numbers."""
        trends = {"east": self.east, "north": self.north}
        names = ("coefficients", "steps", "scale", "used", "outliers")
        return {key: {name: getattr(one, name) for name in names} for key, one in trends.items()}


def detrend(
    displacement: DisplacementField,
    options: TrendOptions | None = None,
    stable: Bool[np.ndarray, "rows columns"] | None = None,
    traces: Sequence[Line] = (),
) -> Detrended:
    """Take a polynomial out of both components of a field.

    Args:
        displacement: cells without a value stay without one.
        options: which polynomial; a plane unless told.
        stable: cells that may be fitted to; all unless told.
        traces: lines of faults, (x, y) in the CRS of the field's grid.

    Raises:
        InputError: too few cells to fit to, or all of them on a line.
    """
    options = options or TrendOptions()
    grid = displacement.grid
    every = max(1, int(np.ceil(np.sqrt(grid.height * grid.width / MOST_CELLS))))
    thin = (slice(None, None, every), slice(None, None, every))
    usable = np.ones(grid.shape, bool)[thin] if stable is None else stable[thin].copy()
    cut, warnings = _cut(traces, grid, every, options)
    if cut is not None:
        usable &= cut.number > 0
    found = []
    for values in (displacement.east, displacement.north):
        some = values[thin].numpy(force=True).astype(np.float64)
        found.append(_fit(some, usable & np.isfinite(some), cut, (grid, every, options.degree)))
    surfaces = [torch.from_numpy(one.surface).to(displacement.east) for one in found]
    corrected = replace(displacement, east=displacement.east - surfaces[0], north=displacement.north - surfaces[1])
    return Detrended(corrected, taken(displacement, *surfaces), found[0], found[1], warnings)


def taken(displacement: DisplacementField, east: torch.Tensor, north: torch.Tensor) -> DisplacementField:
    """What was taken out of a field, as a field on the same grid: known everywhere, without an error of its own."""
    nothing = torch.full_like(displacement.east, torch.nan)
    return replace(
        displacement,
        east=east,
        north=north,
        sigma_east=nothing,
        sigma_north=nothing,
        score=torch.ones_like(displacement.score),
        reasons=torch.zeros_like(displacement.reasons),
    )


def terms(degree: int) -> list[tuple[str, int, int]]:
    """Name and powers of x and y of every term of a polynomial.

    >>> [name for name, _, _ in terms(2)]
    ['1', 'x', 'y', 'x2', 'xy', 'y2']
    """
    powers = [(total - down, down) for total in range(degree + 1) for down in range(total + 1)]

    def name(letter: str, power: int) -> str:
        return "" if not power else letter + (str(power) if power > 1 else "")

    return [(name("x", i) + name("y", j) or "1", i, j) for i, j in powers]


def _cut(traces: Sequence[Line], grid: Grid, every: int, options: TrendOptions) -> tuple[Sides | None, tuple[str, ...]]:
    """Sides of the traces on the thinned lattice, cells too near to them on none."""
    if not traces:
        return None, ()
    cell = max(grid.pixel_size)
    # the side of a cell that the trace runs through is not known
    parts = sides(distance(traces, grid, every) > max(options.exclude_m, 0.75 * every * cell))
    if options.sides and parts.count < 2:
        return parts, (
            "the trace does not cut the field into two: the fit has one constant, and a part of the fault's offset may "
            "go into the ramp. Prolong the trace across the field, or raise --exclude-m.",
        )
    return (parts if options.sides else Sides(np.minimum(parts.number, 1), min(parts.count, 1))), ()


def _fit(
    values: Float[np.ndarray, "rows columns"],
    usable: Bool[np.ndarray, "rows columns"],
    cut: Sides | None,
    lattice: tuple[Grid, int, int],
) -> Trend:
    """Fit the polynomial and the sides' constants to the usable cells of a thinned component."""
    grid, every, degree = lattice
    half = max(grid.shape) / 2
    x, y = ((np.arange(n) + 0.5 - n / 2) / half for n in (grid.width, grid.height))
    row, column = np.nonzero(usable)
    named = terms(degree)
    base = np.stack([x[::every][column] ** i * y[::every][row] ** j for _, i, j in named], 1)
    side = cut.number[row, column] if cut is not None else np.ones(len(row), int)
    others = [k for k in range(2, (cut.count if cut is not None else 1) + 1) if (side == k).any()]
    design = np.concatenate([base, *((side == k)[:, None].astype(float) for k in others)], 1)
    _refuse_few(design)
    solution, weight, scale = robust_fit(design, values[row, column])
    steps = solution[len(named) :]
    coefficients = solution[: len(named)].copy()
    # the constant of the field is that of the mean over its sides, or each side's share of the area would shift it
    shares = [float((side == k).mean()) for k in others]
    coefficients[0] += float(np.dot(steps, shares))
    across, down = x[None, :], y[:, None]
    surface = sum(c * across**i * down**j for c, (_, i, j) in zip(coefficients, named, strict=True)) + np.zeros(
        grid.shape
    )
    known = {name: float(c) for c, (name, _, _) in zip(coefficients, named, strict=True)}
    kept = weight > 0
    return Trend(surface, known, tuple(map(float, steps)), scale, int(kept.sum()), int((~kept).sum()))


def _refuse_few(design: Float[np.ndarray, "cells terms"]) -> None:
    cells, count = design.shape
    if cells < LEAST_PER_TERM * count:
        raise InputError(
            f"only {cells} cells to fit {count} numbers to: take a lower --degree, a larger mask, or a smaller "
            "--exclude-m."
        )
    if np.linalg.cond(design.T @ design / cells) > WORST:
        raise InputError(
            "the cells to fit to lie on a line, or leave out a side: they do not tell the polynomial. Take a lower "
            "--degree, or a mask that is spread over the field."
        )


def robust_fit(
    design: Float[np.ndarray, "cells terms"], values: Float[np.ndarray, " cells"]
) -> tuple[Float[np.ndarray, " terms"], Float[np.ndarray, " cells"], float]:
    """Solution, weights and scale of a linear fit that outliers do not pull.

    Least absolute deviations by reweighting, then Tukey's biweight from there, whose scale stays that of the former.
    """
    weight, before = np.ones(len(values)), np.full(design.shape[1], np.inf)
    smallest = 1e-9 * float(np.abs(values).max()) + 1e-30  # a fit that is exact still has a scale to divide by
    for _ in range(ROUNDS):
        solution = _weighted(design, values, weight)
        rest = np.abs(values - design @ solution)
        scale = max(1.4826 * float(np.median(rest)), smallest)
        weight = 1 / np.maximum(rest / scale, 1e-2)
        if np.abs(solution - before).max() <= TOLERANCE * scale:
            break
        before = solution
    for _ in range(ROUNDS):
        weight = np.clip(1 - (rest / (TUKEY * scale)) ** 2, 0, None) ** 2
        before, solution = solution, _weighted(design, values, weight)
        rest = np.abs(values - design @ solution)
        if np.abs(solution - before).max() <= TOLERANCE * scale:
            break
    return solution, weight, scale


def _weighted(design: np.ndarray, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted least squares; terms run from -1 to 1, so the normal equations do well."""
    heavy = design.T * weight
    return np.linalg.solve(heavy @ design, heavy @ values)
