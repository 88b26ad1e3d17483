"""The one loss of sharp images: shifts, brightness and masks cost nothing where they are let off, and else they do."""

import pytest
import torch

from terrashift.models.sharp import SharpEstimate
from terrashift.train.sharp_loss import SharpLossOptions, sharp_loss

FORGIVING = SharpLossOptions(base="mse", border=3, bias=True)


@pytest.fixture
def truth():
    return torch.randn(2, 1, 20, 26, generator=torch.Generator().manual_seed(0))


def ones(truth):
    return torch.ones(len(truth), 1, *truth.shape[-2:])


def test_the_truth_itself_costs_nothing(truth):
    for base in ("l1", "mse"):
        assert sharp_loss(SharpEstimate(truth, None), truth, ones(truth), SharpLossOptions(base=base)) == 0


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3, -2), (-3, 3), (1, 0)])
def test_a_shift_within_the_border_and_a_brightness_cost_nothing(truth, x, y):
    moved = SharpEstimate(truth.roll((y, x), (-2, -1)) + 0.7, None)
    assert sharp_loss(moved, truth, ones(truth), FORGIVING) < 1e-10
    assert sharp_loss(moved, truth, ones(truth), SharpLossOptions(base="mse")) > 0.4


def test_a_shift_beyond_the_border_does_cost(truth):
    assert sharp_loss(SharpEstimate(truth.roll(4, -1), None), truth, ones(truth), FORGIVING) > 0.5


def test_the_shift_is_each_burst_s_own(truth):
    moved = torch.stack([truth[0].roll(2, -1), truth[1].roll(-3, -2)])
    assert sharp_loss(SharpEstimate(moved, None), truth, ones(truth), FORGIVING) < 1e-10


def test_one_shift_after_another_is_what_it_says(truth):
    estimate = truth + 0.5 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(1)) + 2
    known = (torch.rand(ones(truth).shape, generator=torch.Generator().manual_seed(2)) > 0.3).float()
    for base in ("l1", "mse"):
        options = SharpLossOptions(base=base, border=2, bias=True)
        expected = []
        for e, t, k in zip(estimate[:, 0], truth[:, 0], known[:, 0], strict=True):
            costs = []
            for u in range(5):
                for v in range(5):
                    mask = k[u : u + 16, v : v + 22] > 0
                    d = (t[u : u + 16, v : v + 22] - e[2:-2, 2:-2])[mask]
                    d = d - d.mean()
                    costs.append((d**2 if base == "mse" else d.abs()).mean())
            expected.append(min(costs))
        found = sharp_loss(SharpEstimate(estimate, None), truth, known, options)
        torch.testing.assert_close(found, torch.stack(expected).mean())


def test_what_is_not_known_costs_nothing_and_gets_no_gradient(truth):
    known = ones(truth)
    known[:, :, :8] = 0.0
    wrong = torch.where(known > 0, truth, torch.nan)
    estimate = (truth + 0.1).requires_grad_()
    loss = sharp_loss(SharpEstimate(estimate, None), wrong, known, SharpLossOptions())
    loss.backward()
    assert loss.item() == pytest.approx(0.1, rel=1e-4)
    assert not estimate.grad[:, :, :8].any()
    assert estimate.grad[:, :, 8:].all()


def test_bursts_of_which_too_little_is_known_are_left_out(truth):
    known = ones(truth)
    known[1] = 0.0
    known[1, :, 0, :3] = 1.0
    estimate = torch.stack([truth[0] + 0.5, truth[1] + 100])
    assert sharp_loss(SharpEstimate(estimate, None), truth, known, SharpLossOptions()) == pytest.approx(0.5, rel=1e-5)
    assert sharp_loss(SharpEstimate(estimate, None), truth, 0 * known, SharpLossOptions()) == 0


def test_the_likelihood_is_least_at_the_mean_absolute_error(truth):
    error = torch.full_like(truth, 0.3)
    scales = torch.linspace(-3, 0.5, 36)
    laplace = SharpLossOptions(base="laplace")
    losses = [
        float(sharp_loss(SharpEstimate(truth - error, torch.full_like(truth, float(s))), truth, ones(truth), laplace))
        for s in scales
    ]
    assert float(scales[losses.index(min(losses))].exp()) == pytest.approx(0.3, rel=0.1)


def test_beside_l1_the_likelihood_teaches_the_scale_and_not_the_image(truth):
    mean, log_scale = (truth + 0.3).requires_grad_(), torch.zeros_like(truth, requires_grad=True)
    known = ones(truth)
    sharp_loss(SharpEstimate(mean, log_scale), truth, known, SharpLossOptions(scale=0.1)).backward()
    with_scale = mean.grad.clone()
    mean.grad = None
    sharp_loss(SharpEstimate(mean, None), truth, known, SharpLossOptions()).backward()
    torch.testing.assert_close(with_scale, mean.grad)
    assert (log_scale.grad > 0).all()  # too large a scale for errors of 0.3


def test_the_bias_does_not_move_the_scale_as_in_a_known_fault_of_a_published_loss(truth):
    options = SharpLossOptions(base="laplace", border=1, bias=True)
    log_scale = torch.full_like(truth, -1.0)
    one = sharp_loss(SharpEstimate(truth + 0.2 * truth.roll(5, -1), log_scale), truth, ones(truth), options)
    other = sharp_loss(SharpEstimate(truth + 0.2 * truth.roll(5, -1) + 3.0, log_scale), truth, ones(truth), options)
    torch.testing.assert_close(one, other)
