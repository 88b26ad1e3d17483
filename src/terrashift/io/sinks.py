"""Where finished tiles go, and how a measured flow is read back from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ..core.field import DisplacementField, Flow
from ..core.grid import Grid
from ..core.tiles import Tile


@runtime_checkable  # the tests check every annotation
class TileSink(Protocol):
    """Where finished tiles are kept."""

    def done(self) -> set[str]:
        """Keys of the tiles that are finished."""
        ...

    def write(self, tile: Tile, values: Float[Tensor, "band height width"]) -> None:
        """Keep a finished tile; safe to call from several threads."""
        ...


@runtime_checkable
class FinishedTiles(Protocol):
    """Where all tiles are kept, once they are finished."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of measurements."""
        ...

    def window(self, rows: slice, columns: slice) -> Float[Tensor, "band height width"]:
        """The bands of these rows and columns; safe to call from several threads."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class StoredFlow:
    """A `FlowSource` of tiles that `run_tiles` kept in pixels."""

    tiles: FinishedTiles

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of measurements."""
        return self.tiles.shape

    def read(self, rows: slice, columns: slice) -> Flow:
        """See `FlowSource.read`."""
        values = self.tiles.window(rows, columns)
        return Flow(values[:2], values[2:4], values[4], values[5].to(torch.uint8))


@dataclass(frozen=True, slots=True, eq=False)
class MemorySink:
    """A `TileSink` that keeps the whole field in memory, for fields that fit."""

    values: Float[Tensor, "6 height width"]

    @classmethod
    def of(cls, grid: Grid) -> MemorySink:
        """Empty, for a field on `grid`."""
        return cls(torch.full((len(DisplacementField.BANDS), *grid.shape), torch.nan))

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of measurements."""
        rows, columns = self.values.shape[1:]
        return rows, columns

    def window(self, rows: slice, columns: slice) -> Float[Tensor, "6 height width"]:
        """Any part of it, as a view."""
        return self.values[:, rows, columns]

    def done(self) -> set[str]:
        """Nothing is ever left from before."""
        return set()

    def write(self, tile: Tile, values: Float[Tensor, "6 height width"]) -> None:
        """Put a tile into its place."""
        self.values[:, *tile.core] = values

    def field(self, grid: Grid, made_by: dict[str, Any]) -> DisplacementField:
        """All of it, once every tile is in its place."""
        east, north, sigma_east, sigma_north, score, reasons = self.values
        return DisplacementField(east, north, sigma_east, sigma_north, score, reasons.to(torch.uint8), grid, made_by)
