"""The boundary between two sides: where it is laid, and where it is not."""

from __future__ import annotations

import pytest
import torch

from terrashift.estimators.boundary import SMEARED_PX, with_boundary
from terrashift.estimators.sides import LEAST_PX
from terrashift.models.estimate import Estimate
from terrashift.ops.warp import warp

HEIGHT, WIDTH = 96, 128
LEFT, RIGHT = (0.9, -0.4), (-0.5, 0.3)
"""(x right, y down) px."""


def column_of(rows: torch.Tensor) -> torch.Tensor:
    """Where the second side begins in each row: a bent fault."""
    return 62 + 5 * torch.sin(rows / 15)


def motion(smear_px: float, sides: tuple = (LEFT, RIGHT)) -> torch.Tensor:
    """Two sides, and `smear_px` on either side of the fault over which one motion turns into the other."""
    rows, columns = torch.meshgrid(torch.arange(HEIGHT) + 0.0, torch.arange(WIDTH) + 0.5, indexing="ij")
    x = columns - column_of(rows)
    share = (x / (2 * smear_px) + 0.5).clamp(0, 1) if smear_px else (x > 0).float()
    ends = torch.tensor(sides)[:, :, None, None]
    return (ends[0] + share * (ends[1] - ends[0]))[None]


def pair(flow: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A rough image before and after it moved."""
    after = torch.randn(1, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(3))
    after = torch.nn.functional.avg_pool2d(after, 3, 1, 1, count_include_pad=False)
    noise = torch.randn(1, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(4))
    return warp(after, flow).nan_to_num(0.0) + 0.05 * noise, after


def as_estimate(flow: torch.Tensor) -> Estimate:
    return Estimate(flow, torch.full_like(flow, -2.0))


def never(start: torch.Tensor) -> Estimate:
    raise AssertionError("the sides are near enough to each other")


def error(found: Estimate, truth: torch.Tensor) -> torch.Tensor:
    return (found.flow - truth).norm(dim=1)[0, 8:-8, 8:-8]


def beside(reach_px: int) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(HEIGHT) + 0.0, torch.arange(WIDTH) + 0.5, indexing="ij")
    return ((columns - column_of(rows)).abs() < reach_px)[8:-8, 8:-8]


def test_a_smeared_fault_becomes_sharp_where_it_runs():
    truth, smeared = motion(0), motion(SMEARED_PX)
    found = with_boundary(*pair(truth), as_estimate(smeared), never)
    before = error(as_estimate(smeared), truth)[beside(SMEARED_PX)].mean()
    assert before > 0.3
    assert error(found, truth)[beside(SMEARED_PX)].mean() < 0.3 * before
    assert error(found, truth)[~beside(20)].max() < 1e-4


def test_the_boundary_follows_the_images_and_not_the_first_guess():
    truth = motion(0)
    guess = torch.roll(motion(SMEARED_PX), 3, 3)  # 3 px to the right of where the fault is
    found = with_boundary(*pair(truth), as_estimate(guess), never)
    assert error(found, truth)[beside(8)].mean() < 0.35 * error(as_estimate(guess), truth)[beside(8)].mean()


def test_slip_that_is_spread_over_a_zone_stays_spread():
    truth = motion(8.0)
    found = with_boundary(*pair(truth), as_estimate(truth), never)
    assert error(found, truth)[beside(8)].mean() < 0.02


def test_a_slope_across_the_whole_image_has_no_boundary():
    truth = motion(60.0)
    assert torch.equal(with_boundary(*pair(truth), as_estimate(truth), never).flow, truth)


def test_uniform_motion_and_small_steps_are_left_alone():
    for sides in ((LEFT, LEFT), (LEFT, (LEFT[0] - 0.9 * LEAST_PX, LEFT[1]))):
        flow = motion(0, sides)
        image = torch.zeros(1, 1, HEIGHT, WIDTH)
        assert with_boundary(image, image, as_estimate(flow), never).flow is flow


def test_images_that_tell_nothing_change_nothing():
    flat = torch.ones(1, 1, HEIGHT, WIDTH)
    smeared = motion(SMEARED_PX)
    assert torch.equal(with_boundary(flat, flat, as_estimate(smeared), never).flow, smeared)


def test_errors_stay_as_they_were_found():
    truth, smeared = motion(0), motion(SMEARED_PX)
    scale = torch.rand(smeared.shape, generator=torch.Generator().manual_seed(5))
    found = with_boundary(*pair(truth), Estimate(smeared, scale), never)
    assert not torch.equal(found.flow, smeared)
    assert torch.equal(found.log_scale, scale)


def test_sides_far_apart_are_measured_again_from_either():
    sides = ((4.0, -1.0), (-2.0, 1.5))
    truth, smeared = motion(0, sides), motion(SMEARED_PX, sides)
    asked = []

    def again(start: torch.Tensor) -> Estimate:
        """What a network might find: the truth, smeared less."""
        asked.append(start)
        return Estimate(motion(2.0, sides), torch.full_like(start, -1.0))

    found = with_boundary(*pair(truth), as_estimate(smeared), again)
    assert len(asked) == 2
    ends = torch.stack([start[0, :, HEIGHT // 2, 62] for start in asked])
    ends = ends[ends[:, 0].argsort(descending=True)]
    assert torch.allclose(ends, torch.tensor(sides), atol=1.0)
    assert error(found, truth)[beside(10)].mean() < 0.3 * error(as_estimate(smeared), truth)[beside(10)].mean()
    assert (found.log_scale == -1.0).any()
    assert (found.log_scale == -2.0).any()


@pytest.mark.parametrize("mirror", [2, 3])
def test_it_mirrors_with_the_images(mirror):
    truth, smeared = motion(0), motion(SMEARED_PX)
    before, after = pair(truth)
    found = with_boundary(before, after, as_estimate(smeared), never).flow
    sign = torch.tensor([1.0, 1.0])
    sign[3 - mirror] = -1.0
    turned = smeared.flip(mirror) * sign[:, None, None]
    again = with_boundary(before.flip(mirror), after.flip(mirror), as_estimate(turned.contiguous()), never).flow
    assert ((again * sign[:, None, None]).flip(mirror) - found).abs().mean() < 0.02
