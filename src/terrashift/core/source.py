"""Where the pixels of a pair come from, window by window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from .grid import Grid
from .image import Pair


@runtime_checkable  # the tests check every annotation
class PairSource(Protocol):
    """Two single-band images on one grid, read by window. Safe to read from several threads."""

    @property
    def grid(self) -> Grid:
        """The grid that both share."""
        ...

    def read(
        self, row: int, column: int, height: int, width: int, shift: tuple[int, int] = (0, 0)
    ) -> tuple[Float[Tensor, "height width"], Float[Tensor, "height width"]]:
        """Read the window whose first pixel is (row, column) in both images, float32, NaN outside the image.

        `shift` = (x right, y down), whole pixels, moves the window in `after` only: pixel p of the second result is
        pixel p + shift of `after`.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ArrayPair:
    """A pair held in memory."""

    pair: Pair

    @property
    def grid(self) -> Grid:
        """The grid that both share."""
        return self.pair.grid

    def read(
        self, row: int, column: int, height: int, width: int, shift: tuple[int, int] = (0, 0)
    ) -> tuple[Float[Tensor, "height width"], Float[Tensor, "height width"]]:
        """See `PairSource.read`."""
        x, y = shift
        before, after = self.pair.before.pixels[0], self.pair.after.pixels[0]
        return cut(before, row, column, height, width), cut(after, row + y, column + x, height, width)


def cut(
    band: Float[Tensor, "rows columns"], row: int, column: int, height: int, width: int
) -> Float[Tensor, "height width"]:
    """A window of an array as float32, NaN where it reaches past the edges.

    >>> cut(torch.ones(2, 2), -1, 0, 2, 3)
    tensor([[nan, nan, nan],
            [1., 1., nan]])
    """
    window = torch.full((height, width), torch.nan)
    rows, columns = band.shape
    top, bottom = max(row, 0), min(row + height, rows)
    left, right = max(column, 0), min(column + width, columns)
    if top < bottom and left < right:
        window[top - row : bottom - row, left - column : right - column] = band[top:bottom, left:right].float()
    return window
