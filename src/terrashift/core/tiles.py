"""Cut a raster into tiles that an estimator can see whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Tile(NamedTuple):
    """A part of an array of measurements; cores never overlap."""

    row: int
    column: int
    core: tuple[slice, slice]
    """(rows, columns) that this tile answers for."""

    @property
    def key(self) -> str:
        """Name under which the finished tile is kept."""
        return f"{self.row}.{self.column}"


def plan_tiles(shape: tuple[int, int], size: int) -> Iterator[Tile]:
    """Cover `shape` (rows, columns) with square cores of `size`, smaller at the far edges.

    >>> [tile.key for tile in plan_tiles((3, 5), 3)]
    ['0.0', '0.1']
    """
    height, width = shape
    for i, top in enumerate(range(0, height, size)):
        for j, left in enumerate(range(0, width, size)):
            core = slice(top, min(top + size, height)), slice(left, min(left + size, width))
            yield Tile(i, j, core)
