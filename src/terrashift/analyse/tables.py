"""Profiles, offsets and slip curves as rows of plain values, for CSV and for the attributes of vector files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from ..core.grid import Grid
from ..simulate.trace import to_crs
from .boxes import Layout
from .fault_offset import Estimate, Offset
from .profile import Profile
from .slip_curve import SlipCurve

Row = dict[str, Any]
DIGITS = 6


def profile_rows(profiles: Sequence[Profile]) -> Iterator[Row]:
    """One row per bin of each profile; lengths in the field's unit, which is part of their names."""
    for number, p in enumerate(profiles):
        for k in range(len(p.distance)):
            yield {
                "profile": number,
                "segment": p.box.segment,
                f"along_{p.unit}": _plain(p.box.along),
                f"distance_{p.unit}": _plain(p.distance[k]),
                f"parallel_{p.unit}": _plain(p.parallel[k]),
                f"perpendicular_{p.unit}": _plain(p.perpendicular[k]),
                f"sigma_parallel_{p.unit}": _plain(p.sigma_parallel[k]),
                f"sigma_perpendicular_{p.unit}": _plain(p.sigma_perpendicular[k]),
                f"scatter_parallel_{p.unit}": _plain(p.scatter_parallel[k]),
                f"scatter_perpendicular_{p.unit}": _plain(p.scatter_perpendicular[k]),
                "cells": int(p.count[k]),
            }


def box_rows(profiles: Sequence[Profile], grid: Grid) -> list[Row]:
    """One row per profile: where it is."""
    rows = []
    for number, p in enumerate(profiles):
        x, y = to_crs(grid, p.box.middle[None])[0]
        rows.append(
            {
                "profile": number,
                "segment": p.box.segment,
                f"along_{p.unit}": _plain(p.box.along),
                "x": float(x),
                "y": float(y),
                "azimuth_deg": _plain(p.box.azimuth_deg),
                "cells": int(p.count.sum()),
                "crossed": bool(p.box.crossed),
            }
        )
    return rows


def box_lines(profiles: Sequence[Profile], grid: Grid, layout: Layout) -> list[Float[np.ndarray, "_ 2"]]:
    """The line of each profile, from its negative to its positive end, in the grid's CRS."""
    ends = np.array([[-0.5], [0.5]]) * layout.length
    return [to_crs(grid, p.box.middle + ends * p.box.right) for p in profiles]


def offset_rows(offsets: Sequence[Offset], grid: Grid) -> list[Row]:
    """One row per profile: its place, offset with errors, zone, widths and share on the fault."""
    places = box_rows([o.profile for o in offsets], grid)
    return [place | _offset_row(offset) for place, offset in zip(places, offsets, strict=True)]


def _offset_row(offset: Offset) -> Row:
    unit = offset.profile.unit
    lengths = {
        **_estimate("lateral", offset.lateral),
        **_estimate("opening", offset.opening),
        "zone_from": offset.zone[0],
        "zone_to": offset.zone[1],
        "step_at": offset.bell.at,
        "width_inflection": offset.bell.width,
        "width_erf": offset.erf.width,
        "width_arctan": offset.arctan.width,
    }
    better = "" if math.isnan(offset.erf.misfit) else "erf" if offset.erf.misfit <= offset.arctan.misfit else "arctan"
    return {
        **{f"{name}_{unit}": _plain(value) for name, value in lengths.items()},
        "better_curve": better,
        "on_fault_share": _plain(offset.on_fault),
        "on_fault_error": _plain(offset.on_fault_error),
        "off_fault_share": _plain(offset.off_fault),
        "correlation_bins": _plain(offset.correlation_bins),
        "note": offset.note,
    }


def _estimate(name: str, found: Estimate) -> dict[str, float]:
    return {
        name: found.value,
        f"{name}_error_bootstrap": found.error_bootstrap,
        f"{name}_error_sigma": found.error_sigma,
        f"{name}_low95": found.low,
        f"{name}_high95": found.high,
    }


def curve_rows(curve: SlipCurve, component: str, unit: str) -> Iterator[Row]:
    """One row per profile that gave an offset."""
    for k in range(len(curve.along)):
        yield {
            "component": component,
            "segment": int(curve.segment[k]),
            f"along_{unit}": _plain(curve.along[k]),
            f"offset_{unit}": _plain(curve.offset[k]),
            f"low95_{unit}": _plain(curve.low[k]),
            f"high95_{unit}": _plain(curve.high[k]),
            f"smooth_{unit}": _plain(curve.smooth[k]),
            f"lower_{unit}": _plain(curve.lower[k]),
            f"upper_{unit}": _plain(curve.upper[k]),
        }


def csv_text(rows: Sequence[Row]) -> str:
    """Rows with the same keys as CSV with a header; what is not known is empty."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def _plain(value: float) -> float | None:
    """Six significant digits; None for NaN, which JSON has no word for."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
