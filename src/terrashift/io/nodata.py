"""Every way in which a raster says that a pixel has no data, so that all of them become NaN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .bands import Band

if TYPE_CHECKING:
    from rasterio.io import DatasetReader
    from rasterio.windows import Window

LARGEST_VALUE = 1e30  # fills such as -3.4e38 are often tagged with rounded digits; no image is that bright


@dataclass(frozen=True, slots=True)
class Nodata:
    """The forms of nodata that hold for one band; values compare before scale and offset."""

    band: int
    values: tuple[float, ...]
    alpha: tuple[int, ...]
    """Numbers of the alpha bands; 0 there means no data."""
    mask: bool
    """True where GDAL's own mask (a mask inside the file, a .msk file, or a 64-bit nodata value) is to be read."""
    forms: tuple[str, ...]
    """What was found, in words."""

    def missing(self, dataset: DatasetReader, window: Window, raw: np.ndarray) -> np.ndarray:
        """True where a pixel of `raw`, read from `window`, has no data."""
        missing = np.zeros(raw.shape, bool)
        if raw.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                missing |= ~(np.abs(raw) < LARGEST_VALUE)
        for value in self.values:
            missing |= equals(raw, value)
        if self.mask:
            missing |= dataset.read_masks(self.band, window=window) == 0
        for number in self.alpha:
            missing |= dataset.read(number, window=window) == 0
        return missing


def find_nodata(dataset: DatasetReader, band: Band, bands: tuple[Band, ...], extra: float | None) -> Nodata:
    """Collect what the file says of `band`, and the user's `extra` value."""
    flags = {flag.name for flag in dataset.mask_flag_enums[band.number - 1]}
    wide = band.dtype in ("int64", "uint64")  # rasterio 1.4 reports their nodata value wrongly; GDAL's mask is right
    tag = None if wide else dataset.nodatavals[band.number - 1]
    alpha = tuple(other.number for other in bands if other.is_alpha and other.number != band.number)
    mask = "all_valid" not in flags and "alpha" not in flags and (wide or flags != {"nodata"})
    forms = []
    if tag is not None:
        forms.append(f"nodata value {tag:g}")
    if mask:
        forms.append("nodata value" if flags == {"nodata"} else "mask band")
    forms.extend(f"alpha band {number}" for number in alpha)
    if extra is not None:
        forms.append(f"--nodata {extra:g}")
    values = tuple(float(value) for value in (tag, extra) if value is not None)
    return Nodata(band.number, values, alpha, mask, tuple(forms))


def equals(raw: np.ndarray, value: float) -> np.ndarray:
    """Where `raw` equals `value` as its own dtype would store it; nowhere if the dtype cannot hold it.

    >>> equals(np.array([0, 255], np.uint8), -1.0).any()
    np.False_
    """
    if raw.dtype.kind == "f":
        with np.errstate(over="ignore"):
            stored = raw.dtype.type(value)
        return np.isnan(raw) if np.isnan(stored) else raw == stored
    limits = np.iinfo(raw.dtype)
    if not (np.isfinite(value) and value == int(value) and limits.min <= value <= limits.max):
        return np.zeros(raw.shape, bool)
    return raw == raw.dtype.type(int(value))
