"""Endless bursts with exact truth: a sharp image, and coarse frames of it that a satellite might have taken.

A real crop is the truth. Each frame is that crop (or the same place on another real date) moved by a fraction of a
coarse pixel, seen through a coarser camera, in other light, with noise, clouds and gaps. Frame 0 is the reference: the
truth has its place, its date and its brightness. Coarse pixel p has its middle at scale * p + (scale - 1)/2 of the
truth, and what lies at p on the reference lies at p + shift on a frame: frame(p + shift) = reference(p).

Real crops are blurred by the camera that took them. As they are they make truths like the product of a finer camera of
the same kind, which is what a user would get from one; averaged over 2 x 2 pixels first, they are sharp up to their
last frequency, with detail that no set of frames can tell. Bursts are made of both, unless told: a network that knows
the first alone leaves sharp ground soft, one that knows the second alone is never rewarded for detail near the limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InputError, OptionError
from ..ops.decimate import blur_of, camera_taps, decimate
from ..ops.random import Random, waves
from ..ops.spline import REACH, Crops, coefficients, sample_shifted
from .archive import Archive
from .stream import TURNED_TOGETHER

CLOUD_KNOTS, CLOUD_EDGE, BRIGHT = 5, 0.4, 3.0
"""Knots of a cloud field along a side, softness of its edges, brightness of clouds (deviations of the ground)."""
SEEN = 0.02
"""Cover of a cloud from which a pixel is not usable."""


@dataclass(frozen=True, slots=True)
class BurstOptions:
    """What bursts are made. Images count in standard deviations of their place."""

    scale: int = 3
    """Pixels of the truth along a pixel of the frames."""
    size_px: int = 32
    """Side of the frames."""
    batch: int = 8
    frames: tuple[int, int] = (4, 12)
    """Fewest and most frames; bursts drawn together have equally many."""
    bands: int = 1
    """Bands of one place and date; 2: red and near infrared, as a rule."""
    binning: tuple[int, ...] = (1, 2)
    """Sides of the squares of real pixels that are averaged before all else; each place counts with each."""
    shift_px: float = 1.3
    """Largest shift of a frame along each axis, pixels of the frames."""
    contrast: tuple[float, float] = (0.15, 0.4)
    """Least and largest contrast that the frames' camera leaves at half a cycle per pixel; see `ops.decimate`."""
    noise: tuple[float, float] = (0.005, 0.3)
    """Least and largest deviation of the noise at mean brightness, alike in all frames of a burst."""
    shot: float = 0.5
    """Share of the noise's variance that grows with brightness."""
    gain: float = 0.1
    """Largest relative change of contrast from the reference to a frame."""
    offset: float = 0.1
    """Largest change of brightness."""
    clouds: float = 0.3
    """Share of the frames with clouds; of references a quarter of that."""
    gaps: float = 0.05
    """Share of the frames that end at a line; no reference does."""
    change: float = 0.5
    """Share of the bursts with frames of other dates, where the place has any."""
    other: float = 0.5
    """Share of their frames drawn from all dates, not the reference's alone."""
    measured_px: float = 0.05
    """Deviation of measured shifts from the exact ones, each axis."""

    def __post_init__(self) -> None:
        if min(self.scale, self.size_px, self.batch, self.bands, *self.binning, self.frames[0]) < 1:
            raise OptionError(f"{self}: scale, size, batch, bands, binning and frames take 1 or more.")
        for name in ("frames", "contrast", "noise"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise OptionError(f"{name} from {low} to {high}: give the lesser first, and none below 0.")
        for contrast in self.contrast:
            blur_of(contrast)  # refuses what no camera leaves

    @property
    def largest_blur_px(self) -> float:
        """Of the camera with the least contrast, pixels of the frames."""
        return blur_of(self.contrast[0])


CLEAR = BurstOptions(
    size_px=48, frames=(9, 9), contrast=(0.25, 0.25), noise=(0.005, 0.005), clouds=0.0, gaps=0.0, change=0.0
)
CLASSES: dict[str, BurstOptions] = {
    "clean": CLEAR,
    "noisy": replace(CLEAR, noise=(0.2, 0.2)),
    "clouded, changed": replace(CLEAR, noise=(0.05, 0.05), clouds=0.6, gaps=0.1, change=1.0),
}
"""Bursts that methods are judged on: of validation places, with `VALIDATION_SEED`."""
VALIDATION_SEED = 20_000_401


class Burst(NamedTuple):
    """Frames and their truth."""

    frames: Float[Tensor, "batch frame band height width"]
    """Frame 0 is the reference. Numbers everywhere: clouds where there are clouds, 0 in gaps and absent frames."""
    usable: Float[Tensor, "batch frame 1 height width"]
    """1 on clear pixels, 0 on clouds, in gaps, and in all of an absent frame."""
    shifts_px: Float[Tensor, "batch frame 2"]
    """(x right, y down) px of the frames, exact: frame(p + shift) = reference(p). 0 for the reference; NaN for the
    others of real frames."""
    measured_px: Float[Tensor, "batch frame 2"]
    """What a registration might have found for them; exact, 0, for the reference."""
    blur_px: Float[Tensor, " batch"]
    """Deviation of the camera's Gaussian blur, pixels of the frames; NaN for real frames."""
    truth: Float[Tensor, "batch band fine_height fine_width"]
    known: Float[Tensor, "batch 1 fine_height fine_width"]
    """1 where the truth counts: everywhere, but for real ones."""
    scene: Int[Tensor, " batch"]
    """Number of the view (or group of bands) among those of the stream."""


class _Places(NamedTuple):
    """All images in one row of spline coefficients; what follows has an entry for each group of bands."""

    row: Float[Tensor, " samples"]
    start: Int[Tensor, " images"]
    """Where each image begins: groups one after another, in each all dates of the first band, then of the next."""
    shift: Float[Tensor, "images 2"]
    first: Int[Tensor, " groups"]
    """Number of its first image."""
    dates: Int[Tensor, " groups"]
    height: Int[Tensor, " groups"]
    width: Int[Tensor, " groups"]


class BurstStream:
    """Bursts by number: the same seed and number give the same burst, on every device and in whatever company.

    Args:
        archive: where truths are cut from; its images are kept on the device, 16 bytes a pixel.
        options: what bursts are made.
        seed: another one gives other bursts.
        device: where they are made.

    Raises:
        InputError: where no view of the archive serves.
    """

    def __init__(
        self, archive: Archive, options: BurstOptions | None = None, seed: int = 0, device: str = "cpu"
    ) -> None:
        self.options = options or BurstOptions()
        self.seed, self.device = seed, device
        apart = [abs(v) for view in archive.views for shift in view.shifts for v in shift]
        scale = self.options.scale
        self._around = _around(self.options)
        moved = math.ceil(scale * self.options.shift_px + 2 * max(apart, default=0.0))
        self._margin = REACH + 1 + moved + scale * self._around
        groups = [
            (group, binning)
            for binning in self.options.binning
            for group in _groups(archive, self.options.bands)
            if self._fits(archive, group, binning)
        ]
        if not groups:
            side = scale * self.options.size_px + 2 * self._margin
            raise InputError(
                f"no view of the archive is as large as {side} px after binning by {self.options.binning}, with "
                f"{self.options.bands} bands of a place, which frames of {self.options.size_px} px at scale {scale} "
                "need: make smaller frames, bin less, or take fewer bands."
            )
        self._places = _places(archive, groups, device)
        weight = (self._places.height * self._places.width).double().sqrt()
        # places with several dates count in full: they are the ones that show real change
        weight = weight * torch.where(self._places.dates > 1, 1.0, 0.4)
        self._cumulative = (weight.cumsum(0) / weight.sum()).float()

    def batch(self, number: int, batch: int | None = None) -> Burst:
        """The batch of this number, of `BurstOptions.batch` bursts unless told."""
        count = batch or self.options.batch
        return self.bursts(range(number * count, (number + 1) * count))

    def bursts(self, numbers: range | list[int]) -> Burst:
        """The bursts of these numbers, below 2^31, each the same in whatever company.

        A burst with fewer frames than another of the batch is filled up with absent ones, nowhere usable.
        """
        options, scale = self.options, self.options.scale
        random = Random.of(self.seed, list(numbers), self.device)
        together = self._together(list(numbers))
        counts = options.frames[0] + together.whole("frames", options.frames[1] - options.frames[0] + 1)
        each = _each(random, int(counts.max()))
        group = torch.searchsorted(self._cumulative, random.uniform("view")).clamp_max(len(self._places.first) - 1)
        shifts = each.uniform("shift", 2, low=-options.shift_px, high=options.shift_px).reshape(len(group), -1, 2)
        shifts[:, 0] = 0.0

        fine = self._look(group, shifts, random, each)
        blur = _uniform(random, "contrast", [blur_of(c) for c in options.contrast])
        taps = camera_taps(blur, scale, options.largest_blur_px)
        size = [scale * options.size_px] * 2
        inner = slice(scale * self._around, -scale * self._around)
        truth = fine[:, 0, :, inner, inner]
        seen = decimate(fine.flatten(1, 2), taps, scale).unflatten(1, fine.shape[1:3])
        seen = seen[..., self._around : -self._around, self._around : -self._around]
        frames = self._noise(self._light(seen, each), random, each)
        frames, usable = self._cover(frames, each)
        present = torch.arange(frames.shape[1], device=group.device) < counts[:, None]
        usable = usable * present[:, :, None, None, None]
        frames = torch.where(present[:, :, None, None, None], frames, 0.0)
        error = options.measured_px * each.normal("measured", 2).reshape(shifts.shape)
        error[:, 0] = 0.0
        burst = Burst(frames, usable, shifts, shifts + error, blur, truth, truth.new_ones(len(group), 1, *size), group)
        return turned(burst, together)

    def _together(self, numbers: list[int]) -> Random:
        """Sources that neighbouring bursts share: for what a batch had better have alike."""
        return Random.of(self.seed, [n - n % TURNED_TOGETHER for n in numbers], self.device).split("together")

    def _fits(self, archive: Archive, group: Sequence[int], binning: int) -> bool:
        view = archive.views[group[0]]
        return min(view.height, view.width) // binning >= self.options.scale * self.options.size_px + 2 * self._margin

    def _look(
        self, group: Tensor, shifts: Tensor, random: Random, each: Random
    ) -> Float[Tensor, "batch frame band fine_height fine_width"]:
        """The ground around each frame on the fine grid, moved to where the frame sees it."""
        options, places = self.options, self._places
        count = shifts.shape[1]
        side = options.scale * (options.size_px + 2 * self._around)
        dates = places.dates[group]
        reference = random.whole("date", dates)
        other = each.whole("other date", dates.repeat_interleave(count)).reshape(-1, count)
        drawn = (each.uniform("drawn").reshape(-1, count) < options.other) & random.chance("change", options.change)[
            :, None
        ]
        drawn[:, 0] = False
        date = torch.where(drawn, other, reference[:, None])
        bands = torch.arange(options.bands, device=group.device) * dates[:, None, None]
        image = places.first[group][:, None, None] + date[:, :, None] + bands  # batch frame band
        apart = places.shift[image] - places.shift[image[:, :1]]
        move = apart - options.scale * shifts[:, :, None]
        room = (
            torch.stack([places.width[group], places.height[group]], 1)
            - side
            - 2 * (self._margin - options.scale * self._around)
        )
        least = self._margin - options.scale * self._around
        corner = least + (random.uniform("corner", 2) * (room + 1)).long().minimum(room)
        column, row, height, width = (
            part.repeat_interleave(count * options.bands)
            for part in (corner[:, 0], corner[:, 1], places.height[group], places.width[group])
        )
        crops = Crops(places.start[image.flatten()], height, width, row, column)
        return sample_shifted(places.row, crops, move.reshape(-1, 2), (side, side)).reshape(*image.shape, side, side)

    def _light(self, frames: Tensor, each: Random) -> Tensor:
        """Every frame but the reference in contrast and brightness of its own."""
        shape = (frames.shape[0], frames.shape[1], 1, 1, 1)
        gain = 1 + self.options.gain * each.uniform("gain", low=-1.0, high=1.0).reshape(shape)
        offset = self.options.offset * each.uniform("offset", low=-1.0, high=1.0).reshape(shape)
        first = torch.arange(shape[1], device=frames.device).reshape(1, -1, 1, 1, 1) == 0
        return torch.where(first, frames, frames * gain + offset)

    def _noise(self, frames: Tensor, random: Random, each: Random) -> Tensor:
        low, high = self.options.noise
        deviation = low + (high - low) * random.uniform("noise").square()
        # a deviation of brightness more or less means a third of the photons
        photons = (1 + frames / 3).clamp(0, 3)
        variance = 1 - self.options.shot + self.options.shot * photons
        normal = each.normal("pixels", *frames.shape[2:]).reshape(frames.shape)
        return frames + deviation[:, None, None, None, None] * variance.sqrt() * normal

    def _cover(self, frames: Tensor, each: Random) -> tuple[Tensor, Tensor]:
        """Clouds and gaps, and what they leave usable."""
        options, (count, number, _, height, width) = self.options, frames.shape
        first = (torch.arange(number, device=frames.device) == 0).repeat(count)
        share = torch.where(first, options.clouds / 4, options.clouds)
        cloudy = each.uniform("cloudy") < share
        field = waves(each, "clouds", 1, CLOUD_KNOTS, (height, width))[:, 0]
        cover = (field - each.uniform("cover", low=-0.6, high=1.4)[:, None, None]) / CLOUD_EDGE
        cover = cover.clamp(0, 1) * cloudy[:, None, None]
        bright = BRIGHT + 0.5 * waves(each, "bright", 1, 2 * CLOUD_KNOTS, (height, width))[:, 0]
        gap = self._gaps(each, first, height, width)
        usable = ((cover < SEEN) & ~gap).float().reshape(count, number, 1, height, width)
        cover, bright = (part.reshape(count, number, 1, height, width) for part in (cover, bright))
        frames = frames * (1 - cover) + bright * cover
        return torch.where(gap.reshape(usable.shape), 0.0, frames), usable

    def _gaps(self, each: Random, first: Tensor, height: int, width: int) -> Tensor:
        """The far side of a line at random, for some frames."""
        angle = each.uniform("gap angle", high=2 * math.pi)[:, None, None]
        x = torch.linspace(-1, 1, width, device=first.device)
        y = torch.linspace(-1, 1, height, device=first.device)[:, None]
        beyond = x * angle.cos() + y * angle.sin() > each.uniform("gap", low=0.0, high=1.2)[:, None, None]
        return beyond & ((each.uniform("gapped") < self.options.gaps) & ~first)[:, None, None]


def _each(random: Random, frames: int) -> Random:
    """Sources for every frame of every burst, the frames of one burst in a row."""
    return Random(torch.stack([random.split(f"frame {k}").keys for k in range(frames)], 1).flatten())


def _uniform(random: Random, purpose: str, ends: Sequence[float]) -> Tensor:
    return random.uniform(purpose, low=min(ends), high=max(ends))


def _around(options: BurstOptions) -> int:
    """Coarse pixels around a frame that its light comes from."""
    return max(1, math.ceil(3 * options.largest_blur_px + 0.5 / options.scale))


def _groups(archive: Archive, bands: int) -> list[list[int]]:
    """Numbers of the views that are bands of one place on the same dates and pixels, `bands` of them at a time."""
    alike: dict[tuple, list[int]] = {}
    for number, view in enumerate(archive.views):
        key = (view.place, view.height, view.width, view.dates) if bands > 1 else (number,)
        alike.setdefault(key, []).append(number)
    return [found[k : k + bands] for found in alike.values() for k in range(0, len(found) - bands + 1, bands)]


def _places(archive: Archive, groups: Sequence[tuple[Sequence[int], int]], device: str) -> _Places:
    """Bin every image, bring it to zero mean and unit deviation, and to spline coefficients."""
    parts, starts, shifts, firsts, dates, sides = [], [], [], [], [], []
    place = 0
    for group, binning in groups:
        firsts.append(len(starts))
        for number in group:
            for image, shift in zip(archive.pixels[number], archive.views[number].shifts, strict=True):
                values = _binned(image.values(), binning)
                fine = coefficients((values - values.mean()) / max(float(values.std()), 1e-12)).ravel()
                parts.append(torch.from_numpy(fine))
                starts.append(place)
                shifts.append([v / binning for v in shift])
                place += len(fine)
        dates.append(len(archive.views[group[0]].dates))
        view = archive.views[group[0]]
        sides.append((view.height // binning, view.width // binning))
    height, width = (torch.tensor([side[k] for side in sides], device=device) for k in (0, 1))
    return _Places(
        row=torch.cat(parts).to(device),
        start=torch.tensor(starts, device=device),
        shift=torch.tensor(shifts, dtype=torch.float32, device=device),
        first=torch.tensor(firsts, device=device),
        dates=torch.tensor(dates, device=device),
        height=height,
        width=width,
    )


def _binned(image: Float[np.ndarray, "height width"], side: int) -> Float[np.ndarray, "rows columns"]:
    """Means of squares of `side` x `side` pixels; what does not fill one is left out."""
    rows, columns = (n // side for n in image.shape)
    return image[: rows * side, : columns * side].reshape(rows, side, columns, side).mean((1, 3))


def turned(burst: Burst, random: Random) -> Burst:
    """Mirror and transpose bursts at random; shifts turn with their frames."""
    turns = random.uniform("turn", 3) < 0.5
    if not turns.any():
        return burst
    images = [burst.frames, burst.usable, burst.truth, burst.known]
    vectors = [burst.shifts_px, burst.measured_px]
    for axis, component in ((-1, 0), (-2, 1)):
        turn = turns[:, component]
        images = [torch.where(_like(turn, image), image.flip(axis), image) for image in images]
        sign = torch.ones(len(turn), 1, 2, device=turn.device)
        sign[:, 0, component] = 1 - 2 * turn.float()
        vectors = [vector * sign for vector in vectors]
    turn = turns[:, 2]
    frames, usable, truth, known = (torch.where(_like(turn, image), image.transpose(-1, -2), image) for image in images)
    shifts, measured = (torch.where(turn[:, None, None], vector.flip(-1), vector) for vector in vectors)
    return burst._replace(
        frames=frames, usable=usable, truth=truth, known=known, shifts_px=shifts, measured_px=measured
    )


def _like(turn: Tensor, image: Tensor) -> Tensor:
    return turn.reshape(-1, *[1] * (image.ndim - 1))
