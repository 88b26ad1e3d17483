"""Profiles: where their cells come from, which side is which, and what they are stacked to."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from affine import Affine

from terrashift.analyse.boxes import Layout, boxes_along, cells_in
from terrashift.analyse.profile import ProfileOptions, layout_of, stack_profiles
from terrashift.analyse.robust import fit_line, weighted_median
from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.errors import InputError
from terrashift.simulate.trace import from_pixels, to_crs

UTM = "EPSG:32631"
GRIDS = {
    "north up": Affine(10, 0, 500_000, 0, -10, 4_000_000),
    "south up": Affine(10, 0, 500_000, 0, 10, 4_000_000),
    "rotated": Affine.translation(500_000, 4_000_000) @ Affine.rotation(25) @ Affine.scale(10, -10),
}


def field_of(grid, east, north, sigma=math.nan, score=1.0):
    east, north = (torch.as_tensor(np.asarray(part, np.float32)) for part in (east, north))
    known = torch.full(grid.shape, sigma)
    score = torch.full(grid.shape, score)
    return DisplacementField(east, north, known, known, score, torch.zeros(grid.shape, dtype=torch.uint8), grid)


def places(grid):
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    return np.moveaxis(from_pixels(grid, np.stack([columns, rows], -1)), -1, 0)


def straight(grid, strike_deg, half=350.0):
    """A line through the grid's middle, in its CRS, and its direction (east, north)."""
    toward = np.array([math.sin(math.radians(strike_deg)), math.cos(math.radians(strike_deg))])
    return to_crs(grid, np.outer([-half, half], toward)), toward


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("strike_deg", [0, 35, 90, 200])
def test_distance_and_components_are_to_the_right_of_the_trace_on_every_grid(name, strike_deg):
    grid = Grid(80, 90, GRIDS[name], UTM)
    line, toward = straight(grid, strike_deg)
    right = np.array([toward[1], -toward[0]])
    east, north = places(grid)
    distance = east * right[0] + north * right[1]
    along, across = 1 + 1e-3 * distance, -2 + 3e-3 * distance
    field = field_of(grid, along * toward[0] + across * right[0], along * toward[1] + across * right[1])
    found = stack_profiles(field, [line], ProfileOptions(length_m=600, width_m=200, statistic="mean"))
    assert len(found) == 3
    for profile in found:
        assert profile.distance[0] < -280
        assert profile.distance[-1] > 280
        assert profile.parallel == pytest.approx(1 + 1e-3 * profile.distance, abs=1e-4)
        assert profile.perpendicular == pytest.approx(-2 + 3e-3 * profile.distance, abs=1e-4)
        assert math.cos(math.radians(profile.box.azimuth_deg - strike_deg)) == pytest.approx(1)
        assert profile.unit == "m"
    assert [p.box.along for p in found] == pytest.approx([150, 350, 550])


def test_boxes_fill_a_trace_evenly_and_a_short_one_has_one():
    line = np.array([[0.0, 0.0], [0.0, 500.0], [480.0, 500.0]])
    boxes = list(boxes_along([line, np.array([[0.0, 0.0], [30.0, 0.0]])], Layout(600, 100, 100)))
    assert [b.along for b in boxes] == pytest.approx([*(90 + 100 * np.arange(9)), 980 + 15])
    assert [b.segment for b in boxes] == [0] * 9 + [1]
    assert boxes[0].toward == pytest.approx([0, 1])
    assert boxes[8].toward == pytest.approx([1, 0])
    assert boxes[8].right == pytest.approx([0, -1])


def test_every_cell_of_a_strip_is_in_exactly_one_box():
    grid = Grid(61, 57, GRIDS["rotated"], UTM)
    layout = Layout(200, 70, 70)
    count = np.zeros(grid.shape, int)
    line = straight(grid, 20, 210)[0]
    from terrashift.simulate.trace import from_crs

    for box in boxes_along([from_crs(grid, line)], layout):
        cells = cells_in(grid, box, layout)
        count[cells.rows, cells.columns] += 1
    assert count.max() == 1
    assert count.sum() == pytest.approx(420 * 200 / 100, rel=0.03)


