"""Mean or median of registered frames, each made finer by cubic convolution: the baselines of the Kelvins challenge.

The mean of the clearest frames is what the challenge's scores are measured against (Märtens et al. 2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from .base import Sharp
from .frames import Frames
from .unresolved import with_unresolved
from .upsample import BYTES_PER_SAMPLE, upsample

OF_MEDIAN = math.sqrt(math.pi / 2)
"""Standard error of a median over that of a mean, for normal errors."""
OF_MAD = 1.4826


@dataclass(frozen=True, slots=True)
class Average:
    """Every fine pixel is the mean or the median of the frames that are usable there."""

    kind: Literal["mean", "median"] = "mean"
    unresolved: float = 1.85
    """See `unresolved.with_unresolved`."""
    halo: int = 5
    papers: tuple[str, ...] = ("martens2019",)

    @property
    def name(self) -> str:
        """See `Method`."""
        return f"bicubic-{self.kind}"

    def __call__(self, frames: Frames, scale: float | int) -> Sharp:
        """See `Method`."""
        middle, noise = self.combine(frames, scale)
        return Sharp(middle, with_unresolved(noise, middle, scale, self.unresolved))

    def combine(self, frames: Frames, scale: float | int) -> Sharp:
        """The same with the noise alone as sigma: the frames' deviation, for the median a robust one, over the root of
        their number; NaN where fewer than two frames show a place.

        Raises:
            OptionError: a scale of 1 or less.
        """
        parts = [upsample(frames, number, scale) for number in range(frames.count)]
        stack = torch.stack([torch.where(part.usable, part.values, torch.nan) for part in parts])
        count = stack.isfinite().sum(0)
        if self.kind == "mean":
            weight = torch.stack([part.weight for part in parts])[:, None]
            middle = (weight * stack).nansum(0) / weight.sum(0).clamp_min(1e-12)
            middle = torch.where(count > 0, middle, torch.nan)
            deviation = ((stack - middle).square().nansum(0) / (count - 1).clamp_min(1)).sqrt()
        else:
            middle = _median(stack)
            deviation = OF_MEDIAN * OF_MAD * _median((stack - middle).abs())
        error = deviation / count.clamp_min(1).sqrt()
        return Sharp(middle, torch.where(count > 1, error, torch.nan))

    def memory(self, frames: int, bands: int, pixels: int, scale: int) -> int:
        """See `Method`."""
        return pixels * (16 * frames * bands + (BYTES_PER_SAMPLE + 24 * frames * bands) * scale**2)


def _median(stack: torch.Tensor) -> torch.Tensor:
    """Of what is not NaN; the mean of the middle two where their number is even."""
    ordered = stack.nan_to_num(torch.inf).sort(0).values
    count = stack.isfinite().sum(0, keepdim=True)
    low, high = ((count - 1).clamp_min(0) // 2, (count // 2).clamp_max(len(stack) - 1))
    middle = (ordered.gather(0, low) + ordered.gather(0, high)) / 2
    return torch.where(count > 0, middle, torch.nan)[0]
