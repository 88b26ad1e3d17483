"""Made-up landscapes packed like imagery, for training beside it, or where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..errors import OptionError
from ..io.atomic import atomic_path
from .archive import Archive, View
from .places import MadeUpPlaces, Split

SIDE_PX = 448
BAND = "made up"


def pack_scenes(count: int, path: str | Path, split: Split = "train", seed: int = 0) -> Archive:
    """Write `count` landscapes of 448 px a side, each on two dates, into the archive `path`.

    Landscapes of different splits never share a seed. Some three seconds of one core for each.

    Raises:
        OptionError: for fewer than one.
        OutputError: where the archive cannot be written.
    """
    if count < 1:
        raise OptionError(f"{count} landscapes: give 1 or more.")
    archive = Archive.of(_views(count, split, seed))
    with atomic_path(path) as temporary:
        archive.save(temporary)
    return archive


def _views(count: int, split: Split, seed: int) -> Iterator[tuple[View, list[Float[np.ndarray, "_ _"]]]]:
    for number in range(count):
        place = MadeUpPlaces(split, {}).place(np.random.default_rng([seed, number]), SIDE_PX)
        images = [image.numpy() for image in place.read(0, 0, SIDE_PX, SIDE_PX) if image is not None]
        view = View(
            name=f"{place.name} {BAND}",
            place=place.name,
            band=BAND,
            split=split,
            sensor=place.sensor,
            licence=place.licence,
            pixel_m=place.pixel_m,
            dates=tuple(f"date {k + 1}" for k in range(len(images))),
            shifts=((0.0, 0.0),) * len(images),
            height=SIDE_PX,
            width=SIDE_PX,
            source="terrashift",
        )
        yield view, images
