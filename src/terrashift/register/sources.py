"""Images as another grid sees them: reduced, or through a map, window by window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from affine import Affine
from jaxtyping import Float
from torch import Tensor

from ..core.grid import Grid
from ..core.source import cut
from ..ops.sample import TAPS, Kernel, sample_at
from .mapping import Mapping

STRIP_PX = 1024
DENSE = 1.25
"""Pixels of the moving image along one of the reference above which a value is a mean of several samples."""
MOST_SAMPLES = 64
LARGEST_WINDOW_PX = 4096


@runtime_checkable  # the tests check every annotation
class Readable(Protocol):
    """One band that is read by window, NaN without data and outside; `io.raster.Raster` is one."""

    @property
    def grid(self) -> Grid:
        """Where it lies."""
        ...

    def read(self, row: int, column: int, height: int, width: int) -> Float[Tensor, "height width"]:
        """The window whose first pixel is (row, column), float32."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ArrayImage:
    """A band in memory."""

    pixels: Float[Tensor, "height width"]
    grid: Grid

    def read(self, row: int, column: int, height: int, width: int) -> Float[Tensor, "height width"]:
        """See `Readable`."""
        return cut(self.pixels, row, column, height, width)


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """An image on the pixels of a reference: one resampling of the original through a map, for every window anew."""

    image: Readable
    mapping: Mapping
    grid: Grid
    """Of the reference."""
    kernel: Kernel = "sinc"
    """Estimators that trust all frequencies alike see the phase errors of shorter kernels: 0.05 px with lanczos."""

    @property
    def density(self) -> int:
        """Samples along each side of a pixel, where pixels of the image are smaller: a value is then a mean of them."""
        ratio = max(self.mapping.magnification(self.grid.shape))
        return 1 if not ratio > DENSE else min(math.ceil(ratio), MOST_SAMPLES)

    def read(self, row: int, column: int, height: int, width: int) -> Float[Tensor, "height width"]:
        """See `Readable`; NaN where any sample is NaN."""
        density = self.density
        at = self.mapping.block(row, column, height, width, density)
        return means(sample_image(self.image, at, self.kernel), density)


def means(samples: Float[Tensor, "rows columns"], density: int) -> Float[Tensor, "height width"]:
    """Of density x density samples each."""
    if density == 1:
        return samples
    rows, columns = samples.shape
    return samples.reshape(rows // density, density, columns // density, density).mean((1, 3))


def sample_image(image: Readable, at: Float[np.ndarray, "2 rows columns"], kernel: Kernel) -> Tensor:
    """Values of an image at places (x, y px) in it, reading what they need and no more.

    Where few places span much of a fine image, they are cut into parts, so that no window is large.
    """
    reach = TAPS[kernel] // 2 + 1
    rows, columns = image.grid.shape
    inside = (at[0] > -1) & (at[0] < columns) & (at[1] > -1) & (at[1] < rows)
    if not inside.any():
        return torch.full(at.shape[1:], torch.nan)
    x, y = at[0][inside], at[1][inside]
    left, top = math.floor(x.min()) - reach, math.floor(y.min()) - reach
    width, height = math.ceil(x.max()) + reach + 1 - left, math.ceil(y.max()) + reach + 1 - top
    if max(width, height) > LARGEST_WINDOW_PX and max(at.shape[1:]) > 1:
        axis = 1 if at.shape[1] >= at.shape[2] else 2
        parts = np.split(at, [at.shape[axis] // 2], axis)
        return torch.cat([sample_image(image, part, kernel) for part in parts], axis - 1)
    window = image.read(top, left, height, width)
    return sample_at(window[None], at - np.array([left, top], np.float64)[:, None, None], kernel)[0]


@dataclass(frozen=True, slots=True, eq=False)
class MappedPair:
    """A reference and a moving image on its pixels; a `core.source.PairSource`."""

    before: Readable
    after: Readable

    @property
    def grid(self) -> Grid:
        """That of the reference."""
        return self.before.grid

    def read(
        self, row: int, column: int, height: int, width: int, shift: tuple[int, int] = (0, 0)
    ) -> tuple[Float[Tensor, "height width"], Float[Tensor, "height width"]]:
        """See `PairSource.read`."""
        x, y = shift
        return self.before.read(row, column, height, width), self.after.read(row + y, column + x, height, width)


def reduced(image: Readable, factor: int) -> ArrayImage:
    """An image in memory, each pixel the mean of factor x factor; NaN where less than half of them have data.

    Reads strip by strip, so that only the result is held.
    """
    height, width = (math.ceil(n / factor) for n in image.grid.shape)
    lines = max(1, STRIP_PX // factor)
    parts = []
    for top in range(0, height, lines):
        rows = min(lines, height - top)
        strip = image.read(top * factor, 0, rows * factor, width * factor)
        cells = strip.reshape(rows, factor, width, factor)
        share = cells.isfinite().float().mean((1, 3))
        parts.append(torch.where(share >= 0.5, cells.nanmean((1, 3)), torch.nan))
    grid = image.grid
    transform = grid.transform @ Affine.scale(factor)
    return ArrayImage(torch.cat(parts), Grid(height, width, transform, grid.crs, grid.metres_per_unit, grid.geographic))
