"""Axes of a map on which every grid can be drawn: its own coordinates, or lengths from its corner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.field import DisplacementField
from ..core.grid import Grid


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


def thin(field: DisplacementField, longest: int) -> DisplacementField:
    """Every n-th cell of a field, on `Grid.every(n)`, so that no side has more than `longest`.

    Cells are picked, not averaged: no mean crosses a fault or a gap, and every value is one that was measured.
    """
    every = max(1, -(-max(field.grid.shape) // longest))
    if every == 1:
        return field
    pick = slice(every // 2, None, every), slice(every // 2, None, every)
    bands = {name: getattr(field, name)[pick].contiguous() for name in field.BANDS}
    return DisplacementField(**bands, grid=field.grid.every(every), made_by=field.made_by)
