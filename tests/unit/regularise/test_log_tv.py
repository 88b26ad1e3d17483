"""The logarithmic price against plain total variation."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
import torch

from terrashift.core.field import Flow
from terrashift.ops.quads import Edges
from terrashift.regularise.log_tv import LogPrice, LogTv
from terrashift.regularise.problem import Problem
from terrashift.regularise.tv import Tv, reach_of

SIDE = 80


def noisy_fault(noise_px: float = 0.1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(truth, with noise, distance to the fault)."""
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in (SIDE, SIDE + 7)), indexing="ij")
    across = (columns + 0.35 * rows - 0.65 * SIDE) / math.hypot(1, 0.35)
    side = across.sign() * (0.5 - torch.atan(across.abs() / 40) / math.pi)
    truth = torch.stack([side, 0.5 * side])
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(seed))
    return truth, truth + noise_px * noise, across.abs()


def flow_of(xy: torch.Tensor) -> Flow:
    shape = xy.shape[1:]
    return Flow(xy, torch.full_like(xy, torch.nan), torch.ones(shape), torch.zeros(shape, dtype=torch.uint8))


class Quality(NamedTuple):
    """How a regulariser does on two draws of the noise."""

    bias_px: float
    """Mean length, within 3 px of the fault, by which the mean of the two answers is off."""
    noise_px: float
    """Root mean square of what the noise leaves beyond 16 px, from the difference of the two."""

    @classmethod
    def of(cls, regulariser: Tv | LogTv) -> Quality:
        truth, one, distance = noisy_fault(seed=0)
        one, other = (regulariser(flow_of(xy)).xy for xy in (one, noisy_fault(seed=1)[1]))
        bias, noise = ((one + other) / 2 - truth).norm(dim=0), (one - other) / 2**0.5
        return cls(bias[distance <= 3].mean().item(), noise[:, distance > 16].square().sum(0).mean().sqrt().item())


@pytest.mark.parametrize("noise_px", [0.05, 0.1, 0.2])
def test_the_energy_falls_from_round_to_round(noise_px):
    problem = Problem.of(flow_of(noisy_fault(noise_px)[1]), True, None, 0)
    regulariser = LogTv(rounds=8)
    found = regulariser.minimise(problem.data, problem.edges)
    assert len(found.energies) >= 3
    assert all(later < earlier for earlier, later in zip(found.energies, found.energies[1:], strict=False))
    own = LogPrice(regulariser.strength_px, regulariser.edge_px).energy(found.field, problem.data, problem.edges)
    assert own == found.energies[-1]


def test_a_fault_comes_out_sharper_than_by_total_variation_at_the_same_noise_far_away():
    logarithmic = Quality.of(LogTv())
    low, high = 0.05, 0.5  # the strength of total variation that leaves as much noise
    for _ in range(6):
        middle = math.sqrt(low * high)
        plain = Quality.of(Tv(strength_px=middle))
        low, high = (middle, high) if plain.noise_px > logarithmic.noise_px else (low, middle)
    assert plain.noise_px == pytest.approx(logarithmic.noise_px, rel=0.05)
    assert logarithmic.noise_px < 0.2 * 0.1
    assert logarithmic.bias_px < 0.75 * plain.bias_px


def test_the_jump_keeps_its_height():
    rows = slice(20, 76)
    value = torch.zeros(2, SIDE, 80)
    value[0, :, 40:] = 1.0
    noise = 0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(2))
    heights = []
    for regulariser in (Tv(strength_px=0.3), LogTv(strength_px=0.3)):
        found = regulariser(flow_of(value + noise)).xy[0, rows]
        heights.append((found[:, 40] - found[:, 39]).mean().item())
    assert 1 - heights[1] < 0.4 * (1 - heights[0])


def test_one_round_or_a_very_wide_edge_is_total_variation():
    flow = flow_of(noisy_fault()[1])
    plain = Tv(strength_px=0.2)(flow).xy
    assert torch.equal(LogTv(strength_px=0.2, rounds=1)(flow).xy, plain)
    wide = LogTv(strength_px=0.2, edge_px=1e4)(flow).xy
    torch.testing.assert_close(wide, plain, atol=5e-3, rtol=0)


def test_the_tangent_is_the_slope_of_the_price():
    region = torch.rand(9, 11, generator=torch.Generator().manual_seed(1)) > 0.15
    edges, price = Edges.within(region), LogPrice(0.3, 0.1)
    problem = Problem.of(flow_of(torch.zeros(2, 9, 11)), True, None, 0)
    nothing = problem.data._replace(weight=torch.zeros(2, 9, 11))
    field = torch.randn(2, 9, 11, generator=torch.Generator().manual_seed(2))
    # along the field itself the steepness of every quad grows by its own share
    expected = (price.tangent(field, edges) * edges.steepness(field)).sum().item()
    higher, lower = (price.energy((1 + h) * field, nothing, edges) for h in (0.01, -0.01))
    assert (higher - lower) / 0.02 == pytest.approx(expected, rel=1e-3)


def test_its_result_does_not_depend_on_the_steepest_place_of_the_image():
    # the published weights do
    xy = noisy_fault()[1]
    other = xy.clone()
    other[:, 74:, 80:] += 40
    far = slice(0, 40), slice(0, 50)
    regulariser = LogTv(tolerance_px=3e-4)
    one, two = (regulariser(flow_of(values)).xy[:, *far] for values in (xy, other))
    torch.testing.assert_close(one, two, atol=1e-3, rtol=0)


def test_a_stronger_price_reaches_farther_up_to_a_limit():
    assert reach_of(0.05) < reach_of(0.2) < reach_of(1.0) < reach_of(3.0) == reach_of(5.0) == 256
    assert LogTv(strength_px=0.2, fill_px=7).halo == Tv(strength_px=0.2).halo + 7 == reach_of(0.2) + 7
