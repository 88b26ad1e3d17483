"""Steps of known width across a trace."""

from __future__ import annotations

import math

import numpy as np
import pytest

from terrashift.analyse.sharpness import REACH_PX, Step, along_the_step, signed_distance, stacked, step_of

SHAPE = (90, 121)


def across(angle_deg: float) -> np.ndarray:
    """Distance of each pixel from a straight trace through the middle, px."""
    rows, columns = np.indices(SHAPE, dtype=float)
    angle = math.radians(angle_deg)
    return (columns - 60.3) * math.cos(angle) + (rows - 44.6) * math.sin(angle)


def step(motion: np.ndarray, side: np.ndarray) -> Step:
    return step_of(stacked(motion, signed_distance(side)))


@pytest.mark.parametrize("angle_deg", [0, 30, 45, 90, 200])
def test_a_step_between_two_pixels_is_about_as_narrow_as_their_distance(angle_deg):
    side = across(angle_deg) > 0
    found = step(np.where(side, 0.7, -0.5), side)
    assert 0.75 < found.width < 1.15
    assert found.at == pytest.approx(0, abs=0.15)
    assert found.height == pytest.approx(1.2)


@pytest.mark.parametrize("width_px", [0.7, 1.5, 3.0])
@pytest.mark.parametrize("angle_deg", [0, 27, 90])
def test_an_arctangent_has_the_width_that_its_formula_tells(width_px, angle_deg):
    distance = across(angle_deg)
    motion = np.arctan(distance / width_px)
    sides = np.arctan(np.linspace(REACH_PX / 2, REACH_PX, 100) / width_px).mean()
    expected = 2 * width_px * math.tan(0.8 * sides)
    found = step(motion, distance > 0)
    assert found.width == pytest.approx(expected, rel=0.06, abs=0.25)
    assert found.height == pytest.approx(2 * sides, rel=0.02)


def test_a_step_beside_its_trace_is_found_where_it_is():
    found = step(np.tanh((across(0) - 4) / 2), across(0) > 0)
    assert found.at == pytest.approx(4, abs=0.4)
    assert found.width == pytest.approx(2 * 2 * math.atanh(0.8), rel=0.05)


def test_noise_and_gaps_and_varying_slip_leave_the_width_as_it_is():
    distance, random = across(20), np.random.default_rng(0)
    clean = np.tanh(distance / 3)
    motion = clean * np.linspace(0.8, 1.2, SHAPE[0])[:, None] + 0.3 * random.standard_normal(SHAPE)
    motion[random.random(SHAPE) < 0.2] = np.nan
    one, other = step(motion, distance > 0), step(clean, distance > 0)
    assert one.width == pytest.approx(other.width, rel=0.15)
    assert one.height == pytest.approx(other.height, rel=0.1)


def test_the_opposite_motion_has_the_same_width():
    distance = across(70)
    one, other = (step(sign * np.arctan(distance), distance > 0) for sign in (1, -1))
    assert one.width == pytest.approx(other.width)
    assert one.height == pytest.approx(-other.height)


def test_the_direction_is_that_of_the_positive_side():
    distance = across(15)
    xy = np.stack([np.where(distance > 0, 0.3, -0.3), np.where(distance > 0, -0.1, 0.7)])
    xy[:, 3, 5] = np.nan
    np.testing.assert_allclose(along_the_step(xy, signed_distance(distance > 0)), [0.6, -0.8])


def test_a_trace_that_shows_one_side_only_has_no_direction():
    assert np.isnan(along_the_step(np.ones((2, *SHAPE)), np.full(SHAPE, 3.0))).all()


@pytest.mark.parametrize("motion", [np.zeros(SHAPE), np.full(SHAPE, np.nan)])
def test_motion_without_a_step_has_no_width(motion):
    assert math.isnan(step(motion, across(0) > 0).width)


def test_pixels_without_distance_do_not_count():
    distance = signed_distance(across(0) > 0)
    motion = np.where(distance > 0, 1.0, 0.0)
    distance[:20], motion[:20] = np.nan, 9.0
    assert step_of(stacked(motion, distance)).height == pytest.approx(1.0)
