"""An error that counts what no frame shows: detail finer than the frames, about as strong as the contrast around it.

What frames disagree by tells the noise of a result, not the detail that all of them blur alike. That is larger by far,
and grows with the contrast of the ground: on bursts made from three training places (10 and 30 m pixels, at scale 3) a
fixed share of the deviation within a pixel of the frames around, added to the noise, held 68 % of the errors; the share
differed by 7 % between clean, noisy, and clouded and changed bursts. On ground of another kind it is a rough guide.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

SIDE = 2
"""Pixels of the frames that the deviation around is taken over, about."""
DETAIL_HALO = 2


def with_unresolved(
    noise: Float[Tensor, "band fine_height fine_width"] | None,
    mean: Float[Tensor, "band fine_height fine_width"],
    scale: float | int,
    share: float,
) -> Float[Tensor, "band fine_height fine_width"]:
    """Standard error from noise and from unresolved detail, in the unit of the result; NaN where that is.

    Args:
        noise: what the frames' disagreement says; where it says nothing (one frame alone) it does not count.
        mean: the result.
        scale: fine pixels along one of the frames.
        share: of the deviation around; the method's own.
    """
    detail = share * deviation_around(mean, scale)
    known = torch.zeros_like(detail) if noise is None else noise.nan_to_num(0.0)
    return torch.where(mean.isfinite(), (known.square() + detail.square()).sqrt(), torch.nan)


def deviation_around(
    mean: Float[Tensor, "band fine_height fine_width"], scale: float | int
) -> Float[Tensor, "band fine_height fine_width"]:
    """Standard deviation within squares of `SIDE` pixels of the frames, in the unit of `mean`; NaN is left out."""
    reach = max(1, round(SIDE * scale) // 2)
    have = mean.isfinite()
    level = torch.where(have, mean, 0.0).sum((1, 2), keepdim=True) / have.sum((1, 2), keepdim=True).clamp_min(1)
    values = torch.where(have, mean - level, 0.0)
    share, first, second = (
        avg_pool2d(pad(part[None], (reach,) * 4), 2 * reach + 1, 1)[0]
        for part in (have.to(mean.dtype), values, values.square())
    )
    first, second = first / share.clamp_min(1e-6), second / share.clamp_min(1e-6)
    return (second - first.square()).clamp_min(0).sqrt()
