"""A trained network as a method: standardised frames in, a sharp image and its error out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import OptionError
from ..models.sharp import SharpEstimate, calibrated
from .base import Sharp
from .frames import Frames
from .upsample import count_frames

OF_LAPLACE = math.sqrt(2)
"""Standard deviation of a Laplace distribution over its scale."""


Network = Callable[[Tensor, Tensor, Tensor], SharpEstimate]
"""Called with frames (batch frame band height width), standardised and the reference first; usable (batch frame 1
height width), 1 = usable; shifts (batch frame 2), (x right, y down) px with frame(p + shift) = reference(p)."""


class Given(NamedTuple):
    """What networks are given, the reference first."""

    pixels: Float[Tensor, "frame band height width"]
    """Standardised; 0 where not usable."""
    usable: Float[Tensor, "frame 1 height width"]
    """1 = usable."""
    shifts: Float[Tensor, "frame 2"]
    """(x right, y down) px against the reference."""
    level: Float[Tensor, " band"]
    contrast: Float[Tensor, " band"]
    """What was taken away, and divided by, then."""


def standardised(frames: Frames) -> Given:
    """Frames as networks learn from them and are run on them: about the level, over the contrast."""
    order = [frames.home, *(k for k in range(frames.count) if k != frames.home)]
    level, contrast = _standard(frames)
    pixels = (frames.filled[order] - level[:, None, None]) / contrast[:, None, None]
    usable = frames.usable[order][:, None].to(pixels)
    shifts = frames.shifts[order] - frames.shifts[frames.home]
    return Given(torch.where(usable > 0, pixels, 0.0), usable, shifts, level, contrast)


def _standard(frames: Frames) -> tuple[Tensor, Tensor]:
    """Level and contrast of each band: those of the whole image, else of the reference."""
    if frames.level is not None and frames.contrast is not None:
        level, contrast = frames.level, frames.contrast
    else:
        values = frames.pixels[frames.home].where(frames.usable[frames.home], torch.nan)
        level = values.nanmean((1, 2)).nan_to_num(0.0)
        contrast = (values - level[:, None, None]).square().nanmean((1, 2)).sqrt().nan_to_num(1.0)
    return level.to(frames.pixels), contrast.to(frames.pixels).clamp_min(1e-12)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A network that was trained for one scale and number of bands; one of a single band takes several one by one."""

    name: str
    network: Network
    scale: int
    bands: int = 1
    halo: int = 24
    papers: tuple[str, ...] = ()
    calibration: Mapping[str, float] = field(default_factory=dict)
    """Of the error that the network tells; see `models.sharp.calibrated`."""
    bytes_per_px: tuple[int, int] = (6000, 9000)
    """Of a coarse pixel at the peak: once, and for each frame."""

    def __call__(self, frames: Frames, scale: float | int) -> Sharp:
        """See `Method`.

        Raises:
            OptionError: another scale or number of bands than it was trained for.
        """
        self.refuse_other(frames.pixels.shape[1], scale)
        pixels, usable, shifts, level, contrast = standardised(frames)
        if self.bands == 1:
            pixels = pixels.transpose(0, 1)[:, :, None]
        else:
            pixels = pixels[None]
        count = len(pixels)
        given = [part[None].expand(count, *part.shape) for part in (usable, shifts)]
        with torch.inference_mode():
            told = self.network(pixels.contiguous(), *(part.contiguous() for part in given))
        told = calibrated(told, self.calibration)
        mean = told.mean.float().flatten(0, 1) * contrast[:, None, None] + level[:, None, None]
        seen = count_frames(frames, scale) > 0
        return Sharp(
            torch.where(seen, mean, torch.nan), torch.where(seen, self._sigma(told, contrast, mean), torch.nan)
        )

    def _sigma(self, told: SharpEstimate, contrast: Tensor, mean: Tensor) -> Tensor:
        if told.log_scale is None:
            return torch.full_like(mean, torch.nan)
        scale = told.log_scale.float().exp()
        scale = scale.expand(told.mean.shape).flatten(0, 1)
        return OF_LAPLACE * scale * contrast[:, None, None]

    def refuse_other(self, bands: int, scale: float | int) -> None:
        """Make sure that the network fits.

        Raises:
            OptionError: where it was trained for something else.
        """
        if scale != self.scale:
            raise OptionError(
                f"{self.name} was trained for a scale of {self.scale}, not {scale:g}: give --scale {self.scale}"
            )
        if self.bands not in (1, bands):
            raise OptionError(
                f"{self.name} was trained for {self.bands} bands, the frames have {bands}: choose --bands"
            )

    def memory(self, frames: int, bands: int, pixels: int, scale: int) -> int:
        """See `Method`."""
        together = bands if self.bands == 1 else 1
        once, each = self.bytes_per_px
        return pixels * together * (once + each * frames)
