"""Bring an image onto its reference: one resampling through the whole map, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..core.grid import Grid
from ..core.tiles import plan_tiles
from ..ops.sample import Kernel
from .mapping import Mapping
from .sources import Mapped, Readable, means, sample_image

BLOCK_PX = 512


def aligned_blocks(
    bands: Sequence[Readable], mapping: Mapping, grid: Grid, kernel: Kernel
) -> Iterator[tuple[int, int, Float[Tensor, "band height width"]]]:
    """(row, column) of the first pixel and the values of every block of `grid`; NaN where the bands have no data.

    Where pixels of the bands are smaller than those of the grid, values are means over the pixel (of samples made by
    the kernel); memory is that of a block, whatever the size of the images.

    Args:
        bands: of the moving image, on one grid of their own.
        mapping: from pixels of `grid` to pixels of the bands.
    """
    density = 1 if kernel == "nearest" else Mapped(bands[0], mapping, grid, kernel).density
    side = max(64, BLOCK_PX // density)
    for tile in plan_tiles(grid.shape, side):
        rows, columns = tile.core
        at = mapping.block(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start, density)
        yield rows.start, columns.start, torch.stack([means(sample_image(b, at, kernel), density) for b in bands])


def aligned(
    bands: Sequence[Readable], mapping: Mapping, grid: Grid, kernel: Kernel = "sinc"
) -> Float[Tensor, "band height width"]:
    """The whole of `aligned_blocks`, in memory."""
    result = torch.full((len(bands), *grid.shape), torch.nan)
    for row, column, values in aligned_blocks(bands, mapping, grid, kernel):
        result[:, row : row + values.shape[1], column : column + values.shape[2]] = values
    return result
