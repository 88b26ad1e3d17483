"""What makes a raster unusable, found in its header before any work is done."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from .atomic import megabytes
from .bands import Band
from .opening import is_plain

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

# these drivers map a plain file of numbers and read zeros past its end without a word
_RAW_DRIVERS = {"ENVI", "EHdr", "ISCE", "ROI_PAC", "RST", "PAux", "GenBin", "MFF", "LAN", "BT", "KRO"}
MOST_PX = 10**12
MOST_BLOCK_BYTES = 2**30
MOST_EMPTY_BYTES, MOST_GAIN = 10 * 10**9, 20_000
"""From so many bytes of pixels on, a file must hold a part of them: with more gain, all but nothing is there."""
BYTES_PER_BLOCK = 4
"""Of a TIFF for the place and the size of each block, at least."""


def refuse_unusable(dataset: DatasetReader, band: Band, path: str) -> None:
    """Refuse a band that is no brightness, is damaged, or claims sizes that cannot be.

    Raises:
        InputError: saying which.
    """
    _refuse_unmeasurable(dataset, band, path)
    refuse_impossible(dataset, band, path)
    _refuse_truncated(dataset, band, path)


def refuse_containers(dataset: DatasetReader, path: str) -> None:
    """Refuse a file without bands.

    Raises:
        InputError: listing the rasters inside, if any.
    """
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
    if dataset.colorinterp[band.number - 1].name == "palette" and bits_of(dataset, band) != 1:
        raise InputError(
            f"band {band.number} of {path} holds colour numbers of a palette, not brightness: `gdal_translate -expand "
            f"gray {path} gray.tif` makes an image of it."
        )
    if dataset.scales[band.number - 1] == 0:
        raise InputError(
            f"band {band.number} of {path} has a scale of 0 in its metadata: `gdal_edit.py -scale 1 {path}`"
        )


def refuse_impossible(dataset: DatasetReader, band: Band, path: str) -> None:
    """Find sizes that the file cannot hold, or no machine, before any memory is asked for.

    Raises:
        InputError: saying which.
    """
    height, width = dataset.shape
    if height * width > MOST_PX:
        raise InputError(
            f"{path} claims {height} x {width} px: it is damaged, or to be cropped first (gdal_translate)."
        )
    rows, columns = dataset.block_shapes[band.number - 1]
    together = dataset.count if dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "PIXEL" else 1
    block_bytes = rows * columns * together * np.dtype(band.dtype).itemsize
    if block_bytes > MOST_BLOCK_BYTES:
        raise InputError(
            f"{path} is stored in blocks of {rows} x {columns} px, of which one alone takes "
            f"{megabytes(block_bytes)} of memory: `gdal_translate -co TILED=YES -co COMPRESS=DEFLATE {path} tiled.tif`."
        )
    if dataset.driver != "GTiff" or not is_plain(path) or not os.path.isfile(path):
        return
    blocks = -(-height // rows) * -(-width // columns)
    size, pixels = os.path.getsize(path), height * width * np.dtype(band.dtype).itemsize
    # sparse files hold no pixels, but a place for each block
    empty = pixels > MOST_EMPTY_BYTES and pixels > MOST_GAIN * size
    if empty or (size < pixels and size < blocks * BYTES_PER_BLOCK):
        raise InputError(
            f"{path} is damaged or truncated: it claims {height} x {width} px in {blocks} blocks, but has {size} "
            "bytes. Download or copy it again, and compare its size with the source."
        )


def _refuse_truncated(dataset: DatasetReader, band: Band, path: str) -> None:
    """Find a file shorter than its header claims, before hours of work."""
    if not is_plain(path) or not os.path.isfile(path):
        return
    if dataset.driver in _RAW_DRIVERS and "file_compression" not in dataset.tags(ns="ENVI"):
        claimed = dataset.count * dataset.height * dataset.width * bits_of(dataset, band) // 8
        offset = dataset.tags(ns="ENVI").get("header_offset", "0").strip()
        claimed += int(offset) if offset.isdecimal() else 0
        if (size := os.path.getsize(path)) < claimed:
            raise InputError(
                f"{path} is truncated: its header claims {claimed} bytes, the file has {size}. Download or copy it "
                "again, or correct the header."
            )
    if dataset.driver == "GTiff":
        rows, columns = dataset.block_shapes[band.number - 1]
        last = (dataset.height - 1) // rows, (dataset.width - 1) // columns
        dataset.read(band.number, window=dataset.block_window(band.number, *last))  # raises if it is cut off


def saturation(dataset: DatasetReader, band: Band, scale: float, offset: float) -> float | None:
    if not re.fullmatch(r"u?int\d+", band.dtype):
        return None
    sign = 0 if band.dtype.startswith("u") else 1
    return (2 ** (bits_of(dataset, band) - sign) - 1) * scale + offset


def bits_of(dataset: DatasetReader, band: Band) -> int:
    """Bits that a stored pixel has; some sensors keep 1 or 12 of the 8 or 16 of their type."""
    used = dataset.tags(band.number, ns="IMAGE_STRUCTURE").get("NBITS")
    return int(used) if used else 8 * np.dtype(band.dtype).itemsize
