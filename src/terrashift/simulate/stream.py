"""Endless pairs with exact truth, made in batches on the device that learns from them.

Each pair is two dates of a real place (or one date twice, with made-up change). `before` is the first date seen through
the motion of the ground, before(p) = first(p + d(p)); `after` is the second date as it is, or shifted by a fraction of a
pixel, so that the blur of resampling tells nothing. The offset between the dates is part of the truth.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..errors import InputError
from ..ops.random import Random
from ..ops.spline import REACH, Crops, coefficients, sample_moved, sample_shifted
from .archive import Archive
from .fields import FieldOptions, Fields, draw_fields
from .radiometry import SENSOR_ONLY, Radiometry, alter
from .windows import draw_cut, draw_uniform

Kind = Literal["rupture", "uni", "dis", "uni5px"]


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """What pairs are made."""

    kind: Kind = "rupture"
    """rupture: crops with faults; uni, dis, uni5px: windows of Montagnon et al. 2023 (displacement uniform within
    +-1 px; cut by a line into two parts of different displacement; uniform within +-5 px)."""
    size_px: int = 128
    batch: int = 16
    fields: FieldOptions = field(default_factory=FieldOptions)
    one_date_share: float = 0.15
    """Share of the pairs that show one date twice, beside the views that have but one."""
    one_date_views: float = 0.4
    """Weight of the views that have but one date."""
    shifted_share: float = 0.5
    """Share of the pairs whose `after` is moved by up to half a pixel too."""
    two_dates: Radiometry = SENSOR_ONLY
    """Change on top of that between two real dates, of each of them."""
    one_date: Radiometry = field(default_factory=Radiometry)
    """Change of the second image where it is of the first's date."""
    one_date_noise: float = 0.15
    """Largest noise of the first image there."""


class Batch(NamedTuple):
    """Pairs and their truth."""

    before: Float[Tensor, "batch height width"]
    """Zero mean and unit deviation over the whole place, not the crop."""
    after: Float[Tensor, "batch height width"]
    flow: Float[Tensor, "batch 2 height width"]
    """(x right, y down) px on the grid of `before`."""
    trace: Bool[Tensor, "batch height width"]
    """True on pixels beside a fault."""
    scene: Int[Tensor, " batch"]
    """Number of the view in the archive."""


class _Frames(NamedTuple):
    """All images of an archive in one row, and where each lies in it; one entry a date."""

    row: Float[Tensor, " samples"]
    start: Int[Tensor, " frames"]
    height: Int[Tensor, " frames"]
    width: Int[Tensor, " frames"]
    shift: Float[Tensor, "frames 2"]


