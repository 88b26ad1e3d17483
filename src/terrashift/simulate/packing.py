"""Gather a folder of images, place by place and date by date, into one archive for training."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage

from ..core.grid import Grid
from ..errors import InputError, OptionError
from ..io.atomic import atomic_path
from ..io.bands import Band, list_bands
from ..io.opening import explained, open_dataset
from ..io.raster import Raster, ReadOptions, open_raster, read_whole
from ..io.untrusted import Malformed, parse_yaml, read_text
from .archive import Archive, View
from .misregistration import misregistration

LEAST_SIDE_PX = 128
SAME_PLACE_PX = 4
"""Origins and sizes of one place's dates may differ by this much: providers cut crops by a pixel more or less."""
LARGEST_SHIFT_PX = 3.0
LEAST_MATCHED = 0.3
MASKS = ("original", "mask", "qa", "valid", "cloud")
"""Bands with these names are no imagery."""
LARGEST_BYTES = 40 * 2**20
SUFFIXES = (".tif", ".tiff", ".jp2", ".img", ".vrt")
DATE = re.compile(r"[-_]?(?<!\d)(\d{4}-\d{2}-\d{2}|\d{8}(T\d{6})?|date\d+)(?!\d)")
COLOURS = ("red", "green", "blue")
SPECK_PX = 8
"""Largest gap that is filled; around a larger one the image is cut."""
UNKNOWN = "unknown"


class About(NamedTuple):
    """What is known of some views beyond what their files tell."""

    views: str
    """Names of the views (`place/file band`), with `*` for anything."""
    sensor: str
    licence: str
    source: str = UNKNOWN


class PackOptions(NamedTuple):
    """What is taken from a folder."""

    split: str = "train"
    without_bands: tuple[str, ...] = ()
    """Bands to leave out, by name; where several bands tell much the same, one does."""
    about: tuple[About, ...] = ()
    """The first whose pattern fits a view tells of it."""


def read_about(path: str | Path) -> tuple[About, ...]:
    """Read what is known of views: a YAML list, each entry with `views`, `sensor`, `licence` and perhaps `source`.

    `views` is one pattern or a list of them.

    Raises:
        InputError: no such file, or no such list.
        OptionError: an entry with other keys, or values that are no text.
    """
    try:
        entries = parse_yaml(read_text(path))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: recipes/train/imagery.yaml is an example.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except Malformed as error:
        raise InputError(f"{path} is not YAML: {error}") from error
    if not isinstance(entries, list):
        raise InputError(f"{path} holds no list: each entry starts with `- views: PATTERN`.")
    return tuple(
        about for number, entry in enumerate(entries, 1) for about in _entry(entry, f"entry {number} of {path}")
    )


def _entry(entry: Any, where: str) -> Iterator[About]:
    if not isinstance(entry, dict) or not {"views", "sensor", "licence"} <= set(entry) <= set(About._fields):
        raise OptionError(f"{where} is {entry!r}: it takes {', '.join(About._fields)}.")
    patterns = entry["views"] if isinstance(entry["views"], list) else [entry["views"]]
    for pattern in patterns:
        about = About(**{**entry, "views": pattern})
        if not all(isinstance(text, str) for text in about):
            raise OptionError(f"{where} is {entry!r}: put its values in quotes.")
        yield about


def pack(
    folder: str | Path, path: str | Path, options: PackOptions, tell: Callable[[str], None] = lambda _: None
) -> Archive:
    """Pack the rasters below `folder` into the archive `path`.

    A place is a folder whose files are called alike but for their dates; else a file name without its date.

    Dates of one place on one grid become one view per band, shifted against each other by what phase correlation
    finds; dates that match nowhere, or are apart by more than 3 px, become views of their own. Of images with gaps
    (no data, or zero) the largest whole rectangle is kept.

    Args:
        folder: where rasters are looked for, below it too.
        path: the archive, replaced where it exists.
        options: what is taken, and what is known of it.
        tell: called with a line about each thing left out or taken apart.

    Raises:
        InputError: where nothing usable is found, a raster is damaged, or the archive would be too large.
        OutputError: where the archive cannot be written.
    """
    views = [view for group in _groups(Path(folder)) for view in _views(group, options, tell)]
    if not views:
        raise InputError(
            f"{folder} holds no raster of {LEAST_SIDE_PX} px a side or more without gaps ({', '.join(SUFFIXES)}): "
            "give another folder."
        )
    unknown = sorted({view.place for view, _ in views if view.licence == UNKNOWN})
    if unknown:
        tell(f"licence unknown: {', '.join(unknown)}")
    archive = Archive.of(views)
    with atomic_path(path) as temporary:
        archive.save(temporary)
        size = temporary.stat().st_size
        if size > LARGEST_BYTES:
            raise InputError(
                f"the archive would take {size / 2**20:.1f} MiB, more than {LARGEST_BYTES / 2**20:.0f}: leave out "
                "bands or places."
            )
    return archive


