"""Write the bands of an image, block by block, as one Cloud-Optimised GeoTIFF of float32."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..core.grid import Grid
from .atomic import atomic_path, check_target, explain, gdal_errors, scratch
from .bands import list_bands
from .cog import BLOCK_PX, copy_as_cog, gdal_environment
from .georeference import parse_crs
from .opening import open_dataset
from .raster import Raster, ReadOptions, open_raster


class Bands(NamedTuple):
    """What an image is made of."""

    numbers: tuple[int, ...]
    """Of the bands that hold data, from 1; transparency left out."""
    names: tuple[str, ...]


def data_bands(path: str) -> Bands:
    """The bands of a raster that hold data.

    Raises:
        InputError: where there is no such file, or it is no raster.
    """
    with open_dataset(path) as dataset:
        bands = [band for band in list_bands(dataset) if not band.is_alpha]
    return Bands(tuple(band.number for band in bands), tuple(band.name for band in bands))


def open_band(path: str, number: int, options: ReadOptions) -> Raster:
    """One band by its number, read as `options` say otherwise."""
    return open_raster(path, options.model_copy(update={"band": str(number)}))


def write_bands(
    path: str | Path,
    grid: Grid,
    names: Sequence[str],
    blocks: Iterable[tuple[int, int, Float[Tensor, "band height width"]]],
    tags: Mapping[str, str],
) -> None:
    """Write an image that comes in blocks; it appears under its name when it has been read back whole.

    Args:
        path: file to write; an existing one is replaced.
        grid: where the pixels lie.
        names: of the bands.
        blocks: (row, column) of the first pixel, and the bands there, NaN without data.
        tags: of the file.

    Raises:
        OutputError: where the file cannot be written; nothing is left behind then.
    """
    import rasterio
    from rasterio.windows import Window

    target = Path(path)
    needed = 4 * len(names) * grid.height * grid.width
    check_target(target, True, needed)
    profile: dict[str, Any] = {"driver": "GTiff", "dtype": "float32", "nodata": float("nan"), "count": len(names)}
    profile |= {"height": grid.height, "width": grid.width, "tiled": True, "bigtiff": "IF_SAFER", "sparse_ok": True}
    profile |= {"blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "interleave": "band"}
    if grid.crs is not None:
        profile |= {"crs": parse_crs(grid.crs)}
    if not grid.transform.is_identity:
        profile |= {"transform": grid.transform}
    written = []
    with atomic_path(target, 2 * needed) as cog, scratch(target) as plain:
        try:
            with gdal_environment(), rasterio.open(plain, "w", **profile) as dataset:
                dataset.update_tags(**tags, AREA_OR_POINT="Area")
                dataset.descriptions = tuple(names)
                for row, column, values in blocks:
                    block = np.ascontiguousarray(values.numpy(force=True), np.float32)
                    window = Window(column, row, block.shape[2], block.shape[1])  # pyright: ignore
                    dataset.write(block, window=window)
                    written.append((window, zlib.crc32(block.data)))
            copy_as_cog(plain, cog)
            with gdal_environment(), rasterio.open(cog) as dataset:
                intact = all(
                    zlib.crc32(np.ascontiguousarray(dataset.read(window=window)).data) == crc for window, crc in written
                )
        except gdal_errors() as error:
            raise explain(target, error, 2 * needed) from error
        if not intact:  # GDAL reports some failed writes late, or not at all
            raise explain(target, OSError("what was written does not read back"), 2 * needed)
