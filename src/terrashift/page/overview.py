"""What the page holds of a field: every n-th cell, as whole numbers that a browser unpacks."""

from __future__ import annotations

import base64
import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.field import DisplacementField
from ..core.grid import Grid

LONGEST_CELLS = 800
"""Longer sides are thinned out: a screen shows no more, and the page stays small."""
STEPS_PER_PIXEL = 10_000
"""Displacement and errors are kept to so small a part of a cell."""
SCORE_STEPS = 250
MISSING = {"int16": -32768, "int32": -(2**31), "uint8": 255}


def thin(field: DisplacementField, longest: int = LONGEST_CELLS) -> DisplacementField:
    """Every n-th cell of a field, on `Grid.every(n)`, so that no side has more than `longest`.

    Cells are picked, not averaged: no mean crosses a fault or a gap, and every value is one that was measured.
    """
    every = max(1, -(-max(field.grid.shape) // longest))
    if every == 1:
        return field
    pick = slice(every // 2, None, every), slice(every // 2, None, every)
    bands = {name: getattr(field, name)[pick].contiguous() for name in field.BANDS}
    return DisplacementField(**bands, grid=field.grid.every(every), made_by=field.made_by)


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


@dataclass(frozen=True, slots=True)
class Frame:
    """The axes of the maps: x = x0 + dx * column and y = y0 + dy * row, corners of cells being whole.

    On a map whose rows run west to east these are its own coordinates (kilometres where it counts metres); on a turned
    one they are lengths along columns and rows from the upper left corner, with y downwards and negative.
    """

    x0: float
    dx: float
    y0: float
    dy: float
    labels: tuple[str, str]
    from_corner: bool
    """True where y counts down from the corner, to be shown without its sign."""
    ratio: float
    """Height of the map by its width, on the ground."""

    @classmethod
    def of(cls, grid: Grid) -> Frame:
        """Axes for a grid."""
        across, down = grid.pixel_size
        ratio = grid.height * down / (grid.width * across)
        t = grid.transform
        if grid.crs is None or grid.is_oblique or t.a < 0:
            scale, unit = (1.0, "px") if grid.crs is None else (1e-3, "km")
            labels = f"along rows ({unit})", f"down columns ({unit})"
            return cls(0.0, across * scale, 0.0, -down * scale, labels, True, ratio)
        if grid.geographic:
            return cls(t.c, t.a, t.f, t.e, ("longitude (°)", "latitude (°)"), False, ratio)
        k = grid.metres_per_unit / 1000
        return cls(t.c * k, t.a * k, t.f * k, t.e * k, ("easting (km)", "northing (km)"), False, ratio)

    def place(self, cells: np.ndarray) -> np.ndarray:
        """(x, y) on the axes of points (column, row)."""
        return np.stack([self.x0 + self.dx * cells[..., 0], self.y0 + self.dy * cells[..., 1]], -1)

    def extent(self, grid: Grid) -> tuple[float, float, float, float]:
        """(left, right, bottom, top) of a grid."""
        (x0, y0), (x1, y1) = self.place(np.array([[0, 0], [grid.width, grid.height]]))
        return min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)

    def to_json(self) -> dict[str, Any]:
        """For the page's script."""
        return {"x0": self.x0, "dx": self.dx, "y0": self.y0, "dy": self.dy}


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
