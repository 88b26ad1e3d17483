"""What the page holds of a field: every n-th cell, as whole numbers that a browser unpacks."""

from __future__ import annotations

import base64
import math
import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.field import DisplacementField
from ..core.grid import Grid

LONGEST_CELLS = 640
"""Longer sides are thinned out: a screen shows no more, and the page stays small."""
STEPS_PER_PIXEL = 10_000
"""Displacement and errors are kept to so small a part of a cell."""
SCORE_STEPS = 250
MISSING = {"int16": -32768, "int32": -(2**31), "uint8": 255}


def pack(values: Tensor, step: float) -> dict[str, Any]:
    """A band as whole numbers of `step`, squeezed, in base64; NaN becomes a number that stands for nothing else."""
    array = values.double().numpy()
    counts = np.rint(array / step)
    largest = float(np.abs(counts[np.isfinite(counts)]).max(initial=0))
    kind = "int16" if largest < 32767 else "int32"
    counts = np.where(np.isfinite(counts), np.clip(counts, -(2**31) + 1, 2**31 - 1), MISSING[kind])
    stored = counts.astype("<i2" if kind == "int16" else "<i4")
    return {"kind": kind, "step": step, "missing": MISSING[kind], "data": _text(stored)}


def _text(array: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 6)).decode()


def pack_bytes(values: Tensor, step: float) -> dict[str, Any]:
    """A band of small numbers as bytes of `step`, as `pack`."""
    counts = np.rint(values.double().numpy() / step)
    counts = np.where(np.isfinite(counts), np.clip(counts, 0, 254), MISSING["uint8"]).astype(np.uint8)
    return {"kind": "uint8", "step": step, "missing": MISSING["uint8"], "data": _text(counts)}


def step_of(grid: Grid) -> float:
    """The step of displacements: a ten-thousandth of a cell, as a round number of the field's unit."""
    return 10.0 ** math.floor(math.log10(min(grid.pixel_size) / STEPS_PER_PIXEL) + 1e-9)


def layers(field: DisplacementField) -> dict[str, dict[str, Any]]:
    """All bands for the page; errors only where the field has any."""
    step = step_of(field.grid)
    found = {name: pack(getattr(field, name), step) for name in ("east", "north")}
    if has_sigma(field):
        found |= {name: pack(getattr(field, name), step) for name in ("sigma_east", "sigma_north")}
    found["score"] = pack_bytes(field.score, 1 / SCORE_STEPS)
    found["reasons"] = pack_bytes(field.reasons, 1.0)
    return found


def has_sigma(field: DisplacementField) -> bool:
    """Whether any cell states its error."""
    return bool((field.sigma_east.isfinite() & field.sigma_north.isfinite()).any())


def grid_json(grid: Grid) -> dict[str, Any]:
    """What the page's script needs to count lengths on the ground as `analyse.section` does."""
    metric = grid.metric_transform()
    return {
        "height": grid.height,
        "width": grid.width,
        "transform": list(grid.transform[:6]),
        "metric": [metric.a, metric.b, metric.d, metric.e],
        "geographic": bool(grid.crs) and grid.geographic,
        "unit": grid.unit,
    }


def valid(field: DisplacementField) -> Tensor:
    """True where a cell has a value."""
    return torch.isfinite(field.east) & torch.isfinite(field.north)
