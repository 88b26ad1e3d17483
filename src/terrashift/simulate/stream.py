"""Endless pairs with exact truth, made in batches on the device that learns from them.

Each pair is two dates of a real place (or one date twice, with made-up change). `before` is the first date seen
through the motion of the ground, before(p) = first(p + d(p)); `after` is the second date as it is, or moved by a
fraction of a pixel, after(q) = second(q + fraction), so that the blur of resampling tells nothing. What lies at x on
the first date lies at x + apart on the second, so that flow = d + apart - fraction.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..errors import InputError, OptionError
from ..ops.random import Random
from ..ops.spline import REACH, Crops, coefficients, sample_moved, sample_shifted
from .archive import Archive
from .fields import FieldOptions, Fields, draw_fields
from .radiometry import OFF, SENSOR_ONLY, Radiometry, alter
from .windows import WINDOWS_PX, Kind, draw_window

TURNED_TOGETHER = 16
"""So many pairs of neighbouring numbers are mirrored alike: a batch of them turns in one go."""


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """What pairs are made."""

    kind: Kind = "rupture"
    """rupture: crops with faults; uni, dis, uni5px: windows of Montagnon et al. 2023 (ground motion uniform within
    +-1 px; cut by a line into two parts of different motion; uniform within +-5 px)."""
    size_px: int = 128
    window_px: int = 0
    """Side of the windows where the pairs show what surrounds them too; 0: the pairs are the windows."""
    batch: int = 16
    fields: FieldOptions = field(default_factory=FieldOptions)
    one_date_share: float = 0.15
    """Share of the pairs that show one date twice, beside the views that have but one."""
    one_date_views: float = 0.4
    """Weight of the views that have but one date."""
    shifted_share: float = 0.5
    """Share of the pairs whose `after` is moved by up to half a pixel too; in windows, it is moved onto `before`."""
    two_dates: Radiometry = SENSOR_ONLY
    """Change on top of that between two real dates, of each of them."""
    one_date: Radiometry = field(default_factory=Radiometry)
    """Change of the second image where it is of the first's date."""
    one_date_noise: float = 0.15
    """Largest noise of the first image there."""

    def __post_init__(self) -> None:
        if min(self.size_px, self.batch) < 1:
            raise OptionError(f"{self.batch} pairs of {self.size_px} px: take at least one pair of one pixel.")
        if self.window_px and (not 0 < self.window_px <= self.size_px or (self.size_px - self.window_px) % 2):
            raise OptionError(
                f"windows of {self.window_px} px in pairs of {self.size_px} px: they must fit, with as much around "
                "them on every side."
            )


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
    """Batches by number: the same seed and number give the same batch, on every machine and in any order.

    Args:
        archive: where the pairs are cut from; its images are kept on the device, 16 bytes a pixel.
        options: what pairs are made.
        seed: another one gives other pairs.
        device: where they are made.

    Raises:
        InputError: where no view of the archive serves.
    """

    def __init__(
        self, archive: Archive, options: StreamOptions | None = None, seed: int = 0, device: str = "cpu"
    ) -> None:
        self.options = options or StreamOptions()
        self.seed, self.device = seed, device
        apart = [abs(v) for view in archive.views for shift in view.shifts for v in shift]
        self.margin_px = REACH + 1 + max(_farthest(self.options), math.ceil(2 * max(apart, default=0.0)))
        self._cumulative = _cumulative(archive, self.options, self.margin_px).to(device)
        self._frames = _frames(archive, device)
        self._first = torch.tensor(np.cumsum([0] + [len(v.dates) for v in archive.views])[:-1], device=device)
        self._dates = torch.tensor([len(view.dates) for view in archive.views], device=device)

    def smaller(self, largest_px: float) -> Stream:
        """The same stream with offsets across faults up to `largest_px` at most, at no further memory."""
        fields = self.options.fields
        largest_px = min(fields.largest_px, largest_px)  # the margins allow no more
        other = copy.copy(self)
        fields = replace(fields, largest_px=largest_px, least_px=min(fields.least_px, largest_px))
        other.options = replace(self.options, fields=fields)
        return other

    def batch(self, number: int, batch: int | None = None) -> Batch:
        """The batch of this number, of `StreamOptions.batch` pairs unless told."""
        count = batch or self.options.batch
        return self.pairs(range(number * count, (number + 1) * count))

    def pairs(self, numbers: range | list[int]) -> Batch:
        """The pairs of these numbers, below 2^31, each the same in whatever company."""
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
        # what is at p on the first date is at p + apart on the second
        apart = self._frames.shift[self._first[scene] + two] - self._frames.shift[self._first[scene] + one]
        fraction = random.uniform("fraction", 2, low=-0.5, high=0.5)
        fraction = fraction * random.chance("shifted", options.shifted_share)[:, None]
        if options.kind != "rupture":
            fraction = apart  # the windows' labels keep to the published range
        before = sample_moved(self._frames.row, first, moved.flow)
        after = sample_shifted(self._frames.row, second, fraction, (size, size))
        flow = moved.flow + (apart - fraction)[:, :, None, None]

        before = self._radiometry(before, alone, random.split("before"), first=True)
        after = self._radiometry(after, alone, random.split("after"), first=False)
        return _turned(Batch(before, after, flow, moved.trace, scene), _turns(self.seed, numbers))

    def _crops(self, frame: Int[Tensor, " batch"], random: Random) -> Crops:
        """Crops at the same place of every date of a view, far enough from the border for the motion."""
        frames, margin = self._frames, self.margin_px
        corner = random.uniform("corner", 2)
        room = torch.stack([frames.width[frame], frames.height[frame]], 1) - self.options.size_px - 2 * margin
        column, row = (margin + (corner * (room + 1)).long().minimum(room)).unbind(1)
        return Crops(frames.start[frame], frames.height[frame], frames.width[frame], row, column)

    def _fields(self, random: Random) -> Fields:
        size, farthest = self.options.size_px, float(_farthest(self.options))
        if self.options.kind != "rupture":
            return draw_window(self.options.kind, random, size, self.options.window_px)
        drawn = draw_fields(random, size, self.options.fields)
        most = drawn.flow.abs().amax((1, 2, 3), keepdim=True)
        # faults that add up may move more than the margin allows
        return Fields(drawn.flow * (farthest / most).clamp_max(1), drawn.trace)

    def _radiometry(self, image: Tensor, alone: Tensor, random: Random, first: bool) -> Tensor:
        """Change the pairs of one date and those of two by what suits each."""
        options = self.options
        noise = replace(OFF, noise=options.one_date_noise)
        result = image.clone()
        for chosen, radiometry in ((alone, noise if first else options.one_date), (~alone, options.two_dates)):
            some = chosen.nonzero()[:, 0]
            if len(some):
                result[some] = alter(image[some], radiometry, Random(random.keys[some]))
        return result


