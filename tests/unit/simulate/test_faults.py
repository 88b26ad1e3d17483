"""A segment is what it says, and random systems run through the scene, or beside it, as often as promised."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from terrashift.errors import InputError, OptionError
from terrashift.simulate.faults import AlongOptions, Segment, faults_along
from terrashift.simulate.selfaffine import hurst_exponent
from terrashift.simulate.systems import FaultOptions, random_faults

NORTHWARD = np.array([[0.0, -1000.0], [0.0, 3000.0]])
SLIP = np.ones((2, 2))
EXTENT = (2000.0, 3000.0)
MIXED = {"in_sight": 0.7, "step_overs": 0.2, "branches": 0.3, "conjugates": 0.1}


@cache
def drawn(count, **options):
    return [random_faults(EXTENT, np.random.default_rng(seed), FaultOptions(**options)) for seed in range(count)]


def in_scene(line):
    return (np.abs(line[:, 0]) < EXTENT[0] / 2) & (np.abs(line[:, 1]) < EXTENT[1] / 2)


def strike(segment):
    return math.degrees(math.atan2(*(segment.trace[-1] - segment.trace[0])))


def test_a_segment_toward_north_has_its_right_in_the_east():
    segment = Segment(NORTHWARD, SLIP, 5000.0)
    assert segment.right == pytest.approx([1, 0])
    assert segment.length_m == segment.chord_m == 4000


def test_points_are_spaced_evenly_along_the_trace_not_along_its_chord():
    bent = Segment(np.array([[0.0, 0.0], [0.0, 300.0], [100.0, 300.0]]), SLIP, 100.0)
    assert bent.length_m == 400
    assert bent.resampled(np.array([0, 0.5, 0.75, 0.875, 1])) == pytest.approx(
        np.array([[0, 0], [0, 200], [0, 300], [50, 300], [100, 300]])
    )


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        (np.zeros((1, 2)), "trace of 1 points"),
        (np.array([[0.0, 0.0], [np.nan, 1.0]]), "NaN"),
        (np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]), "repeats a point"),
        (np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 0.0]]), "returns to its start"),
    ],
)
def test_a_line_that_cannot_be_a_trace_is_refused(trace, message):
    with pytest.raises(InputError, match=message):
        Segment(trace, SLIP, 5000.0)


@pytest.mark.parametrize("wrong", [{"dip_deg": 20.0}, {"dip_deg": 100.0}, {"depth_m": 0.0}])
def test_a_dip_or_a_depth_that_cannot_be_is_refused(wrong):
    with pytest.raises(OptionError, match="give"):
        Segment(**{"trace": NORTHWARD, "slip_m": SLIP, "depth_m": 5000.0, **wrong})


@pytest.mark.parametrize(("slip", "rise", "rake"), [(2.5, 0, 180), (-2.5, 0, 0), (2.5, 30, 150), (-2.5, -30, -30)])
def test_along_a_line_slip_has_the_size_and_sense_asked_for(slip, rise, rake):
    (segment,) = faults_along([NORTHWARD], AlongOptions(slip_m=slip, rise_deg=rise), np.random.default_rng(0))
    assert segment.slip_m.max() == pytest.approx(2.5)
    assert segment.rake_deg == rake
    assert np.array_equal(segment.trace, NORTHWARD)


def test_roughness_added_to_a_line_leaves_its_tips_and_has_its_exponent():
    found = []
    for seed in range(20):
        options = AlongOptions(roughness=0.01)
        (segment,) = faults_along([NORTHWARD], options, np.random.default_rng(seed))
        assert segment.trace[[0, -1]] == pytest.approx(NORTHWARD, abs=1e-6)
        assert segment.trace[:, 0].std() == pytest.approx(40, rel=1e-6)
        found.append(hurst_exponent(segment.trace[:, 0]))
    assert np.mean(found) == pytest.approx(0.8, abs=0.1)


def test_several_lines_are_several_segments_and_none_is_refused():
    options = AlongOptions()
    assert len(faults_along([NORTHWARD, NORTHWARD + 500], options, np.random.default_rng(0))) == 2
    with pytest.raises(InputError, match="no trace"):
        faults_along([], options, np.random.default_rng(0))


def test_the_main_trace_runs_through_the_scene_in_the_share_of_draws_promised():
    assert all(in_scene(system.segments[0].trace).any() for system in drawn(25, in_sight=1.0))
    share = np.mean([in_scene(system.segments[0].trace).any() for system in drawn(110, **MIXED)])
    assert share == pytest.approx(0.7, abs=0.1)


def test_beside_the_scene_no_segment_comes_into_it():
    systems = drawn(25, in_sight=0.0, step_overs=0.25, branches=0.25, conjugates=0.25)
    assert len({system.kind for system in systems}) == 4
    assert not any(in_scene(segment.trace).any() for system in systems for segment in system.segments)


def test_a_trace_ends_in_the_scene_or_leaves_it_at_both_sides():
    for system in drawn(25, in_sight=1.0, ending=1.0, step_overs=0.0):
        tips = in_scene(system.segments[0].trace[[0, -1]])
        assert tips.sum() >= 1
    for system in drawn(25, in_sight=1.0, ending=0.0, step_overs=0.0):
        assert not in_scene(system.segments[0].trace[[0, -1]]).any()


def test_kinds_are_drawn_as_often_as_asked_for():
    kinds = [system.kind for system in drawn(110, **MIXED)]
    for kind, share in (("step-over", 0.2), ("branch", 0.3), ("conjugate", 0.1), ("single", 0.4)):
        assert kinds.count(kind) / 110 == pytest.approx(share, abs=0.14)  # three standard deviations


def test_conjugates_cross_at_a_right_angle_nearly_and_slip_the_other_way():
    for system in drawn(15, step_overs=0.0, branches=0.0, conjugates=1.0):
        main, other = system.segments
        angle = abs(strike(main) - strike(other)) % 180
        assert 80 - 1e-6 <= min(angle, 180 - angle) <= 90 + 1e-6
        assert math.cos(math.radians(main.rake_deg)) * math.cos(math.radians(other.rake_deg)) < 0


def test_a_step_over_goes_on_beside_the_end_of_the_line_before_it():
    for system in drawn(15, in_sight=1.0, step_overs=1.0, branches=0.0, conjugates=0.0):
        for before, after in zip(system.segments[:-1], system.segments[1:], strict=True):
            gap = min(np.linalg.norm(a - b) for a in before.trace[[0, -1]] for b in after.trace[[0, -1]])
            assert 0.05 * EXTENT[0] < gap < 0.8 * EXTENT[0]


def test_traces_are_as_rough_as_asked_for():
    for hurst in (0.8, 0.5):
        found = []
        for system in drawn(20, hurst=hurst):
            for segment in system.segments:
                found.append(hurst_exponent(segment.trace @ segment.right))
        assert np.mean(found) == pytest.approx(hurst, abs=0.1)


def test_senses_dips_and_depths_cover_what_the_options_say():
    segments = [system.segments[0] for system in drawn(110, **MIXED)]
    lateral = np.array([math.cos(math.radians(segment.rake_deg)) for segment in segments])
    assert 0.35 < np.mean(lateral > 0) < 0.65
    assert np.abs(lateral).min() >= 0.5 - 1e-9
    assert np.median(np.abs(lateral)) > 0.95
    dips = np.array([segment.dip_deg for segment in segments])
    assert np.median(dips) > 80
    assert 30 <= dips.min() < 50
    assert all(segment.depth_m <= 0.5 * segment.chord_m + 1e-6 for segment in segments)
    assert all(segment.depth_m <= 15000 for segment in segments)


@pytest.mark.parametrize("wrong", [{"branches": 0.8, "conjugates": 0.3}, {"depth_km": (9.0, 3.0)}])
def test_options_that_cannot_be_drawn_are_refused(wrong):
    with pytest.raises(ValueError, match="lower"):
        FaultOptions(**wrong)


def test_the_same_source_draws_the_same_faults():
    one, two = (random_faults(EXTENT, np.random.default_rng(9), FaultOptions()) for _ in range(2))
    assert all(np.array_equal(a.trace, b.trace) for a, b in zip(one.segments, two.segments, strict=True))
    assert all(np.array_equal(a.slip_m, b.slip_m) for a, b in zip(one.segments, two.segments, strict=True))
