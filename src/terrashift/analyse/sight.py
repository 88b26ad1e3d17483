"""Which cells around a cell can be reached in a straight line without crossing a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
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
        across, down = parted_gaps(shape, lines)
        parted = at_breaks(torch.from_numpy(across), torch.from_numpy(down)).numpy()
        near = maximum_filter(parted, (2 * rows + 1, 2 * columns + 1), mode="constant")
        margin = ((rows, rows), (columns, columns))
        return cls(rows, columns, np.pad(across, margin), np.pad(down, margin), near)

    def from_cells(
        self, rows: Int[np.ndarray, " cells"], columns: Int[np.ndarray, " cells"]
    ) -> Bool[np.ndarray, "cells rows columns"]:
        """True on what each cell sees: where no gap between cells on the straight line there is parted."""
        seen = np.zeros((len(rows), 2 * self.rows + 1, 2 * self.columns + 1), bool)
        for y in range(-self.rows, self.rows + 1):
            for x in range(-self.columns, self.columns + 1):
                parted = np.zeros(len(rows), bool)
                for gap in _gaps_to(y, x):
                    gaps = self.across if gap.in_row else self.down
                    parted |= gaps[rows + self.rows + gap.row, columns + self.columns + gap.column]
                seen[:, self.rows + y, self.columns + x] = ~parted
        return seen


class _Gap(NamedTuple):
    """Between a cell and the next one to its right, or below it."""

    in_row: bool
    row: int
    column: int


@cache
def _gaps_to(y: int, x: int) -> tuple[_Gap, ...]:
    """The gaps that the straight line from the centre of cell (0, 0) to that of (y, x) passes, in its order.

    Where it passes a corner of cells, those of both ways round it.
    """
    steps = [((2 * k + 1) * max(abs(y), 1), "x") for k in range(abs(x))]
    steps += [((2 * k + 1) * max(abs(x), 1), "y") for k in range(abs(y))]
    if not (x and y):
        steps = [(k, axis) for k, (_, axis) in enumerate(steps)]
    right, down = (1 if x > 0 else -1), (1 if y > 0 else -1)
    row = column = 0
    gaps = []
    for _, group in groupby(sorted(steps), key=lambda step: step[0]):
        axes = [axis for _, axis in group]
        if "x" in axes:
            gaps += [_Gap(True, r, min(column, column + right)) for r in {row, row + down * ("y" in axes)}]
        if "y" in axes:
            gaps += [_Gap(False, min(row, row + down), c) for c in {column, column + right * ("x" in axes)}]
        column += right * ("x" in axes)
        row += down * ("y" in axes)
    return tuple(gaps)
