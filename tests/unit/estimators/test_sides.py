"""Going on from the motion of either side of a fault."""

from __future__ import annotations

import pytest
import torch

from terrashift.estimators.sides import COARSE_PX, sides_of, with_sides
from terrashift.models.estimate import Estimate
from terrashift.ops.random import Random
from terrashift.ops.warp import warp

HEIGHT, WIDTH = 96, 128
FAULT = 62
"""Column where the second side begins."""
LEFT, RIGHT = (3.0, -1.0), (-2.0, 1.5)
"""(x right, y down) px."""


def motion(smear: float) -> torch.Tensor:
    """Two sides, and `smear` px on either side of the fault over which one motion turns into the other."""
    x = torch.arange(WIDTH) + 0.5 - FAULT
    share = (x / (2 * smear) + 0.5).clamp(0, 1) if smear else (x > 0).float()
    ends = torch.tensor([LEFT, RIGHT])[:, :, None, None]
    return (ends[0] + share * (ends[1] - ends[0])).expand(2, HEIGHT, WIDTH)[None].contiguous()


@pytest.fixture(scope="module")
def pair():
    """A rough image, and the same as it was before its two sides moved."""
    after = torch.randn(1, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(3))
    after = torch.nn.functional.avg_pool2d(after, 3, 1, 1, count_include_pad=False)
    return warp(after, motion(0)).nan_to_num(0.0), after


def constant(flow: torch.Tensor) -> Estimate:
    return Estimate(flow, torch.full_like(flow, -2.0))


def test_the_sides_are_the_motions_beyond_the_smear():
    sides = sides_of(motion(12.0))
    here = torch.stack([sides.first, sides.second])[:, 0, :, 10:-10, FAULT]  # side component row
    far, near = here[:, 0].max(), here[:, 0].min()
    assert far == pytest.approx(LEFT[0], abs=0.05)
    assert near == pytest.approx(RIGHT[0], abs=0.05)
    # x and y of one side belong together
    left = here[0] if here[0, 0, 0] > 0 else here[1]
    assert torch.allclose(left, torch.tensor(LEFT)[:, None].expand_as(left), atol=0.05)
    assert float(sides.apart.max()) == pytest.approx(
        ((LEFT[0] - RIGHT[0]) ** 2 + (LEFT[1] - RIGHT[1]) ** 2) ** 0.5, abs=0.1
    )


def test_a_fault_along_rows_has_the_same_sides_as_one_along_columns():
    across, along = sides_of(motion(8.0)), sides_of(motion(8.0).transpose(2, 3).contiguous())
    assert torch.allclose(across.first, along.first.transpose(2, 3), atol=1e-4)
    assert torch.allclose(across.second, along.second.transpose(2, 3), atol=1e-4)


def test_uniform_motion_is_measured_once():
    flow = torch.tensor(LEFT)[:, None, None].expand(1, 2, HEIGHT, WIDTH).contiguous()
    image = torch.zeros(1, 1, HEIGHT, WIDTH)

    def again(start: torch.Tensor) -> Estimate:
        raise AssertionError("there is but one side")

    assert with_sides(image, image, constant(flow), again).flow is flow


def test_a_smeared_fault_becomes_sharp(pair):
    smeared = motion(8.0)
    found = with_sides(*pair, constant(smeared), constant)
    error = (found.flow - motion(0)).norm(dim=1)[0, 8:-8, 8:-8]
    before = (smeared - motion(0)).norm(dim=1)[0, 8:-8, 8:-8]
    beside = slice(FAULT - 16, FAULT)  # 8 px to either side of the fault, seen from column 8
    assert before[:, beside].mean() > 1.0
    assert error[:, beside].mean() < 0.45 * before[:, beside].mean()
    assert error[:, : FAULT - 30].max() < 0.1


def test_a_side_that_fits_worse_is_not_taken(pair):
    right = constant(motion(0))
    found = with_sides(*pair, right, lambda start: constant(start + 5.0))
    assert torch.equal(found.flow, right.flow)
    assert torch.equal(found.log_scale, right.log_scale)


def test_each_pixel_takes_the_error_of_the_motion_that_it_takes(pair):
    found = with_sides(*pair, constant(motion(8.0)), lambda start: Estimate(start, torch.full_like(start, -1.0)))
    changed = (found.flow != motion(8.0)).any(1)
    assert changed.any()
    assert (found.log_scale[changed[:, None].expand_as(found.flow)] == -1.0).all()
    assert (found.log_scale[~changed[:, None].expand_as(found.flow)] == -2.0).all()


def test_random_fields_have_sides_among_their_own_motions():
    noise = Random.of(5, range(1)).normal("field", 2 * HEIGHT * WIDTH).reshape(1, 2, HEIGHT, WIDTH)
    sides = sides_of(noise)
    coarse = torch.nn.functional.avg_pool2d(noise, COARSE_PX)
    assert sides.first.abs().max() <= coarse.abs().max() + 1e-6
    assert sides.second.abs().max() <= coarse.abs().max() + 1e-6


def test_a_patch_that_resembles_the_other_side_by_chance_stays(pair):
    before, after = pair
    patched = before.clone()
    left, right = slice(24, 36), slice(FAULT + 30, FAULT + 42)
    moved_as_left = warp(after, torch.tensor(LEFT)[None, :, None, None].expand(1, 2, HEIGHT, WIDTH).contiguous())
    patched[..., left, right] = moved_as_left[..., left, right]
    right_motion = motion(0)

    def again(start: torch.Tensor) -> Estimate:
        """Either side's motion everywhere, as if the network saw nothing else."""
        side = LEFT if float(start[0, 0, HEIGHT // 2, FAULT]) > 0 else RIGHT
        return constant(torch.tensor(side)[None, :, None, None].expand(1, 2, HEIGHT, WIDTH).contiguous())

    found = with_sides(patched, after, constant(right_motion), again)
    assert torch.equal(found.flow[..., left, right], right_motion[..., left, right])
