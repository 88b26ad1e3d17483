"""Near a fault, find where the boundary between its two sides runs, and let each side's motion go up to it.

A network that is unsure of which side a pixel belongs to answers with something between, and smears the fault over
some pixels. Farther away it knows either side's motion well. Continued up to the fault, each of the two tells how the
images should be alike; the boundary is laid where that fits best and its length is least (a minimal cut), as for the
layers of video (Wang & Adelson 1994; Boykov, Veksler & Zabih 2001).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool2d

from ..models.estimate import Estimate
from ..models.microflow import normalise, sample
from ..ops.box import box_mean
from ..ops.cut import minimal_cut
from ..ops.extend import extended
from .sides import FAR_APART_PX, LEAST_PX, Sides, sides_of

STEEP = 0.5
"""Share of the difference between the two sides that is still there when both are continued up to the boundary: less
means that motion turns from one to the other over a wide zone."""
SAME_PX = 0.1
"""Where sides are as near as this, there is but one, and no pixel is on either."""
BAND_PX = 12
"""The boundary is looked for so far from where it seemed to be."""
SMEARED_PX, AGAIN_PX = 5, 3
"""So near to the boundary motion is not believed, at first, and when it was measured from either side's."""
EVENED_PX = 5
"""Continued motion is the mean over squares of this side: no steps of the cells that it is continued by."""
WIDE_PX = 30
"""Motion measured again from either side's is taken so far from the boundary."""
PRICE = 3.0
"""Of a pixel's length of boundary, in units of how alike images are."""
ALIKE_PX = 3
"""Side of the windows that are correlated."""
FLAT = 0.05
"""Product of deviations (of normalised images) below which windows do not correlate."""
MOST = 0.98
"""Correlations count up to this much."""
AROUND_PX = 31
"""Side of the squares whose majority tells which side a pixel is on, to begin with: no islands."""
JUDGED_PX = 31
"""Side of the squares in which sharp motion must fit the images better than smeared motion, to be taken."""
SETTLED = 20.0
"""Cost of the wrong side beyond the band."""


class Parted(NamedTuple):
    """Two sides of each pixel's surroundings, and which of them it is on."""

    first: Float[Tensor, "batch 2 height width"]
    """Motion of the one side, continued over the other, (x right, y down) px."""
    second: Float[Tensor, "batch 2 height width"]
    on_first: Bool[Tensor, "batch 1 height width"]

    @property
    def flow(self) -> Float[Tensor, "batch 2 height width"]:
        """Each pixel's own side's motion."""
        return torch.where(self.on_first, self.first, self.second)


def with_boundary(
    before: Float[Tensor, "batch 1 height width"],
    after: Float[Tensor, "batch 1 height width"],
    found: Estimate,
    again: Callable[[Tensor], Estimate],
) -> Estimate:
    """The estimate `found`, sharp where motion jumps and sharp motion fits the images better.

    Its errors stay as they were found: which side a pixel is on is still uncertain near the boundary.

    Args:
        before: image.
        after: image, `before` moved along the flow.
        found: a first estimate.
        again: measures anew from a first idea of the flow; asked where the sides are far apart.
    """
    sides = sides_of(found.flow)
    if sides.apart.max() < LEAST_PX:
        return found
    images = Images(normalise(before), after)
    jumps = sides.apart > LEAST_PX
    parted = _part(images, found.flow, _side_of(found.flow, sides), sides.apart, SMEARED_PX)
    steep = _length(parted.first - parted.second) > (STEEP * sides.apart).clamp_min(LEAST_PX)
    best = _better(images, found, parted.flow, _band(parted.on_first, BAND_PX) & jumps & steep)
    far = jumps & steep & (sides.apart > FAR_APART_PX) & _band(parted.on_first, BAND_PX)
    if not far.any():
        return best
    one, other = again(parted.first), again(parted.second)
    flow, log_scale = (torch.where(parted.on_first, a, b) for a, b in zip(one, other, strict=True))
    wide = _grown(far, WIDE_PX)
    best = _better(images, best, flow, wide, log_scale)
    parted = _part(images, flow, parted.on_first, sides.apart, AGAIN_PX)
    return _better(images, best, parted.flow, _band(parted.on_first, BAND_PX) & wide & jumps)