class Stream:
    """Batches by number: the same seed and number give the same batch, on every machine and in any order."""

    def __init__(
        self, archive: Archive, options: StreamOptions | None = None, seed: int = 0, device: str = "cpu"
    ) -> None:
        self.options = options or StreamOptions()
        self.seed, self.device = seed, device
        self.margin_px = REACH + 1 + _farthest(self.options)
        side = self.options.size_px + 2 * self.margin_px
        fits = [(min(v.height, v.width) >= side) * _rarity(len(v.dates), self.options) for v in archive.views]
        if not any(fits):
            raise InputError(
                f"no view of the archive is as large as {side} px, which pairs of {self.options.size_px} px need for "
                "their motion: make smaller pairs, or smaller motions."
            )
        self._frames = _frames(archive, device)
        self._first = torch.tensor(np.cumsum([0] + [len(v.dates) for v in archive.views])[:-1], device=device)
        self._dates = torch.tensor([len(view.dates) for view in archive.views], device=device)
        # a place counts by the square root of its area, so that large ones do not drown the others
        weight = torch.tensor([fit * (v.height * v.width) ** 0.5 for fit, v in zip(fits, archive.views, strict=True)])
        self._cumulative = (weight.double().cumsum(0) / weight.double().sum()).float().to(device)

    def smaller(self, largest_px: float) -> Stream:
        """The same stream with motions up to `largest_px` only, at no further memory."""
        other = copy.copy(self)
        other.options = replace(self.options, fields=replace(self.options.fields, largest_px=largest_px))
        return other

    def batch(self, number: int, batch: int | None = None) -> Batch:
        """The batch of this number, of `StreamOptions.batch` pairs unless told."""
        count = batch or self.options.batch
        return self.pairs(range(number * count, (number + 1) * count))

    def pairs(self, numbers: range | list[int]) -> Batch:
        """The pairs of these numbers, below 2^31."""
        random = Random.of(self.seed, list(numbers), self.device)
        options, size = self.options, self.options.size_px
        scene = torch.searchsorted(self._cumulative, random.uniform("view")).clamp_max(len(self._dates) - 1)
        dates = self._dates[scene]
        alone = random.chance("one date", options.one_date_share) | (dates == 1)
        one = random.whole("first date", dates)
        step = 1 + random.whole("second date", (dates - 1).clamp_min(1))
        two = torch.where(alone, one, (one + step) % dates)
        first, second = (self._crops(self._first[scene] + which, random) for which in (one, two))

        moved = self._fields(random.split("field"))
        fraction = random.uniform("fraction", 2, low=-0.5, high=0.5)
        fraction = fraction * random.chance("shifted", options.shifted_share)[:, None]
        before = sample_moved(self._frames.row, first, moved.flow)
        after = sample_shifted(self._frames.row, second, fraction, (size, size))
        # what is at p on the first date is at p + apart on the second
        apart = self._frames.shift[self._first[scene] + two] - self._frames.shift[self._first[scene] + one]
        flow = moved.flow + (apart - fraction)[:, :, None, None]

        before = self._radiometry(before, alone, random.split("before"), first=True)
        after = self._radiometry(after, alone, random.split("after"), first=False)
        return _turn(Batch(before, after, flow, moved.trace, scene), random)

    def _crops(self, frame: Int[Tensor, " batch"], random: Random) -> Crops:
        """Crops at the same place of every date, far enough from the border for the motion."""
        frames, margin = self._frames, self.margin_px
        corner = random.uniform("corner", 2)
        room = torch.stack([frames.width[frame], frames.height[frame]], 1) - self.options.size_px - 2 * margin
        column, row = (margin + (corner * (room + 1)).long().minimum(room)).unbind(1)
        return Crops(frames.start[frame], frames.height[frame], frames.width[frame], row, column)

    def _fields(self, random: Random) -> Fields:
        size = self.options.size_px
        if self.options.kind == "rupture":
            drawn = draw_fields(random, size, self.options.fields)
            most = drawn.flow.abs().amax((1, 2, 3), keepdim=True)
            limit = _farthest(self.options)
            return Fields(drawn.flow * (limit / most).clamp_max(1), drawn.trace)
        if self.options.kind == "dis":
            return draw_cut(random, size, 1.0)
        return draw_uniform(random, size, 5.0 if self.options.kind == "uni5px" else 1.0)

    def _radiometry(self, image: Tensor, alone: Tensor, random: Random, first: bool) -> Tensor:
        """Change the pairs of one date and those of two by what suits each."""
        options = self.options
        noise = Radiometry(gain=0, haze=0, change=0, sun=0, mtf_px=0, noise=options.one_date_noise, clouds=0)
        result = image.clone()
        for chosen, radiometry in ((alone, noise if first else options.one_date), (~alone, options.two_dates)):
            some = chosen.nonzero()[:, 0]
            if len(some):
                result[some] = alter(image[some], radiometry, Random(random.keys[some]))
        return result


def _rarity(dates: int, options: StreamOptions) -> float:
    return 1.0 if dates > 1 else options.one_date_views


def _farthest(options: StreamOptions) -> int:
    """Largest motion of any pixel along an axis, px."""
    if options.kind == "rupture":
        return int(options.fields.largest_px + options.fields.shift_px + 0.999)
    return 5 if options.kind == "uni5px" else 1


def _frames(archive: Archive, device: str) -> _Frames:
    """Bring every image to zero mean and unit deviation, and to spline coefficients."""
    parts, starts, shapes, shifts = [], [], [], []
    place = 0
    for view, images in zip(archive.views, archive.pixels, strict=True):
        for image, shift in zip(images, view.shifts, strict=True):
            values = image.values()
            fine = coefficients((values - values.mean()) / max(float(values.std()), 1e-12)).ravel()
            parts.append(torch.from_numpy(fine))
            starts.append(place)
            shapes.append(values.shape)
            shifts.append(shift)
            place += len(fine)
    height, width = (torch.tensor([shape[k] for shape in shapes], device=device) for k in (0, 1))
    return _Frames(
        torch.cat(parts).to(device),
        torch.tensor(starts, device=device),
        height,
        width,
        torch.tensor(shifts, dtype=torch.float32, device=device),
    )


def _turn(batch: Batch, random: Random) -> Batch:
    """Mirror and transpose a batch as a whole, half of the time each; vectors turn with their images."""
    chance = Random(random.keys[:1]).uniform("turn", 3)[0].tolist()
    before, after, flow, trace, scene = batch
    for axis, component in ((2, 0), (1, 1)):
        if chance[component] < 0.5:
            before, after, trace = (image.flip(axis) for image in (before, after, trace))
            flow = flow.flip(axis + 1)
            flow[:, component].neg_()
    if chance[2] < 0.5:
        before, after, trace = (image.transpose(1, 2) for image in (before, after, trace))
        flow = flow.transpose(2, 3).flip(1)
    return Batch(*(part.contiguous() for part in (before, after, flow, trace)), scene)
