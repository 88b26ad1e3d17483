"""Offsets: their signs on every grid and strike, errors that hold, widths of known steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from affine import Affine
from scipy.ndimage import gaussian_filter
from scipy.special import erf

from terrashift.analyse.boxes import Box, lengths
from terrashift.analyse.correlation import INDEPENDENT, Side, estimate
from terrashift.analyse.fault_offset import OffsetOptions, fit_offsets
from terrashift.analyse.fault_zone import ARCTAN_10_90, ERF_10_90
from terrashift.analyse.profile import Profile, ProfileOptions, local_lines, stack_profiles
from terrashift.analyse.robust import fit_line
from terrashift.analyse.slip_curve import slip_curve
from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.simulate.rupture import Rupture, displacement

UTM = "EPSG:32631"
GRIDS = {
    "north up": Affine(10, 0, 500_000, 0, -10, 4_000_000),
    "south up": Affine(10, 0, 500_000, 0, 10, 4_000_000),
    "rotated": Affine.translation(500_000, 4_000_000) @ Affine.rotation(25) @ Affine.scale(10, -10),
}


def profile_of(distance, parallel, perpendicular=None, sigma=math.nan, along=0.0):
    """A profile of a trace to the north, from its values."""
    nothing = np.full(len(distance), math.nan)
    box = Box(0, along, np.zeros(2), np.array([0.0, 1.0]), np.array([[0.0, 0.0]]), False)
    still = np.zeros(len(distance)) if perpendicular is None else perpendicular
    known = np.full(len(distance), sigma)
    return Profile(box, distance, parallel, still, known, known, nothing, nothing, np.full(len(distance), 20.0), "m")


DISTANCE = 10 * (np.arange(-50, 50) + 0.5)


def measured(grid, rupture, seed, noise=0.0, smooth=0.0):
    """The field of a rupture with errors that are alike over some cells, and its truth."""
    truth = displacement(grid, rupture, seed)
    random = np.random.default_rng(seed + 100)
    errors = random.standard_normal((2, *grid.shape))
    if smooth:
        errors = np.stack([gaussian_filter(part, smooth, mode="wrap") for part in errors])
    errors = torch.from_numpy((noise * errors / errors.std()).astype(np.float32))
    sigma, reasons = torch.full(grid.shape, noise), torch.zeros(grid.shape, dtype=torch.uint8)
    field = DisplacementField(
        truth.east + errors[0], truth.north + errors[1], sigma, sigma, torch.ones(grid.shape), reasons, grid
    )
    return field, truth


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize(("strike_deg", "slip_m"), [(0, 2.0), (140, -2.0), (265, 2.0)])
def test_right_lateral_is_positive_for_every_strike_grid_and_direction_of_drawing(name, strike_deg, slip_m):
    grid = Grid(70, 64, GRIDS[name], UTM)
    rupture = Rupture(slip_m=slip_m, strike_deg=strike_deg, roughness=0, slip_variation=0)
    field, truth = measured(grid, rupture, 1)
    line = np.asarray(truth.lines[0], float)
    options = ProfileOptions(length_m=300, width_m=250)
    for drawn in (line, line[::-1]):
        profiles = stack_profiles(field, [drawn], options)
        found = [o for o in fit_offsets(profiles, OffsetOptions(resamples=50)) if not o.note]
        assert len(found) >= 2
        for offset in found:
            assert offset.lateral.value == pytest.approx(slip_m, rel=0.005)
            assert offset.opening.value == pytest.approx(0, abs=0.005)


def test_sides_that_move_apart_are_a_positive_opening_whichever_way_the_trace_was_drawn():
    grid = Grid(100, 100, GRIDS["north up"], UTM)
    east = np.broadcast_to(np.where(np.arange(100) >= 50, 0.7, -0.2), grid.shape).astype(np.float32)
    band = torch.from_numpy(east.copy())
    nothing = torch.full(grid.shape, math.nan)
    field = DisplacementField(
        band, 0 * band, nothing, nothing, torch.ones(grid.shape), torch.zeros(grid.shape, dtype=torch.uint8), grid
    )
    line = np.array([[500_500.0, 3_999_050.0], [500_500.0, 3_999_950.0]])
    for drawn in (line, line[::-1]):
        (found,) = fit_offsets(stack_profiles(field, [drawn], ProfileOptions(length_m=800, width_m=900)))
        assert found.opening.value == pytest.approx(0.9, abs=1e-5)
        assert found.lateral.value == pytest.approx(0, abs=1e-5)
        assert math.isnan(found.opening.error_sigma)


def test_offsets_of_a_rupture_are_those_that_slipped_there():
    grid = Grid(110, 110, GRIDS["north up"], UTM)
    field, truth = measured(grid, Rupture(slip_m=-3, strike_deg=75), 3, 0.3, 1.0)
    lines = [np.asarray(line, float) for line in truth.lines]
    options = ProfileOptions(statistic="mean", length_m=600, width_m=100)
    profiles = [p for p in stack_profiles(field, lines, options) if min(-p.distance[0], p.distance[-1]) > 150]
    at, slip = lengths(local_lines(grid, lines)[0]), np.asarray(truth.slips[0])
    toward = np.array([math.sin(math.radians(75)), math.cos(math.radians(75))])
    inside, widths = [], []
    for offset in fit_offsets(profiles, OffsetOptions(resamples=100)):
        box = offset.profile.box
        local = np.interp(box.along + np.linspace(-50, 50, 51), at, slip).mean()
        wanted = local * (toward @ box.toward), -local * (toward @ box.right)
        inside += [e.low <= w <= e.high for e, w in zip((offset.lateral, offset.opening), wanted, strict=True)]
        widths.append([offset.bell.width, offset.erf.width, offset.arctan.width])
    assert len(inside) >= 14
    assert np.mean(inside) > 0.85
    assert (np.nanmedian(widths, axis=0) < 20).all()


@pytest.mark.parametrize("smooth", [0.0, 2.0])
def test_offsets_are_within_their_95_percent_errors_in_95_percent_of_profiles(smooth):
    random = np.random.default_rng(12)
    profiles = []
    for _ in range(20):
        noise = random.standard_normal((2, 200))
        noise = gaussian_filter(noise, (0, smooth), mode="wrap") / (0.376 if smooth else 1.0)  # deviation 1 again
        parts = 0.3 * noise[:, :100] + np.outer((-1.0, 0.5), np.sign(DISTANCE)) + 1e-3 * DISTANCE
        profiles.append(profile_of(DISTANCE, *parts, sigma=0.3))
    found = fit_offsets(profiles, OffsetOptions(resamples=100))
    truth = [(o.lateral, 2.0) for o in found] + [(o.opening, 1.0) for o in found]
    assert np.mean([e.low <= value <= e.high for e, value in truth]) > 0.88
    assert 0.7 < np.std([(e.value - value) / e.error_bootstrap for e, value in truth]) < 1.35
    if not smooth:  # a profile alone does not tell that its cells were correlated along the trace
        assert 0.7 < np.std([(e.value - value) / e.error_sigma for e, value in truth]) < 1.35


@pytest.mark.parametrize("scale", [30.0, 60.0])
def test_widths_of_known_steps_are_found_by_every_measure(scale):
    random = np.random.default_rng(5)
    smooth = [erf(DISTANCE / scale / math.sqrt(2)), 2 / math.pi * np.arctan(DISTANCE / scale)]
    profiles = [profile_of(DISTANCE, -step + 0.003 * random.standard_normal(100)) for step in smooth]
    blurred, buried = fit_offsets(profiles)
    assert blurred.bell.width == pytest.approx(2 * scale, rel=0.15)
    assert blurred.erf.width == pytest.approx(ERF_10_90 * scale, rel=0.05)
    assert blurred.erf.misfit < blurred.arctan.misfit
    assert blurred.lateral.value == pytest.approx(2, rel=0.03)
    assert -blurred.zone[0] + blurred.zone[1] == pytest.approx(4 * scale, rel=0.4)
    assert buried.bell.width == pytest.approx(2 / math.sqrt(3) * scale, rel=0.65)  # smoothing widens its long tails
    assert buried.arctan.width == pytest.approx(ARCTAN_10_90 * scale, rel=0.25)
    assert buried.arctan.misfit < buried.erf.misfit


def test_slip_within_the_core_is_on_the_fault():
    step = 0.6 * np.sign(DISTANCE) + 0.4 * erf(DISTANCE / 80)
    random = np.random.default_rng(6)
    (found,) = fit_offsets([profile_of(DISTANCE, -step + 0.005 * random.standard_normal(100))])
    beside = 0.6 + 0.4 * erf(35 / 80)
    assert found.on_fault == pytest.approx(beside, abs=0.06)
    assert found.off_fault == pytest.approx(1 - found.on_fault)
    (wide,) = fit_offsets([profile_of(DISTANCE, -step)], OffsetOptions(core_m=300))
    assert wide.on_fault == pytest.approx(1, abs=0.03)


def test_a_trace_beside_the_step_widens_the_zone_and_keeps_the_offset():
    random = np.random.default_rng(7)
    step = np.where(DISTANCE > 82, -1.0, 1.0) + 2e-4 * DISTANCE
    (found,) = fit_offsets([profile_of(DISTANCE, step + 0.03 * random.standard_normal(100))])
    assert found.lateral.value == pytest.approx(2, abs=0.05)
    assert 75 <= found.zone[1] <= 110
    assert found.zone[0] == pytest.approx(-10, abs=10)
    assert found.bell.at == pytest.approx(82, abs=8)


def test_a_zone_can_be_told():
    (found,) = fit_offsets([profile_of(DISTANCE, -np.sign(DISTANCE))], OffsetOptions(fault_zone_m=300))
    assert found.zone == (-150, 150)
    assert found.lateral.value == pytest.approx(2)
    assert found.lateral.error_bootstrap == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("motion", [np.zeros(100), np.ones(100) + 1e-3 * DISTANCE])
def test_motion_without_a_step_has_no_offset_and_no_width(motion):
    (found,) = fit_offsets([profile_of(DISTANCE, motion)])
    assert found.lateral.value == pytest.approx(0, abs=1e-9)
    assert math.isnan(found.bell.width)
    assert math.isnan(found.on_fault)


def test_a_profile_with_one_side_only_says_why_it_has_no_offset():
    far = DISTANCE[DISTANCE < 25]
    one, other = fit_offsets([profile_of(far, far), profile_of(DISTANCE, -np.sign(DISTANCE))])
    assert math.isnan(one.lateral.value)
    assert "positive side" in one.note
    assert other.note == ""


def test_gaps_in_a_profile_do_not_matter():
    keep = (np.abs(DISTANCE + 200) > 60) & (np.abs(DISTANCE) > 30)
    random = np.random.default_rng(8)
    motion = -np.sign(DISTANCE) + 0.02 * random.standard_normal(100)
    (found,) = fit_offsets([profile_of(DISTANCE[keep], motion[keep])])
    assert found.lateral.value == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("smooth", [0.0, 1.5, 3.0])
def test_the_correlation_of_errors_is_found_though_lines_hide_part_of_it(smooth):
    random = np.random.default_rng(9)
    places = np.arange(50.0) + 0.5
    sides = []
    for _ in range(80):
        noise = random.standard_normal(100)
        noise = (gaussian_filter(noise, smooth, mode="wrap") if smooth else noise)[:50]
        line = fit_line(places, noise, np.ones(50))
        sides.append(Side(places, line.residuals, line.weights))
    integral = estimate(sides, 1.0).integral(1.0)
    assert integral == pytest.approx(max(1, smooth * math.sqrt(4 * math.pi)), rel=0.25)
    assert estimate([], 1.0) == INDEPENDENT


def test_the_same_seed_gives_the_same_errors():
    random = np.random.default_rng(10)
    profiles = [profile_of(DISTANCE, random.standard_normal(100)) for _ in range(2)]
    one, other = fit_offsets(profiles), fit_offsets(profiles)
    assert [o.lateral for o in one] == [o.lateral for o in other]
    assert fit_offsets(profiles, OffsetOptions(seed=1))[0].lateral != one[0].lateral
    assert fit_offsets(profiles, OffsetOptions(seed=1))[0].lateral.value == one[0].lateral.value


def test_the_slip_curve_smooths_by_error_and_its_envelope_encloses():
    random = np.random.default_rng(11)
    profiles = [
        profile_of(DISTANCE, -(1 + k / 10) * np.sign(DISTANCE) + 0.05 * random.standard_normal(100), along=100.0 * k)
        for k in range(9)
    ]
    offsets = fit_offsets(profiles)
    curve = slip_curve(offsets)
    assert curve.along.tolist() == [100.0 * k for k in range(9)]
    assert curve.smooth == pytest.approx(2 + 0.2 * np.clip(np.arange(9), 1, 7), abs=0.15)
    assert (curve.lower <= curve.smooth).all()
    assert (curve.smooth <= curve.upper).all()
    along, value = curve.strongest()
    assert along == 800
    assert value == pytest.approx(3.4, abs=0.15)
    assert (curve.low < curve.offset).all()
    assert np.isnan(slip_curve(offsets[:0]).strongest()).all()
