"""Leave out what only one or few frames show: clouds, shadows, cars, change, by comparison with the frames' median."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d, pad

from ..ops.warp import warp
from .frames import Frames

BEYOND = 4.0
"""Deviations of the noise, and shares of the local contrast, that a frame may be off the median."""
OF_CONTRAST = 0.5
FEWEST = 3
"""Frames from which on a median can be trusted over one of them."""
SIDE_PX = 3
"""Differences are averaged over such squares first: aliasing changes sign from pixel to pixel, a cloud does not."""
OUTLIER_HALO = 8
OF_MAD = 1.4826


def noise_of(frames: Frames) -> Float[Tensor, " band"]:
    """Robust deviation of averaged differences from the median: of each band, over all frames that can be compared.

    In the unit of the frames; NaN for a band of which nothing can be compared.
    """
    apart, _ = _differences(frames)
    return torch.stack(
        [
            OF_MAD * band[band.isfinite()].abs().median() if band.isfinite().any() else band.new_tensor(torch.nan)
            for band in apart.transpose(0, 1)
        ]
    )


def without_outliers(frames: Frames, noise: Float[Tensor, " band"] | None = None) -> Frames:
    """The frames, unusable where they contradict the median of all; nothing changes where fewer than three are usable.

    Args:
        frames: as bright as each other.
        noise: see `noise_of`; of these frames unless given. Of a part it has to be that of the whole.
    """
    wrong = outliers(frames, noise)
    return frames.with_pixels(torch.where(wrong[:, None], torch.nan, frames.pixels))


def outliers(frames: Frames, noise: Float[Tensor, " band"] | None = None) -> Bool[Tensor, "frame height width"]:
    """True where a frame contradicts the median of all, on the frame's own pixels; arguments as `without_outliers`."""
    if frames.count < FEWEST:
        return torch.zeros_like(frames.usable)
    apart, contrast = _differences(frames)
    noise = noise_of(frames) if noise is None else noise
    noise = noise.nan_to_num(torch.inf).to(apart)[:, None, None]
    off = (apart.abs() > BEYOND * noise + OF_CONTRAST * contrast).any(1)
    # from the reference's pixels to the frame's own: any that its pixel may have to do with
    back = warp(off[:, None].to(apart), -frames.flow, "bilinear").nan_to_num(0.0)
    return (back[:, 0] > 0) & frames.usable


def _differences(frames: Frames) -> tuple[Tensor, Tensor]:
    """Registered frames less their median (frame band ...), averaged over squares, and the median's local contrast.

    NaN where a frame is not usable or fewer than `FEWEST` are.
    """
    moved = warp(frames.pixels, frames.flow, "bicubic")
    count = moved.isfinite().all(1).sum(0)
    median = torch.where(count >= FEWEST, moved.nanmedian(0).values, torch.nan)
    high, low = (_largest(part) for part in (median, -median))
    return _mean(moved - median), high + low


def _mean(image: Tensor) -> Tensor:
    """Over the known pixels of squares around known ones."""
    have = image.isfinite()
    sides = (SIDE_PX // 2,) * 4
    total, known = (avg_pool2d(pad(part, sides), SIDE_PX, 1) for part in (image.nan_to_num(0.0), have.to(image.dtype)))
    return torch.where(have, total / known.clamp_min(1e-6), torch.nan)


def _largest(image: Tensor) -> Tensor:
    """Over squares; unknown pixels count for nothing."""
    return max_pool2d(image.nan_to_num(-torch.inf, -torch.inf, -torch.inf)[None], SIDE_PX, 1, SIDE_PX // 2)[0]
