"""Read one band of any raster, window by window, and two rasters that share a grid."""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel, Field
from torch import Tensor

from ..core.grid import Grid
from ..errors import InputError
from .bands import choose_band, list_bands
from .georeference import grid_of
from .lattice import Names, Overlap, find_overlap
from .nodata import Nodata, find_nodata
from .opening import explained, is_plain, open_dataset
from .refusals import refuse_containers, refuse_unusable, saturation
from .scenes import Sun, scene_date, scene_orbit, scene_sun, sidecar_tags
from .untrusted import Malformed, require_room

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


class ReadOptions(BaseModel, frozen=True, extra="forbid"):
    """How to read an image."""

    band: str | None = Field(
        default=None,
        description="Band by number (from 1), name, or wavelength in nanometres e.g. 842nm or micrometres 0.842um.",
    )
    nodata: float | None = Field(
        default=None,
        description="A further value that means no data, beside what the file itself says; before scale and offset.",
    )
    crs: str | None = Field(default=None, description="CRS for a file that has none, e.g. EPSG:32631.")


class _Handles(threading.local):
    """This thread's open dataset: GDAL handles must not be shared by threads, nor survive a fork."""

    dataset: DatasetReader | None = None
    pid = 0

    def __reduce__(self) -> tuple[type[_Handles], tuple[()]]:
        return _Handles, ()


@dataclass(frozen=True, eq=False)
class Raster:
    """One band of a file. Safe to read from several threads, and to send to other processes."""

    path: str
    grid: Grid
    band: int
    """Number of the band, from 1."""
    band_name: str
    date: datetime | None
    """When the scene was taken (UTC), where tags or the name tell it."""
    dtype: str
    nodata: Nodata
    scale: float
    offset: float
    saturation: float | None
    """The largest value that the stored integers can hold, after scale and offset; None for floats."""
    sun: Sun | None = None
    orbit: str | None = None
    """Relative orbit, or path and row, where tags tell it."""
    _handles: _Handles = field(default_factory=_Handles, repr=False)

    @property
    def nodata_forms(self) -> tuple[str, ...]:
        """How the file and the user mark missing data, in words."""
        return self.nodata.forms

    def read(self, row: int, column: int, height: int, width: int) -> Float[Tensor, "height width"]:
        """The window whose first pixel is (row, column) as float32, NaN without data and outside the image.

        Raises:
            InputError: where the file is damaged.
        """
        window = np.full((height, width), np.nan, np.float32)
        rows = slice(max(row, 0), min(row + height, self.grid.height))
        columns = slice(max(column, 0), min(column + width, self.grid.width))
        if rows.start < rows.stop and columns.start < columns.stop:
            inside = slice(rows.start - row, rows.stop - row), slice(columns.start - column, columns.stop - column)
            window[inside] = self._read_inside(rows, columns)
        return torch.from_numpy(window)

    def _read_inside(self, rows: slice, columns: slice) -> np.ndarray:
        from rasterio.windows import Window

        part = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)  # pyright: ignore
        with explained(self.path):
            dataset = self._dataset()
            raw = dataset.read(self.band, window=part)
            missing = self.nodata.missing(dataset, part, raw)
        if (self.scale, self.offset) == (1.0, 0.0) and raw.dtype != np.float64:
            values = raw.astype(np.float32)
        else:
            values = (np.where(missing, 0, raw).astype(np.float64) * self.scale + self.offset).astype(np.float32)
        values[missing] = np.nan
        return values

    def _dataset(self) -> DatasetReader:
        handles = self._handles
        dataset = handles.dataset
        if dataset is None or handles.pid != os.getpid():
            dataset = open_dataset(self.path)
            handles.dataset, handles.pid = dataset, os.getpid()
        return dataset


def open_raster(path: str, options: ReadOptions | None = None) -> Raster:
    """Open one band of a raster, by any path or URL that GDAL understands.

    Raises:
        InputError: where there is no such file, it is no raster, it is damaged, its band is not clear, or it is not on
            a map grid.
    """
    options = options or ReadOptions()
    with explained(path), open_dataset(path) as dataset:
        refuse_containers(dataset, path)
        bands = list_bands(dataset)
        band = choose_band(bands, options.band, path)
        refuse_unusable(dataset, band, path)
        tags = {**dataset.tags(), **dataset.tags(ns="IMAGERY"), **(sidecar_tags(path) if is_plain(path) else {})}
        scale, offset = float(dataset.scales[band.number - 1]), float(dataset.offsets[band.number - 1])
        return Raster(
            path=path,
            grid=grid_of(dataset, path, options.crs),
            band=band.number,
            band_name=band.name,
            date=scene_date(path, tags),
            dtype=band.dtype,
            nodata=find_nodata(dataset, band, bands, options.nodata),
            scale=scale,
            offset=offset,
            saturation=saturation(dataset, band, scale, offset),
            sun=scene_sun(tags),
            orbit=scene_orbit(tags),
        )


def read_whole(raster: Raster) -> Float[Tensor, "height width"]:
    """All pixels of a band; see `Raster.read`.

    Raises:
        InputError: it is damaged, or larger than this machine's memory.
    """
    require_memory(raster.path, raster.grid.shape, 1)
    return raster.read(0, 0, *raster.grid.shape)


def require_memory(path: str, shape: tuple[int, int], bands: int) -> None:
    """Make sure that so many bands of float32 fit into this machine.

    Raises:
        InputError: they do not.
    """
    try:
        require_room(4 * bands * shape[0] * shape[1], f"reading it whole, {shape[0]} x {shape[1]} px,")
    except Malformed as error:
        raise InputError(f"{path} is damaged, or to be cropped first (gdal_translate -srcwin): {error}") from error


@dataclass(frozen=True, eq=False)
class RasterPair:
    """Two rasters on the pixels that both have; a `core.source.PairSource`."""

    before: Raster
    after: Raster
    overlap: Overlap

    @property
    def grid(self) -> Grid:
        """The part of the ground that both show."""
        return self.overlap.grid

    @property
    def overlap_share(self) -> float:
        """Part of the pixels of `before` that `after` shows too, 0 to 1."""
        return self.overlap.share

    def read(
        self, row: int, column: int, height: int, width: int, shift: tuple[int, int] = (0, 0)
    ) -> tuple[Float[Tensor, "height width"], Float[Tensor, "height width"]]:
        """See `PairSource.read`. Around the overlap each image gives what it has there, NaN outside the file."""
        x, y = shift
        (top, left), (after_top, after_left) = self.overlap.before, self.overlap.after
        return (
            self.before.read(row + top, column + left, height, width),
            self.after.read(row + after_top + y, column + after_left + x, height, width),
        )


def open_pair(
    before: str, after: str, options_before: ReadOptions | None = None, options_after: ReadOptions | None = None
) -> RasterPair:
    """Open two images of one place; `options_after` default to those of `before`.

    Raises:
        GridMismatchError: where their pixels do not line up; the message says how to make them.
        InputError: where one of them cannot be read.
    """
    first = open_raster(before, options_before)
    second = open_raster(after, options_before if options_after is None else options_after)
    return RasterPair(first, second, find_overlap(first.grid, second.grid, Names(before, after)))


def checksum(path: str) -> str | None:
    """SHA-256 of a local file; None for a URL or a path inside an archive, which would have to be read whole."""
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
