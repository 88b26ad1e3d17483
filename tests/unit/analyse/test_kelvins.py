"""The Kelvins scores and the plain ones: exact laws, and others' implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from terrashift.analyse.image_quality import psnr, rmse, ssim
from terrashift.analyse.kelvins import cmse, cpsnr, cssim, kelvins_score
from terrashift.errors import InputError


def scene(seed: int, shape: tuple[int, int] = (60, 72)) -> tuple[np.ndarray, np.ndarray]:
    """A truth of 14 bits and a mask with holes."""
    random = np.random.default_rng(seed)
    ground = ndimage.gaussian_filter(random.normal(size=(shape[0] + 20, shape[1] + 20)), 1.0)
    values = 8000 + 6000 * ground / np.abs(ground).max()
    return values.round().astype(np.uint16), random.random(shape) > 0.3


@pytest.mark.parametrize("x", [-3, -1, 0, 3])
@pytest.mark.parametrize("y", [-3, 0, 2])
def test_a_shifted_and_brightened_truth_is_perfect(x, y):
    """15.2: SR = HR shifted within 3 px plus a constant has an infinite cPSNR, whatever the mask."""
    whole, clear = scene(1)
    truth = whole[10:-10, 10:-10]
    estimate = whole[10 + y : whole.shape[0] - 10 + y, 10 + x : whole.shape[1] - 10 + x].astype(np.float64) - 137.0
    found = cmse(estimate, truth, clear)
    assert found.value < 1e-6  # of a variance of four millions
    assert found.shift == (x, y)
    assert found.brightness == pytest.approx(137.0)
    assert cpsnr(estimate, truth, clear).value > 150


def test_four_pixels_of_shift_are_too_many():
    whole, clear = scene(2)
    estimate = whole[14:-6, 10:-10].astype(np.float64)
    assert cpsnr(estimate, whole[10:-10, 10:-10], clear).value < 40


def naive(estimate: np.ndarray, truth: np.ndarray, clear: np.ndarray) -> float:
    """The challenge's own words, loop by loop."""
    height, width = truth.shape
    inner = estimate[3:-3, 3:-3].astype(np.float64)
    best = -math.inf
    for u in range(7):
        for v in range(7):
            part = slice(u, u + height - 6), slice(v, v + width - 6)
            hr, mask = truth[part].astype(np.float64), clear[part].astype(np.float64)
            bias = (mask * (hr - inner)).sum() / mask.sum()
            error = (mask * (hr - (inner + bias)) ** 2).sum() / mask.sum()
            best = max(best, -10 * math.log10(error / 65535**2))
    return best


def test_the_identity_equals_the_naive_loop():
    whole, clear = scene(3)
    truth = whole[10:-10, 10:-10]
    noise = 300 * np.random.default_rng(0).normal(size=truth.shape)
    estimate = whole[9:-11, 12:-8] + noise + 60000.0  # a bias that costs digits
    assert cpsnr(estimate, truth, clear).value == pytest.approx(naive(estimate, truth, clear), abs=1e-6)


def test_what_is_masked_in_the_truth_never_counts():
    whole, clear = scene(4)
    truth = whole[10:-10, 10:-10]
    estimate = truth + 50 * np.random.default_rng(1).normal(size=truth.shape)
    spoilt = np.where(clear, truth, 65535).astype(np.uint16)
    assert cpsnr(estimate, spoilt, clear) == cpsnr(estimate, truth, clear)


def test_nothing_clear_or_a_gap_in_the_result_has_no_score():
    whole, clear = scene(5)
    truth = whole[10:-10, 10:-10]
    assert math.isnan(cpsnr(truth.astype(float), truth, np.zeros_like(clear)).value)
    holed = truth.astype(float)
    holed[20, 20] = np.nan
    assert math.isnan(cpsnr(holed, truth, np.ones_like(clear)).value)


def test_shapes_that_differ_are_refused():
    with pytest.raises(InputError, match="one shape"):
        cmse(np.zeros((12, 12)), np.zeros((12, 13)), np.ones((12, 13), bool))


def test_structural_similarity_forgives_shift_and_brightness_like_the_cpsnr():
    whole, clear = scene(6)
    clear[:] = True
    clear[:5] = False
    truth = whole[10:-10, 10:-10]
    shifted = whole[12:-8, 9:-11] + 500.0
    assert cssim(shifted, truth, clear) == pytest.approx(1.0)
    assert ssim(shifted, truth.astype(float), 65535.0) < 0.999


def test_the_challenges_score_is_below_one_for_what_beats_the_baseline():
    assert kelvins_score(np.array([48.0]), np.array([46.0])) < 1
    assert kelvins_score(np.array([46.0, 50.0]), np.array([46.0, 50.0])) == 1


def test_plain_scores_forgive_neither_shift_nor_brightness():
    whole, _ = scene(7)
    truth = whole[10:-10, 10:-10].astype(float)
    assert psnr(truth + 10, truth, 1000) == pytest.approx(40)
    assert rmse(truth + 10, truth) == pytest.approx(10)
    assert psnr(truth, truth, 1000) == math.inf
    assert psnr(whole[11:-9, 10:-10].astype(float), truth, 16383) < 40
    with pytest.raises(InputError, match="data range"):
        psnr(truth, truth, 0)


def test_plain_scores_are_those_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    whole, _ = scene(8)
    truth = whole[10:-10, 10:-10].astype(float)
    estimate = truth + 400 * np.random.default_rng(2).normal(size=truth.shape)
    _, values = metrics.structural_similarity(
        estimate, truth, data_range=16383, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    assert ssim(estimate, truth, 16383) == pytest.approx(values[5:-5, 5:-5].mean(), abs=1e-6)
    assert psnr(estimate, truth, 16383) == pytest.approx(
        metrics.peak_signal_noise_ratio(truth, estimate, data_range=16383)
    )


def test_structural_similarity_leaves_windows_with_gaps_out():
    whole, _ = scene(9)
    truth = whole[10:-10, 10:-10].astype(float)
    estimate = truth.copy()
    estimate[:20] = np.nan
    assert ssim(estimate, truth, 16383) == 1.0
    assert math.isnan(ssim(np.full_like(truth, np.nan), truth, 16383))
    with pytest.raises(InputError, match="smaller than the window"):
        ssim(truth[:9], truth[:9], 16383)
