"""Iterative back-projection: correct a sharp image until the frames that it implies are the frames that were taken.

Irani and Peleg (1991): x <- x + step * (what the frames' residuals say of each fine pixel), from the mean of the
upsampled frames. Residuals are handed back by the transpose of the camera model, and divided by how often a fine pixel
was seen; for steps below 2 the residual then falls at every iteration, and stopping early keeps noise from growing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import OptionError
from .average import Average
from .base import Sharp
from .camera import Camera
from .frames import Frames, extended
from .unresolved import with_unresolved

SEEN_LEAST = 1e-3
"""Of the mean weight of one frame: fine pixels that are seen less are left as they are."""
REACH_PX = 6
"""How far into what no frame shows the image is continued, px of the frames: as far as it is felt outside."""
MEAN = Average("mean")


class Iterate(NamedTuple):
    """Where the iteration stands."""

    fine: Float[Tensor, "band fine_height fine_width"]
    residual: float
    """Root mean square of frames less what this image implies, over usable pixels by their weight."""


@dataclass(frozen=True, slots=True)
class BackProjection:
    """The baseline that uses everything but learned knowledge."""

    iterations: int = 20
    """More bring out more detail, and more noise."""
    step: float = 1.5
    """Below 2."""
    contrast: float = 0.25
    """That the camera leaves at half a cycle per pixel of the frames (its MTF at Nyquist): 0.1 soft, 0.4 very sharp."""
    unresolved: float = 0.83
    """See `unresolved.with_unresolved`."""
    name: str = "ibp"
    halo: int = 14
    papers: tuple[str, ...] = ("irani1991",)

    def __call__(self, frames: Frames, scale: float | int) -> Sharp:
        """See `Method`.

        Raises:
            OptionError: a scale that is not whole, or 1 or less.
        """
        start, seen = self._start(frames, scale)
        *_, last = self.iterate(frames, int(scale), start)
        mean = torch.where(seen, last.fine, torch.nan)
        return Sharp(mean, with_unresolved(self._noise(frames, int(scale), last.fine), mean, scale, self.unresolved))

    def iterate(
        self, frames: Frames, scale: int, start: Float[Tensor, "band fine_height fine_width"]
    ) -> Iterator[Iterate]:
        """The start, then the image after each iteration.

        Args:
            frames: as bright as each other.
            scale: fine pixels along one of the frames.
            start: a number everywhere.
        """
        camera = Camera.of(frames, scale, self.contrast)
        usable = weight_inside(frames)[:, None]
        values = frames.filled
        weight = torch.stack([camera.back(usable[k], k) for k in range(frames.count)]).sum(0)
        known = weight > SEEN_LEAST / scale**2
        share = torch.where(known, self.step / weight.clamp_min(SEEN_LEAST / scale**2), 0.0)
        fine = start
        for number in range(self.iterations + 1):
            update, square = torch.zeros_like(fine), 0.0
            for k in range(frames.count):
                seen = camera.see(fine, k)
                residual = usable[k] * (values[k] - seen)
                square += float((usable[k] * (values[k] - seen).square()).double().sum())
                update = update + camera.back(residual, k)
            yield Iterate(fine, (square / max(1.0, float(usable.sum()) * len(fine))) ** 0.5)
            if number < self.iterations:
                fine = fine + share * update

    def _start(self, frames: Frames, scale: float | int) -> tuple[Tensor, Tensor]:
        """The mean of the upsampled frames, gaps filled with a number, and where it has none."""
        if scale != int(scale):
            raise OptionError(f"--method {self.name} takes whole scales, not {scale:g}: take another method")
        mean = MEAN.combine(frames, scale).mean
        seen = mean.isfinite()
        return extended(mean[None], REACH_PX * int(scale))[0], seen

    def _noise(self, frames: Frames, scale: int, fine: Tensor) -> Tensor:
        """Standard error from what the frames that show a place disagree there."""
        camera = Camera.of(frames, scale, self.contrast)
        usable = weight_inside(frames)[:, None]
        total, weight = torch.zeros_like(fine), torch.zeros_like(fine)
        for k in range(frames.count):
            residual = frames.filled[k] - camera.see(fine, k)
            total, weight = total + camera.back(usable[k] * residual.square(), k), weight + camera.back(usable[k], k)
        number = weight * scale**2
        variance = (total / weight.clamp_min(SEEN_LEAST / scale**2)).clamp_min(0)
        # n frames leave n - 1 of n parts of the variance in their residuals
        error = (variance / (number - 1).clamp_min(1)).sqrt()
        return torch.where(number > 1.5, error, torch.nan)

    def memory(self, frames: int, bands: int, pixels: int, scale: int) -> int:
        """See `Method`."""
        return pixels * (40 * frames * bands + (60 + 90 * bands) * scale**2) + MEAN.memory(frames, bands, pixels, scale)


def weight_inside(frames: Frames) -> Float[Tensor, "frame height width"]:
    """Trust, 0 to 1, of usable pixels whose ground lies on the reference: the fine image can say what they show."""
    height, width = frames.shape
    device = frames.pixels.device
    x = torch.arange(width, device=device) - frames.flow[:, 0]
    y = torch.arange(height, device=device)[:, None] - frames.flow[:, 1]
    inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    return frames.weight * inside
