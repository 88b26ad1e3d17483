"""Gather a folder of images, place by place and date by date, into one archive for training."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from ..core.grid import Grid
from ..errors import InputError
from ..io.atomic import atomic_path
from ..io.raster import Raster, ReadOptions, open_raster
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


class PackOptions(NamedTuple):
    """What is taken from a folder."""

    split: str = "train"
    sensor: str = "unknown"
    licence: str = "unknown"
    without_bands: tuple[str, ...] = ()
    """Bands to leave out, by name; where several bands tell much the same, one does."""


def pack(
    folder: str | Path, path: str | Path, options: PackOptions, tell: Callable[[str], None] = lambda _: None
) -> Archive:
    """Pack the rasters below `folder` into the archive `path`: a place is a folder, or a file name without its date.

    Dates of one place on one grid become one view per band, shifted against each other by what phase correlation
    finds; dates that match nowhere, or are apart by more than 3 px, become views of their own. Of images with gaps
    the largest whole rectangle is kept.

    Raises:
        InputError: where nothing usable is found.
        OutputError: where the archive cannot be written.
    """
    views = [view for group in _groups(Path(folder)) for view in _views(group, options, tell)]
    if not views:
        raise InputError(f"{folder} holds no raster of {LEAST_SIDE_PX} px a side or more ({', '.join(SUFFIXES)}).")
    archive = Archive.of(views)
    with atomic_path(path) as temporary:
        archive.save(temporary)
        size = temporary.stat().st_size
        if size > LARGEST_BYTES:
            raise InputError(
                f"the archive would take {size / 2**20:.1f} MiB, more than {LARGEST_BYTES / 2**20:.0f}: leave out bands "
                "or places."
            )
    return archive


class _Date(NamedTuple):
    """One file of a place."""

    raster: Raster
    bands: tuple[str, ...]
    label: str


def _groups(folder: Path) -> Iterator[tuple[str, list[_Date]]]:
    """Files of one place that share a grid, by the name of the place."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    places: dict[str, list[list[_Date]]] = {}
    for file in files:
        place = file.parent.name if file.parent != folder else ""
        stem = re.sub(r"[-_]?(\d{4}-?\d{2}-?\d{2}|date\d)$", "", file.stem)
        name = f"{place}/{stem}" if place else stem
        date = _open(file)
        groups = places.setdefault(name, [])
        for group in groups:
            if _one_grid(group[0].raster.grid, date.raster.grid) and group[0].bands == date.bands:
                group.append(date)
                break
        else:
            groups.append([date])
    for name, groups in places.items():
        for number, group in enumerate(groups):
            yield f"{name}#{number}" if number else name, group


def _open(file: Path) -> _Date:
    import rasterio

    with rasterio.open(file) as dataset:
        names = tuple(name or str(k + 1) for k, name in enumerate(dataset.descriptions))
    raster = open_raster(str(file), ReadOptions(band="1"))
    label = raster.date.date().isoformat() if raster.date else file.stem.rsplit("_", 1)[-1]
    return _Date(raster, names, label)


def _one_grid(first: Grid, second: Grid) -> bool:
    if first.crs != second.crs or any(
        abs(a - b) > SAME_PLACE_PX for a, b in zip(first.shape, second.shape, strict=True)
    ):
        return False
    column, row = ~first.transform @ (second.transform.c, second.transform.f)
    same_size = all(abs(a / b - 1) < 1e-3 for a, b in zip(first.pixel_size, second.pixel_size, strict=True))
    return same_size and (first.crs is None or max(abs(column), abs(row)) < SAME_PLACE_PX)


def _views(
    group: tuple[str, list[_Date]], options: PackOptions, tell: Callable[[str], None]
) -> Iterator[tuple[View, list[np.ndarray]]]:
    name, dates = group
    if min(dates[0].raster.grid.shape) < LEAST_SIDE_PX:
        tell(f"left out: {name} is smaller than {LEAST_SIDE_PX} px")
        return
    for number, band in enumerate(dates[0].bands, 1):
        if band in options.without_bands or band.lower() in MASKS:
            continue
        images = _cut_to_whole([_read(date, number) for date in dates])
        if min(images[0].shape) < LEAST_SIDE_PX:
            tell(f"left out: {name} {band} has gaps everywhere")
            continue
        pixel_m = dates[0].raster.grid.pixel_size[0] if dates[0].raster.grid.crs else 0.0
        place = name.split("/")[0].split("#")[0]
        shape = images[0].shape
        view = View(f"{name} {band}", place, band, options.split, options.sensor, options.licence, pixel_m, ())
        view = replace(view, height=shape[0], width=shape[1])
        yield from _by_shift(view, dates, images, tell)


def _by_shift(
    view: View, dates: list[_Date], images: list[np.ndarray], tell: Callable[[str], None]
) -> Iterator[tuple[View, list[np.ndarray]]]:
    """One view of the dates that match the first, and one of each other date."""
    together, shifts, labels = [images[0]], [(0.0, 0.0)], [dates[0].label]
    for date, image in zip(dates[1:], images[1:], strict=True):
        found = misregistration(torch.from_numpy(images[0]), torch.from_numpy(image))
        if found.matched >= LEAST_MATCHED and max(map(abs, found.xy)) <= LARGEST_SHIFT_PX:
            together.append(image)
            shifts.append(found.xy)
            labels.append(date.label)
        else:
            tell(f"{view.name} {date.label} does not match the first date ({found}): kept by itself")
            yield replace(view, name=f"{view.name} {date.label}", dates=(date.label,), shifts=((0.0, 0.0),)), [image]
    yield replace(view, dates=tuple(labels), shifts=tuple(shifts)), together


def _read(date: _Date, number: int) -> Float[np.ndarray, "height width"]:
    raster = open_raster(date.raster.path, ReadOptions(band=str(number)))
    image = raster.read(0, 0, *raster.grid.shape).numpy()
    image[image == 0] = np.nan  # fill values that the file does not name; true zeros are as rare as they are useless
    return image


def _cut_to_whole(images: list[np.ndarray]) -> list[np.ndarray]:
    """The largest rectangle that is whole in all images, which may differ in size by a pixel or two."""
    height, width = (min(image.shape[k] for image in images) for k in (0, 1))
    images = [image[:height, :width] for image in images]
    whole = np.isfinite(images).all(0)
    single = _fill_specks(images, whole)
    rows, columns = largest_rectangle(np.isfinite(single).all(0))
    return [np.ascontiguousarray(image[rows, columns]) for image in single]


def _fill_specks(images: list[np.ndarray], whole: Bool[np.ndarray, "height width"]) -> list[np.ndarray]:
    """Single missing pixels take the value of the pixel to their left, so that they do not cost a whole row."""
    from scipy import ndimage

    size = ndimage.label(~whole)
    counts = np.bincount(size[0].ravel())
    speck = (counts < 9)[size[0]] & ~whole
    nearest = ndimage.distance_transform_edt(~whole, return_distances=False, return_indices=True)
    return [np.where(speck, image[tuple(nearest)], image) for image in images]


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