def test_a_winding_trace_is_followed_within_a_box():
    grid = Grid(80, 90, GRIDS["north up"], UTM)
    east, north = places(grid)
    wave = 40 * np.sin(np.linspace(-400, 400, 400) / 60)
    line = np.stack([wave, np.linspace(-400, 400, 400)], 1)
    side = east > np.interp(north, line[:, 1], line[:, 0])
    field = field_of(grid, np.zeros(grid.shape), np.where(side, -1.0, 1.0))
    options = ProfileOptions(length_m=500, width_m=400, statistic="mean")
    sharp = stack_profiles(field, [to_crs(grid, line)], options)
    blurred = stack_profiles(field, [to_crs(grid, line)], options.model_copy(update={"follow_trace": False}))
    for one, other in zip(sharp, blurred, strict=True):
        speed = np.hypot(one.parallel, one.perpendicular)
        assert (speed[np.abs(one.distance) > 15] > 0.99).all()
        assert (np.hypot(other.parallel, other.perpendicular)[np.abs(other.distance) < 20] < 0.9).any()


def test_no_value_is_no_value():
    grid = Grid(60, 60, GRIDS["north up"], UTM)
    field = field_of(grid, np.ones(grid.shape), np.ones(grid.shape), sigma=0.5)
    field.east[:, 40:44] = math.nan
    field.north[10:20, :] = math.nan
    options = ProfileOptions(length_m=400, width_m=200)
    found = stack_profiles(field, [straight(grid, 0, 280)[0]], options)
    for profile in found:
        assert not ((profile.distance > 101) & (profile.distance < 139)).any()
        assert np.isfinite(profile.parallel).all()
    # 40 columns less 4, of the middle 40 rows those below row 20; boxes cover rows 10 to 50 (2 of 200 m)
    assert sum(p.count.sum() for p in found) == 36 * 30
    field.east[:] = math.nan
    with pytest.raises(InputError, match="no profile holds a value"):
        stack_profiles(field, [straight(grid, 0, 280)[0]], options)


def test_statistics_are_what_their_names_say():
    grid = Grid(40, 40, GRIDS["north up"], UTM)
    random = np.random.default_rng(0)
    field = field_of(grid, np.zeros(grid.shape), random.standard_normal(grid.shape), sigma=1.0)
    bad = random.random(grid.shape) < 0.3
    field.north[torch.from_numpy(bad)] += 50
    field.score[torch.from_numpy(bad)] = 0.2
    field.sigma_north[torch.from_numpy(bad)] = 60.0
    line = [straight(grid, 0, 190)[0]]
    size = {"length_m": 300, "width_m": 380}
    spread = {
        name: np.abs(stack_profiles(field, line, ProfileOptions(statistic=name, **size))[0].parallel).max()
        for name in ("mean", "median", "score-weighted", "sigma-weighted")
    }
    assert spread["mean"] > 10
    assert spread["score-weighted"] < spread["median"] < 3
    assert spread["sigma-weighted"] < spread["median"]
    flat = stack_profiles(field, line, ProfileOptions(statistic="score-weighted", exponent=0, **size))[0]
    assert np.array_equal(flat.parallel, stack_profiles(field, line, ProfileOptions(**size))[0].parallel)
    good = stack_profiles(field, line, ProfileOptions(min_score=0.5, **size))[0]
    assert good.count.sum() == pytest.approx((~bad[1:39, 5:35]).sum(), abs=60)


def test_the_exponent_of_scores_is_six_unless_told():
    grid = Grid(20, 20, GRIDS["north up"], UTM)
    random = np.random.default_rng(1)
    field = field_of(grid, np.zeros(grid.shape), random.standard_normal(grid.shape))
    field.score[:] = torch.from_numpy(random.random(grid.shape))
    line = [straight(grid, 0, 90)[0]]
    told, usual, other = (
        stack_profiles(field, line, ProfileOptions(length_m=100, statistic="score-weighted", exponent=e))[0].parallel
        for e in (6, None, 2)
    )
    assert np.array_equal(told, usual)
    assert not np.array_equal(told, other)


