"""How far the two sides of a trace moved past each other, read from sections across it."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..core.field import DisplacementField
from .section import Section, ground_vector, section, to_cells, to_crs

STATIONS = 40
"""Sections along a trace, unless a spacing is given."""
REACH_CELLS, GAP_CELLS = 40.0, 4.0
LEAST_CELLS = 5
"""A side with fewer values gives no offset."""
NMAD_TO_SIGMA = 1.4826


class Crossing(NamedTuple):
    """One section across a trace; offsets are the motion of the left side less that of the right, as seen along it."""

    distance: float
    """Along the trace, on the ground, of all lines one after the other."""
    middle: tuple[float, float]
    """Where it crosses, in the CRS."""
    line: Float[np.ndarray, "2 2"]
    """Its ends, from the right side of the trace to the left."""
    parallel: float
    """Offset along the trace: positive where the left side moved forward (right-lateral)."""
    perpendicular: float
    """Offset across it: positive where the sides moved apart."""
    sigma: float
    """Standard error of either offset, from the scatter of the sides; the larger of the two components'."""


def crossings(
    field: DisplacementField, lines: list[Float[np.ndarray, "_ 2"]], spacing: float | None = None
) -> list[Crossing]:
    """Offsets at even distances along a trace: median of one side less median of the other, clear of the fault.

    A side reaches from 4 to 40 cells from the trace. The error is `1.2533 NMAD / sqrt(n)` of a median (of normal
    values) with n counted in windows of 4 cells, as neighbouring cells are not independent. Simple on purpose: see
    the profiles for fits, fault-zone width and errors that hold.

    Args:
        field: what was measured.
        lines: (x, y) in the CRS of the field, each with two points or more.
        spacing: on the ground, between sections. Default: 40 sections in all.
    """
    paths = [to_cells(field.grid, np.asarray(line, float)) for line in lines]
    total = sum(_lengths(field, path).sum() for path in paths)
    spacing = spacing or total / STATIONS
    found, before = [], 0.0
    for path in paths:
        lengths = _lengths(field, path)
        ends = np.concatenate([[0.0], np.cumsum(lengths)])
        for at in np.arange(spacing / 2, ends[-1], spacing):
            k = min(int(np.searchsorted(ends, at, side="right")) - 1, len(lengths) - 1)
            place = path[k] + (at - ends[k]) / lengths[k] * (path[k + 1] - path[k])
            if crossing := _cross(field, place, _heading(path, ends, at, spacing), before + at):
                found.append(crossing)
        before += ends[-1]
    return found


def _heading(path: np.ndarray, ends: np.ndarray, at: float, spacing: float) -> np.ndarray:
    """Direction of a trace (columns, rows) around a place, over one spacing, so that no kink decides it."""
    low, high = (np.clip(at + s * spacing / 2, 0, ends[-1]) for s in (-1, 1))
    return np.array([np.interp(high, ends, path[:, k]) - np.interp(low, ends, path[:, k]) for k in (0, 1)])


def _cross(field: DisplacementField, place: np.ndarray, heading: np.ndarray, distance: float) -> Crossing | None:
    grid = field.grid
    if not (0 <= place[0] <= grid.width and 0 <= place[1] <= grid.height) or not np.hypot(*heading) > 0:
        return None
    east, north = ground_vector(grid, place, place + heading)
    size = math.hypot(east, north)
    metric = grid.metric_transform(place[1] - 0.5)
    left = np.array((~metric) @ (-north / size, east / size))  # in cells, a unit of ground to the left
    left *= REACH_CELLS / np.hypot(*left)
    line = to_crs(grid, np.stack([place - left, place + left]))
    cut = section(field, line)
    parallel, perpendicular, sigmas = _offsets(cut)
    if parallel is None or perpendicular is None:
        return None
    x, y = to_crs(grid, place[None])[0]
    return Crossing(distance, (float(x), float(y)), line, parallel, perpendicular, max(sigmas))


def _offsets(cut: Section) -> tuple[float | None, float | None, list[float]]:
    """Left less right of the components along and across the trace, which the section leaves on its right."""
    away = cut.distance - cut.distance[-1] / 2
    gap = GAP_CELLS / REACH_CELLS * cut.distance[-1] / 2
    offsets, sigmas = [], []
    for values in (-cut.across, cut.along):  # along the trace is to the right of the way across it
        sides = [values[side & np.isfinite(values)] for side in (away < -gap, away > gap)]
        if min(map(len, sides)) < LEAST_CELLS:
            return None, None, []
        right, left = (float(np.median(side)) for side in sides)
        offsets.append(left - right)
        sigmas.append(math.hypot(*(_error(side) for side in sides)))
    return offsets[0], offsets[1], sigmas


def _error(side: np.ndarray) -> float:
    nmad = NMAD_TO_SIGMA * float(np.median(np.abs(side - np.median(side))))
    return 1.2533 * nmad / math.sqrt(max(1.0, len(side) / GAP_CELLS))


def _lengths(field: DisplacementField, path: np.ndarray) -> np.ndarray:
    return np.array([math.hypot(*ground_vector(field.grid, begin, end)) for begin, end in pairwise(path)])
