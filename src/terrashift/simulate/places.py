"""Where pairs get their ground from: the user's own images, a packed archive, or made-up landscapes."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from affine import Affine
from jaxtyping import Float
from numpy.random import Generator
from torch import Tensor

from ..core.grid import Grid
from ..core.image import Image
from ..core.source import cut
from ..errors import InputError, OptionError
from ..io.raster import Raster, RasterPair, ReadOptions, checksum, open_pair, open_raster
from ..io.vectors import Line, read_lines, refuse_far
from .archive import Archive, Levels, View
from .dates import NO_OFFSET
from .misregistration import Misregistration, misregistration
from .scene import SceneOptions, procedural_scene
from .trace import joined

Split = Literal["train", "validation", "test"]
SHARES: tuple[tuple[Split, int], ...] = (("train", 16), ("validation", 2), ("test", 2))
WHOLE_PX = 2048
"""Larger images are looked at in samples where their offset and brightness are found out."""
SAMPLE_PX, SAMPLES = 512, 4
LEAST_MATCHED = 0.05
"""Share of the windows that two dates must match in; a few match by chance."""
PROCEDURAL_PIXEL_M = 10.0
COUNTS = 10_000
"""Of made-up landscapes, for a reflectance of 1, as in Sentinel-2 products."""


class Look(NamedTuple):
    """A window of both dates of a place; None where there is but one."""

    first: Image
    second: Image | None


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Ground seen on one or two dates, and what a reader of a data set wants to know of it."""

    name: str
    dates: tuple[str, ...]
    sensor: str
    licence: str
    grid: Grid
    """Of every date."""
    pixel_m: float
    """0 where it is not known."""
    offset: Misregistration
    """Of the second date against the first."""
    levels: tuple[float, float]
    """Mean and deviation of the first date."""
    read: Callable[[int, int, int, int], tuple[Tensor, Tensor | None]]
    """(row, column, height, width) -> both dates, NaN outside."""
    source: str = "unknown"
    """Where the images come from."""

    def look(self, row: int, column: int, height: int, width: int) -> Look:
        """A window as images; crops of images without a CRS count from their own first pixel."""
        grid = self.grid.crop(row, column, height, width)
        if self.grid.crs is None:
            grid = Grid(height, width, Affine.identity())
        first, second = self.read(row, column, height, width)
        return Look(
            Image(first[None], grid, name=f"{self.name} {self.dates[0]}".strip()),
            None if second is None else Image(second[None], grid, name=f"{self.name} {self.dates[1]}".strip()),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Lines that the user drew, in the CRS of the place."""

    lines: tuple[Line, ...]


@runtime_checkable  # the tests check every annotation
class Source(Protocol):
    """Gives a place for each random draw. The same draw gives the same place."""

    @property
    def inputs(self) -> dict[str, str | None]:
        """Files read, each with its checksum."""
        ...

    def place(self, random: Generator, side_px: int) -> Place:
        """A place of `side_px` or more along each side."""
        ...


def split_of(place: str) -> Split:
    """The split that a place belongs to by its name, always the same: 80 % train, 10 % validation, 10 % test.

    >>> split_of("norcia") == split_of("norcia")
    True
    """
    drawn = zlib.crc32(place.encode()) % sum(share for _, share in SHARES)
    for split, share in SHARES:
        if drawn < share:
            return split
        drawn -= share
    raise AssertionError("the shares cover every remainder")


@dataclass(frozen=True, slots=True, eq=False)
class OnePlace:
    """Always the same place."""

    only: Place
    inputs: dict[str, str | None]

    def place(self, random: Generator, side_px: int) -> Place:
        """The place, if it is large enough.

        Raises:
            InputError: it is smaller than `side_px`.
        """
        if min(self.only.grid.shape) < side_px:
            raise InputError(
                f"{self.only.name} is {self.only.grid.height} x {self.only.grid.width} px, but {side_px} px are needed "
                "for a pair, its motion and the reach of resampling: pass a smaller --size, a smaller --class, or a "
                "larger image."
            )
        return self.only


class FileOptions(NamedTuple):
    """How files are read, and what they do not say of themselves."""

    read: ReadOptions
    place: str | None = None
    sensor: str = "unknown"
    licence: str = "unknown"
    split: Split | None = None


def place_of_files(before: str, after: str | None, options: FileOptions) -> OnePlace:
    """A place from one GeoTIFF, or from two on one grid, which are opened once and read window by window.

    Raises:
        InputError, GridMismatchError: as `open_pair`; or an image holds no data or no contrast, or the dates match
            nowhere.
        OptionError: the place belongs to another split by its name.
    """
    name = options.place or _name_of_files(before, after)
    if options.split and split_of(name) != options.split:
        raise OptionError(
            f"the place {name!r} belongs to the split {split_of(name)!r} by its name, not to {options.split!r}; so no "
            f"place is ever in two of them. Pass --split {split_of(name)}, leave --split out, or name it with --place."
        )
    if after is None:
        raster = open_raster(before, options.read)
        grid, dates = raster.grid, (_date(raster),)

        def read(row: int, column: int, height: int, width: int) -> tuple[Tensor, Tensor | None]:
            return raster.read(row, column, height, width), None

    else:
        pair: RasterPair = open_pair(before, after, options.read)
        grid, dates = pair.grid, (_date(pair.before), _date(pair.after))

        def read(row: int, column: int, height: int, width: int) -> tuple[Tensor, Tensor | None]:
            return pair.read(row, column, height, width)

    if grid.crs is None:
        grid = Grid(
            *grid.shape, Affine.identity()
        )  # traces are drawn in columns and rows there, whatever the file says
    offset, levels = _whole_image(name, grid, read)
    pixel_m = grid.pixel_size[0] if grid.crs else 0.0
    place = Place(name, dates, options.sensor, options.licence, grid, pixel_m, offset, levels, read)
    return OnePlace(place, {path: checksum(path) for path in (before, after) if path})


@dataclass(frozen=True, slots=True, eq=False)
class ArchivePlaces:
    """Any place of a packed archive, any one or two of its dates; large places come up a little more often."""

    archive: Archive
    inputs: dict[str, str | None]

    @classmethod
    def open(cls, path: str, split: Split | None) -> ArchivePlaces:
        """Read an archive, or one split of it.

        Raises:
            InputError: it cannot be read, or holds nothing of that split.
        """
        archive = Archive.load(path)
        found = sorted({view.split for view in archive.views})
        if split:
            archive = archive.only(split)
        if not archive.views:
            raise InputError(f"{path} holds no place of the split {split!r}, only of: {', '.join(found) or 'none'}.")
        return cls(archive, {path: checksum(path)})

    def place(self, random: Generator, side_px: int) -> Place:
        """A place drawn by the square root of its area.

        Raises:
            InputError: no place is as large as `side_px`.
        """
        sizes = np.array(
            [math.sqrt(v.height * v.width) * (min(v.height, v.width) >= side_px) for v in self.archive.views]
        )
        if not sizes.any():
            raise InputError(
                f"no place of the archive is as large as the {side_px} px of a pair and its margins: pass a "
                "smaller --size or --class."
            )
        number = int(random.choice(len(sizes), p=sizes / sizes.sum()))
        view, pixels = self.archive.views[number], self.archive.pixels[number]
        one = int(random.integers(len(pixels)))
        two = (one + 1 + int(random.integers(len(pixels) - 1))) % len(pixels) if len(pixels) > 1 else None
        return _place_of_view(view, pixels, one, two)


@dataclass(frozen=True, slots=True, eq=False)
class MadeUpPlaces:
    """Made-up landscapes, each drawn anew."""

    split: Split | None
    inputs: dict[str, str | None]

    def place(self, random: Generator, side_px: int) -> Place:
        """A landscape of `side_px` x `side_px`, named by its seed, which also says in which split it is."""
        seed = int(random.integers(10**6))
        while self.split and split_of(f"procedural {seed}") != self.split:
            seed = int(random.integers(10**6))
        scene = procedural_scene(side_px, side_px, seed, SceneOptions(kind="any"))
        first, second = ((COUNTS * image[0]).float() for image in scene)
        transform = Affine(PROCEDURAL_PIXEL_M, 0, 500_000, 0, -PROCEDURAL_PIXEL_M, 4_000_000)
        grid = Grid(side_px, side_px, transform, "EPSG:32631")
        return Place(
            name=f"procedural {seed}",
            dates=("made up", "made up"),
            sensor="TerraShift procedural scene",
            licence="CC0-1.0",
            grid=grid,
            pixel_m=PROCEDURAL_PIXEL_M,
            offset=NO_OFFSET,
            levels=(float(first.mean()), float(first.std())),
            read=_reader(first, second),
        )


def archive_or_landscapes(path: str | Path | None, split: Split | None) -> ArchivePlaces | MadeUpPlaces:
    """Where pairs come from that show no image of the user's.

    Raises:
        InputError: as `ArchivePlaces.open`.
    """
    return ArchivePlaces.open(str(path), split) if path else MadeUpPlaces(split, {})


def trace_on(path: str | Path, place: Place) -> Trace:
    """The lines of a GeoJSON file, in the CRS of a place; pieces that end where others begin are one line.

    Raises:
        InputError: as `read_lines`, or the lines do not lie on the place.
    """
    lines = read_lines(path, place.grid.crs)
    refuse_far(lines, place.grid, str(path))
    return Trace(tuple(joined(lines)))


def _place_of_view(view: View, pixels: tuple[Levels, ...], one: int, two: int | None) -> Place:
    first = torch.from_numpy(pixels[one].values())
    second = None if two is None else torch.from_numpy(pixels[two].values())
    offset = NO_OFFSET
    if two is not None:
        x, y = (b - a for a, b in zip(view.shifts[one], view.shifts[two], strict=True))
        offset = Misregistration((x, y), (math.nan, math.nan), 1.0)
    dates = tuple(view.dates[k] for k in (one, two) if k is not None)
    return Place(
        name=view.place,
        dates=dates,
        sensor=f"{view.sensor}, {view.band}",
        licence=view.licence,
        grid=Grid(view.height, view.width, Affine.identity()),
        pixel_m=view.pixel_m,
        offset=offset,
        levels=(float(first.mean()), float(first.std())),
        read=_reader(first, second),
        source=view.source,
    )


def _reader(
    first: Float[Tensor, "rows columns"], second: Float[Tensor, "rows columns"] | None
) -> Callable[[int, int, int, int], tuple[Tensor, Tensor | None]]:
    def read(row: int, column: int, height: int, width: int) -> tuple[Tensor, Tensor | None]:
        window = row, column, height, width
        return cut(first, *window), None if second is None else cut(second, *window)

    return read


def _name_of_files(before: str, after: str | None) -> str:
    """What both names begin with, else the folder's name."""
    stems = [re.sub(r"[-_ ]*(before|after|date\d)$", "", Path(path).stem) for path in (before, after) if path]
    shared = [letters[0] for letters in takewhile(lambda letters: len({*letters}) == 1, zip(*stems, strict=False))]
    common = re.sub(r"[-_ ]*((19|20)[-\d]*)?[-_ ]*$", "", "".join(shared))
    return common if len(common) >= 3 else Path(before).resolve().parent.name or "place"


def _date(raster: Raster) -> str:
    return raster.date.date().isoformat() if raster.date else ""


def _whole_image(
    name: str, grid: Grid, read: Callable[..., tuple[Tensor, Tensor | None]]
) -> tuple[Misregistration, tuple[float, float]]:
    """Offset of the dates, and mean and deviation of the first."""
    looks = [read(*window) for window in _samples(grid.shape)]
    for k in (0, 1):
        known = torch.cat(
            [image[image.isfinite()] for look in looks if (image := look[k]) is not None] or [torch.ones(1)]
        )
        which = ("before", "after")[k]
        if not known.numel():
            raise InputError(f"the {which} image of {name} holds no data: give one with data, or look at --nodata.")
        if looks[0][k] is not None and known.min() == known.max():
            raise InputError(f"the {which} image of {name} is {known[0]:g} everywhere: motion cannot be seen on it.")
    values = torch.cat([first[first.isfinite()] for first, _ in looks]).double()
    levels = float(values.mean()), float(values.std())
    if looks[0][1] is None:
        return NO_OFFSET, levels
    found = [misregistration(first, second) for first, second in looks if second is not None]
    matched = sum(one.matched for one in found) / len(found)
    if matched < LEAST_MATCHED:
        raise InputError(
            f"the two dates of {name} match nowhere, so that their own offset, a part of the truth, is not known: "
            "check that both show one place (`terrashift check`), or give one image only."
        )
    clear = [one for one in found if math.isfinite(one.xy[0])]
    x, y, wide, high = np.median([(*one.xy, *one.spread) for one in clear], axis=0).tolist()
    return Misregistration((x, y), (wide, high), matched, sum(one.count for one in clear)), levels


def _samples(shape: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Windows that stand for an image: all of it if it is small."""
    if max(shape) <= WHOLE_PX:
        return [(0, 0, *shape)]
    sizes = [min(SAMPLE_PX, side) for side in shape]
    starts = [
        np.unique(np.linspace(0, side - size, SAMPLES).astype(int)) for side, size in zip(shape, sizes, strict=True)
    ]
    return [(int(row), int(column), sizes[0], sizes[1]) for row in starts[0] for column in starts[1]]
