"""A problem of total variation at half the resolution."""

from __future__ import annotations

import pytest
import torch

from terrashift.ops.coarser import halved, refined
from terrashift.ops.quads import Data, Edges, length_of


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def problem(shape: tuple[int, int], region: torch.Tensor | None = None) -> tuple[Data, torch.Tensor, Edges]:
    region = torch.ones(shape, dtype=torch.bool) if region is None else region
    weight = (0.5 + torch.rand(2, *shape, generator=torch.Generator().manual_seed(2))) * region
    edges = Edges.within(region)
    return Data(draw(2, *shape), weight, region), 0.3 * torch.ones(shape[0] + 1, shape[1] + 1), edges


def twice(cells: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    return cells.repeat_interleave(2, -2).repeat_interleave(2, -1)[..., : shape[0], : shape[1]]


@pytest.mark.parametrize("shape", [(8, 12), (7, 11), (1, 6), (5, 1)])
def test_a_field_of_cells_costs_a_quarter_of_what_it_costs_in_pixels(shape):
    data, price, edges = problem(shape)
    cells, coarse_price, coarse_edges = halved(data, price, edges)
    one, other = draw(2, *cells.region.shape, seed=4), draw(2, *cells.region.shape, seed=5)
    fine = data.energy(twice(one, shape)) - data.energy(twice(other, shape))
    assert 4 * (cells.energy(one) - cells.energy(other)) == pytest.approx(fine, rel=1e-4)
    assert coarse_price.shape == (cells.region.shape[0] + 1, cells.region.shape[1] + 1)
    torch.testing.assert_close(coarse_price, torch.full_like(coarse_price, 0.15))
    # away from the border a jump has the same height on a quarter of the quads twice as far apart
    torch.testing.assert_close(
        coarse_edges.steepness(one)[1:-2, 1:-2], edges.steepness(twice(one, shape))[2:-3:2, 2:-3:2]
    )


def test_what_is_missing_has_no_say_and_a_wall_stays_one():
    region = torch.ones(8, 12, dtype=torch.bool)
    region[:, 4:6] = False
    data, price, edges = problem((8, 12), region)
    data.value[:, ~region] = 1e6
    cells, _, coarse = halved(data, price, edges)
    assert not cells.region[:, 2].any()
    assert cells.region.sum() == 4 * 5
    assert cells.value[:, cells.region].abs().max() < 10
    assert (coarse.across[:, 2:4] == 0).all()
    assert (coarse.across[:, [1, 4, 5]] == 1).all()
    half = region.clone()
    half[0, 8] = False
    assert halved(*problem((8, 12), half))[2].across[0, 4] == 0.5


def test_first_guesses_count_where_nothing_was_measured():
    data, price, edges = problem((4, 6))
    weight = data.weight.clone()
    weight[:, :2, :2] = 0.0
    weight[:, 2, 2] = 0.0
    cells, _, _ = halved(data._replace(weight=weight), price, edges)
    torch.testing.assert_close(cells.value[:, 0, 0], data.value[:, :2, :2].mean((1, 2)))
    assert (cells.weight[:, 0, 0] == 0).all()
    others = weight[:, 2:4, 2:4]
    torch.testing.assert_close(
        cells.value[:, 1, 1], (others * data.value[:, 2:4, 2:4]).sum((1, 2)) / others.sum((1, 2))
    )


@pytest.mark.parametrize("shape", [(8, 12), (7, 11)])
def test_a_dual_keeps_its_flux_and_never_outgrows_the_price(shape):
    data, price, edges = problem(shape)
    cells, coarse_price, coarse_edges = halved(data, price, edges)
    dual = draw(4, 2, *coarse_price.shape, seed=6) * (coarse_edges.on_quads() > 0)[:, None]
    dual *= (coarse_price / length_of(dual).clamp_min(1e-9))[None, None]
    field = draw(2, *cells.region.shape, seed=7)
    fine_field, fine_dual = refined(field, dual, data, edges)
    assert torch.equal(fine_field, twice(field, shape))
    assert (length_of(fine_dual) <= price * (1 + 1e-5)).all()
    # what flows out of a cell in the middle is what flowed out of it before, where the flux changes evenly
    even = 0.01 * torch.arange(dual.shape[-1]) * (coarse_edges.on_quads() > 0)[:, None].expand_as(dual)
    found = edges.divergence(refined(field, even, data, edges)[1])[:, 2:6, 2:6]
    expected = coarse_edges.divergence(even)[:, 1:3, 1:3]
    assert expected.abs().min() > 0.005
    torch.testing.assert_close(found.reshape(2, 2, 2, 2, 2).mean((2, 4)), expected, rtol=1e-4, atol=1e-6)
