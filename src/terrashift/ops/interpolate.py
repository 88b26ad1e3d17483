"""Values between samples, by a windowed sinc."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def sinc_weights(offset: Float[Tensor, "*places"], lobes: int) -> Float[Tensor, "*places taps"]:
    """Weights of the 2 * lobes + 1 samples around one, for the value `offset` px (-1 to 1) past it; they sum to 1.

    A sinc under a raised cosine of `lobes` lobes on either side of the wanted place.

    >>> sinc_weights(torch.tensor(0.0), 2).round(decimals=6)
    tensor([0., 0., 1., 0., 0.])
    """
    taps = torch.arange(-lobes, lobes + 1, device=offset.device, dtype=torch.float64)
    t = taps - offset.double()[..., None]
    weights = torch.sinc(t) * torch.where(t.abs() < lobes, torch.cos(math.pi / 2 * t / lobes) ** 2, 0.0)
    return (weights / weights.sum(-1, keepdim=True)).to(offset.dtype)
