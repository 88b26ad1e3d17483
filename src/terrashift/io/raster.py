"""Read one band of any raster, window by window, and two rasters that share a grid."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel, Field
from torch import Tensor

from ..core.grid import Grid
from ..errors import InputError
from .bands import Band, choose_band, list_bands
from .georeference import grid_of
from .lattice import Names, Overlap, find_overlap
from .nodata import Nodata, find_nodata
from .scenes import Sun, scene_date, scene_orbit, scene_sun, sidecar_tags

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

# these drivers map a plain file of numbers and read zeros past its end without a word
_RAW_DRIVERS = {"ENVI", "EHdr", "ISCE", "ROI_PAC", "RST", "PAux", "GenBin", "MFF", "LAN", "BT", "KRO"}

_opening = threading.Lock()  # `warnings.catch_warnings` is not safe to enter from two threads at once


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
        _refuse_containers(dataset, path)
        bands = list_bands(dataset)
        band = choose_band(bands, options.band, path)
        _refuse_unmeasurable(dataset, band, path)
        _refuse_truncated(dataset, band, path)
        tags = {**dataset.tags(), **dataset.tags(ns="IMAGERY"), **(sidecar_tags(path) if _is_plain(path) else {})}
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
            saturation=_saturation(dataset, band, scale, offset),
            sun=scene_sun(tags),
            orbit=scene_orbit(tags),
        )


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


def open_dataset(path: str) -> DatasetReader:
    """Open a raster without the warning that it is not georeferenced: `Grid.crs` tells that."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    _refuse_unreadable(path)
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path)


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn what GDAL says into what a user can act on."""
    from rasterio.errors import RasterioError

    try:
        yield
    except RasterioError as error:
        said = gdal_message(error)
        if "not recognized" in said and not _is_remote(path):
            raise InputError(f"{path} is not a raster that GDAL reads{_looks_like(path)}.") from error
        if _is_remote(path):
            raise InputError(
                f"{path} could not be read: {said}. Check the address and the connection; if other files of the same "
                "place open, this one is damaged or truncated there."
            ) from error
        raise InputError(
            f"{path} is damaged or truncated: {said}. Download or copy it again, and compare its size with the source."
        ) from error


def gdal_message(error: BaseException) -> str:
    """The innermost message of a chain of errors, which is GDAL's own."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = getattr(error, "errmsg", None) or str(error)
    return text.strip().rstrip(".")


def _is_remote(path: str) -> bool:
    return "://" in path or path.startswith("/vsi")


def _is_plain(path: str) -> bool:
    """True for a path of the file system, not a URL nor a name that only a GDAL driver understands."""
    return not _is_remote(path) and not re.match(r"[A-Za-z0-9_]{2,}:", path)


def _refuse_unreadable(path: str) -> None:
    if not _is_plain(path):
        return
    if os.path.isdir(path):
        raise InputError(f"{path} is a folder: give the raster file inside it")
    if not os.path.exists(path):
        raise InputError(f"{path} does not exist; paths count from {os.getcwd()}")
    if os.path.getsize(path) == 0:
        raise InputError(f"{path} is empty (0 bytes): download or copy it again")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read: change its permissions (chmod +r)")


def _looks_like(path: str) -> str:
    """What a file that is no raster seems to be instead; downloads that failed are often web pages."""
    start = Path(path).read_bytes()[:200].lstrip().lower() if os.path.isfile(path) else b""
    if start.startswith((b"<!doctype html", b"<html")):
        return ": it is a web page, so the download most likely needed a login"
    if start.startswith(b"version https://git-lfs"):
        return ": it is a Git LFS pointer; fetch the file itself with `git lfs pull`"
    if start.startswith((b"ii*\0", b"mm\0*")):
        return ": it starts as a TIFF but is damaged or truncated; download or copy it again"
    return "; convert it to GeoTIFF first"


def _refuse_containers(dataset: DatasetReader, path: str) -> None:
    if dataset.count:
        return
    if dataset.subdatasets:
        listing = "\n".join(f"  {name}" for name in dataset.subdatasets)
        raise InputError(f"{path} holds several rasters: give one of them as the path.\n{listing}")
    raise InputError(f"{path} holds no raster band")


def _refuse_unmeasurable(dataset: DatasetReader, band: Band, path: str) -> None:
    if band.dtype.startswith("complex"):
        raise InputError(
            f"band {band.number} of {path} is complex ({band.dtype}): give its amplitude, for example `gdal_calc.py -A "
            f'{path} --A_band={band.number} --calc="abs(A)" --type=Float32 --outfile=amplitude.tif`.'
        )
    # GDAL gives every one-bit image a palette; black and white need none
    if dataset.colorinterp[band.number - 1].name == "palette" and _bits(dataset, band) != 1:
        raise InputError(
            f"band {band.number} of {path} holds colour numbers of a palette, not brightness: `gdal_translate -expand "
            f"gray {path} gray.tif` makes an image of it."
        )
    if dataset.scales[band.number - 1] == 0:
        raise InputError(
            f"band {band.number} of {path} has a scale of 0 in its metadata: `gdal_edit.py -scale 1 {path}`"
        )


def _refuse_truncated(dataset: DatasetReader, band: Band, path: str) -> None:
    """Find a file shorter than its header claims, before hours of work."""
    if not _is_plain(path) or not os.path.isfile(path):
        return
    if dataset.driver in _RAW_DRIVERS and "file_compression" not in dataset.tags(ns="ENVI"):
        claimed = dataset.count * dataset.height * dataset.width * _bits(dataset, band) // 8
        claimed += int(dataset.tags(ns="ENVI").get("header_offset", 0))
        if (size := os.path.getsize(path)) < claimed:
            raise InputError(
                f"{path} is truncated: its header claims {claimed} bytes, the file has {size}. Download or copy it "
                "again, or correct the header."
            )
    if dataset.driver == "GTiff":
        rows, columns = dataset.block_shapes[band.number - 1]
        last = (dataset.height - 1) // rows, (dataset.width - 1) // columns
        dataset.read(band.number, window=dataset.block_window(band.number, *last))  # raises if it is cut off


def _saturation(dataset: DatasetReader, band: Band, scale: float, offset: float) -> float | None:
    if not re.fullmatch(r"u?int\d+", band.dtype):
        return None
    sign = 0 if band.dtype.startswith("u") else 1
    return (2 ** (_bits(dataset, band) - sign) - 1) * scale + offset


def _bits(dataset: DatasetReader, band: Band) -> int:
    """Bits that a stored pixel has; some sensors keep 1 or 12 of the 8 or 16 of their type."""
    used = dataset.tags(band.number, ns="IMAGE_STRUCTURE").get("NBITS")
    return int(used) if used else 8 * np.dtype(band.dtype).itemsize
