"""Every number of the tables is what a hand calculation gives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from terrashift.analyse import metrics

RANDOM = np.random.default_rng(5)
ALL = np.ones((30, 40), bool)


def plane(a: float, b: float, c: float, d: float) -> np.ndarray:
    """(a x + b y, c x + d y) on 30 x 40 pixels."""
    y, x = np.mgrid[0:30, 0:40].astype(float)
    return np.stack([a * x + b * y, c * x + d * y])


def test_the_endpoint_error_is_the_length_of_the_difference():
    assert metrics.endpoint_error(np.full((2, 1, 1), 3.0), np.array([0.0, -1.0])[:, None, None]).item() == 5.0


def test_an_offset_is_taken_off_each_component_by_its_median_and_gaps_do_not_count():
    truth = plane(0.01, 0, 0, 0.02)
    found = truth + np.array([0.5, -0.25])[:, None, None]
    found[0, 0, 0], found[:, 3, 4] = 99.0, np.nan  # a wild one and a gap
    rest = metrics.without_offset(found, truth, ALL) - truth
    assert np.nanmedian(np.abs(rest)) == pytest.approx(0, abs=1e-12)
    assert rest[0, 0, 0] == pytest.approx(99 - truth[0, 0, 0] - 0.5)
    assert np.isnan(rest[:, 3, 4]).all()


def test_smoothness_is_the_sum_of_the_sizes_of_all_four_slopes():
    rough = metrics.smoothness(plane(0.1, -0.2, 0.3, 0.4))
    assert rough[:-1, :-1] == pytest.approx(1.0)
    assert np.isnan(rough[-1]).all()
    assert metrics.smoothness(plane(0.1, -0.2, 0.3, 0.4), 4)[0, 0] == pytest.approx(0.25)


def test_means_and_percentiles_leave_gaps_out_and_say_so_where_nothing_is_left():
    values = np.array([1.0, 2.0, np.nan, 10.0])
    assert metrics.mean_of(values) == pytest.approx(13 / 3)
    assert metrics.mean_of(values, np.array([True, True, True, False])) == 1.5
    assert metrics.percentile_of(np.arange(11.0), 90) == 9.0
    assert math.isnan(metrics.mean_of(values, np.array([False, False, True, False])))


def test_a_share_counts_only_where_it_is_asked_for():
    where = np.array([True, True, False, False])
    assert metrics.share(where, np.array([True, False, True, True])) == pytest.approx(1 / 3)
    assert math.isnan(metrics.share(where, np.zeros(4, bool)))


def test_still_ground_has_the_bias_spread_and_tail_of_the_noise_on_it():
    noise = np.array([0.3, -0.1])[:, None, None] + 0.05 * RANDOM.normal(size=(2, 300, 200))
    found = metrics.still(noise, np.ones((300, 200), bool))
    assert found["bias_x"] == pytest.approx(0.3, abs=1e-3)
    assert found["bias_y"] == pytest.approx(-0.1, abs=1e-3)
    assert found["nmad"] == pytest.approx(0.05, rel=0.02)
    assert found["p95"] == pytest.approx(0.05 * math.sqrt(-2 * math.log(0.05)), rel=0.02)  # Rayleigh


def test_the_peak_of_normal_pairs_is_two_deviations_wide_on_either_side():
    pairs = RANDOM.normal(size=(2, 40_000)) * np.array([[0.1], [0.4]])
    peak = metrics.peak_of(pairs)
    assert peak.half[0] == pytest.approx(0.2, rel=0.08)
    assert peak.half[1] == pytest.approx(0.8, rel=0.08)
    assert peak.outside == pytest.approx(1 - 0.9545**2, abs=0.02)


def test_wild_vectors_count_as_outliers_and_do_not_widen_the_peak():
    pairs = 0.1 * RANDOM.normal(size=(2, 20_000))
    pairs[:, :2000] += 5.0
    peak = metrics.peak_of(pairs)
    assert peak.half[0] == pytest.approx(0.2, rel=0.1)
    assert peak.outside == pytest.approx(0.1 + 0.9 * (1 - 0.9545**2), abs=0.02)


def test_the_static_terrain_numbers_keep_their_axes():
    xy = RANDOM.normal(size=(2, 120, 150)) * np.array([0.02, 0.2])[:, None, None]
    found = metrics.static_terrain(xy, np.ones((120, 150), bool))
    assert found["static_x"] == pytest.approx(0.04, rel=0.1)
    assert found["static_y"] == pytest.approx(0.4, rel=0.1)


@pytest.mark.parametrize("direction", [(3.0, 0.0), (0.0, -3.0)])
def test_strain_along_the_motion_is_that_of_its_noise(direction):
    sigma = 0.01
    xy = np.array(direction)[:, None, None] + sigma * RANDOM.normal(size=(2, 160, 190))
    inner = np.zeros((160, 190), bool)
    inner[2:-2, 2:-2] = True
    found = metrics.along_flow_strain(xy, inner)
    gain = math.sqrt(12) / 8  # of white noise through a Sobel kernel
    assert found["strain_normal"] == pytest.approx(2e3 * sigma * gain, rel=0.12)
    assert found["strain_shear"] == pytest.approx(2e3 * sigma * gain / math.sqrt(2), rel=0.12)


def test_strain_halves_where_measurements_are_twice_as_far_apart():
    xy = np.array([3.0, 0.0])[:, None, None] + 0.01 * RANDOM.normal(size=(2, 80, 90))
    one, two = (metrics.along_flow_strain(xy, np.ones((80, 90), bool), step)["strain_normal"] for step in (1, 2))
    assert two == pytest.approx(one / 2)


def test_errors_that_follow_their_sigma_are_covered_as_a_laplace_distribution_is():
    sigma = RANDOM.uniform(0.02, 0.3, (2, 200, 210))
    error = sigma * RANDOM.laplace(size=sigma.shape)
    inner = np.ones((200, 210), bool)
    found = metrics.coverage(error, sigma, inner)
    assert found["within1"] == pytest.approx(metrics.LAPLACE_SHARES[0], abs=0.01)
    assert found["within2"] == pytest.approx(metrics.LAPLACE_SHARES[1], abs=0.01)
    assert found["sigma"] == pytest.approx(sigma.mean())
    curve = metrics.reliability(error.ravel(), sigma.ravel())
    assert curve.found == pytest.approx(curve.promised, abs=0.01)
    small = metrics.reliability(error.ravel(), 0.5 * sigma.ravel())  # a sigma that promises too much
    assert (small.found < small.promised).all()


def test_every_metric_of_a_zone_has_a_title_with_it():
    assert metrics.metric_of("p90_near").title == "90 %, near"
    assert metrics.metric_of("bias_x").title == "bias x"
    with pytest.raises(KeyError):
        metrics.metric_of("speed")
