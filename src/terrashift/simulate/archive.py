"""Imagery packed into one small file that needs nothing but numpy to be read: what training draws its pairs from.

Pixels are rounded to 256 levels that lie a sixth of the usual local deviation apart (further where an image is much
brighter or darker than usual), which adds a noise of a twentieth of that deviation; whole pixels stay whole pixels.
"""

from __future__ import annotations

import json
import lzma
import math
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from ..core.settings import build
from ..errors import InputError
from ..io.packed import LARGEST_INDEX, read_member, unpacking
from ..io.untrusted import Malformed, expect_object, parse_json

FORMAT = "terrashift imagery 1"
LOCAL_PX = 9
FINENESS = 0.16
"""Distance of two levels, in usual local deviations."""
XZ = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 4, "lp": 0, "pb": 0}]
MOST_PIXELS = 2 * 10**9
"""Of all images of an archive; real ones have some ten million."""


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
    shifts: tuple[tuple[float, float], ...]
    """(x right, y down) px of each date: the ground at p on the first date is at p + shift there. The first has 0."""
    height: int
    width: int
    """Of the images of all dates, px."""
    source: str = "unknown"
    """Where the images come from."""


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
        with unpacking(path, "imagery", "is no imagery archive, or a damaged one"), zipfile.ZipFile(path) as file:
            index = expect_object(parse_json(read_member(file, "index.json", LARGEST_INDEX).decode()))
            found = index["format"]
            entries = index["views"] if found == FORMAT else []
            views = [_view(entry["view"]) for entry in entries]
            _refuse_bomb(views)
            pixels = [
                tuple(_unpack(file, view, number, k, levels) for k, levels in enumerate(entry["levels"]))
                for number, (view, entry) in enumerate(zip(views, entries, strict=True))
            ]
        if found != FORMAT:
            raise InputError(
                f"{path} is of the format {found!r}, not {FORMAT!r}: pack it anew (recipes for scenes of PROBA-V say "
                "`data: probav`)."
            )
        return cls._checked(views, pixels)

    def save(self, path: str | Path) -> None:
        """Write the archive, the same bytes each time; for a name that is safe to write to see `io.atomic`."""
        entries = []
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
            for number, (view, images) in enumerate(zip(self.views, self.pixels, strict=True)):
                for k, image in enumerate(images):
                    # a bare ZipInfo has a fixed date
                    file.writestr(zipfile.ZipInfo(_member(number, k)), _pack(image.level))
                levels = [(image.middle, image.scale, image.step) for image in images]
                entries.append({"view": asdict(view), "levels": levels})
            file.writestr(zipfile.ZipInfo("index.json"), json.dumps({"format": FORMAT, "views": entries}))

    def joined(self, other: Archive) -> Archive:
        """The views of both."""
        return Archive((*self.views, *other.views), (*self.pixels, *other.pixels))

    def only(self, split: str) -> Archive:
        """The views of one split."""
        kept = [k for k, view in enumerate(self.views) if view.split == split]
        return Archive(tuple(self.views[k] for k in kept), tuple(self.pixels[k] for k in kept))

    @staticmethod
    def of(views: Iterable[tuple[View, Sequence[Float[np.ndarray, "_ _"]]]]) -> Archive:
        """Round images to levels.

        Raises:
            InputError: where a view's images are not of its size or not as many as its dates and shifts, or hold
                numbers that are not finite.
        """
        found = [(view, tuple(to_levels(image) for image in images)) for view, images in views]
        return Archive._checked([view for view, _ in found], [images for _, images in found])

    @classmethod
    def _checked(cls, views: Sequence[View], pixels: Sequence[tuple[Levels, ...]]) -> Archive:
        for view, images in zip(views, pixels, strict=True):
            if not images or not len(images) == len(view.dates) == len(view.shifts):
                raise InputError(
                    f"{view.name} has {len(images)} images, {len(view.dates)} dates and {len(view.shifts)} shifts: "
                    "each date takes one of both."
                )
            shapes = {image.level.shape for image in images}
            if shapes != {(view.height, view.width)}:
                raise InputError(
                    f"{view.name} is {view.height} x {view.width} px, its images are {sorted(shapes)}: cut them to one "
                    "size."
                )
        return cls(tuple(views), tuple(pixels))


def card(archive: Archive) -> dict[str, Any]:
    """What an archive holds, place by place, as plain values: the part of a data card that the pixels cannot tell."""
    places: dict[tuple[str, ...], dict[str, Any]] = {}
    for view in archive.views:
        facts = {key: getattr(view, key) for key in ("place", "split", "sensor", "licence", "source")}
        place = places.setdefault(tuple(facts.values()), {**facts, "pixels": 0, "dates": [], "views": []})
        place["pixels"] += view.height * view.width * len(view.dates)
        place["dates"] = sorted({*place["dates"], *view.dates})
        place["views"].append(
            {
                "name": view.name,
                "band": view.band,
                "size_px": [view.height, view.width],
                "pixel_m": view.pixel_m,
                "shifts_px": {date: list(xy) for date, xy in zip(view.dates, view.shifts, strict=True)},
            }
        )
    return {
        "format": FORMAT,
        "pixels": sum(place["pixels"] for place in places.values()),
        "images": sum(len(view.dates) for view in archive.views),
        "pairs_of_dates": sum(len(view.dates) * (len(view.dates) - 1) // 2 for view in archive.views),
        "sensors": sorted({view.sensor for view in archive.views}),
        "licences": sorted({view.licence for view in archive.views}),
        "places": list(places.values()),
    }


def to_levels(image: Float[np.ndarray, "height width"]) -> Levels:
    """Round an image to 256 levels or fewer.

    Raises:
        InputError: where it holds numbers that are not finite.
    """
    if not np.isfinite(image).all():
        raise InputError("an image with missing or infinite numbers cannot be packed: cut or fill the gaps first.")
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


def _unpack(file: zipfile.ZipFile, view: View, number: int, date: int, levels: Any) -> Levels:
    pixels = view.height * view.width
    packed = read_member(file, _member(number, date), 2 * pixels + 1000)
    raw = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=XZ).decompress(packed, pixels + 1)
    steps = np.frombuffer(raw, np.uint8).reshape(view.height, view.width).copy()
    steps[:, 0] = np.cumsum(steps[:, 0], dtype=np.uint8)
    middle, scale, step = (float(number) for number in levels)
    if not (math.isfinite(middle) and math.isfinite(scale * math.sinh(128 * step))):
        raise Malformed(f"{view.name} has levels that are no numbers")
    return Levels(np.cumsum(steps, axis=1, dtype=np.uint8), middle, scale, step)


def _view(entry: dict[str, Any]) -> View:
    view = build(View, entry, "view")
    if min(view.height, view.width) < 1 or not math.isfinite(view.pixel_m):
        raise Malformed(f"{view.name} claims {view.height} x {view.width} px of {view.pixel_m} m")
    if not all(math.isfinite(value) for shift in view.shifts for value in shift):
        raise Malformed(f"{view.name} claims shifts of {view.shifts} px")
    return view


def _refuse_bomb(views: Sequence[View]) -> None:
    """Refuse a small file that claims to unpack to more than any real one."""
    claimed = sum(view.height * view.width * len(view.dates) for view in views)
    if claimed > MOST_PIXELS:
        raise Malformed(f"it claims {claimed} pixels, more than any archive has")
