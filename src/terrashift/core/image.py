"""One image, or two images proven to share one grid."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import GridMismatchError, InputError
from .grid import Grid


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """Pixels on a grid. NaN is the only nodata."""

    pixels: Float[Tensor, "band height width"]
    grid: Grid
    date: datetime | None = None
    bands: tuple[str, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        if tuple(self.pixels.shape[-2:]) != self.grid.shape:
            raise InputError(f"pixels of {tuple(self.pixels.shape[-2:])} do not fill a grid of {self.grid.shape}")

    @property
    def valid(self) -> Bool[Tensor, "height width"]:
        """True where every band has a value."""
        return self.pixels.isfinite().all(0)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """The same ground before and after, pixel on pixel.

    Raises:
        GridMismatchError: where the two grids differ in any way.
    """

    before: Image
    after: Image

    def __post_init__(self) -> None:
        if self.before.grid != self.after.grid:
            raise GridMismatchError(
                f"before is {self.before.grid}; after is {self.after.grid}: their pixels do not line up. "
                "Put them on one grid first: `terrashift register after.tif before.tif -o aligned.tif`."
            )

    @property
    def grid(self) -> Grid:
        """The grid that both share."""
        return self.before.grid
