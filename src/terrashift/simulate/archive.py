"""Imagery packed into one small file that needs nothing but numpy to be read: what training draws its pairs from.

Pixels are rounded to 256 levels that lie a sixth of the usual local deviation apart (further where an image is much
brighter or darker than usual), which adds a noise of a twentieth of that deviation; whole pixels stay whole pixels.
"""

from __future__ import annotations

import json
import lzma
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from ..errors import InputError

FORMAT = "terrashift imagery 1"
LOCAL_PX = 9
FINENESS = 0.16
"""Distance of two levels, in usual local deviations."""
XZ = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 4, "lp": 0, "pb": 0}]


@dataclass(frozen=True, slots=True)
class View:
    """What is known of one band of one place."""

    name: str
    place: str
    band: str
    split: str
    sensor: str
    licence: str
    pixel_m: float
    dates: tuple[str, ...]
    shifts: tuple[tuple[float, float], ...] = field(default=())
    """(x right, y down) px of each date: the ground at p on the first date is at p + shift there. Zero for the first."""
    height: int = 0
    width: int = 0


class Levels(NamedTuple):
    """An image in whole numbers, and what they mean: middle + scale * sinh((level - 128) * step)."""

    level: UInt8[np.ndarray, "height width"]
    middle: float
    scale: float
    step: float

    def values(self) -> Float[np.ndarray, "height width"]:
        """The image."""
        table = self.middle + self.scale * np.sinh((np.arange(256) - 128.0) * self.step)
        return table.astype(np.float32)[self.level]


@dataclass(frozen=True, slots=True, eq=False)
class Archive:
    """Views of places, each on one or more dates that share a pixel grid (to within their shifts)."""

    views: tuple[View, ...]
    pixels: tuple[tuple[Levels, ...], ...]
    """Of each view, one image a date."""

    @classmethod
    def load(cls, path: str | Path) -> Archive:
        """Read an archive.

        Raises:
            InputError: where the file is missing, damaged, or something else.
        """
        try:
            with zipfile.ZipFile(path) as file:
                index = json.loads(file.read("index.json"))
                if index.get("format") != FORMAT:
                    raise InputError(f"{path} is of the format {index.get('format')!r}, not {FORMAT!r}: pack it anew.")
                views = tuple(_view(entry["view"]) for entry in index["views"])
                pixels = tuple(
                    tuple(_unpack(file, entry, number, k) for k in range(len(entry["levels"])))
                    for number, entry in enumerate(index["views"])
                )
        except FileNotFoundError as error:
            raise InputError(
                f"{path} does not exist: pack imagery first, `terrashift pack FOLDER -o {path}`."
            ) from error
        except (zipfile.BadZipFile, KeyError, lzma.LZMAError, EOFError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{path} is no imagery archive, or a damaged one ({error}): pack or copy it anew."
            ) from error
        return cls(views, pixels)

    def save(self, path: str | Path) -> None:
        """Write the archive; see `io.atomic.atomic_path` for a name that is safe to write to."""
        entries = []
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
            for number, (view, images) in enumerate(zip(self.views, self.pixels, strict=True)):
                for k, image in enumerate(images):
                    file.writestr(_member(number, k), _pack(image.level))
                levels = [(image.middle, image.scale, image.step) for image in images]
                entries.append({"view": asdict(view), "levels": levels})
            file.writestr("index.json", json.dumps({"format": FORMAT, "views": entries}))

    def only(self, split: str) -> Archive:
        """The views of one split."""
        kept = [k for k, view in enumerate(self.views) if view.split == split]
        return Archive(tuple(self.views[k] for k in kept), tuple(self.pixels[k] for k in kept))

    @staticmethod
    def of(views: Iterable[tuple[View, Sequence[Float[np.ndarray, "height width"]]]]) -> Archive:
        """Round images, all of finite numbers, to levels."""
        found = [(view, tuple(to_levels(image) for image in images)) for view, images in views]
        return Archive(tuple(view for view, _ in found), tuple(images for _, images in found))


def to_levels(image: Float[np.ndarray, "height width"]) -> Levels:
    """Round an image to 256 levels or fewer."""
    middle = float(np.median(image))
    scale = 4 * max(_usual_deviation(image), 1e-6 * (abs(middle) + 1e-6))
    bent = np.arcsinh((image - middle) / scale)
    step = max(FINENESS / 4, float(bent.max()) / 126.5, float(-bent.min()) / 127.5)
    level = np.round(bent / step) + 128
    return Levels(level.astype(np.uint8), middle, scale, step)


def _usual_deviation(image: np.ndarray) -> float:
    """Median over the image of the standard deviation within a few pixels."""
    exact = image.astype(np.float64)
    mean = ndimage.uniform_filter(exact, LOCAL_PX)
    variance = ndimage.uniform_filter(exact**2, LOCAL_PX) - mean**2
    return float(np.sqrt(np.median(np.maximum(variance, 0))))


def _member(number: int, date: int) -> str:
    return f"{number:04d}_{date}.xz"


def _pack(level: UInt8[np.ndarray, "height width"]) -> bytes:
    """Differences along the rows, modulo 256, and of the first column."""
    steps = level.copy()
    steps[:, 1:] -= level[:, :-1]
    steps[1:, 0] -= level[:-1, 0]
    return lzma.compress(steps.tobytes(), lzma.FORMAT_RAW, filters=XZ)


def _unpack(file: zipfile.ZipFile, entry: dict, number: int, date: int) -> Levels:
    height, width = entry["view"]["height"], entry["view"]["width"]
    raw = lzma.decompress(file.read(_member(number, date)), lzma.FORMAT_RAW, filters=XZ)
    steps = np.frombuffer(raw, np.uint8).reshape(height, width).copy()
    steps[:, 0] = np.cumsum(steps[:, 0], dtype=np.uint8)
    return Levels(np.cumsum(steps, axis=1, dtype=np.uint8), *entry["levels"][date])


def _view(entry: dict) -> View:
    shifts = tuple((x, y) for x, y in entry.pop("shifts"))
    return View(**{**entry, "dates": tuple(entry["dates"]), "shifts": shifts})
