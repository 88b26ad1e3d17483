"""The steps by which `tv` minimises: the accelerated primal-dual algorithm (Chambolle and Pock 2011, algorithm 2).

Every pixel has a step of its own, the inverse of its weight (a diagonal metric, Pock and Chambolle 2011). In that
metric the data term is strongly convex by 1 everywhere, so that the pace of the whole is not set by the vector that
counts least. The work is done in strips of rows that stay in the processor's cache, in place.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .quads import HALF, NORM2, Data, Edges, shrink

FIRST_STEP = 1.0  # of the primal, times 1 / weight; smaller ones follow a coarse start less well at faults
SHARE = 0.7  # of the strong convexity that the shrinking of the steps counts on
STRIP = 100_000  # pixels done at a time; the state of so many is a few megabytes


class Plan(NamedTuple):
    """What stays the same from step to step."""

    edges: Edges
    price: Float[Tensor, "rows columns"]
    pace: Float[Tensor, "height width"]
    """Step of every pixel in units of the common one; 0 outside of the region."""
    grip: Float[Tensor, "rows columns"]
    """Step of the dual of every quad, times the common one."""
    weight: Float[Tensor, "band height width"]
    """Of the data times `pace`."""
    pull: Float[Tensor, "band height width"]
    """That times what was measured."""
    convexity: float
    """Of the data term, in the metric of `pace`."""
    whole: bool
    """No edge is missing inside the array."""

    @classmethod
    def of(cls, data: Data, price: Tensor, edges: Edges) -> Plan:
        """Find the steps for a problem."""
        least = data.weight.amin(0)
        counted = least > 0
        pace = torch.where(counted, 1 / least, 1.0) * data.region
        across, down = torch.zeros_like(edges.across), torch.zeros_like(edges.down)
        across[:, 1:-1] = pace[:, 1:] + pace[:, :-1]
        down[1:-1] = pace[1:] + pace[:-1]
        # each of the 8 edges that reach a pixel, copies counted, may take an eighth of its step
        widest = Edges(across * edges.across, down * edges.down).on_quads().amax(0)
        grip = torch.where(widest > 0, 2 / (NORM2 * widest), 0.0)
        weight = data.weight * pace
        convexity = SHARE if counted[data.region].all() and data.region.any() else 0.0
        whole = bool((edges.across[:, 1:-1] == 1).all() and (edges.down[1:-1] == 1).all())
        return cls(edges, price, pace, grip, weight, weight * data.value, convexity, whole)


class State(NamedTuple):
    """Where the iteration is; every step changes it in place."""

    field: Float[Tensor, "band height width"]
    ahead: Float[Tensor, "band height width"]
    """The field and as much again as it moved last."""
    dual: Float[Tensor, "4 band rows columns"]

    @classmethod
    def at(cls, field: Tensor, dual: Tensor) -> State:
        """Begin there; the arguments stay as they are."""
        return cls(field.clone(), field.clone(), dual.clone())


def advance(plan: Plan, state: State, step: float) -> float:
    """One iteration; the step of the next one."""
    momentum = 1 / math.sqrt(1 + 2 * plan.convexity * step)
    height, width = plan.pace.shape
    rows = max(16, STRIP // max(1, width))
    for top in range(0, height, rows):
        end = min(top + rows, height)
        # the quads above row `top` are done; those up to row `end` see rows that have not moved yet
        _turn(plan, state, step, slice(top + 1 if top else 0, end + 1))
        _move(plan, state, step, slice(top, end), momentum)
    return step * momentum


def _turn(plan: Plan, state: State, step: float, quads: slice) -> None:
    """Let the dual of these rows of quads follow the changes of the field, then shrink it to its price."""
    ahead, height = state.ahead, state.ahead.shape[1]
    below, above, right, left = dual = state.dual[:, :, quads]
    grip = plan.grip[quads] * (HALF / step)
    first, last = max(quads.start, 1), min(quads.stop, height)  # quads with a row above, with a row below
    rows = slice(quads.start - 1 if quads.start else 0, last)
    across = ahead[:, rows, 1:] - ahead[:, rows, :-1]
    down = ahead[:, first:last] - ahead[:, first - 1 : last - 1]
    if not plan.whole:
        across *= plan.edges.across[rows, 1:-1]
        down *= plan.edges.down[first:last]
    skip, kept = first - quads.start, last - quads.start
    below[:, :kept, 1:-1].addcmul_(across[:, quads.start - rows.start :], grip[:kept, 1:-1])
    above[:, skip:, 1:-1].addcmul_(across[:, : quads.stop - first], grip[skip:, 1:-1])
    right[:, skip:kept, :-1].addcmul_(down, grip[skip:kept, :-1])
    left[:, skip:kept, 1:].addcmul_(down, grip[skip:kept, 1:])
    shrink(dual, plan.price[quads])


def _move(plan: Plan, state: State, step: float, rows: slice, momentum: float) -> None:
    """Let these rows of the field follow the dual and the data."""
    top, end, height = rows.start, rows.stop, state.field.shape[1]
    below, above, right, left = state.dual
    field, pace = state.field[:, rows], plan.pace[rows]
    across = below[:, rows, 1:-1] + above[:, top + 1 : end + 1, 1:-1]
    first, last = max(top, 1), min(end + 1, height)
    down = right[:, first:last, :-1] + left[:, first:last, 1:]
    if not plan.whole:
        across *= plan.edges.across[rows, 1:-1]
        down *= plan.edges.down[first:last]
    moved = torch.add(field, plan.pull[:, rows], alpha=step)
    size = step * HALF
    moved[:, :, :-1].addcmul_(across, pace[:, :-1], value=size)
    moved[:, :, 1:].addcmul_(across, pace[:, 1:], value=-size)
    inner, outer = last - 1 - top, first - top
    moved[:, :inner].addcmul_(down[:, top + 1 - first :], pace[:inner], value=size)
    moved[:, outer:].addcmul_(down[:, : end - first], pace[outer:], value=-size)
    moved /= torch.mul(plan.weight[:, rows], step).add_(1)
    torch.lerp(field, moved, 1 + momentum, out=state.ahead[:, rows])
    field.copy_(moved)


def error_bound(data: Data, plan: Plan, field: Tensor, dual: Tensor) -> float:
    """Bound on the root mean square distance to the minimum, from the gap between primal and dual.

    The gap bounds `sum w (f - minimum)^2 / 2` because the data term is quadratic. It is a sum of parts none of which is
    negative, so nothing cancels. Where the weight is 0 the dual is bounded only because the minimum lies between the
    smallest and the largest measurement.
    """
    edges = plan.edges
    slack = (plan.price * edges.steepness(field) - edges.work(field, dual)).sum(dtype=torch.float64)
    flux = edges.divergence(dual)
    pull = data.weight * (data.value - field) + flux
    counted = data.weight > 0
    away = torch.where(counted, pull.square() / data.weight.clamp_min(1e-12), 0.0).sum(dtype=torch.float64) / 2
    free = data.region & ~counted
    if free.any():
        values = data.value[:, data.region]
        room = (values.amax() - values.amin()) * flux.abs() - (field - data.value) * flux
        away = away + torch.where(free, room.clamp_min(0), 0.0).sum(dtype=torch.float64)
    gap = (slack + away).clamp_min(0)
    return torch.sqrt(2 * gap / data.weight.sum(dtype=torch.float64).clamp_min(1)).item()
