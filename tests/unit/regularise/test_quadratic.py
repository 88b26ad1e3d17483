"""The quadratic price, whose answer is known for waves."""

from __future__ import annotations

import math

import pytest
import torch

from terrashift.core.field import Flow
from terrashift.regularise.quadratic import Quadratic


def flow_of(xy: torch.Tensor, sigma: torch.Tensor | None = None) -> Flow:
    shape = xy.shape[1:]
    sigma = torch.full_like(xy, torch.nan) if sigma is None else sigma
    return Flow(xy, sigma, torch.ones(shape), torch.zeros(shape, dtype=torch.uint8))


@pytest.mark.parametrize("reach", [1.0, 3.0])
def test_a_wave_loses_what_its_length_and_the_reach_say(reach):
    # a cosine with its crests on the borders meets no change across them
    turn = math.pi * 4 / 36
    wave = torch.cos(turn * (torch.arange(36) + 0.5)).expand(2, 9, 36).clone()
    found = Quadratic(reach=reach, tolerance_px=1e-6)(flow_of(wave)).xy
    torch.testing.assert_close(found, wave / (1 + reach**2 * (2 - 2 * math.cos(turn))), atol=1e-5, rtol=0)


@pytest.mark.parametrize("doubtful", [False, True])
def test_beyond_the_halo_nothing_has_a_say(doubtful):
    regulariser = Quadratic(reach=1.0, tolerance_px=1e-7, sigma_px=0.1, by_sigma=doubtful)
    one = torch.zeros(2, 3, regulariser.halo + 20)
    other = one.clone()
    other[:, :, regulariser.halo + 1 :] = 1.0
    sigma = torch.full_like(one, 10.0)  # counts as little as anything may
    change = (regulariser(flow_of(other, sigma)).xy - regulariser(flow_of(one, sigma)).xy)[:, :, 0].abs().max()
    assert 0 < change < 1.5e-4
