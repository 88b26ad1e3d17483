"""How well two images agree once aligned, and where there is nothing to see in them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from ..core.reasons import Reason
from ..models.microflow import normalise, sample
from ..ops.box import box_sum


def agreement(
    before: Float[Tensor, "1 1 rows columns"],
    after: Float[Tensor, "1 1 rows columns"],
    flow: Float[Tensor, "1 2 rows columns"],
    side: int,
) -> Float[Tensor, "rows columns"]:
    """Correlation of the two images, locally normalised and aligned by the flow, over a square around each pixel.

    Between 0 and 1: what is alike in reverse counts as nothing.
    """
    first, second = normalise(before)[0, 0], normalise(sample(after, flow))[0, 0]
    both, one, two = (_mean(part, side) for part in (first * second, first * first, second * second))
    return (both * (one * two).clamp_min(1e-12).rsqrt()).clamp(0, 1)


def reasons_against(
    before: Float[Tensor, "rows columns"], after: Float[Tensor, "rows columns"], side: int, min_valid_share: float
) -> UInt8[Tensor, "rows columns"]:
    """Why a place cannot be measured: too little data in the square around it, or one value throughout; else 0.

    Args:
        before, after: NaN where there is no data.
        side: of the square, px; odd.
    """
    share = torch.minimum(_share(before.isfinite(), side), _share(after.isfinite(), side))
    flat = _flat(torch.stack([before, after]), side)
    reasons = torch.zeros(before.shape, dtype=torch.uint8, device=before.device)
    reasons[flat] = int(Reason.NO_TEXTURE)
    reasons[(share < min_valid_share) | ~before.isfinite()] = int(Reason.NODATA)
    return reasons


def _mean(image: Tensor, side: int) -> Tensor:
    half = side // 2
    wide = torch.nn.functional.pad(image[None, None], (half,) * 4, mode="replicate")[0, 0]
    return box_sum(wide, side) / side**2


def _share(have: Bool[Tensor, "rows columns"], side: int) -> Float[Tensor, "rows columns"]:
    if have.all():
        return torch.ones_like(have, dtype=torch.float32)
    return _mean(have.float(), side)


def _flat(images: Float[Tensor, "2 rows columns"], side: int) -> Bool[Tensor, "rows columns"]:
    """True where either image has one value, or none, throughout the square around a pixel."""
    edges = torch.zeros_like(images)
    edges[:, :, 1:] += (images[:, :, 1:] - images[:, :, :-1]).nan_to_num(0.0) != 0  # the outline of a gap is none
    edges[:, 1:] += (images[:, 1:] - images[:, :-1]).nan_to_num(0.0) != 0
    first, second = (_mean(part, side) == 0 for part in edges)
    return first | second
