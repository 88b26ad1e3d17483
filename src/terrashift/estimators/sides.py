"""Near a fault with large slip, go on from the motion of either side, and keep what fits the images better.

One motion that bends from one side's to the other's tears the warped image along the fault, and a refinement that
starts from it cannot put right what it garbled. Here each pixel is also measured from the motions found a little away
from it, on either side, as layered motion does (Wang & Adelson 1994): the whole surroundings move with one side, so
the warp is clean, and the images tell which side a pixel belongs to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from ..models.estimate import Estimate
from ..models.microflow import normalise, sample
from ..ops.box import box_mean

COARSE_PX = 4
"""The sides' motion is found on a grid this much coarser, each cell the mean of its pixels."""
REACH = 8
"""Cells to either side that a side's motion is looked for: some 30 px, beyond the smear across a fault."""
LEAST_PX = 0.3
"""Sides whose motions are nearer to each other than this are one."""
FAR_APART_PX = 3.0
"""Sides whose motions are nearer to each other than this a network bridges by itself."""
CHANGED_PX = 1.5
"""A pixel takes a side's motion only if it is so far from what was found first."""
BETTER = 0.9
"""Share of the difference between the images that a side's motion must stay below, to be taken."""
ALIKE = 0.85
"""Normalised images that differ more than this changed too much to tell sides apart: unrelated ones differ by 1.13."""
WINDOWS_PX = (7, 21)
"""The difference is averaged over squares of these sides: sharp along the fault, steady away from it."""
AROUND_PX = 31
SUPPORTED = 0.35
"""Share of such a square that must have a side's motion, for the pixel in its middle to take it: half of it has along a
fault, and little around a patch that changed and resembles the other side by chance."""
MOST = 2.0
"""Differences of normalised images count up to this much."""


class Sides(NamedTuple):
    """The two motions that differ most around each pixel."""

    first: Float[Tensor, "batch 2 height width"]
    """(x right, y down) px."""
    second: Float[Tensor, "batch 2 height width"]
    apart: Float[Tensor, "batch 1 height width"]
    """Distance between the two, px."""


def sides_of(flow: Float[Tensor, "batch 2 height width"]) -> Sides:
    """The ends, among the motions around each pixel, of the line along which these spread most.

    Args:
        flow: (x right, y down) px; sides are multiples of `COARSE_PX`.
    """
    coarse = avg_pool2d(flow, COARSE_PX)  # b 2 h/4 w/4
    side = 2 * REACH + 1
    rest = coarse - box_mean(coarse, side)
    xx, yy = (box_mean(rest[:, k : k + 1].square(), side) for k in (0, 1))
    xy = box_mean(rest[:, :1] * rest[:, 1:], side)
    angle = 0.5 * torch.atan2(2 * xy, xx - yy)  # b 1 h/4 w/4; of the spread's longer axis
    along = angle.cos() * coarse[:, :1] + angle.sin() * coarse[:, 1:]
    ends = [_at_most(coarse, sign * along, side) for sign in (1, -1)]
    size = tuple(flow.shape[-2:])
    first, second = (interpolate(end, size=size, mode="bilinear", align_corners=False) for end in ends)
    return Sides(first, second, _apart(first, second))


def with_sides(
    before: Float[Tensor, "batch 1 height width"],
    after: Float[Tensor, "batch 1 height width"],
    found: Estimate,
    again: Callable[[Tensor], Estimate],
) -> Estimate:
    """The estimate `found`, or that from the motion of either side of a fault where it fits the images better.

    Args:
        before: image.
        after: image, `before` moved along the flow.
        found: a first estimate.
        again: measures anew from a first idea of the flow.
    """
    sides = sides_of(found.flow)
    if sides.apart.max() < FAR_APART_PX:
        return found
    fixed = normalise(before)
    flow, log_scale = found
    least = (BETTER * _difference(fixed, after, flow)).clamp_max(ALIKE)
    for side, opposite in ((sides.first, sides.second), (sides.second, sides.first)):
        other = again(side)
        difference = _difference(fixed, after, other.flow)
        better = (difference < least) & (_apart(other.flow, found.flow) > CHANGED_PX)
        mixed = torch.where(better, other.flow, flow)
        of_side = _apart(mixed, side) < _apart(mixed, opposite)
        better &= box_mean(of_side.float(), AROUND_PX) > SUPPORTED
        least = torch.where(better, difference, least)
        flow = torch.where(better, other.flow, flow)
        log_scale = torch.where(better, other.log_scale, log_scale)
    return Estimate(flow, log_scale)


def _at_most(values: Tensor, height: Tensor, side: int) -> Tensor:
    """The values where `height` is largest within a square around each cell."""
    _, place = max_pool2d(height, side, 1, side // 2, return_indices=True)  # b 1 h w
    taken = values.flatten(2).gather(2, place.flatten(2).expand(-1, values.shape[1], -1))
    return taken.reshape(values.shape)


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """Distance between two motions at each pixel, px."""
    return (one - other).norm(dim=1, keepdim=True)


def _difference(fixed: Tensor, after: Tensor, flow: Tensor) -> Tensor:
    """How much the normalised images differ along a flow, around each pixel."""
    apart = (fixed - normalise(sample(after, flow))).abs().clamp_max(MOST)
    return torch.stack([box_mean(apart, side) for side in WINDOWS_PX]).mean(0)
