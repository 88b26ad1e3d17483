"""Bring a network's idea of its own error in line with its errors on places that it never learned from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor

from ..analyse.metrics import LAPLACE_SHARES
from ..models.estimate import Estimate
from .validate import BORDER_PX, Validation

LEAST_PX = 1e-4
"""Errors count as no smaller: far below any sigma."""
MOST_ERRORS = 200_000
"""Of a class, used to calibrate."""


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


def errors_of(
    validation: Validation, run: Callable[[Tensor, Tensor], Estimate], classes: Sequence[str] = ()
) -> dict[str, Errors]:
    """Errors and scales on the validation pairs of some classes, or all, each pair's median residual removed.

    The dates' own offset is known to some hundredths of a pixel only: it is not the network's error.
    """
    found = {}
    inner = slice(BORDER_PX, -BORDER_PX)
    for name in classes or validation.sets:
        parts = []
        for batch in validation.sets[name]:
            estimate = run(batch.before[:, None], batch.after[:, None])
            rest = estimate.flow.float() - batch.flow
            rest = rest - rest.flatten(2).median(2).values[:, :, None, None]
            parts.append(torch.stack([rest.abs(), estimate.log_scale.float()])[..., inner, inner].flatten(1))
        found[name] = Errors(*torch.cat(parts, 1).cpu())
    return found


def calibrate(errors: dict[str, Errors]) -> Calibration:
    """The offset and power for which 63.2 % of the errors are within one sigma and 86.5 % within two, at every sigma.

    Quantile regression of log |error| on the log-scale (Koenker & Bassett 1978), both shares at once, every class
    counting alike. The likelihood of a Laplace distribution would be drawn up by the few wild errors of real dates.
    """
    parts = [
        (torch.log(part.error.double().clamp_min(LEAST_PX)).numpy(), part.log_scale.double().numpy())
        for part in map(_thinned, errors.values())
    ]

    def cost(at: np.ndarray) -> float:
        total = 0.0
        for log_error, log_scale in parts:
            for k, share in enumerate(LAPLACE_SHARES, 1):
                above = log_error - (at[0] + at[1] * log_scale + math.log(k))
                total += float(np.mean(np.maximum(share * above, (share - 1) * above)))
        return total

    found = minimize(cost, np.array([0.0, 1.0]), method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-7})
    return Calibration(float(found.x[0]), float(found.x[1]))


def _thinned(errors: Errors) -> Errors:
    """Evenly spread errors, enough for two numbers: neighbours tell much the same."""
    step = max(1, len(errors.error) // MOST_ERRORS)
    return Errors(errors.error[::step], errors.log_scale[::step])


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
