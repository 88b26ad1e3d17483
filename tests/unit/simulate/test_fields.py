"""Motion of crops: planned slip across the trace, shares and sizes as asked, smooth elsewhere."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from terrashift.errors import OptionError
from terrashift.ops.random import Random
from terrashift.simulate.fields import PROFILES, SAMPLES, FieldOptions, Fields, _Plan, _table, draw_fields
from terrashift.simulate.selfaffine import hurst_exponent

SIZE = 64
FAULT_ONLY = {"zone_share": 0.0, "shift_px": 0.0, "smooth_px": 0.0}


def one_fault(slip_px: float = 2.0, **others: float) -> FieldOptions:
    return FieldOptions(slip_px, slip_px, (0.0, 1.0, 0.0, 0.0), **{"tip_share": 0.0, **FAULT_ONLY, **others})


def jumps(drawn: Fields) -> tuple[torch.Tensor, torch.Tensor]:
    """Length of the difference between neighbours along x, and whether both lie on the trace, on other sides."""
    jump = drawn.flow.diff(dim=3).norm(dim=1)
    return jump, drawn.trace[:, :, 1:] & drawn.trace[:, :, :-1]


def test_crops_without_faults_neither_break_nor_move_where_all_else_is_off():
    drawn = draw_fields(
        Random.of(1, range(8)), SIZE, FieldOptions(shares=(1.0, 0.0, 0.0, 0.0), shift_px=0.0, smooth_px=0.0)
    )
    assert not drawn.flow.any()
    assert not drawn.trace.any()


def test_faults_are_as_many_as_their_shares_say():
    options = FieldOptions(shares=(0.3, 0.5, 0.15, 0.05), tip_share=0.0, **FAULT_ONLY)
    moving = draw_fields(Random.of(2, range(1000)), 16, options).flow.flatten(1).any(1)
    assert abs(moving.float().mean() - 0.7) < 0.05
    count = _Plan.draw(Random.of(2, range(4000)), SIZE, options).present.sum(1)
    assert (torch.bincount(count) / 4000 - torch.tensor(options.shares)).abs().max() < 0.025
    only_three = draw_fields(
        Random.of(2, range(40)), SIZE, FieldOptions(shares=(0.0, 0.0, 0.0, 1.0), tip_share=0.0, **FAULT_ONLY)
    )
    only_one = draw_fields(Random.of(2, range(40)), SIZE, one_fault())
    assert only_three.trace.float().mean() > 2 * only_one.trace.float().mean()


@pytest.mark.parametrize("slip_px", [0.2, 2.0, 8.0])
def test_the_jump_across_the_trace_is_the_planned_slip_in_one_direction(slip_px):
    drawn = draw_fields(Random.of(3, range(60)), SIZE, one_fault(slip_px))
    step = drawn.flow.diff(dim=3)
    jump, crossing = jumps(drawn)
    crossing = crossing & (jump > 0.3 * slip_px)
    ratio = jump[crossing] / slip_px
    assert abs(ratio.median() - 1) < 0.06
    assert ratio.max() < 2.2  # a profile of unit deviation times 0.3 strays no further
    for one, here in zip(step, crossing, strict=True):
        if here.sum() > 4:
            x, y = one[:, here]
            # all along the trace one direction: the cross product with the first vanishes
            assert (x * y[0] - y * x[0]).abs().max() < 0.05 * slip_px**2


def test_the_field_breaks_on_the_trace_and_nowhere_else():
    drawn = draw_fields(Random.of(4, range(40)), SIZE, one_fault())
    for axis in (2, 3):
        change = drawn.flow.diff(dim=axis).norm(dim=1)
        both = drawn.trace.narrow(axis - 1, 1, SIZE - 1) & drawn.trace.narrow(axis - 1, 0, SIZE - 1)
        assert change[~both].max() < 0.35 < 0.5 < change[both].quantile(0.5)
    largest = torch.zeros(len(drawn.trace), SIZE, SIZE)
    for axis in (1, 2):
        change = drawn.flow.diff(dim=axis + 1).norm(dim=1)
        for end in (0, 1):
            part = largest.narrow(axis, end, SIZE - 1)
            part.copy_(torch.maximum(part, change))
    assert largest[drawn.trace].min() > 0.05 * 2


def test_smeared_faults_have_no_trace_unless_they_are_narrow():
    sharp, smeared = (draw_fields(Random.of(5, range(60)), SIZE, one_fault(zone_share=share)) for share in (0.0, 1.0))
    left = smeared.trace.flatten(1).any(1)
    assert abs(left.float().mean() - 0.5) < 0.2  # widths from 0.5 to 8 px, log-uniform: half of them above 2
    assert torch.equal(smeared.trace[left], sharp.trace[left])
    steepest = smeared.flow.diff(dim=3).norm(dim=1).flatten(1).amax(1)
    assert steepest[~left].max() < 0.6 * sharp.flow.diff(dim=3).norm(dim=1).flatten(1).amax(1).median()


def test_offsets_are_log_uniform_between_their_bounds():
    options = FieldOptions(0.1, 8.0, (0.0, 1.0, 0.0, 0.0), tip_share=0.0, **FAULT_ONLY)
    drawn = draw_fields(Random.of(6, range(500)), 32, options)
    jump, crossing = jumps(drawn)
    found = []
    for change, here in zip(jump, crossing, strict=True):
        if here.sum() > 6:
            found.append(math.log(np.median(change[here][change[here] > 0.5 * change[here].max()])))
    span = stats.uniform(math.log(0.1), math.log(80))
    assert len(found) > 300
    assert stats.kstest(found, span.cdf).statistic < 0.1


def test_the_ground_moves_by_half_the_slip_beside_the_trace_and_less_away_from_it():
    drawn = draw_fields(Random.of(7, range(40)), 128, one_fault())
    near = drawn.flow.norm(dim=1)[drawn.trace].mean()
    corners = drawn.flow.norm(dim=1)[:, ::127, ::127].mean()
    assert 0.85 < near < 1.1  # half of the slip on either side
    assert 0.2 < corners < 0.8 * near


def test_a_tip_ends_the_trace_within_the_crop():
    whole, tipped = (draw_fields(Random.of(8, range(60)), SIZE, one_fault(tip_share=share)) for share in (0.0, 1.0))
    shorter = tipped.trace.flatten(1).sum(1) < 0.9 * whole.trace.flatten(1).sum(1)
    assert shorter.float().mean() > 0.5
    assert (tipped.trace & ~whole.trace).sum() == 0


def test_the_crop_as_a_whole_moves_by_up_to_the_shift_and_waves_gently():
    options = FieldOptions(shares=(1.0, 0.0, 0.0, 0.0), shift_px=0.8, smooth_px=0.3)
    flow = draw_fields(Random.of(9, range(300)), 32, options).flow
    middle = flow.mean((2, 3))
    assert abs(middle.std() - 1.6 / 12**0.5) < 0.05
    rest = flow - middle[:, :, None, None]
    assert 0.02 < rest.std() < 0.3
    assert rest.diff(dim=3).abs().max() < 0.3
    still = draw_fields(Random.of(9, range(300)), 32, FieldOptions(shares=(1.0, 0.0, 0.0, 0.0), smooth_px=0.0)).flow
    assert still[:, :, 0, 0].abs().max() <= 0.8


def test_a_crop_is_the_same_in_any_batch_and_another_number_gives_another():
    together, alone = (draw_fields(Random.of(10, numbers), SIZE) for numbers in (range(20, 28), [25]))
    assert torch.allclose(together.flow[5], alone.flow[0], atol=1e-6)
    assert torch.equal(together.trace[5], alone.trace[0])
    assert not torch.allclose(together.flow[4], together.flow[5], atol=0.01)


def test_profiles_are_as_rough_as_asked_for():
    for hurst in (0.8, 0.7):
        profiles = _table(hurst, torch.device("cpu")).reshape(PROFILES, SAMPLES).numpy()
        assert np.mean([hurst_exponent(profile) for profile in profiles[::8]]) == pytest.approx(hurst, abs=0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"least_px": 0.0},
        {"least_px": 3.0, "largest_px": 2.0},
        {"shares": (0.5, 0.6, 0.0, 0.0)},
        {"shares": (-0.5, 1.5, 0.0, 0.0)},
    ],
)
def test_options_that_cannot_be_are_refused(wrong):
    with pytest.raises(OptionError):
        FieldOptions(**wrong)


def test_a_linear_motion_is_linear_and_moves_no_corner_farther_than_told():
    options = FieldOptions(shares=(1.0, 0.0, 0.0, 0.0), shift_px=0.0, smooth_px=0.0, linear_px=3.0)
    flow = draw_fields(Random.of(1, range(20)), 33, options).flow
    assert flow.diff(n=2, dim=2).abs().max() < 1e-4
    assert flow.diff(n=2, dim=3).abs().max() < 1e-4
    assert flow[:, :, 16, 16].abs().max() < 1e-4
    largest = flow.abs().amax((1, 2, 3))
    assert largest.max() <= 3.0 + 1e-4
    assert largest.min() >= 0.6 - 1e-4
    assert largest.std() > 0.3
    assert flow[:, 0].diff(dim=1).abs().amax() > 0.01  # x moves with y too


def test_a_bend_is_as_large_as_told_and_smooth():
    options = FieldOptions(shares=(1.0, 0.0, 0.0, 0.0), shift_px=0.0, smooth_px=0.0, bend_px=4.0)
    flow = draw_fields(Random.of(1, range(20)), 64, options).flow
    largest = flow.abs().amax((1, 2, 3))
    assert 0.8 - 1e-4 <= largest.min() < largest.max() <= 4.0 + 1e-4
    assert flow.diff(dim=2).abs().max() < 1.0
    assert flow.diff(n=2, dim=3).abs().max() > 1e-3
