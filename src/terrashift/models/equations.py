"""What the least-squares flow of two images is made of (Lucas & Kanade 1981), as features for networks."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

EQUATIONS = 8
"""Bands."""


def equations(
    before: Float[Tensor, "batch 1 height width"], after: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, "batch 8 height width"]:
    """Both images, their difference, and the products of gradients that the least-squares flow is made of."""
    mean = (before + after) / 2
    wide = pad(mean, (1, 1, 1, 1), mode="replicate")
    right = (wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2]) / 2
    down = (wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]) / 2
    rest = before - after
    return torch.cat([before, after, rest, right * rest, down * rest, right * right, down * down, right * down], 1)
