"""Which cells around a cell can be reached in a straight line without crossing a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import maximum_filter

from ..ops.edges import at_breaks
from ..simulate.trace import parted_gaps


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """Sight of cells over their neighbourhoods of (2 rows + 1) x (2 columns + 1) cells."""

    rows: int
    columns: int
    across: Bool[np.ndarray, "tall gaps"]
    """Neighbours in a row that a trace parts, with a margin of the neighbourhood's size."""
    down: Bool[np.ndarray, "between wide"]
    near: Bool[np.ndarray, "height width"]
    """Cells from which something of the neighbourhood may be hidden."""

    @classmethod
    def past(cls, shape: tuple[int, int], lines: Sequence[Float[np.ndarray, "_ 2"]], rows: int, columns: int) -> Sight:
        """Sight past lines, as (column, row), over a grid of `shape`."""
        import torch

        across, down = parted_gaps(shape, lines)
        parted = at_breaks(torch.from_numpy(across), torch.from_numpy(down)).numpy()
        near = maximum_filter(parted, (2 * rows + 1, 2 * columns + 1), mode="constant")
        margin = ((rows, rows), (columns, columns))
        return cls(rows, columns, np.pad(across, margin), np.pad(down, margin), near)

    def from_cells(
        self, rows: Int[np.ndarray, " cells"], columns: Int[np.ndarray, " cells"]
    ) -> Bool[np.ndarray, "cells rows columns"]:
        """True on what each cell sees: where no gap on the way there, cell by cell along the straight line, is parted.

        Where the way passes exactly between two cells, both must be open.
        """
        seen = np.zeros((len(rows), 2 * self.rows + 1, 2 * self.columns + 1), bool)
        seen[:, self.rows, self.columns] = True
        offsets = [(y, x) for y in range(-self.rows, self.rows + 1) for x in range(-self.columns, self.columns + 1)]
        for y, x in sorted(offsets, key=lambda o: abs(o[0]) + abs(o[1])):
            if (y, x) == (0, 0):
                continue
            free = np.ones(len(rows), bool)
            for before_y, before_x in _before(y, x):
                free &= seen[:, self.rows + before_y, self.columns + before_x]
                row, column = rows + self.rows + min(y, before_y), columns + self.columns + min(x, before_x)
                free &= ~(self.across if before_y == y else self.down)[row, column]
            seen[:, self.rows + y, self.columns + x] = free
        return seen


def _before(y: int, x: int) -> list[tuple[int, int]]:
    """The neighbour of an offset that the way there from (0, 0) comes through, or both if they are alike."""
    found = []
    if y:
        found.append((y - (1 if y > 0 else -1), x))
    if x:
        found.append((y, x - (1 if x > 0 else -1)))
    away = [abs(py * x - px * y) for py, px in found]
    return [place for place, far in zip(found, away, strict=True) if far == min(away)]
