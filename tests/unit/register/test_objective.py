"""The loss of the registration network: known values of its parts."""

import dataclasses

import pytest
import torch

from terrashift.models.linear_deformable import Level, Pass, level
from terrashift.register.objective import AlignmentOptions, alignment_loss

OFF = AlignmentOptions("square", 0.0, 0.0, 0.0)


def passed(pair, flow, px=1, affine=None, gradients=None, bent=None):
    flat = torch.zeros(1, 2, 4, 5)
    affine = torch.zeros(1, 2, 3) if affine is None else affine
    return Pass(flow, affine, 1 + flat if gradients is None else gradients, flat if bent is None else bent, pair, px)


def ground(seed=0):
    torch.manual_seed(seed)
    return torch.randn(1, 1, 32, 40)


def plain(before, after):
    ones = torch.ones(1, 1, *before.shape[2:])
    return Level(before, after, ones, ones)


def test_the_images_are_compared_along_the_flow():
    image = ground()
    flow = torch.zeros(1, 2, 32, 40)
    flow[:, 0] = 2.0
    right = plain(image, image.roll(2, 3))
    assert alignment_loss([passed(right, flow)], OFF).item() < 1e-6
    assert alignment_loss([passed(right, -flow)], OFF).item() > 1
    assert alignment_loss([passed(right, 0 * flow)], OFF).item() > 1


def test_each_weight_multiplies_its_own_part():
    pair = plain(ground(), ground())
    bent = torch.zeros(1, 2, 4, 5)
    bent[0, 0, 2:] = 1.0  # one row in three steps down by a pixel
    affine = torch.full((1, 2, 3), 0.5)
    found = passed(pair, torch.zeros(1, 2, 32, 40), 1, affine, torch.full((1, 2, 4, 5), 1.25), bent)
    for name, cost in (("affine", 0.5), ("gradients", 0.25), ("shear", 1 / 3)):
        options = dataclasses.replace(OFF, **{name: 2.0})
        assert alignment_loss([found], options).item() == pytest.approx(2 * cost, rel=1e-5)


def test_a_coarse_pass_is_judged_at_its_own_level_and_the_next_finer_one():
    fine, coarse = (level(ground(), ground(1), px, 1) for px in (1, 2))
    zero = torch.zeros(1, 2, 32, 40)
    first, second = passed(coarse, torch.zeros(1, 2, 16, 20), 2), passed(fine, zero, 1)
    parts = [alignment_loss([one], OFF) for one in (first, second)]
    both = alignment_loss([first, second], OFF)
    assert both.item() == pytest.approx(((parts[0] + parts[1]) / 2 / 2 + parts[1] / 2).item(), rel=1e-5)
    # and its flow counts twice as many pixels there
    shift = torch.zeros(1, 2, 16, 20)
    shift[:, 1] = 1.0
    moved = plain(ground(), ground().roll(2, 2))
    judged = alignment_loss([passed(coarse, shift, 2), passed(moved, zero, 1)], OFF)
    alone = alignment_loss([passed(coarse, shift, 2)], OFF)
    own = alignment_loss([passed(moved, zero, 1)], OFF)
    assert judged.item() == pytest.approx((alone / 4 + own / 2).item(), rel=1e-4)