@pytest.mark.parametrize("statistic", ["mean", "median", "sigma-weighted"])
def test_sigma_of_a_bin_is_the_scatter_of_bins(statistic):
    grid = Grid(120, 120, GRIDS["north up"], UTM)
    random = np.random.default_rng(2)
    noise = 0.3 * random.standard_normal((2, *grid.shape))
    field = field_of(grid, *noise, sigma=0.3)
    found = stack_profiles(
        field, [straight(grid, 30, 400)[0]], ProfileOptions(length_m=800, width_m=100, statistic=statistic)
    )
    seen = np.concatenate([p.parallel[p.count >= 8] for p in found]).std()
    told = np.concatenate([p.sigma_parallel[p.count >= 8] for p in found]).mean()
    assert seen == pytest.approx(told, rel=0.12)


def test_what_cannot_be_is_refused():
    grid = Grid(40, 40, GRIDS["north up"], UTM)
    field = field_of(grid, np.zeros(grid.shape), np.zeros(grid.shape))
    line = straight(grid, 0, 190)[0]
    with pytest.raises(InputError, match="no sigma to weigh by"):
        stack_profiles(field, [line], ProfileOptions(statistic="sigma-weighted"))
    with pytest.raises(InputError, match="no profile holds a value"):
        stack_profiles(field, [line + 50_000], ProfileOptions())
    with pytest.raises(InputError, match="spacing-m"):
        stack_profiles(field, [line], ProfileOptions(spacing_m=1e-3))


def test_boxes_that_another_line_runs_through_are_marked():
    grid = Grid(80, 80, GRIDS["north up"], UTM)
    field = field_of(grid, np.zeros(grid.shape), np.zeros(grid.shape))
    lines = [straight(grid, 0)[0], to_crs(grid, np.array([[100.0, 150.0], [100.0, 350.0]]))]
    found = stack_profiles(field, lines, ProfileOptions(length_m=300, width_m=100))
    assert [p.box.crossed for p in found if p.box.segment == 0] == [False] * 5 + [True] * 2


def test_without_a_crs_lengths_are_pixels_and_north_is_up():
    grid = Grid(50, 60, Affine.identity())
    side = np.arange(60) >= 30
    field = field_of(grid, np.zeros(grid.shape), np.broadcast_to(np.where(side, -1.0, 1.0), grid.shape))
    found = stack_profiles(field, [np.array([[30.0, 45.0], [30.0, 5.0]])], ProfileOptions(length_m=40, width_m=10))
    for profile in found:
        assert profile.unit == "px"
        assert layout_of(grid, ProfileOptions()).length == 100
        assert profile.parallel == pytest.approx(np.where(profile.distance > 0, -1, 1))


def test_a_weighted_median_has_half_of_the_weight_on_either_side():
    random = np.random.default_rng(3)
    values, weights = random.standard_normal(31), random.random(31)
    found = weighted_median(values, weights)
    assert weights[values < found].sum() <= weights.sum() / 2
    assert weights[values > found].sum() <= weights.sum() / 2
    assert weighted_median(values, np.ones(31)) == pytest.approx(np.median(values))
    assert weighted_median(values[:30], np.ones(30)) == pytest.approx(np.median(values[:30]))
    assert math.isnan(weighted_median(values, np.zeros(31)))


def test_a_robust_line_does_not_see_a_third_of_wrong_values():
    random = np.random.default_rng(4)
    places = np.linspace(-50, -1, 50)
    values = 2 + 0.03 * places + 0.01 * random.standard_normal(50)
    values[random.permutation(50)[:16]] += random.uniform(1, 9, 16)
    line = fit_line(places, values, np.ones(50))
    assert line.at_zero == pytest.approx(2, abs=0.02)
    assert line.slope == pytest.approx(0.03, abs=5e-4)
    assert (line.weights == 0).sum() == 16
    exact = fit_line(places, 2 + 0.03 * places, np.ones(50))
    assert exact.at_zero == pytest.approx(2)
    assert exact(np.array([10.0])) == pytest.approx([2.3])
