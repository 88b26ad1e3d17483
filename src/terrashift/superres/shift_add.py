"""Shift-and-add: every pixel of every frame goes to where it was taken, and fine pixels average what lies near them.

Elad and Hel-Or (2001) show that for shifts alone, one blur and white noise this is the best first half of
super-resolution; the weights here fall with distance (normalised convolution, Knutsson and Westin 1993), and samples
that contradict the others count less (Tukey's biweight, after Farsiu et al. 2004, who take the median). The camera's
blur stays in the result: see `back_projection`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from ..errors import OptionError
from .average import OF_MEDIAN, Average
from .base import Sharp
from .frames import Frames
from .unresolved import with_unresolved

BEYOND = 8.0
"""Samples so many deviations off the median count as nothing. Detail that the upsampled frames blur is off it too, by
about their own disagreement, and must count."""
REACH_PX = 1
"""Pixels of a frame around the nearest one that are looked at."""
MEDIAN = Average("median")


@dataclass(frozen=True, slots=True)
class ShiftAndAdd:
    """Normalised convolution of scattered samples."""

    spread_px: float = 0.22
    """Deviation of the Gaussian weight, px of the frames. Less keeps more detail and more noise, and few frames then
    leave their own pixels showing."""
    robust: bool = True
    """Weigh samples by how they agree with the frames' median."""
    unresolved: float = 1.75
    """See `unresolved.with_unresolved`."""
    name: str = "shift-and-add"
    halo: int = 6
    papers: tuple[str, ...] = ("elad2001", "farsiu2004")

    def __call__(self, frames: Frames, scale: float | int) -> Sharp:
        """See `Method`.

        Raises:
            OptionError: a scale of 1 or less.
        """
        if not scale > 1:
            raise OptionError(f"a scale of {scale:g} makes nothing sharper: take one above 1, such as 2 or 3")
        middle = MEDIAN.combine(frames, scale) if self.robust and frames.count > 2 else None
        found = self._pass(frames, scale, middle)
        error = (found.variance / (found.number - 1).clamp_min(1)).sqrt()
        noise = torch.where(found.number > 1.5, error, torch.nan)
        return Sharp(found.mean, with_unresolved(noise, found.mean, scale, self.unresolved))

    def _pass(self, frames: Frames, scale: float | int, middle: Sharp | None) -> _Sums:
        """Weigh the samples around every fine pixel, by distance and by how they agree with the frames' median."""
        shape = frames.pixels.shape[1], *frames.fine_shape(scale)
        total, square, weight, weight2 = (frames.pixels.new_zeros(shape) for _ in range(4))
        usable = frames.usable[:, None].expand_as(frames.pixels)
        centre = frames.filled.where(usable, torch.nan).nanmean((0, 2, 3)).nan_to_num(0.0)[:, None, None]
        spread = torch.ones(()) if middle is None else _spread(middle, frames.count)
        least_weight = math.exp(-0.25 / self.spread_px**2)  # of a sample at the corner of the pixel
        for values, near in self._samples(frames, scale):
            values = values - centre
            trust = near.expand_as(values)
            if middle is not None:
                off = (values + centre - middle.mean).nan_to_num(0.0) / (BEYOND * spread)
                trust = trust * (1 - off.square()).clamp_min(0).square()
            total, square = total + trust * values, square + trust * values**2
            weight, weight2 = weight + trust, weight2 + trust**2
        enough, least = weight > least_weight, weight.clamp_min(least_weight)
        mean = total / least
        variance = (square / least - mean**2).clamp_min(0)
        return _Sums(torch.where(enough, mean + centre, torch.nan), variance, weight**2 / weight2.clamp_min(1e-12))

    def _samples(self, frames: Frames, scale: float | int) -> Iterator[tuple[Tensor, Tensor]]:
        """Values (band ...) and weights (1 ...) of the pixels around every fine pixel, one of each frame at a time."""
        (height, width), (rows, columns) = frames.shape, frames.fine_shape(scale)
        device, kind = frames.pixels.device, frames.pixels.dtype
        x = (torch.arange(columns, device=device, dtype=kind) + 0.5) * (width / columns) - 0.5
        y = (torch.arange(rows, device=device, dtype=kind) + 0.5) * (height / rows) - 0.5
        margin = REACH_PX + 1
        for number in range(frames.count):
            flow = frames.fine_flow(number, (rows, columns))
            at_x, at_y = x + flow[0], y[:, None] + flow[1]
            near_x, near_y = (at_x + 0.5).floor(), (at_y + 0.5).floor()
            weight = pad(frames.weight[number], (margin,) * 4)
            values = pad(frames.filled[number], (margin,) * 4)
            for j in range(-REACH_PX, REACH_PX + 1):
                for i in range(-REACH_PX, REACH_PX + 1):
                    column = (near_x + i + margin).clamp(0, width + 2 * margin - 1).long()
                    row = (near_y + j + margin).clamp(0, height + 2 * margin - 1).long()
                    away = (near_x + i - at_x).square() + (near_y + j - at_y).square()
                    near = torch.exp(-0.5 * away / self.spread_px**2) * weight[row, column]
                    yield values[:, row, column], near[None]

    def memory(self, frames: int, bands: int, pixels: int, scale: int) -> int:
        """See `Method`."""
        return pixels * (40 * frames * bands + (80 + 60 * bands) * scale**2)


class _Sums(NamedTuple):
    """Of the samples around each fine pixel of each band."""

    mean: Tensor
    variance: Tensor
    number: Tensor
    """How many samples of equal weight would say as much."""


def _spread(middle: Sharp, count: int) -> Tensor:
    """Deviation of one frame from the median, as it is around a fine pixel."""
    each = middle.sigma * math.sqrt(count) / OF_MEDIAN
    known = each.isfinite()
    total, number = (
        avg_pool2d(part[None], 9, 1, 4)[0] for part in (torch.where(known, each, 0.0), known.to(each.dtype))
    )
    return (total / number.clamp_min(1e-6)).clamp_min(1e-12)
