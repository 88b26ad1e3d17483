"""Look at a pair through a few dozen windows spread evenly, however large it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from ..core.source import PairSource
from .findings import ImageCheck, ImageFacts
from .resampling import SharpnessMeter, interpolated_lines, number_step
from .texture import block_contrast, noise_floor

MAX_WINDOWS = 40
SCAN_PX = 1024
FILL_PX = 8
"""Side of the squares of one value that a fill value makes; darkest pixels of a native image lie scattered."""
CONTRAST = 2.0
"""Deviation over noise from which a block counts as textured; a block of noise alone has 1."""


class Window(NamedTuple):
    """A part of the overlap."""

    row: int
    column: int
    height: int
    width: int


class WindowPlan(NamedTuple):
    """The windows that are looked at."""

    windows: tuple[Window, ...]
    covers: bool
    """True where together they hold every pixel."""


def plan_windows(shape: tuple[int, int], side: int = 256) -> WindowPlan:
    """Windows of `side` px (less in smaller images), at most `MAX_WINDOWS`, evenly from edge to edge.

    >>> [w[:2] for w in plan_windows((256, 600)).windows]
    [(0, 0), (0, 172), (0, 344)]
    """
    rows, columns = (-(-length // side) for length in shape)
    shrink = math.sqrt(min(1.0, MAX_WINDOWS / (rows * columns)))
    rows, columns = _fit(max(1, round(rows * shrink)), max(1, round(columns * shrink)))
    height, width = (min(side, length) for length in shape)
    windows = tuple(
        Window(top, left, height, width)
        for top in _spread(shape[0] - height, rows)
        for left in _spread(shape[1] - width, columns)
    )
    return WindowPlan(windows, rows * height >= shape[0] and columns * width >= shape[1])


def _fit(rows: int, columns: int) -> tuple[int, int]:
    """Fewer along the longer side until the limit holds."""
    while rows * columns > MAX_WINDOWS:
        rows, columns = (rows - 1, columns) if rows >= columns else (rows, columns - 1)
    return rows, columns


def _spread(room: int, count: int) -> list[int]:
    return [room // 2] if count == 1 else [round(room * i / (count - 1)) for i in range(count)]


def blocks(shape: tuple[int, int]) -> Iterator[Window]:
    """The whole image in blocks of `SCAN_PX`."""
    for top in range(0, shape[0], SCAN_PX):
        for left in range(0, shape[1], SCAN_PX):
            yield Window(top, left, min(SCAN_PX, shape[0] - top), min(SCAN_PX, shape[1] - left))


def anywhere(source: PairSource, test: Callable[[Tensor, Tensor], bool]) -> bool:
    """True when some block of the whole pair passes; stops at the first. For what the sample missed."""
    return any(test(*source.read(*block)) for block in blocks(source.grid.shape))


@dataclass(slots=True)
class ImageMeter:
    """Gathers what the windows of one image say."""

    facts: ImageFacts
    pixels: int = 0
    valid: int = 0
    saturated: int = 0
    lines: int = 0
    least: float = math.inf
    most: float = -math.inf
    at_most: int = 0
    filled: int = 0
    step: float = math.inf
    noise: list[Tensor] = field(default_factory=list)
    deviation: list[Tensor] = field(default_factory=list)
    along: tuple[SharpnessMeter, SharpnessMeter] = field(default_factory=lambda: (SharpnessMeter(), SharpnessMeter()))

    def add(self, patch: Float[Tensor, "height width"]) -> Bool[Tensor, "height width"]:
        """Take a window in; returns its pixels in interpolated lines."""
        seen = patch[patch.isfinite()]
        self.pixels += patch.numel()
        self.valid += len(seen)
        contrast = block_contrast(patch)
        self.deviation.append(contrast.deviation)
        self.noise.append(contrast.noise)
        lines = interpolated_lines(patch)
        if len(seen):
            step = number_step(seen)
            self.step = min(self.step, step or math.inf)
            self._add_values(seen)
            self._add_fill(patch, float(seen.min()))
            self.lines += int(lines.sum())
            self.along[0].add(patch, lines, step)
            self.along[1].add(patch.T.contiguous(), lines.T, step)
        return lines

    def _add_values(self, seen: Tensor) -> None:
        most = float(seen.max())
        if most > self.most:
            self.most, self.at_most = most, 0
        self.at_most += int((seen == self.most).sum())
        if self.facts.saturation is not None:
            self.saturated += int((seen >= self.facts.saturation).sum())

    def _add_fill(self, patch: Tensor, least: float) -> None:
        if least < self.least:
            self.least, self.filled = least, 0
        if least == self.least:
            self.filled += solid_pixels(patch == least)

    @property
    def constant(self) -> bool:
        """True where all values seen are one."""
        return self.valid > 0 and self.least == self.most

    @property
    def floor(self) -> float:
        """Noise of a pixel, never below that of rounding to the image's own numbers."""
        rounding = self.step / math.sqrt(12) if math.isfinite(self.step) else 0.0
        return max(noise_floor(torch.cat(self.noise)), rounding)

    def textured(self) -> Float[Tensor, " blocks"]:
        """1 for each block with contrast, 0 without, NaN without data."""
        deviation = torch.cat(self.deviation)
        return torch.where(deviation.isnan(), torch.nan, (deviation > CONTRAST * self.floor).float())

    def result(self) -> ImageCheck:
        """Judge what was gathered."""
        x, y = (meter.result().effective_px for meter in self.along)
        valid = max(self.valid, 1)
        return ImageCheck(
            valid_share=self.valid / max(self.pixels, 1),
            texture_share=float(self.textured().nanmean()),
            noise=self.floor,
            # many pixels on the largest value are clipped, whatever the type could hold
            # (one pixel is the largest in any image)
            saturated_share=max(self.saturated, self.at_most - 1) / valid if self.valid else math.nan,
            fill_share=self.filled / valid,
            fill_value=(self.least - self.facts.offset) / self.facts.scale if self.filled else math.nan,
            effective_px=(x, y),
            lines_share=self.lines / valid,
        )


