"""Read any raster onto the cells of a grid, to lie under a map."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from affine import Affine
from jaxtyping import Float

from ..core.grid import Grid
from ..errors import InputError
from .georeference import parse_crs
from .opening import explained, open_dataset
from .raster import ReadOptions, open_raster, read_whole

LONGEST_PX = 2400
"""Of what is read: finer than any print of a journal's width."""


def read_backdrop(path: Path, grid: Grid, band: str | None = None) -> Float[np.ndarray, "height width"]:
    """One band of an image or DEM over the area of a grid, NaN where it has none, as fine as a print needs.

    Rows and columns run as those of `grid`. A raster in another CRS is warped; for a grid without a CRS it must have a
    whole number of pixels for every cell.

    Raises:
        InputError: it cannot be read, has no CRS or another shape, or lies elsewhere.
    """
    options = ReadOptions(band=band or "1")
    raster = open_raster(str(path), options)
    if grid.crs is None or raster.grid.crs is None:
        return _same_corners(path, read_whole(raster).numpy(), raster.grid, grid)
    from rasterio.enums import Resampling
    from rasterio.warp import reproject

    finer = _fineness(grid, raster.grid)
    cells = replace(grid, height=round(grid.height * finer), width=round(grid.width * finer))
    target = np.full(cells.shape, np.nan, np.float32)
    coarser = raster.grid.pixel_size[0] < grid.pixel_size[0] / finer
    with explained(str(path)), open_dataset(str(path)) as dataset:
        values = read_whole(raster).numpy()
        reproject(
            values,
            target,
            src_transform=raster.grid.transform,
            src_crs=dataset.crs or parse_crs(raster.grid.crs),
            src_nodata=np.nan,
            dst_transform=grid.transform @ Affine.scale(grid.width / cells.width, grid.height / cells.height),
            dst_crs=parse_crs(grid.crs),
            dst_nodata=np.nan,
            resampling=Resampling.average if coarser else Resampling.cubic,
        )
    if not np.isfinite(target).any():
        raise InputError(f"{path} shows none of the area of the field ({grid}): is it of the same place?")
    return target


def _fineness(grid: Grid, other: Grid) -> float:
    """How many pixels of the backdrop are worth reading for one cell."""
    most = LONGEST_PX / max(grid.shape)
    return min(most, max(1.0, grid.pixel_size[0] / other.pixel_size[0]))


def _same_corners(path: Path, values: np.ndarray, own: Grid, grid: Grid) -> np.ndarray:
    rows, columns = own.height / grid.height, own.width / grid.width
    if grid.crs is not None or own.crs is not None or rows != columns or rows != int(rows):
        raise InputError(
            f"{path} ({own}) cannot be laid under the field ({grid}): without a CRS on both, it must have a whole "
            "number of pixels for every cell."
        )
    return values
