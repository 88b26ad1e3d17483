"""The steps of the minimisation, against the same steps written plainly."""

from __future__ import annotations

import math

import pytest
import torch

from terrashift.ops import primal_dual
from terrashift.ops.primal_dual import SHARE, Plan, State, advance, error_bound
from terrashift.ops.quads import HALF, NORM2, Data, Edges, shrink

SHAPE = (37, 23)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def problem(gaps: bool) -> tuple[Data, torch.Tensor, Edges]:
    region = draw(*SHAPE, seed=1) > (-1.0 if gaps else -9.0)
    weight = (0.1 + 3 * torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(2))) * region
    edges = Edges.within(region)
    return Data(draw(2, *SHAPE) * region, weight, region), 0.3 * edges.share(), edges


def plainly(plan: Plan, data: Data, field: torch.Tensor, dual: torch.Tensor, count: int) -> tuple:
    """The algorithm as it is published, on whole arrays."""
    step, ahead = 1.0, field
    for _ in range(count):
        bands = zip(*plan.edges.changes(ahead), strict=True)
        rise = HALF * torch.stack([Edges(across, down).on_quads() for across, down in bands], 1)
        dual = dual + rise * plan.grip / step
        shrink(dual, plan.price)
        to = field + step * plan.pace * plan.edges.divergence(dual)
        size = step * plan.pace * data.weight
        moved = (to + size * data.value) / (1 + size)
        momentum = 1 / math.sqrt(1 + 2 * plan.convexity * step)
        step, ahead, field = step * momentum, moved + momentum * (moved - field), moved
    return field, dual, step


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("strip", [1, 500, 10**6])
def test_strips_in_place_give_the_published_steps(monkeypatch, gaps, strip):
    monkeypatch.setattr(primal_dual, "STRIP", strip)
    data, price, edges = problem(gaps)
    plan = Plan.of(data, price, edges)
    assert plan.whole is not gaps
    state, step = State.at(data.value, edges.nothing(2)), 1.0
    for _ in range(12):
        step = advance(plan, state, step)
    field, dual, expected = plainly(plan, data, data.value, edges.nothing(2), 12)
    assert step == expected
    torch.testing.assert_close(state.field, field, atol=1e-5, rtol=0)
    torch.testing.assert_close(state.dual, dual, atol=1e-5, rtol=0)
    assert (state.field - data.value).abs().max() > 0.1


def test_the_steps_are_as_long_as_the_gradient_allows():
    data, price, edges = problem(gaps=True)
    plan = Plan.of(data, price, edges)
    field = draw(2, *SHAPE, seed=5)
    for _ in range(200):  # power iteration of the scaled operator, whose norm must not pass 1
        root = plan.pace.sqrt()
        bands = zip(*edges.changes(root * field), strict=True)
        rise = HALF * torch.stack([Edges(across, down).on_quads() for across, down in bands], 1)
        field = -root * edges.divergence(plan.grip * rise)
        length = field.norm()
        field = field / length
    assert 0.4 < length <= 1.0
    assert NORM2 == 8.0


def test_every_pixel_steps_by_the_inverse_of_its_least_weight():
    data, price, edges = problem(gaps=True)
    plan = Plan.of(data, price, edges)
    least = data.weight.amin(0)
    torch.testing.assert_close(plan.pace[data.region], 1 / least[data.region])
    assert (plan.pace[~data.region] == 0).all()
    assert plan.weight[:, data.region].amin() == pytest.approx(1.0)
    assert plan.convexity == SHARE
    weight = data.weight.clone()
    weight[:, 3, 4] = 0.0
    assert Plan.of(data._replace(weight=weight, region=torch.ones_like(data.region)), price, edges).convexity == 0.0


def test_the_arguments_stay_as_they_are_and_the_bound_falls():
    data, price, edges = problem(gaps=False)
    plan, kept = Plan.of(data, price, edges), data.value.clone()
    state, step = State.at(data.value, edges.nothing(2)), 1.0
    bounds = []
    for _ in range(4):
        for _ in range(20):
            step = advance(plan, state, step)
        bounds.append(error_bound(data, plan, state.field, state.dual))
    assert torch.equal(data.value, kept)
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] < 0.1 * bounds[0] + 1e-4
