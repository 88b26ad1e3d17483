"""Make pairs with exact truth out of one or two dates of a real place."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from affine import Affine
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor

from ..core.grid import Grid
from ..core.image import Image
from ..errors import GridMismatchError, InputError
from ..ops.random import Random
from ..ops.spline import Crops, coefficients, sample_moved
from .displacement import Displacement
from .misregistration import Misregistration, misregistration
from .pair import to_pixels
from .radiometry import OFF, Radiometry, alter

REACH_PX = 8
"""A value between pixels that would be made of missing ones within this distance is NaN. What lies further away counts
for less than 1/25 of its own size, and only in the finest detail."""
SHIFT_PX = 0.5
NO_OFFSET = Misregistration((0.0, 0.0), (0.0, 0.0), 1.0)

Resample = Literal["before", "both"]


@dataclass(frozen=True, slots=True)
class DateOptions:
    """How a pair is made of its dates."""

    resample: Resample = "both"
    """before: `after` is the second date untouched. both: each is moved by up to half a pixel too, so that the blur of
    resampling tells nothing."""
    two_dates: Radiometry = OFF
    """Change of `after`, on top of that between two real dates."""
    one_date: Radiometry = field(default_factory=Radiometry)
    """Change of `after` where there is but one date."""
    one_date_noise: float = 0.05
    """Largest deviation of the noise of `before` there: else both images share theirs, which nature never does."""
    offset: Misregistration | None = None
    """Of the second date against the first; estimated where it is not known."""
    levels: tuple[float, float] | None = None
    """Mean and deviation of the place, which radiometry counts in; those of the first date where they are not known."""


class DatedPair(NamedTuple):
    """Two images and how the ground moved between them, on the grid of `before`."""

    before: Image
    after: Image
    flow: Float[Tensor, "2 height width"]
    """(x right, y down) px: the ground at p in `before` is at p + flow(p) in `after`; motion and `still`."""
    east: Float[Tensor, "height width"]
    """`flow` in m (the grid's unit)."""
    north: Float[Tensor, "height width"]
    trace: Bool[Tensor, "height width"]
    """True on the pixels along the rupture: see `Displacement.trace`."""
    still: tuple[float, float]
    """(x, y) px: the part of `flow` that is no motion of the ground, the same everywhere."""
    offset: Misregistration
    """The offset between the dates within `still`, and how sure it is."""


class WindowPairs(NamedTuple):
    """Many small pairs of one place."""

    before: Float[Tensor, "window side side"]
    after: Float[Tensor, "window side side"]


def pair_from_dates(
    first: Image, second: Image | None, motion: Displacement, options: DateOptions | None = None, seed: int = 0
) -> DatedPair:
    """Move the ground between two dates of a place, or between one date and itself with made-up change.

    before(p) = first(p + d(p)), resampled once by splines that place what is coarser than 0.42 cycles/px right to
    0.002 px; `after` is the second date. What is at q on the first date is at q + s on the second, s being the
    misregistration of the two, so that flow = d + s (and the shifts of `DateOptions.resample`) is known exactly on both
    sides of the trace. What cannot be known is where the dates differ locally: see `Misregistration.spread`.

    Args:
        first: one band; larger than the motion's grid by the same number of pixels on each side, or of its size, when
            an edge of the motion and `REACH_PX` comes out as NaN.
        second: on the same grid; None to use the first again.
        motion: on the middle of that grid.
        options: see there.
        seed: of shifts and radiometry; the same seed gives the same pair.

    Raises:
        GridMismatchError: the dates are on two grids.
        InputError: more than one band, an image without data or contrast, a motion that does not fit, or dates that
            match nowhere.
    """
    options = options or DateOptions()
    _refuse(first, second)
    margin = _margin(first.grid, tuple(motion.east.shape))
    grid = inner_grid(first.grid, margin, (motion.east.shape[0], motion.east.shape[1]))
    offset = _offset(first, second, options)
    random = Random.of(seed, [0])
    shifts = [_shift(random, name, options)[0] for name in ("before", "after")]
    moved = to_pixels(grid, motion.east, motion.north)
    corner = torch.tensor([[margin, margin]])

    before = _Ground.of(first.pixels[0]).seen(corner, (moved + shifts[0][:, None, None])[None])
    other = _Ground.of((second or first).pixels[0])
    after = other.seen(corner, shifts[1][:, None, None].expand(1, 2, *grid.shape))
    before, after = _changed(before, after, second is None, options, _levels(first, options), random)

    still = shifts[0] - shifts[1] + torch.tensor(offset.xy)
    flow = moved + still[:, None, None]
    east, north = grid.to_metres(flow)
    x, y = still.tolist()
    return DatedPair(
        Image(before, grid, first.date, first.bands, "before"),
        Image(after, grid, (second or first).date, first.bands, "after"),
        *(flow, east, north, motion.trace, (x, y), offset),
    )


def windows_from_dates(
    look: tuple[Image, Image | None],
    corners: Int[Tensor, "window 2"],
    flow: Float[Tensor, "window 2 side side"],
    options: DateOptions | None = None,
    seed: int = 0,
) -> WindowPairs:
    """Many windows of one image at once, in which all together moves by `flow`, the offset of the dates included.

    Args:
        look: both dates, as in `pair_from_dates`.
        corners: (row, column) of the first pixel of each window.
        flow: (x right, y down) px on the grid of `before` of each window.
        options: see there.
        seed: of shifts and radiometry.

    Raises:
        GridMismatchError, InputError: as `pair_from_dates`.
    """
    options = options or DateOptions()
    first, second = look
    _refuse(first, second)
    offset = torch.tensor(_offset(first, second, options).xy)
    random = Random.of(seed, range(len(corners)))
    shift = _shift(random, "after", options)
    side = flow.shape[-1]
    before = _Ground.of(first.pixels[0]).seen(corners, flow + (shift - offset)[:, :, None, None])
    other = _Ground.of((second or first).pixels[0])
    after = other.seen(corners, shift[:, :, None, None].expand(-1, -1, side, side))
    return WindowPairs(*_changed(before, after, second is None, options, _levels(first, options), random))


def inner_grid(grid: Grid, margin: int, shape: tuple[int, int]) -> Grid:
    """The grid without a margin; without a CRS it counts from its own first pixel."""
    if grid.crs is None:
        return Grid(*shape, Affine.identity())
    return grid.crop(margin, margin, *shape) if margin else grid


@dataclass(frozen=True, slots=True, eq=False)
class _Ground:
    """An image that can be read between its pixels."""

    row: Float[Tensor, " samples"]
    """Spline coefficients: see `ops.spline`."""
    middle: float
    """Taken away before, for the sake of precision."""
    pixels: Float[Tensor, "height width"]
    near_holes: Bool[Tensor, "height width"]
    """Within `REACH_PX` of a hole or of the image's edge."""

    @classmethod
    def of(cls, pixels: Float[Tensor, "height width"]) -> _Ground:
        """Gaps take the value of the nearest pixel, which splines see beyond `REACH_PX` only."""
        image = pixels.numpy()
        holes = ~np.isfinite(image)
        middle = float(np.mean(image[~holes], dtype=np.float64))
        if holes.any():
            nearest = ndimage.distance_transform_edt(holes, return_distances=False, return_indices=True)
            image = image[tuple(nearest)]  # pyright: ignore[reportArgumentType, reportCallIssue]
        wide = ndimage.binary_dilation(np.pad(holes, 1, constant_values=True), np.ones((2 * REACH_PX + 1,) * 2))
        row = torch.from_numpy(coefficients(image.astype(np.float32) - np.float32(middle)).ravel())
        near = torch.from_numpy(np.ascontiguousarray(wide[1:-1, 1:-1]))
        return cls(row, middle, pixels, near)

    def seen(
        self, corners: Int[Tensor, "window 2"], flow: Float[Tensor, "window 2 rows columns"]
    ) -> Float[Tensor, "window rows columns"]:
        """Crops at moved places, NaN where the image does not reach; whole pixels come back as they are."""
        height, width = self.pixels.shape
        rows, columns = flow.shape[-2:]
        count = len(corners)
        sizes = (torch.full((count,), side) for side in (height, width))
        crops = Crops(torch.zeros(count, dtype=torch.long), *sizes, *corners.long().unbind(1))
        values = sample_moved(self.row, crops, flow) + self.middle
        x = torch.arange(columns) + corners[:, 1, None, None] + flow[:, 0].double()
        y = torch.arange(rows)[:, None] + corners[:, 0, None, None] + flow[:, 1].double()
        column, row = x.round().long(), y.round().long()
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        at = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        whole = (x == column) & (y == row)
        values = torch.where(torch.take(self.near_holes, at), torch.nan, values)
        values = torch.where(whole, torch.take(self.pixels, at), values)
        return torch.where(inside, values, torch.nan)


def _changed(
    before: Float[Tensor, "window rows columns"],
    after: Float[Tensor, "window rows columns"],
    alone: bool,
    options: DateOptions,
    levels: tuple[float, float],
    random: Random,
) -> tuple[Tensor, Tensor]:
    """Radiometry, in deviations of the place about its mean."""
    mean, deviation = levels
    noise = replace(OFF, noise=options.one_date_noise)
    changes = (noise, options.one_date) if alone else (OFF, options.two_dates)
    results = []
    for image, radiometry, name in zip((before, after), changes, ("before", "after"), strict=True):
        if radiometry == OFF:
            results.append(image)
        else:
            standard = alter((image - mean) / deviation, radiometry, random.split(f"radiometry {name}"))
            results.append(standard * deviation + mean)
    return results[0], results[1]


def _shift(random: Random, name: str, options: DateOptions) -> Float[Tensor, "window 2"]:
    """(x, y) px by which an image is moved as a whole: it shows at p what was at p + shift."""
    drawn = random.uniform(f"shift {name}", 2, low=-SHIFT_PX, high=SHIFT_PX)
    return drawn if options.resample == "both" else torch.zeros_like(drawn)


def _refuse(first: Image, second: Image | None) -> None:
    if second is not None and second.grid != first.grid:
        raise GridMismatchError(
            f"the first date is {first.grid}; the second is {second.grid}: put them on one grid first, "
            "`terrashift register second.tif first.tif -o aligned.tif`."
        )
    for image in (first, second):
        if image is None:
            continue
        if image.pixels.shape[0] != 1:
            raise InputError(f"an image of {image.pixels.shape[0]} bands: give one band.")
        known = image.pixels[image.pixels.isfinite()]
        if not known.numel():
            raise InputError(f"image {image.name} holds no data at all: give one with data.")
        if known.min() == known.max():
            raise InputError(f"image {image.name} is {known[0]:g} everywhere: motion cannot be seen on it.")


def _margin(grid: Grid, inner: tuple[int, ...]) -> int:
    margin, rest = divmod(grid.height - inner[0], 2)
    if rest or margin < 0 or grid.width - inner[1] != 2 * margin:
        raise InputError(
            f"a motion of {inner[0]} x {inner[1]} px does not fit images of {grid.height} x {grid.width}: compute it "
            "on their grid, or on that grid less the same number of pixels on each side."
        )
    return margin


def _offset(first: Image, second: Image | None, options: DateOptions) -> Misregistration:
    if second is None:
        return NO_OFFSET
    offset = options.offset or misregistration(first.pixels[0], second.pixels[0])
    if not all(math.isfinite(part) for part in offset.xy):
        raise InputError(
            "the two dates match nowhere, so that their own offset, a part of the truth, is not known: check that both "
            "show one place with little cloud or change, or give one image only."
        )
    return offset


def _levels(first: Image, options: DateOptions) -> tuple[float, float]:
    if options.levels:
        return options.levels
    known = first.pixels[first.pixels.isfinite()].double()
    return float(known.mean()), float(known.std())
