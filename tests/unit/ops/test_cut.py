"""The minimal cut: known sets, its price, its symmetries."""

from __future__ import annotations

import itertools

import pytest
import torch

from terrashift.ops.cut import minimal_cut


def noisy(shape: tuple[int, int], seed: int, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Cost of a set left of a slanted line, with noise, and the set."""
    height, width = shape
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    inside = columns < 0.4 * width + 0.3 * rows
    normal = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return (torch.where(inside, -1.0, 1.0) + noise * normal)[None, None], inside[None, None]


def energy(cost: torch.Tensor, chosen: torch.Tensor, price: float) -> float:
    """Of a set on a single row, where length of boundary is the number of changes."""
    return float((cost * chosen).sum()) + price * float((chosen[..., 1:] != chosen[..., :-1]).sum())


def test_without_noise_the_set_is_where_the_cost_is_negative():
    cost, inside = noisy((24, 40), 1, 0.0)
    assert torch.equal(minimal_cut(cost, 0.1), inside)


def test_a_boundary_is_found_through_noise_that_single_pixels_drown_in():
    cost, inside = noisy((48, 64), 2, 2.0)
    wrong = (minimal_cut(cost, 3.0) != inside).float().mean()
    assert ((cost < 0) != inside).float().mean() > 0.25
    assert wrong < 0.04


def test_on_a_row_it_is_the_best_of_all_sets():
    generator = torch.Generator().manual_seed(3)
    for _ in range(5):
        cost = torch.randn(1, 1, 1, 9, generator=generator)
        found = energy(cost, minimal_cut(cost, 0.6, 2000), 0.6)
        sets = (torch.tensor(bits, dtype=torch.bool) for bits in itertools.product((False, True), repeat=9))
        assert found == pytest.approx(min(energy(cost, chosen[None, None, None], 0.6) for chosen in sets), abs=1e-5)


def test_a_lone_pixel_is_dropped_where_its_boundary_costs_more_than_it_gains():
    cost = torch.ones(1, 1, 15, 15)
    cost[..., 7, 7] = -4.0
    assert minimal_cut(cost, 0.5)[0, 0, 7, 7]
    assert not minimal_cut(cost, 3.0).any()


def test_it_turns_and_mirrors_with_the_image():
    cost, _ = noisy((30, 44), 4, 1.0)
    found = minimal_cut(cost, 2.0)
    for axis in (2, 3):
        assert (minimal_cut(cost.flip(axis), 2.0).flip(axis) != found).float().mean() < 0.03
    assert torch.equal(minimal_cut(cost.transpose(2, 3), 2.0).transpose(2, 3), found)


def test_images_of_a_batch_do_not_see_each_other():
    first, second = noisy((20, 32), 5, 1.0)[0], noisy((20, 32), 6, 1.0)[0]
    both = minimal_cut(torch.cat([first, second]), 2.0)
    assert torch.equal(both, torch.cat([minimal_cut(first, 2.0), minimal_cut(second, 2.0)]))