class _Date(NamedTuple):
    """One file of a place."""

    raster: Raster
    bands: tuple[tuple[int, str], ...]
    """Numbers and names of those that hold imagery."""
    label: str


class _Group(NamedTuple):
    """Dates of one place on one grid."""

    place: str
    name: str
    dates: list[_Date]


def _groups(folder: Path) -> list[_Group]:
    """Files below a folder that show one place on one grid, in the order of their names."""
    found: dict[str, list[_Group]] = {}
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    stems: dict[Path, set[str]] = {}
    for file in files:
        stems.setdefault(file.parent, set()).add(DATE.sub("", file.stem))
    for file in files:
        stem = DATE.sub("", file.stem)
        place = file.parent.relative_to(folder).as_posix() if file.parent != folder else stem or file.stem
        name = "/".join(part for part in (place if file.parent != folder else "", stem) if part) or place
        if len(stems[file.parent]) > 1:  # a folder of files that need not have to do with each other
            place = name
        date = _open(file)
        groups = found.setdefault(name, [])
        for group in groups:
            first = group.dates[0]
            if _one_grid(first.raster.grid, date.raster.grid) and first.bands == date.bands:
                group.dates.append(date)
                break
        else:
            groups.append(_Group(place, f"{name}#{len(groups)}" if groups else name, [date]))
    return [group for groups in found.values() for group in groups]


def _open(file: Path) -> _Date:
    with explained(str(file)), open_dataset(str(file)) as dataset:
        bands = tuple((band.number, _name(band)) for band in list_bands(dataset) if not band.is_alpha)
    raster = open_raster(str(file), ReadOptions(band=str(bands[0][0]) if bands else "1"))
    label = raster.date.date().isoformat() if raster.date else file.stem.rsplit("_", 1)[-1]
    return _Date(raster, tuple((number, name) for number, name in bands if name.lower() not in MASKS), label)


def _name(band: Band) -> str:
    return band.description or (band.colour if band.colour in COLOURS else str(band.number))


def _one_grid(first: Grid, second: Grid) -> bool:
    """Whether two grids differ by a few pixels at most; without a CRS their sizes alone tell."""
    if first.crs != second.crs or any(
        abs(a - b) > SAME_PLACE_PX for a, b in zip(first.shape, second.shape, strict=True)
    ):
        return False
    column, row = ~first.transform @ (second.transform.c, second.transform.f)
    same_size = all(abs(a / b - 1) < 1e-3 for a, b in zip(first.pixel_size, second.pixel_size, strict=True))
    return same_size and (first.crs is None or max(abs(column), abs(row)) < SAME_PLACE_PX)


def _views(group: _Group, options: PackOptions, tell: Callable[[str], None]) -> Iterator[tuple[View, list[np.ndarray]]]:
    """Views of a place, one per band and set of dates that match each other, with their images."""
    place, name, dates = group
    grid = dates[0].raster.grid
    if min(grid.shape) < LEAST_SIDE_PX:
        tell(f"left out: {name} is smaller than {LEAST_SIDE_PX} px")
        return
    for number, band in dates[0].bands:
        if band in options.without_bands:
            continue
        images = _cut_to_whole([_read(date, number) for date in dates])
        if min(images[0].shape) < LEAST_SIDE_PX:
            tell(f"left out: {name} {band} has gaps everywhere")
            continue
        about = _about(f"{name} {band}", options.about)
        facts = {"sensor": about.sensor, "licence": about.licence, "source": about.source, "split": options.split}
        height, width = images[0].shape
        pixel_m = grid.pixel_size[0] if grid.crs else 0.0
        view = View(
            f"{name} {band}", place, band, **facts, pixel_m=pixel_m, dates=(), shifts=(), height=height, width=width
        )
        yield from _by_shift(view, dates, images, tell)