def _cumulative(archive: Archive, options: StreamOptions, margin_px: int) -> Float[Tensor, " views"]:
    """For each view the share of pairs that come from it or one before it."""
    side = options.size_px + 2 * margin_px
    large = [min(view.height, view.width) >= side for view in archive.views]
    if not any(large):
        raise InputError(
            f"no view of the archive is as large as {side} px, which pairs of {options.size_px} px need for their "
            "motion: make smaller pairs, or smaller motions."
        )
    # a place counts by the square root of its area, so that large ones do not drown the others
    weight = torch.tensor(
        [
            fits * (1.0 if len(view.dates) > 1 else options.one_date_views) * (view.height * view.width) ** 0.5
            for fits, view in zip(large, archive.views, strict=True)
        ]
    ).double()
    if not weight.any():
        raise InputError(
            f"no view of {side} px or more has two dates, and those of one date are left out: give `one_date_views` "
            "above 0, or more imagery."
        )
    return (weight.cumsum(0) / weight.sum()).float()


def _farthest(options: StreamOptions) -> int:
    """Largest motion of any pixel along an axis, px."""
    if options.kind == "rupture":
        return math.ceil(options.fields.largest_px + options.fields.shift_px)
    return math.ceil(WINDOWS_PX[options.kind])


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


def _turns(seed: int, numbers: Sequence[int]) -> list[tuple[bool, bool, bool]]:
    """Whether each pair is mirrored along x, along y, and transposed; half of them are."""
    leaders = [number - number % TURNED_TOGETHER for number in numbers]
    # drawn beside the batch, as a device would have to be waited for
    drawn = Random.of(seed, leaders).uniform("turn", 3) < 0.5
    return [(x, y, transposed) for x, y, transposed in drawn.tolist()]


def _turned(batch: Batch, turns: list[tuple[bool, bool, bool]]) -> Batch:
    """Mirror and transpose pairs; vectors turn with their images."""
    parts, first = [], 0
    for turn, run in groupby(turns):
        last = first + len(list(run))
        before, after, flow, trace, scene = batch
        parts.append(
            _turn(Batch(before[first:last], after[first:last], flow[first:last], trace[first:last], scene), turn)
        )
        first = last
    if len(parts) == 1:
        return parts[0]
    before, after, flow, trace = (torch.cat([part[k] for part in parts]) for k in range(4))
    return Batch(before, after, flow, trace, batch.scene)


def _turn(batch: Batch, turn: tuple[bool, bool, bool]) -> Batch:
    before, after, flow, trace, scene = batch
    for axis, component in ((2, 0), (1, 1)):
        if turn[component]:
            before, after, trace = (image.flip(axis) for image in (before, after, trace))
            flow = flow.flip(axis + 1)
            flow[:, component].neg_()
    if turn[2]:
        before, after, trace = (image.transpose(1, 2) for image in (before, after, trace))
        flow = flow.transpose(2, 3).flip(1)
    return Batch(before.contiguous(), after.contiguous(), flow.contiguous(), trace.contiguous(), scene)
