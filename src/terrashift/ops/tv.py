"""Smooth a field by a price on its changes: total variation of all components together, and the squared gradient.

`total_variation` minimises `sum w (f - d)^2 / 2 + sum_q r_q |grad f|_q` by the primal-dual steps of Chambolle and Pock
(2011), `quadratic` minimises `sum w (f - d)^2 / 2 + r sum |grad f|^2 / 2` by preconditioned conjugate gradients.

The gradient lives on *quads*, the squares between four neighbouring pixels: `|grad f|_q^2` is half the sum of the
squared changes along the four edges of a quad, over all components. So every edge counts in its two quads by half,
nothing prefers right to left or down to up, and flips and turns of the data turn the answer and no more. An edge exists
where both of its ends are in the region; beyond the border of the array there is nothing. A quad that lacks edges is
half a quad whose missing edges change like those across (see `Edges.share`), so that a straight fault costs its length
wherever it ends.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

HALF = math.sqrt(0.5)  # an edge's share in each of its two quads, in the norm
NORM2 = 8.0  # bound on the squared norm of `Edges.slope`: that of the Laplacian's
FIRST_STEP = 1.0  # of the primal; from 1/4 to 4 it makes no difference, but for places without weight it does
SHARE = 0.7  # of the strong convexity that the shrinking of the steps counts on
LOOK_EVERY = 10  # iterations between looks at the gap


class Slope(NamedTuple):
    """Something on the edges: the changes of a field, or the dual that belongs to them.

    An edge across columns (rows) is seen by the quad above and the quad below it (to its left and to its right); the
    first axis tells these two apart.
    """

    across: Float[Tensor, "quad band height columns"]
    """Edge j joins columns j - 1 and j."""
    down: Float[Tensor, "quad band rows width"]
    """Edge i joins rows i - 1 and i."""


class Edges(NamedTuple):
    """Which neighbours belong together: 1 where both are in the region, 0 elsewhere."""

    across: Float[Tensor, "height columns"]
    down: Float[Tensor, "rows width"]

    @classmethod
    def within(cls, region: Bool[Tensor, "height width"]) -> Edges:
        """The edges inside a region."""
        height, width = region.shape
        across = torch.zeros(height, width + 1, device=region.device)
        down = torch.zeros(height + 1, width, device=region.device)
        across[:, 1:-1] = region[:, 1:] & region[:, :-1]
        down[1:-1] = region[1:] & region[:-1]
        return cls(across, down)

    def slope(self, field: Float[Tensor, "band height width"]) -> Slope:
        """Change along every edge, times the square root of a half; one copy for both quads (a view)."""
        across, down = self.changes(field)
        return Slope(*(part.mul_(HALF).expand(2, *part.shape) for part in (across, down)))

    def changes(self, field: Float[Tensor, "band height width"]) -> tuple[Tensor, Tensor]:
        """Change along every edge, `(across, down)`; 0 where there is none."""
        across = field.new_zeros(len(field), *self.across.shape)
        down = field.new_zeros(len(field), *self.down.shape)
        torch.sub(field[:, :, 1:], field[:, :, :-1], out=across[:, :, 1:-1])
        torch.sub(field[:, 1:], field[:, :-1], out=down[:, 1:-1])
        return across.mul_(self.across), down.mul_(self.down)

    def divergence(self, dual: Slope) -> Float[Tensor, "band height width"]:
        """Minus the adjoint of `slope`: `<slope f, p> = -<f, divergence p>` over all copies."""
        across = (dual.across[0] + dual.across[1]).mul_(self.across)
        down = (dual.down[0] + dual.down[1]).mul_(self.down)
        total = across[:, :, 1:] - across[:, :, :-1]
        return total.add_(down[:, 1:]).sub_(down[:, :-1]).mul_(HALF)

    def share(self) -> Float[Tensor, "rows columns"]:
        """1 for quads with all four edges, the root of a half for others.

        `share^2` is how much of a quad there is, and `steepness / share` its gradient, missing edges taken to be like
        those across.
        """
        sides = self.across.new_zeros(self.down.shape[0], self.across.shape[1])
        for part, first, second in (
            (self.across, sides[:-1], sides[1:]),
            (self.down, sides[:, :-1], sides[:, 1:]),
        ):
            first += part
            second += part
        return torch.where(sides == 4, 1.0, HALF)

    def nothing(self, bands: int) -> Slope:
        """A dual of zeros."""
        return Slope(*(part.new_zeros(2, bands, *part.shape) for part in self))


def steepness(slope: Slope) -> Float[Tensor, "rows columns"]:
    """|grad| of every quad, over all components; quad (i, j) lies between rows i - 1, i and columns j - 1, j."""
    (above, below), (left, right) = (part.square().sum(1) for part in slope)
    total = above.new_zeros(left.shape[0], above.shape[1])
    total[:-1] += above
    total[1:] += below
    total[:, :-1] += left
    total[:, 1:] += right
    return total.sqrt_()


def scale_quads(slope: Slope, factor: Float[Tensor, "rows columns"]) -> None:
    """Multiply what belongs to each quad by its factor, in place."""
    slope.across[0].mul_(factor[:-1])
    slope.across[1].mul_(factor[1:])
    slope.down[0].mul_(factor[:, :-1])
    slope.down[1].mul_(factor[:, 1:])


class Data(NamedTuple):
    """What was measured, and how much it counts."""

    value: Float[Tensor, "band height width"]
    """Finite everywhere; a first guess where `weight` is 0; outside of `region` it says nothing."""
    weight: Float[Tensor, "band height width"]
    """Of the squared difference; 0 outside of `region`."""
    region: Bool[Tensor, "height width"]
    """Where the answer is wanted."""

    def energy(self, field: Float[Tensor, "band height width"]) -> float:
        """`sum w (f - d)^2 / 2`."""
        return (self.weight * (field - self.value).square()).sum(dtype=torch.float64).item() / 2


class Stop(NamedTuple):
    """When an iteration is good enough."""

    tolerance_px: float = 0.002
    """Bound on the root mean square error (weighted as the data are) against the exact minimum."""
    most: int = 400
    """Iterations after which it ends anyway."""


class Solution(NamedTuple):
    """The field, and the state from which a similar problem can start."""

    field: Float[Tensor, "band height width"]
    dual: Slope
    iterations: int
    error_px: float
    """The bound that `Stop.tolerance_px` speaks of, at the end."""


def total_variation(
    data: Data,
    price: Float[Tensor, "rows columns"],
    edges: Edges,
    stop: Stop = Stop(),  # noqa: B008 frozen
    start: Solution | None = None,
) -> Solution:
    """Minimise `sum w (f - d)^2 / 2 + sum_q price_q |grad f|_q` over fields on the region.

    The steps shrink as the weakest weight allows (algorithm 2 of Chambolle and Pock 2011), or stay where a weight is 0.

    Args:
        data: (band, height, width) measurements.
        price: of a change of 1 in each quad, >= 0, times its `Edges.share`.
        edges: `Edges.within(data.region)`.
        stop: when to end.
        start: of a similar problem, whose answer is near.
    """
    field = start.field if start else data.value
    dual = Slope(*(part.clone() for part in start.dual)) if start else edges.nothing(len(data.value))
    _shrink_to(dual, price)
    counted = data.weight[:, data.region]
    convexity = SHARE * counted.amin().item() if counted.numel() else 0.0
    step, ahead = FIRST_STEP, field
    count, error = 0, _error(data, price, edges, field, dual)
    while error > stop.tolerance_px and count < stop.most:
        change = edges.slope(ahead)
        for part, add in zip(dual, change, strict=True):
            part.add_(add, alpha=1 / (NORM2 * step))
        _shrink_to(dual, price)
        moved = edges.divergence(dual).mul_(step).add_(field)
        moved.addcmul_(data.weight, data.value, value=step).div_(data.weight * step + 1)
        momentum = 1 / math.sqrt(1 + 2 * convexity * step)
        step *= momentum
        ahead = torch.lerp(field, moved, 1 + momentum)
        field = moved
        count += 1
        if count % LOOK_EVERY == 0 or count == stop.most:
            error = _error(data, price, edges, field, dual)
    return Solution(field, dual, count, error)


def _shrink_to(dual: Slope, price: Float[Tensor, "rows columns"]) -> None:
    """Bring the dual of every quad to a length of at most its price, in place."""
    length = steepness(dual)
    scale_quads(dual, torch.where(length > price, price / length, 1.0))


def _error(data: Data, price: Tensor, edges: Edges, field: Tensor, dual: Slope) -> float:
    """Bound on the root mean square distance to the minimum, from the gap between primal and dual.

    The gap bounds `sum w (f - minimum)^2 / 2` because the data term is quadratic. It is a sum of parts none of which is
    negative, so nothing cancels. Where the weight is 0 the dual is bounded only because the minimum lies between the
    smallest and the largest measurement.
    """
    slope = edges.slope(field)
    rise = (price * steepness(slope)).sum(dtype=torch.float64)
    work = sum((p * s).sum(dtype=torch.float64) for p, s in zip(dual, slope, strict=True))
    flux = edges.divergence(dual)
    pull = data.weight * (data.value - field) + flux
    counted = data.weight > 0
    away = torch.where(counted, pull.square() / data.weight.clamp_min(1e-12), 0.0).sum(dtype=torch.float64) / 2
    free = data.region & ~counted
    if free.any():
        values = data.value[:, data.region]
        room = (values.amax() - values.amin()) * flux.abs() - (field - data.value) * flux
        away = away + torch.where(free, room.clamp_min(0), 0.0).sum(dtype=torch.float64)
    gap = (rise - work + away).clamp_min(0)
    return torch.sqrt(2 * gap / data.weight.sum(dtype=torch.float64).clamp_min(1)).item()


def quadratic(
    data: Data,
    price: float,
    edges: Edges,
    stop: Stop = Stop(),  # noqa: B008 frozen
) -> Solution:
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
    return Solution(field, edges.nothing(len(field)), count, error)


def _pull(edges: Edges, field: Tensor) -> Tensor:
    """Sum of the differences to the neighbours: the gradient of half the sum of the squared changes."""
    across, down = edges.changes(field)
    total = across[:, :, :-1] - across[:, :, 1:]
    return total.add_(down[:, :-1]).sub_(down[:, 1:])


def _dot(one: Tensor, other: Tensor) -> float:
    return (one * other).sum(dtype=torch.float64).item()


def _norm(residual: Tensor, places: int) -> float:
    return math.sqrt(_dot(residual, residual) / places)