def solid_pixels(mask: Bool[Tensor, "height width"]) -> int:
    """How many true pixels lie in true squares of `FILL_PX`: areas, not specks.

    >>> mask = torch.zeros(20, 20, dtype=torch.bool)
    >>> mask[:9, :10], mask[15, 15] = True, True
    >>> solid_pixels(mask)
    90
    """
    if min(mask.shape) < FILL_PX:
        return 0
    squares = -max_pool2d(-mask[None].float(), FILL_PX, 1)
    return int(max_pool2d(pad(squares, (FILL_PX - 1,) * 4), FILL_PX, 1).sum())


class PairSample(NamedTuple):
    """What the windows say about both images together."""

    before: ImageCheck
    after: ImageCheck
    valid_share: float
    texture_share: float
    same_lines_share: float
    constant: tuple[bool, bool]
    identical: bool
    covers: bool


def sample_pair(source: PairSource, facts_before: ImageFacts, facts_after: ImageFacts) -> PairSample:
    """Read every planned window once and gather what it says."""
    plan = plan_windows(source.grid.shape)
    before, after = ImageMeter(facts_before), ImageMeter(facts_after)
    both = same_lines = 0
    identical = True
    for window in plan.windows:
        first, second = source.read(*window)
        valid = first.isfinite() & second.isfinite()
        both += int(valid.sum())
        same_lines += int((before.add(first) & after.add(second)).sum())
        identical = identical and bool((first == second)[valid].all())
    return PairSample(
        before.result(),
        after.result(),
        both / max(before.pixels, 1),
        float((before.textured() * after.textured()).nanmean()),
        same_lines / max(both, 1),
        (_is_constant(source, 0, before, plan), _is_constant(source, 1, after, plan)),
        identical and both > 0,
        plan.covers,
    )


def _is_constant(source: PairSource, which: int, meter: ImageMeter, plan: WindowPlan) -> bool:
    """True where the image holds one value only, also where no window looked."""
    if not meter.constant or plan.covers:
        return meter.constant
    value = meter.least
    return not anywhere(source, lambda *pair: bool((pair[which].isfinite() & (pair[which] != value)).any()))


def has_data(source: PairSource) -> bool:
    """True where some pixel has data in both images."""
    return anywhere(source, lambda first, second: bool((first.isfinite() & second.isfinite()).any()))
