"""What the loss rewards and punishes."""

import math

import pytest
import torch

from terrashift.models.estimate import Estimate
from terrashift.train.losses import LossOptions, Truth, near, sequence_loss

PLAIN = LossOptions(fault=0.0, scale=0.0, even=1e9)


def estimate(flow, log_scale=0.0):
    return Estimate(flow, torch.full_like(flow, log_scale))


def truth(batch=2):
    return torch.zeros(batch, 2, 12, 20), torch.zeros(batch, 12, 20, dtype=torch.bool)


def test_the_truth_costs_nothing():
    flow, trace = truth()
    assert sequence_loss([estimate(flow)] * 3, Truth(flow, trace), PLAIN) == pytest.approx(
        0, abs=3e-3
    )  # the root is rounded off at 0.001 px


def test_one_pass_costs_its_mean_endpoint_error():
    flow, trace = truth()
    off = flow + torch.tensor([0.3, -0.4])[:, None, None]
    assert sequence_loss([estimate(off)], Truth(flow, trace), PLAIN) == pytest.approx(0.5, abs=1e-4)


def test_later_passes_count_more():
    flow, trace = truth()
    off = flow + 1
    early = sequence_loss([estimate(off), estimate(flow)], Truth(flow, trace), PLAIN)
    late = sequence_loss([estimate(flow), estimate(off)], Truth(flow, trace), PLAIN)
    assert early == pytest.approx(0.8 * late.item(), rel=1e-2)


def test_an_error_at_the_fault_costs_more_than_elsewhere():
    flow, trace = truth(1)
    trace[:, :, 10] = True
    at, away = flow.clone(), flow.clone()
    at[..., 9:12] += 1
    away[..., 16:19] += 1
    options = LossOptions(fault=2.0, scale=0.0)
    weighted = [sequence_loss([estimate(f)], Truth(flow, trace), options) for f in (at, away)]
    assert weighted[0] == pytest.approx(3 * weighted[1].item(), rel=0.02)


def test_pairs_of_large_motion_do_not_drown_the_others():
    flow, trace = truth(2)
    flow[1, 0, :, 10:] = 7.5  # 0.5 + 7.5 against 0.5 + 0
    errors = []
    for wrong in (0, 1):
        off = flow.clone()
        off[wrong] += 1
        errors.append(sequence_loss([estimate(off)], Truth(flow, trace), LossOptions(fault=0.0, scale=0.0)))
    assert errors[0] == pytest.approx(16 * errors[1].item(), rel=0.05)


def test_the_likelihood_is_best_at_the_mean_absolute_error_and_leaves_the_flow_alone():
    torch.manual_seed(0)
    flow, trace = truth()
    off = (flow + torch.distributions.Laplace(0.0, 0.2).sample(flow.shape)).requires_grad_()
    best = math.log((off - flow).abs().mean().item())
    costs = []
    for log_scale in (best - 0.3, best, best + 0.3):
        options = LossOptions(scale=1.0)
        costs.append(sequence_loss([estimate(off, log_scale)], Truth(flow, trace), options).item())
    assert costs[1] < min(costs[0], costs[2])
    with_scale = torch.autograd.grad(
        sequence_loss([estimate(off, 1.0)], Truth(flow, trace), LossOptions(scale=1.0)), off
    )[0]
    without = torch.autograd.grad(sequence_loss([estimate(off, 1.0)], Truth(flow, trace), LossOptions(scale=0.0)), off)[
        0
    ]
    assert torch.equal(with_scale, without)


def test_near_is_a_square_around_the_trace():
    trace = torch.zeros(1, 9, 15, dtype=torch.bool)
    trace[0, 4, 7] = True
    assert near(trace, 2).sum() == 25
    assert near(trace, 2)[0, 2, 5] == 1
    assert near(trace, 2)[0, 1, 7] == 0
