"""How much there is to match in an image: contrast over noise, block by block."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK_PX = 32
"""Side of the blocks whose contrast is judged; the size of a usual correlation window."""

LEAST_PX = 3
"""Side of the smallest block that has a second difference."""


class BlockContrast(NamedTuple):
    """Deviation and high-frequency noise of every block of a patch, in the image's own numbers; NaN without data."""

    deviation: Float[Tensor, " blocks"]
    """Standard deviation of each block about its mean."""
    noise: Float[Tensor, " blocks"]
    """Standard deviation of what changes from pixel to pixel without any slope."""


def block_contrast(patch: Float[Tensor, "height width"]) -> BlockContrast:
    """Contrast and noise of every `BLOCK_PX` block with at least three valid pixels in four.

    Noise is the median size of the mixed second difference, which cancels slopes and straight edges
    (Immerkaer 1996, with a median in place of the mean). A patch of fewer than three pixels a side has none, and tells
    nothing.
    """
    side = min(BLOCK_PX, *patch.shape)
    blocks = patch.unfold(0, side, side).unfold(1, side, side).reshape(-1, side, side)
    if side < LEAST_PX:
        return BlockContrast(*[torch.full((len(blocks),), torch.nan)] * 2)
    centred = blocks - blocks.nanmean((1, 2), keepdim=True)
    deviation = centred.square().nanmean((1, 2)).sqrt()
    rows = centred[:, :-2] - 2 * centred[:, 1:-1] + centred[:, 2:]
    bend = (rows[:, :, :-2] - 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 6  # unit gain for white noise
    noise = bend.abs().flatten(1).nanmedian(1).values * 1.4826
    little = blocks.isfinite().float().mean((1, 2)) < 0.75
    return BlockContrast(deviation.masked_fill(little, torch.nan), noise.masked_fill(little, torch.nan))


def noise_floor(noise: Float[Tensor, " blocks"]) -> float:
    """Noise of the whole image: that of its smoothest blocks, where least of it is texture.

    The tenth percentile rather than the minimum: a saturated or flat block has no noise at all.
    """
    live = noise[noise.isfinite() & (noise > 0)]
    return float(live.quantile(0.1)) if len(live) else 0.0
