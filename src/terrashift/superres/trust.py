"""Keep to the ground as the reference shows it: frames of other dates give detail, and only where they show the same.

Between dates fields change their colour and ground its pattern. First each frame takes the reference's low frequencies,
so that what is left to it is detail; then each pixel is trusted by how well the frame agrees with the reference around
it, against the least disagreement of all (noise) and the contrast there. A frame that shows something else counts next
to nothing; where the reference itself is not usable, nothing is said against the others.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from ..ops.warp import warp
from .align import smoothed
from .brightness import KNOWN, LOW_PX
from .frames import Frames

AROUND_PX = 7
"""Side of the squares over which frame and reference are compared."""
OF_CONTRAST = 0.2
"""Disagreement, in deviations of the ground around, at which a pixel counts half; aliasing makes about as much."""
QUIETEST = 0.1
TRUST_HALO = 16


def agreeing(frames: Frames, quiet: Float[Tensor, " band"]) -> Frames:
    """The frames, brought to the reference's low frequencies, with their trust.

    Args:
        frames: as bright as each other on the whole.
        quiet: least disagreement of any frame with the reference, in its unit; see `disagreement`.
    """
    count, bands, height, width = frames.pixels.shape
    reference = frames.pixels[frames.home].expand(count, bands, height, width)
    still = warp(reference, -frames.flow, "bicubic")
    flat = (count * bands, height, width)
    low = _low((still - frames.pixels).reshape(flat)).reshape(frames.pixels.shape)
    low[frames.home] = 0.0
    pixels = frames.pixels + low
    left = smoothed((still - pixels).reshape(flat)).reshape(frames.pixels.shape)
    around = _around(left.square())
    ground = smoothed(still.reshape(flat)).reshape(frames.pixels.shape)
    contrast = (_around(ground.square()) - _around(ground).square()).clamp_min(0)
    scale = quiet.to(pixels)[:, None, None].square() + OF_CONTRAST**2 * contrast
    ratio = (around / scale.clamp_min(1e-20)).mean(1)
    # squared once more: six frames that half disagree must not outvote the reference
    trust = torch.where(ratio.isfinite(), 1 / (1 + ratio.square()), 1.0)
    trust[frames.home] = 1.0
    return frames.with_trust(pixels, trust)


def disagreement(
    still: Float[Tensor, "band height width"], moved: Float[Tensor, "band height width"]
) -> Float[Tensor, " band"]:
    """How little two smoothed images differ where they differ least, in their unit: noise rather than change.

    The tenth part of the squares of 7 x 7 px differs less.
    """
    apart = _around((still - moved).square()[None])[0].sqrt()
    return torch.stack([torch.quantile(band[band.isfinite()].double(), QUIETEST).float() for band in apart])


def _low(difference: Float[Tensor, "image height width"]) -> Float[Tensor, "image height width"]:
    """Smoothed over what is known, fading to 0 away from it."""
    have = difference.isfinite().to(difference.dtype)
    total, weight = smoothed(torch.where(have > 0, difference, 0.0), LOW_PX), smoothed(have, LOW_PX)
    return total / weight.clamp_min(KNOWN)


def _around(image: Float[Tensor, "frame band height width"]) -> Float[Tensor, "frame band height width"]:
    """Mean over squares of what is known; NaN where nothing is."""
    have = image.isfinite()
    sides = (AROUND_PX // 2,) * 4
    total, known = (
        avg_pool2d(pad(part, sides), AROUND_PX, 1) for part in (image.nan_to_num(0.0), have.to(image.dtype))
    )
    return torch.where(known > 0, total / known.clamp_min(1e-6), torch.nan)
