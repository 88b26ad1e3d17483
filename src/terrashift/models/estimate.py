"""What every network answers: motion, and how far it may be off."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Estimate(NamedTuple):
    """Motion between two images; a network that refines gives one for every pass."""

    flow: Float[Tensor, "batch 2 height width"]
    """(x right, y down) px of the full resolution."""
    log_scale: Float[Tensor, "batch 2 height width"]
    """Natural logarithm of the Laplace scale of each component's error, px; 0 where a network does not tell."""


def split(bands: Float[Tensor, "batch bands height width"]) -> Estimate:
    """Two bands of flow, and two of log-scale or none."""
    flow, log_scale = bands[:, :2].float(), bands[:, 2:].float()
    return Estimate(flow, log_scale if log_scale.shape[1] else torch.zeros_like(flow))
