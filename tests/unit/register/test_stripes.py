"""Stripes: planted ones go, a fault keeps its offset, the direction is found, gaps stay gaps."""

import numpy as np
import pytest
import torch
from planted_fields import fault, field_of, offset_of, places

from terrashift.errors import InputError, OptionError
from terrashift.register.stripes import StripeOptions, destripe, found_angle, line_stripes, residual

H, W = 300, 260
OPTIONS = StripeOptions(longest_cells=40)


def striped(angle_deg, period=13.0, size=0.3, jitter=0.2):
    """Seams along an angle (from up the image to the right), and waves across it."""
    angle = np.radians(angle_deg)
    row, column = places(H, W)
    across = column * np.cos(angle) + row * np.sin(angle)
    along = column * np.sin(angle) - row * np.cos(angle)
    seams = size * np.sign(np.sin(2 * np.pi * across / period))
    return seams + jitter * np.sin(2 * np.pi * along / 17.0)


def noise(seed=0, scale=0.1):
    return np.random.default_rng(seed).normal(0, scale, (H, W))


def left_over(found, truth):
    """What is left of stripes, of 1."""
    return float(np.std(found.removed.east.numpy() - truth) / np.std(truth))


@pytest.mark.parametrize("angle_deg", [0.0, 12.7, -8.0, 90.0])
def test_planted_stripes_of_both_families_go(angle_deg):
    truth = striped(angle_deg)
    found = destripe(field_of(truth + noise(), noise(1)), angle_deg, OPTIONS)
    assert left_over(found, truth) < (0.16 if angle_deg % 90 == 0 else 0.3)
    assert found.removed_rms[1] < 0.2 * found.removed_rms[0]


@pytest.mark.parametrize("stripes", ["along", "across"])
def test_one_family_alone_leaves_the_other(stripes):
    seams, waves = striped(0.0, jitter=0.0), striped(0.0, size=0.0)
    found = destripe(field_of(seams + waves + noise(), noise(1)), 0.0, OPTIONS.model_copy(update={"stripes": stripes}))
    mine, other = (seams, waves) if stripes == "along" else (waves, seams)
    removed = found.removed.east.numpy()
    assert np.std(removed - mine) < 0.1 * np.std(mine)
    assert abs(np.corrcoef(removed.ravel(), other.ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("method", ["median", "wedge", "both"])
def test_stripes_go_and_a_fault_keeps_its_offset_to_one_percent(method):
    """An offset of 2 m at 35 degrees to seams of 0.3 m."""
    step, across = fault(H, W, 2.0, 35.0)
    truth = striped(5.0, jitter=0.0)
    options = OPTIONS.model_copy(update={"method": method})
    measured = step + truth + noise()
    found = destripe(field_of(measured, measured), 5.0, options)
    assert offset_of(found.corrected.east.numpy(), across) == pytest.approx(2.0, rel=0.01)
    assert left_over(found, truth) < 0.5


def test_nothing_is_taken_out_of_a_smooth_field():
    row, column = places(H, W)
    smooth = 3 * np.sin(column / 200) + row / 100
    found = destripe(field_of(smooth, smooth), 0.0, OPTIONS)
    assert found.removed.east.abs().max() < 0.1


def test_what_is_left_and_what_was_taken_add_up_and_gaps_stay():
    measured = striped(10.0) + noise()
    measured[50:120, 30:90] = np.nan
    before = field_of(measured, measured)
    for method in ("median", "wedge"):
        found = destripe(before, 10.0, OPTIONS.model_copy(update={"method": method}))
        known = before.east.isfinite()
        assert (found.corrected.east + found.removed.east - before.east)[known].abs().max() < 1e-5
        assert torch.equal(found.corrected.east.isnan(), ~known)
        assert found.removed.east.isfinite().all()


def test_a_gap_does_not_change_the_stripes_much():
    truth = striped(0.0, jitter=0.0)
    measured = truth + noise()
    measured[50:200, 30:150] = np.nan
    found = destripe(field_of(measured, measured), 0.0, OPTIONS.model_copy(update={"stripes": "along"}))
    assert left_over(found, truth) < 0.15


@pytest.mark.parametrize("angle_deg", [-12.0, 3.3, 14.0])
def test_the_direction_is_found(angle_deg):
    found = found_angle(field_of(striped(angle_deg) + noise(), noise(1)), 40)
    assert found.angle_deg == pytest.approx(angle_deg, abs=0.7)


def test_the_direction_is_that_of_the_stripes_and_not_of_a_fault():
    step, _ = fault(H, W, 3.0, 33.0)
    found = found_angle(field_of(step + striped(10.0) + noise(), noise(1)), 40)
    assert found.angle_deg == pytest.approx(10.0, abs=0.5)


def test_noise_has_no_direction():
    with pytest.raises(InputError, match="no direction"):
        found_angle(field_of(noise(), noise(1)), 40)


def test_lines_run_up_the_image_and_to_the_right():
    """At 45 degrees a stripe goes from the lower left to the upper right."""
    row, column = places(H, W)
    truth = np.where((row + column) // 6 % 2 == 0, 0.5, -0.5)
    found = line_stripes(truth + noise(), 45.0, OPTIONS)
    other = line_stripes(truth + noise(), -45.0, OPTIONS)
    assert np.corrcoef(found.ravel(), truth.ravel())[0, 1] > 0.8
    assert abs(np.corrcoef(other.ravel(), truth.ravel())[0, 1]) < 0.1


def test_a_residual_is_blind_to_what_is_long():
    row, column = places(H, W)
    assert np.abs(residual(row / 50 + 0.0 * column, 40))[30:-30].max() < 0.02
    gap = np.full((H, W), np.nan)
    assert np.isnan(residual(gap, 40)).all()


def test_a_field_without_values_and_waves_longer_than_it_are_refused():
    gap = np.full((H, W), np.nan)
    with pytest.raises(InputError, match="no cell"):
        destripe(field_of(gap, gap), 0.0, OPTIONS)
    with pytest.raises(OptionError, match="longest-cells"):
        destripe(field_of(noise(), noise()), 0.0, StripeOptions(longest_cells=200))
