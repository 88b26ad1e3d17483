"""The reference alone, made finer by cubic convolution (Keys 1981): no other frame is looked at."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .base import Sharp
from .frames import Frames
from .unresolved import with_unresolved
from .upsample import BYTES_PER_SAMPLE, upsample


@dataclass(frozen=True, slots=True)
class Bicubic:
    """What the others must beat. Its sigma knows nothing of noise: one frame cannot disagree with itself."""

    unresolved: float = 1.85
    """See `unresolved.with_unresolved`."""

    name: str = "bicubic"
    halo: int = 4
    papers: tuple[str, ...] = ("keys1981",)

    def __call__(self, frames: Frames, scale: float | int) -> Sharp:
        """See `Method`.

        Raises:
            OptionError: a scale of 1 or less.
        """
        values, usable, _ = upsample(frames, frames.home, scale)
        mean = torch.where(usable, values, torch.nan)
        return Sharp(mean, with_unresolved(None, mean, scale, self.unresolved))

    def memory(self, frames: int, bands: int, pixels: int, scale: int) -> int:
        """See `Method`."""
        return pixels * (16 * frames * bands + (BYTES_PER_SAMPLE + 16 * bands) * scale**2)
