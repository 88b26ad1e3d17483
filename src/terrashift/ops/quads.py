"""The change of a field between neighbours, gathered on quads: the squares between four neighbouring pixels.

`|grad f|_q^2` is half the sum of the squared changes along the four edges of quad q, over all components. So every edge
counts in its two quads by half, nothing prefers right to left or down to up, and flips and turns of a field turn its
gradient and no more. An edge exists where both of its ends are in the region; beyond the border of the array there is
nothing. A quad that lacks edges is half a quad whose missing edges change like those across (see `Edges.share`), so
that a straight fault costs its length wherever it ends.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

HALF = math.sqrt(0.5)  # an edge's share in each of its two quads, in the norm
NORM2 = 8.0  # bound on the squared norm of the gradient with all its copies: that of the Laplacian


class Edges(NamedTuple):
    """Which neighbours belong together: 1 where both are in the region, 0 elsewhere, between for a part of an edge."""

    across: Float[Tensor, "height columns"]
    """Edge j joins columns j - 1 and j."""
    down: Float[Tensor, "rows width"]
    """Edge i joins rows i - 1 and i."""

    @classmethod
    def within(cls, region: Bool[Tensor, "height width"]) -> Edges:
        """The edges inside a region."""
        height, width = region.shape
        across = torch.zeros(height, width + 1, device=region.device)
        down = torch.zeros(height + 1, width, device=region.device)
        across[:, 1:-1] = region[:, 1:] & region[:, :-1]
        down[1:-1] = region[1:] & region[:-1]
        return cls(across, down)

    def changes(self, field: Float[Tensor, "band height width"]) -> tuple[Tensor, Tensor]:
        """Change along every edge, `(across, down)`; 0 where there is none."""
        across = field.new_zeros(len(field), *self.across.shape)
        down = field.new_zeros(len(field), *self.down.shape)
        torch.sub(field[:, :, 1:], field[:, :, :-1], out=across[:, :, 1:-1])
        torch.sub(field[:, 1:], field[:, :-1], out=down[:, 1:-1])
        return across.mul_(self.across), down.mul_(self.down)

    def steepness(self, field: Float[Tensor, "band height width"]) -> Float[Tensor, "rows columns"]:
        """|grad| of every quad, over all components; quad (i, j) lies between rows i - 1, i and columns j - 1, j."""
        across, down = (part.square_().sum(0) for part in self.changes(field))
        total = across.new_zeros(down.shape[0], across.shape[1])
        total[:-1] += across
        total[1:] += across
        total[:, :-1] += down
        total[:, 1:] += down
        return total.mul_(HALF**2).sqrt_()

    def divergence(self, dual: Float[Tensor, "4 band rows columns"]) -> Float[Tensor, "band height width"]:
        """Minus the adjoint of the gradient: `sum_q <grad f, p>_q = -<f, divergence p>`."""
        below, above, right, left = dual
        across = (below[:, :-1] + above[:, 1:]).mul_(self.across)
        down = (right[:, :, :-1] + left[:, :, 1:]).mul_(self.down)
        total = across[:, :, 1:] - across[:, :, :-1]
        return total.add_(down[:, 1:]).sub_(down[:, :-1]).mul_(HALF)

    def work(
        self, field: Float[Tensor, "band height width"], dual: Float[Tensor, "4 band rows columns"]
    ) -> Float[Tensor, "rows columns"]:
        """`<grad f, p>` of every quad."""
        across, down = self.changes(field)
        below, above, right, left = dual
        total = dual.new_zeros(dual.shape[2:])
        total[:-1] += (across * below[:, :-1]).sum(0)
        total[1:] += (across * above[:, 1:]).sum(0)
        total[:, :-1] += (down * right[:, :, :-1]).sum(0)
        total[:, 1:] += (down * left[:, :, 1:]).sum(0)
        return total.mul_(HALF)

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

    def on_quads(self) -> Float[Tensor, "4 rows columns"]:
        """The four edges of every quad, in the order of a dual."""
        every = self.across.new_zeros(4, self.down.shape[0], self.across.shape[1])
        every[0, :-1], every[1, 1:] = self.across, self.across
        every[2, :, :-1], every[3, :, 1:] = self.down, self.down
        return every

    def nothing(self, bands: int) -> Float[Tensor, "4 band rows columns"]:
        """A dual of zeros: for each quad the edge below its middle, above it, to its right and to its left."""
        return self.across.new_zeros(4, bands, self.down.shape[0], self.across.shape[1])


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


def length_of(dual: Float[Tensor, "4 band rows columns"]) -> Float[Tensor, "rows columns"]:
    """Of what belongs to each quad, over all its edges and components."""
    first, *others = dual.flatten(0, 1)
    total = first * first
    for part in others:
        total.addcmul_(part, part)  # a norm over the leading axes is ten times slower in torch
    return total.sqrt_()


def shrink(dual: Float[Tensor, "4 band rows columns"], price: Float[Tensor, "rows columns"]) -> None:
    """Bring the dual of every quad to a length of at most its price, in place."""
    length = length_of(dual)
    # where both are 0 the factor does not matter
    dual.mul_(price / torch.maximum(length, price).clamp_min_(1e-30))
