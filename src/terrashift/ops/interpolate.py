"""Values between samples, by a windowed sinc."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

BETA = 1.5  # of the Kaiser window: a transition so narrow that fine texture keeps its place


def sinc_weights(offset: Float[Tensor, "*places"], lobes: int) -> Float[Tensor, "*places taps"]:
    """Weights of the 2 * lobes + 1 samples around one, for the value `offset` px (-1 to 1) past it; they sum to 1.

    A sinc under a Kaiser window of `lobes` px on either side of the wanted place.

    >>> sinc_weights(torch.tensor(0.0), 2).abs().round(decimals=6)
    tensor([0., 0., 1., 0., 0.])
    """
    taps = torch.arange(-lobes, lobes + 1, device=offset.device, dtype=torch.float64)
    t = taps - offset.double()[..., None]
    window = torch.special.i0(BETA * (1 - (t / lobes) ** 2).clamp_min(0).sqrt()) * (t.abs() <= lobes)
    weights = torch.sinc(t) * window
    return (weights / weights.sum(-1, keepdim=True)).to(offset.dtype)
