"""Smooth a field by a price on its changes: total variation of all components together.

Minimises `sum w (f - d)^2 / 2 + sum_q r_q |grad f|_q` (Rudin et al. 1992; Bresson and Chan 2008) by the primal-dual
steps of `primal_dual`, begun from the answer of the same problem at half the resolution (see `coarser`).
"""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from .coarser import halved, refined
from .primal_dual import FIRST_STEP, Plan, State, advance, error_bound
from .quads import Data, Edges, Stop, shrink

LOOK_EVERY = 10  # iterations between looks at the gap
SMALLEST = 16  # longer side of a field that is not halved further


class Solution(NamedTuple):
    """The field, and the state from which a similar problem can start."""

    field: Float[Tensor, "band height width"]
    dual: Float[Tensor, "4 band rows columns"]
    """For each quad the edge below its middle, above it, to its right and to its left."""
    iterations: int
    """At full resolution."""
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

    The steps shrink as the weights allow, or stay where one is 0 inside the region.

    Args:
        data: (band, height, width) measurements.
        price: of a change of 1 in each quad, >= 0, times its `Edges.share`.
        edges: `Edges.within(data.region)`.
        stop: when to end.
        start: of a similar problem, whose answer is near.
    """
    plan = Plan.of(data, price, edges)
    field, dual = (start.field, start.dual.clone()) if start else (data.value, edges.nothing(len(data.value)))
    shrink(dual, price)
    error = error_bound(data, plan, field, dual)
    if error > stop.tolerance_px and start is None and max(data.region.shape) > SMALLEST:
        field, dual = _from_coarser(data, price, edges, stop)
        error = error_bound(data, plan, field, dual)
    state, step, count = State.at(field, dual), FIRST_STEP, 0
    while error > stop.tolerance_px and count < stop.most:
        step = advance(plan, state, step)
        count += 1
        if count % LOOK_EVERY == 0 or count == stop.most:
            error = error_bound(data, plan, state.field, state.dual)
    return Solution(state.field, state.dual, count, error)


def _from_coarser(data: Data, price: Tensor, edges: Edges, stop: Stop) -> tuple[Tensor, Tensor]:
    """Field and dual to start from: what cells of 2 x 2 pixels say."""
    cells, coarse_price, coarse_edges = halved(data, price, edges)
    found = total_variation(cells, coarse_price, coarse_edges, stop)
    field, dual = refined(found.field, found.dual, data, edges)
    shrink(dual, price)
    return field, dual
