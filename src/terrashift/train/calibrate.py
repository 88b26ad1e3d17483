"""Bring a network's idea of its own error in line with its errors on places that it never learned from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..models.estimate import Estimate
from .validate import BORDER_PX, Validation

ROUNDS = 60


class Calibration(NamedTuple):
    """sigma = exp(offset + power * log_scale), the scale of a Laplace distribution, px."""

    offset: float
    power: float


class Coverage(NamedTuple):
    """Share of the components whose error is within one sigma and two: 0.632 and 0.865 for a Laplace distribution."""

    name: str
    one: float
    two: float
    sigma_px: float
    """Mean sigma: of two that cover alike the smaller is the better."""


class Errors(NamedTuple):
    """Components of vectors from one class of validation pairs."""

    error: Float[Tensor, " n"]
    """Absolute, px."""
    log_scale: Float[Tensor, " n"]


def errors_of(validation: Validation, run: Callable[[Tensor, Tensor], Estimate]) -> dict[str, Errors]:
    """Errors and scales on the validation pairs of each class, each pair's median residual removed.

    The dates' own offset is known to some hundredths of a pixel only: it is not the network's error.
    """
    found = {}
    inner = slice(BORDER_PX, -BORDER_PX)
    for name, batches in validation.sets.items():
        parts = []
        for batch in batches:
            estimate = run(batch.before[:, None], batch.after[:, None])
            rest = estimate.flow.float() - batch.flow
            rest = rest - rest.flatten(2).median(2).values[:, :, None, None]
            parts.append(torch.stack([rest.abs(), estimate.log_scale.float()])[..., inner, inner].flatten(1))
        found[name] = Errors(*torch.cat(parts, 1).cpu())
    return found


def calibrate(errors: dict[str, Errors]) -> Calibration:
    """The offset and power of greatest likelihood, every class counting alike (Newton's method)."""
    at = torch.tensor([0.0, 1.0], dtype=torch.float64)
    for _ in range(ROUNDS):
        slope, bend = torch.zeros(2, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)
        for error, log_scale in errors.values():
            basis = torch.stack([torch.ones_like(log_scale), log_scale]).double()
            ratio = error.double() * torch.exp(-(at @ basis))  # the likelihood is ratio + log sigma: convex in `at`
            slope += (basis * (1 - ratio)).mean(1)
            bend += (basis * ratio) @ basis.T / len(error)
        step = torch.linalg.solve(bend + 1e-9 * torch.eye(2), slope)
        at = at - step * min(1.0, 0.5 / float(step.abs().max().clamp_min(1e-12)))
        if step.abs().max() < 1e-8:
            break
    return Calibration(*at.tolist())


def coverage(errors: dict[str, Errors], calibration: Calibration) -> list[Coverage]:
    """Coverage in each class, and in each third of all vectors by their sigma."""
    table = [_covered(name, part, calibration) for name, part in errors.items()]
    every = Errors(*(torch.cat(parts) for parts in zip(*errors.values(), strict=True)))
    order = every.log_scale.argsort()
    for name, third in zip(("smallest sigmas", "middle", "largest sigmas"), order.chunk(3), strict=True):
        table.append(_covered(name, Errors(every.error[third], every.log_scale[third]), calibration))
    return table


def _covered(name: str, errors: Errors, calibration: Calibration) -> Coverage:
    sigma = torch.exp(calibration.offset + calibration.power * errors.log_scale)
    one, two = (float((errors.error < k * sigma).double().mean()) for k in (1, 2))
    return Coverage(name, one, two, float(sigma.mean()))


EXPECTED = (1 - math.exp(-1), 1 - math.exp(-2))
"""Shares of a Laplace distribution within one and two of its scales."""
