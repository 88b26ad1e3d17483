"""Keep to the ground that both images may show, so that a small image in a large one costs what a small one does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from affine import Affine
from jaxtyping import Float
from torch import Tensor

from ..core.grid import Grid
from .mapping import Behind, Linear, Mapping, Part, Polynomial, Sum
from .result import Registration
from .sources import Readable

MARGIN = 0.5
"""Of the common ground's extent, left around it for offsets."""
LEAST_MARGIN_PX = 64
WORTH_IT = 0.7
"""Share of an image above which it is taken whole."""
ALONG = 200


@dataclass(frozen=True, slots=True, eq=False)
class Cropped:
    """A part of an image; a `Readable` that ends where the part ends."""

    image: Readable
    row: int
    column: int
    grid: Grid

    def read(self, row: int, column: int, height: int, width: int) -> Float[Tensor, "height width"]:
        """See `Readable`; around the part the image gives what it has there."""
        return self.image.read(row + self.row, column + self.column, height, width)


class Region(NamedTuple):
    """Parts of two images, and the map between them."""

    reference: Readable
    moving: Readable
    start: Mapping
    offset: tuple[int, int]
    """(column, row) of the part's first pixel in the reference."""

    def whole(self, found: Registration, reference: Grid, moving: Grid, start: Mapping) -> Registration:
        """What was found on the parts, counted in pixels of the whole images."""
        if self.offset == (0, 0) and self.start is start:
            return found
        offset = np.array(self.offset, np.float64)
        ties = found.ties
        return replace(
            found,
            reference=reference,
            moving=moving,
            start=start,
            correction=_all_moved(found.correction, self.offset),
            ties=replace(ties, reference=ties.reference + offset[:, None], found=ties.found + offset[:, None]),
        )


def common_region(reference: Readable, moving: Readable, start: Mapping) -> Region:
    """Parts of both images that hold their common ground by `start` and a margin; wholes where that is most of them."""
    height, width = reference.grid.shape
    rows, columns = moving.grid.shape
    x = np.linspace(-0.5, width - 0.5, min(ALONG, width + 1))
    y = np.linspace(-0.5, height - 0.5, min(ALONG, height + 1))
    places = np.stack(np.meshgrid(x, y))
    at = start(places)
    inside = (at[0] >= -0.5) & (at[0] <= columns - 0.5) & (at[1] >= -0.5) & (at[1] <= rows - 0.5)
    if not inside.any():
        return Region(reference, moving, start, (0, 0))
    spacing = max(width, height) / (ALONG - 1)
    first = _part(reference, places[:, inside], spacing)
    x = np.linspace(first.column, first.column + first.grid.width, ALONG)
    y = np.linspace(first.row, first.row + first.grid.height, ALONG)
    at = start(np.stack(np.meshgrid(x, y)))
    second = _part(moving, at.reshape(2, -1), 0.0)
    if first.grid == reference.grid and second.grid == moving.grid:
        return Region(reference, moving, start, (0, 0))
    there = Linear(Affine.translation(first.column, first.row))
    back = Linear(Affine.translation(-second.column, -second.row))
    return Region(first, second, Mapping((there, *start.steps, back)), (first.column, first.row))


def _part(image: Readable, places: Float[np.ndarray, "2 n"], spacing: float) -> Cropped:
    """The part around places, with its margin."""
    grid = image.grid
    low, high = places.min(1) - spacing, places.max(1) + spacing
    margin = np.maximum(MARGIN * (high - low), LEAST_MARGIN_PX)
    limits = np.array([grid.width, grid.height])
    low = np.clip(np.floor(low - margin), 0, limits - 1).astype(int)
    high = np.clip(np.ceil(high + margin) + 1, low + 1, limits).astype(int)
    (left, top), (width, height) = low.tolist(), (high - low).tolist()
    if width * height > WORTH_IT * grid.width * grid.height:
        return Cropped(image, 0, 0, grid)
    return Cropped(image, top, left, grid.crop(top, left, height, width))


def _all_moved(correction: Sum, offset: tuple[int, int]) -> Sum:
    return Sum(tuple(_moved(part, offset) for part in correction.parts))


def _moved(part: Part, offset: tuple[int, int]) -> Part:
    x, y = offset
    if isinstance(part, Behind):
        flow = replace(part.flow, first=(part.flow.first[0] + x, part.flow.first[1] + y))
        return Behind(flow, _all_moved(part.known, offset))
    if isinstance(part, Polynomial):
        return replace(part, centre=(part.centre[0] + x, part.centre[1] + y))
    return replace(part, first=(part.first[0] + x, part.first[1] + y))
