"""What a sharp image made of several frames is held against the truth by: one loss for all such networks.

Registered(border)(BiasInvariant(Masked(base))), each part of which may be off. With a border it is the smallest over
whole shifts of the truth by up to so many pixels, with the mean difference taken away (Maertens et al. 2019, the
PROBA-V challenge). A network trained so alone has its place and its brightness free, and must never be sold as located;
ours is trained without either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..models.sharp import SharpEstimate

LEAST_LOG, MOST_LOG = -7.0, 3.0


@dataclass(frozen=True, slots=True)
class SharpLossOptions:
    """What an estimate is held against the truth by."""

    base: Literal["l1", "mse", "laplace"] = "l1"
    """laplace: the likelihood of the truth under the estimate and its scale, which both are taught by it."""
    border: int = 0
    """Largest shift of the truth, fine px, that costs nothing; 3 in the PROBA-V challenge."""
    bias: bool = False
    """Take the mean difference away first (not detached: it is not the minimiser of l1)."""
    scale: float = 0.1
    """Weight of the Laplace likelihood that teaches the scale alone, beside l1 and mse."""
    least_known: float = 0.1
    """Share of the truth that must be known for a burst to count."""
    consistency: float = 0.0
    """Weight of the mean absolute difference between the image as the burst's camera sees it and the reference; see
    `sharpening.inconsistency`."""


def sharp_loss(
    estimate: SharpEstimate,
    truth: Float[Tensor, "batch band height width"],
    known: Float[Tensor, "batch 1 height width"],
    options: SharpLossOptions,
) -> Float[Tensor, ""]:
    """Mean over the bursts of which enough is known; 0 where there is none."""
    border, best = options.border, []
    inner = (..., slice(border, truth.shape[-2] - border), slice(border, truth.shape[-1] - border))
    mean = estimate.mean.float()[inner]
    log_scale = None if estimate.log_scale is None else estimate.log_scale.float()[inner].clamp(LEAST_LOG, MOST_LOG)
    height, width = mean.shape[-2:]
    for down in range(2 * border + 1):
        for right in range(2 * border + 1):
            window = (..., slice(down, down + height), slice(right, right + width))
            best.append(_masked(mean, log_scale, truth[window], known[window], options))
    counted = (known.mean((1, 2, 3)) >= options.least_known).float()
    return (torch.stack(best).amin(0) * counted).sum() / counted.sum().clamp_min(1)


def _masked(
    mean: Tensor, log_scale: Tensor | None, truth: Tensor, known: Tensor, options: SharpLossOptions
) -> Float[Tensor, " batch"]:
    weight = known.expand_as(truth)
    count = weight.sum((1, 2, 3)).clamp_min(1)
    # what is not known may be anything
    error = torch.where(weight > 0, truth - mean, 0.0)
    if options.bias:
        error = error - ((weight * error).sum((1, 2, 3)) / count)[:, None, None, None]
    cost = error.square() if options.base == "mse" else error.abs()
    if log_scale is not None and options.base == "laplace":
        cost = log_scale + error.abs() * torch.exp(-log_scale)
    elif log_scale is not None and options.scale:
        cost = cost + options.scale * (log_scale + error.detach().abs() * torch.exp(-log_scale))
    return (weight * cost).sum((1, 2, 3)) / count