class Images(NamedTuple):
    """A pair, `after` being `before` moved along the flow."""

    before: Float[Tensor, "batch 1 height width"]
    """Normalised."""
    after: Float[Tensor, "batch 1 height width"]

    def alike(self, flow: Float[Tensor, "batch 2 height width"]) -> Float[Tensor, "batch 1 height width"]:
        """How alike they are along a flow: minus the logarithm of their windows' distance, 0 where opposite.

        As of the likelihood of windows whose noise is not known: very like ones tell much more than somewhat like ones.
        """
        one, other = self.before, normalise(sample(self.after, flow))
        mean_a, mean_b = box_mean(one, ALIKE_PX), box_mean(other, ALIKE_PX)
        both = box_mean(one * other, ALIKE_PX) - mean_a * mean_b
        a = box_mean(one.square(), ALIKE_PX) - mean_a.square()
        b = box_mean(other.square(), ALIKE_PX) - mean_b.square()
        correlation = both / ((a * b).clamp_min(0.0).sqrt() + FLAT)
        return -torch.log((1 - correlation.clamp_max(MOST)) / 2)


def _side_of(flow: Tensor, sides: Sides) -> Bool[Tensor, "batch 1 height width"]:
    """True where most of the surroundings move with the first side, those counting most where the two are far apart."""
    nearer = _length(flow - sides.first) < _length(flow - sides.second)
    return box_mean(nearer * sides.apart, AROUND_PX) > 0.5 * box_mean(sides.apart, AROUND_PX)


def _part(images: Images, flow: Tensor, on_first: Tensor, apart: Tensor, smeared_px: int) -> Parted:
    """Continue each side's motion from where it is believed, and cut where the images say, within a band.

    Args:
        images: what decides.
        flow: motion so far, smeared over some pixels between the sides.
        on_first: where it is that of the first side.
        apart: distance between the two, px.
        smeared_px: so near to the other side it is not believed.
    """
    first, second = (_continued(flow, side & (apart > SAME_PX), smeared_px) for side in (on_first, ~on_first))
    cost = images.alike(second) - images.alike(first)
    settled = torch.where(on_first, -SETTLED, SETTLED)
    cut = minimal_cut(torch.where(_band(on_first, BAND_PX) & (apart > LEAST_PX), cost, settled), PRICE)
    return Parted(first, second, cut)


def _continued(flow: Tensor, here: Tensor, smeared_px: int) -> Tensor:
    """The motion of a side, continued from so many pixels within it."""
    within = ~_grown(~here, smeared_px)
    for instead in (here, torch.ones_like(here)):  # a sliver of a side; none
        within = torch.where(within.any(3, keepdim=True).any(2, keepdim=True), within, instead)
    side = extended(flow, within)
    return torch.where(within, side, box_mean(side, EVENED_PX))


def _better(images: Images, found: Estimate, flow: Tensor, where: Tensor, log_scale: Tensor | None = None) -> Estimate:
    """The estimate with another motion where the images around are more alike along that."""
    if not where.any():
        return found
    gain = images.alike(flow) - images.alike(found.flow)
    taken = where & (box_mean(torch.where(where, gain, 0.0), JUDGED_PX) > 0)
    scale = found.log_scale if log_scale is None else torch.where(taken, log_scale, found.log_scale)
    return Estimate(torch.where(taken, flow, found.flow), scale)


def _band(on_first: Tensor, reach_px: int) -> Tensor:
    """True within `reach_px` of both sides."""
    return _grown(on_first, reach_px) & _grown(~on_first, reach_px)


def _grown(where: Tensor, reach_px: int) -> Tensor:
    """True within a square distance of what is true."""
    along = max_pool2d(where.float(), (1, 2 * reach_px + 1), 1, (0, reach_px))
    return max_pool2d(along, (2 * reach_px + 1, 1), 1, (reach_px, 0)) > 0


def _length(vectors: Tensor) -> Tensor:
    return vectors.norm(dim=1, keepdim=True)
