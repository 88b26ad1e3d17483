"""Smooth a field by a price on its squared changes (Tikhonov and Arsenin 1977)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .quads import Data, Edges, Stop


class Smoothed(NamedTuple):
    """The field, and how it was found."""

    field: Float[Tensor, "band height width"]
    iterations: int
    error_px: float
    """The bound that `Stop.tolerance_px` speaks of, at the end."""


def quadratic(
    data: Data,
    price: float,
    edges: Edges,
    stop: Stop = Stop(),  # noqa: B008 frozen
) -> Smoothed:
    """Minimise `sum w (f - d)^2 / 2 + price sum_q |grad f|_q^2 / 2`, which averages over about `sqrt(price)` pixels.

    Conjugate gradients, the diagonal as preconditioner. The bound on the error holds where every weight is positive.
    """
    field, weight = data.value.clone(), data.weight
    neighbours = edges.across[:, 1:] + edges.across[:, :-1] + edges.down[1:] + edges.down[:-1]
    diagonal = weight + price * neighbours
    inverse = torch.where(diagonal > 0, 1 / diagonal, 0.0)
    counted = weight[weight > 0]
    weakest = counted.amin().item() if counted.numel() else 1.0
    places = max(1, counted.numel())
    residual = _pull(edges, field).mul_(-price)  # the start is the data, so that their term is 0
    towards = inverse * residual
    direction, strength = towards, _dot(residual, towards)
    count, error = 0, _norm(residual, places) / weakest
    while error > stop.tolerance_px and count < stop.most:
        image = weight * direction + price * _pull(edges, direction)
        length = strength / _dot(direction, image)
        field.add_(direction, alpha=length)
        residual.sub_(image, alpha=length)
        towards = inverse * residual
        strength, before = _dot(residual, towards), strength
        direction = torch.add(towards, direction, alpha=strength / before)
        count += 1
        error = _norm(residual, places) / weakest
    return Smoothed(field, count, error)


def _pull(edges: Edges, field: Tensor) -> Tensor:
    """Sum of the differences to the neighbours: the gradient of half the sum of the squared changes."""
    across, down = edges.changes(field)
    total = across[:, :, :-1] - across[:, :, 1:]
    return total.add_(down[:, :-1]).sub_(down[:, 1:])


def _dot(one: Tensor, other: Tensor) -> float:
    return (one * other).sum(dtype=torch.float64).item()


def _norm(residual: Tensor, places: int) -> float:
    return math.sqrt(_dot(residual, residual) / places)
