"""What a network is punished for: vectors off the truth, most at the fault, and a wrong idea of its own error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool2d

from ..models.estimate import Estimate

LEAST_LOG, MOST_LOG = -6.0, 3.0


@dataclass(frozen=True, slots=True)
class LossOptions:
    """Weights of the parts of the loss."""

    decay: float = 0.8
    """Weight of each pass relative to the next."""
    fault: float = 2.0
    """Extra weight of pixels within `fault_px` of a trace."""
    fault_px: int = 3
    scale: float = 0.05
    """Weight of the Laplace likelihood that teaches the log-scale."""
    even: float = 0.5
    """Pairs count by 1 / (even + range of their motion in px), so that large motions do not drown small ones."""


def sequence_loss(
    estimates: Sequence[Estimate],
    flow: Float[Tensor, "batch 2 height width"],
    trace: Bool[Tensor, "batch height width"],
    options: LossOptions,
) -> Float[Tensor, ""]:
    """Mean endpoint error of every pass, later ones counting more (Bertrand et al. 2025), and the likelihood.

    The likelihood is that of a Laplace distribution about the estimate as it is: it shapes the scale, not the flow.
    """
    spread = (flow.amax((2, 3)) - flow.amin((2, 3))).amax(1)
    pair = 1 / (options.even + spread)
    weight = (1 + options.fault * near(trace, options.fault_px)) * (pair / pair.mean())[:, None, None]
    weight = weight / weight.mean()
    total = flow.new_zeros(())
    for number, estimate in enumerate(reversed(estimates)):
        error = estimate.flow.float() - flow
        length = (error.square().sum(1) + 1e-6).sqrt()
        log_scale = estimate.log_scale.float().clamp(LEAST_LOG, MOST_LOG)
        likelihood = error.detach().abs() * torch.exp(-log_scale) + log_scale
        total = total + options.decay**number * ((weight * length).mean() + options.scale * likelihood.mean())
    return total


def near(trace: Bool[Tensor, "batch height width"], distance_px: int) -> Float[Tensor, "batch height width"]:
    """1 within a square distance of a trace, 0 elsewhere."""
    return max_pool2d(trace.float()[:, None], 2 * distance_px + 1, 1, distance_px)[:, 0]