def _about(name: str, known: tuple[About, ...]) -> About:
    return next((about for about in known if fnmatch.fnmatchcase(name, about.views)), About("*", UNKNOWN, UNKNOWN))


def _by_shift(
    view: View, dates: list[_Date], images: list[np.ndarray], tell: Callable[[str], None]
) -> Iterator[tuple[View, list[np.ndarray]]]:
    """One view of the dates that match the first, after one of each other date."""
    together, shifts, labels = [images[0]], [(0.0, 0.0)], [dates[0].label]
    for date, image in zip(dates[1:], images[1:], strict=True):
        found = misregistration(torch.from_numpy(images[0]), torch.from_numpy(image))
        if found.matched >= LEAST_MATCHED and max(map(abs, found.xy)) <= LARGEST_SHIFT_PX:
            together.append(image)
            shifts.append(found.xy)
            labels.append(date.label)
        else:
            x, y = found.xy
            tell(
                f"{view.name} {date.label} kept by itself: {found.matched:.0%} of it match the first date, "
                f"({x:.2f}, {y:.2f}) px away"
            )
            yield replace(view, name=f"{view.name} {date.label}", dates=(date.label,), shifts=((0.0, 0.0),)), [image]
    yield replace(view, dates=tuple(labels), shifts=tuple(shifts)), together


def _read(date: _Date, number: int) -> Float[np.ndarray, "height width"]:
    raster = open_raster(date.raster.path, ReadOptions(band=str(number)))
    image = read_whole(raster).numpy()
    image[image == 0] = np.nan  # fill values that the file does not name; true zeros are as rare as they are useless
    return image


def _cut_to_whole(images: list[np.ndarray]) -> list[np.ndarray]:
    """The largest rectangle that is whole in all images, which may differ in size by a few pixels."""
    height, width = (min(image.shape[k] for image in images) for k in (0, 1))
    stack = _fill_specks(np.stack([image[:height, :width] for image in images]))
    rows, columns = largest_rectangle(_whole(stack))
    return [np.ascontiguousarray(image[rows, columns]) for image in stack]


def _fill_specks(images: Float[np.ndarray, "date height width"]) -> Float[np.ndarray, "date height width"]:
    """A few missing pixels take the value of the nearest whole one, so that they do not cost a whole row."""
    gap = ~_whole(images)
    if gap.all():
        return images
    label = np.asarray(ndimage.label(gap)[0], int)  # pyright: ignore[reportIndexIssue]
    speck = (np.bincount(label.ravel()) <= SPECK_PX)[label] & gap
    row, column = np.asarray(ndimage.distance_transform_edt(gap, return_distances=False, return_indices=True))
    return np.where(speck, images[:, row, column], images)


def _whole(images: Float[np.ndarray, "date height width"]) -> Bool[np.ndarray, "height width"]:
    return np.asarray(np.isfinite(images).all(0))


def largest_rectangle(good: Bool[np.ndarray, "height width"]) -> tuple[slice, slice]:
    """Rows and columns of the largest rectangle that is good throughout.

    >>> largest_rectangle(np.array([[True, True, False], [True, True, True]]))
    (slice(0, 2, None), slice(0, 2, None))
    """
    best, where = 0, (slice(0, 0), slice(0, 0))
    above = np.zeros(good.shape[1], int)
    for row, line in enumerate(good):
        above = np.where(line, above + 1, 0)
        stack: list[tuple[int, int]] = []  # (first column, height), heights rising
        for column, height in enumerate([*above.tolist(), 0]):
            start = column
            while stack and stack[-1][1] >= height:
                start, tall = stack.pop()
                if tall * (column - start) > best:
                    best = tall * (column - start)
                    where = slice(row - tall + 1, row + 1), slice(start, column)
            stack.append((start, height))
    return where
