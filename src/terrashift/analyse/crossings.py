"""Offsets along a trace as places on the ground, for pages and maps to draw."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..core.field import DisplacementField
from .boxes import lengths
from .fault_offset import Offset, fit_offsets
from .profile import ProfileOptions, layout_of, local_lines, stack_profiles
from .tables import box_lines, box_rows

STATIONS = 40
"""Profiles along a trace, unless a spacing is given."""


class Crossing(NamedTuple):
    """One stacked profile across a trace, and the offset of the fault in it."""

    distance: float
    """Along the trace, on the ground, of all lines one after the other."""
    middle: tuple[float, float]
    """Where it crosses, in the CRS."""
    line: Float[np.ndarray, "2 2"]
    """Its ends, from the left side of the trace to the right."""
    parallel: float
    """Offset along the trace: positive where the left side moved forward (right-lateral)."""
    perpendicular: float
    """Offset across it: positive where the sides moved apart."""
    sigma: float
    """Standard error of either offset: of that along and that across the trace, and of bootstrap and propagated sigma,
    the largest."""


def crossings(
    field: DisplacementField, lines: list[Float[np.ndarray, "_ 2"]], spacing: float | None = None
) -> list[Crossing]:
    """Offsets at even distances along a trace, as `terrashift offset` fits them; without those that have none.

    Args:
        field: what was measured.
        lines: (x, y) in the CRS of the field, each with two points or more.
        spacing: on the ground, between profiles. Default: 40 profiles in all.
    """
    grid, given = field.grid, [np.asarray(line, float) for line in lines]
    total = sum(lengths(line)[-1] for line in local_lines(grid, given))
    step = spacing or total / STATIONS
    options = ProfileOptions(spacing_m=step, width_m=min(step, 20 * float(np.mean(grid.pixel_size))))
    fitted = [one for one in fit_offsets(stack_profiles(field, given, options)) if _is_known(one)]
    profiles = [one.profile for one in fitted]
    ends = box_lines(profiles, grid, layout_of(grid, options))
    return [
        Crossing(
            distance=profile.box.along,
            middle=(row["x"], row["y"]),
            line=line,
            parallel=one.lateral.value,
            perpendicular=one.opening.value,
            sigma=max(
                error
                for part in (one.lateral, one.opening)
                for error in (part.error_bootstrap, part.error_sigma)
                if math.isfinite(error)
            ),
        )
        for one, profile, line, row in zip(fitted, profiles, ends, box_rows(profiles, grid), strict=True)
    ]


def _is_known(offset: Offset) -> bool:
    return math.isfinite(offset.lateral.value) and math.isfinite(offset.opening.value)
