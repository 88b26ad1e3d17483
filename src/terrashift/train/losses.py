"""What a network is punished for: vectors off the truth, most at the fault, and a wrong idea of its own error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool2d

from ..models.estimate import Estimate
from ..models.searaft import SeaRaftEstimate, mixture_loss
from ..register.objective import AlignmentOptions
from .sharp_loss import SharpLossOptions

LEAST_LOG, MOST_LOG = -6.0, 3.0


@dataclass(frozen=True, slots=True)
class LossOptions:
    """Weights of the parts of the loss."""

    distance: Literal["length", "absolute", "square"] = "length"
    """Between estimate and truth: length of their difference; mean of its components' absolute values (L1, Bertrand et
    al. 2025), or of their squares (Montagnon et al. 2023)."""
    decay: float = 0.8
    """Weight of each pass relative to the next."""
    fault: float = 2.0
    """Extra weight of pixels within `fault_px` of a trace."""
    fault_px: int = 3
    scale: float = 0.05
    """Weight of the Laplace likelihood that teaches the log-scale."""
    even: float = 0.5
    """Pairs count by 1 / (even + range of their motion in px), so that large motions do not drown small ones."""
    closer: float = 0.0
    """Weight of passes at twice the resolution (`MicroFlow.closer`), in the quarter of each pair that has most of the
    trace, whose motion they sharpen; 0: none are learned."""
    alignment: AlignmentOptions = field(default_factory=AlignmentOptions)
    """Of the network that registers images, which learns without truth: nothing above matters to it."""
    sharp: SharpLossOptions = field(default_factory=SharpLossOptions)
    """Of networks that make one sharp image of several frames: nothing above matters to them."""


class Truth(NamedTuple):
    """What a batch's estimates are held against."""

    flow: Float[Tensor, "batch 2 height width"]
    """(x right, y down) px."""
    trace: Bool[Tensor, "batch height width"]
    """True on pixels beside a fault."""

    def weight(self, options: LossOptions) -> Float[Tensor, "batch height width"]:
        """How much each pixel counts, 1 on average."""
        spread = (self.flow.amax((2, 3)) - self.flow.amin((2, 3))).amax(1)
        pair = 1 / (options.even + spread)
        weight = (1 + options.fault * near(self.trace, options.fault_px)) * (pair / pair.mean())[:, None, None]
        return weight / weight.mean()


def sequence_loss(estimates: Sequence[Estimate], truth: Truth, options: LossOptions) -> Float[Tensor, ""]:
    """Mean error of every pass, later ones counting more (Bertrand et al. 2025), and the likelihood.

    The likelihood is that of a Laplace distribution about the estimate as it is: it shapes the scale, not the flow.
    """
    weight, total = truth.weight(options), truth.flow.new_zeros(())
    for number, estimate in enumerate(reversed(estimates)):
        error = estimate.flow.float() - truth.flow
        log_scale = estimate.log_scale.float().clamp(LEAST_LOG, MOST_LOG)
        likelihood = error.detach().abs() * torch.exp(-log_scale) + log_scale
        distance = (weight * _distance(error, options)).mean()
        total = total + options.decay**number * (distance + options.scale * likelihood.mean())
    return total


def mixture_sequence_loss(
    estimates: Sequence[SeaRaftEstimate], truth: Truth, options: LossOptions, fixed_px: float
) -> Float[Tensor, ""]:
    """Negative log-likelihood of every iteration, later ones counting more (Wang et al. 2024).

    Args:
        fixed_px: scale of the ordinary distribution of the mixture.
    """
    weight, total = truth.weight(options), truth.flow.new_zeros(())
    for number, estimate in enumerate(reversed(estimates)):
        cost = mixture_loss(estimate, truth.flow, fixed_px).mean(1)
        total = total + options.decay**number * (weight * cost).mean()
    return total


def near(trace: Bool[Tensor, "batch height width"], distance_px: int) -> Float[Tensor, "batch height width"]:
    """1 within a square distance of a trace, 0 elsewhere."""
    return max_pool2d(trace.float()[:, None], 2 * distance_px + 1, 1, distance_px)[:, 0]


def _distance(error: Float[Tensor, "batch 2 height width"], options: LossOptions) -> Tensor:
    if options.distance == "length":
        return (error.square().sum(1) + 1e-6).sqrt()  # smooth at 0
    return (error.abs() if options.distance == "absolute" else error.square()).mean(1)
