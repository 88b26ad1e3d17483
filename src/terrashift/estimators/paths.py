"""Semi-global matching: costs summed along paths that reach every pixel from many sides (Hirschmueller 2008).

The price of a change of shift between neighbours is `price` per pixel of change, x and y apart. Along a path,
`L(p, s) = cost(p, s) + min over s' of (L(q, s') + price |s - s'|)` less the smallest such term, q being the neighbour
before p.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..ops.box import box_sum

KNEE = 0.05  # px below which a difference between neighbours counts as noise
INNER = slice(1, -1)
AROUND = 21  # side of the square that a lattice's rounding averages out over, px
STEEP = 2.0  # price per pixel of change beyond the limit, in costs of at most 1
DOWN = {8: ((1, -1), (1, 0), (1, 1)), 16: ((1, -1), (1, 0), (1, 1), (2, -1), (2, 1))}
ACROSS = {8: ((1, 0),), 16: ((1, 0), (2, -1), (2, 1))}


class Labels(NamedTuple):
    """Candidate shifts of every pixel: a small square lattice around a base shift."""

    base: Float[Tensor, "2 height width"] | None
    """(x, y) px around which each pixel's candidates lie; None where all pixels share theirs."""
    spacing: float
    """Distance between candidates, px."""


class Change(NamedTuple):
    """What a change of shift between neighbours on a path costs."""

    price: float
    """Per pixel of change."""
    limit: float = math.inf
    """Change beyond which each pixel of change costs at least `STEEP`, px."""

    def of(self, change: Tensor) -> Tensor:
        """Price of some changes (px)."""
        size = change.abs()
        return torch.maximum(self.price * size, STEEP * (size - self.limit)).clamp_min(0)


def aggregate(
    cost: Float[Tensor, "ky kx height width"], labels: Labels, change: Change, directions: int
) -> Float[Tensor, "ky kx height width"]:
    """Sum of the path costs from all directions, each pixel's own cost counted once."""
    total = _sweep(cost, labels.base, labels.spacing, change, DOWN[directions])
    turned = None if labels.base is None else labels.base.transpose(1, 2)
    total += _sweep(cost.transpose(2, 3), turned, labels.spacing, change, ACROSS[directions]).transpose(2, 3)
    return total - (directions - 1) * cost


def _sweep(
    cost: Tensor, base: Tensor | None, spacing: float, price: Change, steps: tuple[tuple[int, int], ...]
) -> Float[Tensor, "ky kx height width"]:
    """Run all paths that go down the image and, on its mirror image, all that go up."""
    ky, kx, height, width = cost.shape
    both = torch.stack([cost, cost.flip(2)], 3)  # ky, kx, height, down/up, width
    bases = None if base is None else torch.stack([base, base.flip(1)], 2)  # 2, height, down/up, width
    out = torch.empty_like(both)
    past = [
        cost.new_zeros(ky, kx, len(steps), 2, width + 2) for _ in range(3)
    ]  # rows i, i-1, i-2, a column of zeros around
    for i in range(height):
        now = past[i % 3]
        before = cost.new_zeros(ky, kx, len(steps), 2, width)
        change = None if bases is None else cost.new_zeros(2, len(steps), 2, width)
        for k, (up, across) in enumerate(steps):
            if i < up:
                continue
            before[:, :, k] = past[(i - up) % 3][:, :, k, :, 1 - across : 1 - across + width]
            if change is not None and bases is not None:
                _change(change[:, k], bases, i, up, across)
        message = _cheapest(before, change, spacing, price)
        message -= message.amin((0, 1))
        message += both[:, :, i, None]
        now[..., 1:-1] = message
        out[:, :, i] = message.sum(2)
    return out[:, :, :, 0] + out[:, :, :, 1].flip(2)


def _change(into: Tensor, bases: Tensor, row: int, up: int, across: int) -> None:
    """Difference of base shift between the pixels of a row and their neighbours before them, 0 where a path starts."""
    width = bases.shape[-1]
    here, there = slice(max(across, 0), width + min(across, 0)), slice(max(-across, 0), width + min(-across, 0))
    into[..., here] = bases[:, row, :, here] - bases[:, row - up, :, there]


def _cheapest(before: Tensor, change: Tensor | None, spacing: float, price: Change) -> Tensor:
    """Minimum over the neighbour's candidates of its path cost and the price of changing to each of ours."""
    if change is None:
        return _spread(_spread(before, 0, price, spacing), 1, price, spacing)
    return _reach(_reach(before, 0, change[1], spacing, price), 1, change[0], spacing, price)


def _spread(x: Tensor, axis: int, change: Change, spacing: float) -> Tensor:
    """`min over j of x[j] + |i - j| price of one candidate` along an axis, by doubling distances."""
    size, distance = x.shape[axis], 1
    price = float(change.of(torch.tensor(spacing)))
    x = x.clone()
    while distance < size:
        far = x.narrow(axis, distance, size - distance) + price * distance
        near = x.narrow(axis, 0, size - distance) + price * distance
        head, tail = x.narrow(axis, 0, size - distance), x.narrow(axis, distance, size - distance)
        torch.minimum(head, far, out=head)
        torch.minimum(tail, near, out=tail)
        distance *= 2
    return x


def _reach(x: Tensor, axis: int, change: Tensor, spacing: float, price: Change) -> Tensor:
    """The same where our candidates lie `change` px off the neighbour's."""
    size = x.shape[axis]
    prices = {k: price.of(change + k * spacing) for k in range(1 - size, size)}
    planes = x.unbind(axis)
    reached = []
    for i in range(size):
        best = planes[0] + prices[i]
        for j in range(1, size):
            best = torch.minimum(best, planes[j] + prices[i - j])
        reached.append(best)
    return torch.stack(reached, axis)


def settle(
    shift: Float[Tensor, "2 height width"],
    measured: Float[Tensor, "2 height width"],
    weight: Float[Tensor, "height width"],
    price: float,
    rounds: int = 40,
) -> Float[Tensor, "2 height width"]:
    """Lower the energy of the paths between the candidates too, so that the answer does not sit on plateaus.

    The energy is `sum weight/2 |f - measured|^2 + price |f(p) - f(q)|` over neighbours p, q. From `shift`, moved by
    the local mean of what it leaves of `measured`, each round a pixel takes the weighted mean of its own measurement
    and its four neighbours, which count `price / difference`: reweighted least squares, differences from `KNEE` up.
    """
    known = (weight > 0).to(weight.dtype)
    left = torch.cat([known * (measured - shift), known[None]])
    *moved, share = box_sum(torch.nn.functional.pad(left[None], (AROUND // 2,) * 4, mode="replicate")[0], AROUND)
    shift = shift + torch.stack(moved) / share.clamp_min(1)
    for _ in range(rounds):
        padded = torch.nn.functional.pad(shift[None], (1, 1, 1, 1), mode="replicate")[0]
        total, mean = weight.expand_as(shift).clone(), weight * measured
        for rows, columns in (
            (slice(0, -2), INNER),
            (slice(2, None), INNER),
            (INNER, slice(0, -2)),
            (INNER, slice(2, None)),
        ):
            neighbour = padded[:, rows, columns]
            pull = price / (neighbour - shift).abs().clamp_min(KNEE)
            total += pull
            mean = mean + pull * neighbour
        shift = (shift + mean / total.clamp_min(1e-12)) / 2  # half-way, or neighbours take turns for ever
    return shift
