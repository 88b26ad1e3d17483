"""Models through tie points, some of which are wrong."""

from __future__ import annotations

import numpy as np
import pytest

from terrashift.register.choose import Scene, choose_model
from terrashift.register.evaluate import landmark_error
from terrashift.register.fit import Samples, ce90, fit_polynomial, folds_of, held_out_polynomial, trimmed_rms
from terrashift.register.mapping import Mapping, Polynomial
from terrashift.register.smooth import fit_smooth
from terrashift.register.ties import OUTLIER, USED, TiePoints, lonely

SHAPE = (300, 420)


def places(spacing: int = 20) -> np.ndarray:
    x, y = np.meshgrid(np.arange(spacing // 2, SHAPE[1], spacing), np.arange(spacing // 2, SHAPE[0], spacing))
    return np.stack([x.ravel(), y.ravel()]).astype(float)


def samples(shift: np.ndarray, at: np.ndarray) -> Samples:
    return Samples(at, shift, np.ones(at.shape[1]))


def ties(shift: np.ndarray, at: np.ndarray) -> TiePoints:
    count = at.shape[1]
    return TiePoints(at, at + shift, np.ones(count), np.ones(count), np.full(count, USED), count)


def linear(at: np.ndarray) -> np.ndarray:
    return np.stack([4.0 + 0.01 * at[0] - 0.02 * at[1], -7.0 + 0.03 * at[0] + 0.005 * at[1]])


def bent(at: np.ndarray) -> np.ndarray:
    x, y = at
    return np.stack([3 * np.sin(2 * np.pi * x / 260), 2 * np.cos(2 * np.pi * (x + y) / 300)])


@pytest.mark.parametrize("order", [1, 2])
def test_an_affine_survives_four_tenths_of_nonsense(order):
    at = places()
    random = np.random.default_rng(0)
    shift = linear(at) + 0.05 * random.normal(size=at.shape)
    wrong = random.random(at.shape[1]) < 0.4
    shift[:, wrong] = random.uniform(-12, 12, (2, wrong.sum()))
    fit = fit_polynomial(samples(shift, at), order, SHAPE)
    assert np.abs(fit.model.shift(at) - linear(at)).max() < 0.06
    assert fit.inlier[~wrong].mean() > 0.95
    assert fit.inlier[wrong].mean() < 0.1
    assert fit.spread_px == pytest.approx(0.05, rel=0.25)


def test_a_translation_is_told_with_its_sign_and_its_error():
    at = places()
    shift = np.array([[1.5], [-2.5]]) + 0.2 * np.random.default_rng(1).normal(size=at.shape)
    fit = fit_polynomial(samples(shift, at), 0, SHAPE)
    assert fit.model.coefficients[:, 0] == pytest.approx([1.5, -2.5], abs=0.04)
    assert fit.error_at(at)[0] == pytest.approx(0.2 / at.shape[1] ** 0.5, rel=0.2)


def test_the_error_of_an_affine_covers_its_errors():
    at, left = places(40), []
    for seed in range(40):
        shift = linear(at) + 0.3 * np.random.default_rng(seed).normal(size=at.shape)
        fit = fit_polynomial(samples(shift, at), 1, SHAPE)
        left.append((fit.model.shift(at) - linear(at)) / fit.error_at(at))
    assert 0.85 < float(np.std(left)) < 1.3


def test_held_out_residuals_are_larger_than_fitted_ones():
    at = places(60)
    shift = linear(at) + 0.3 * np.random.default_rng(0).normal(size=at.shape)
    some = samples(shift, at)
    fitted = shift - fit_polynomial(some, 2, SHAPE).model.shift(at)
    held = held_out_polynomial(some, 2, SHAPE, 60.0)
    assert np.isfinite(held).all()
    assert trimmed_rms(held) > trimmed_rms(fitted)


def test_neighbours_share_their_fold():
    at = places(10)
    fold = folds_of(at, 64.0)
    assert set(fold) == {0, 1, 2, 3, 4}
    assert fold[0] == fold[1]


@pytest.mark.parametrize("degree", ["flat", "affine", "curved"])
def test_the_simplest_model_that_predicts_is_chosen(degree):
    at = places()
    noise = 0.1 * np.random.default_rng(0).normal(size=at.shape)
    curve = np.stack([at[0] ** 2, at[0] * at[1]]) / 20_000
    truth = {"flat": np.ones_like(at), "affine": linear(at), "curved": linear(at) + curve}[degree]
    outcome = choose_model(ties(truth + noise, at), "auto", Scene(SHAPE, 20, 40))
    assert outcome.model == {"flat": "translation", "affine": "affine", "curved": "poly2"}[degree]
    assert np.abs(outcome.correction.shift(at) - truth).max() < 0.1
    assert outcome.error_px < 0.05


def test_a_smooth_field_is_followed_between_the_tie_points_and_noise_is_not():
    at = places(24)
    random = np.random.default_rng(0)
    fit = fit_smooth(samples(bent(at) + 0.1 * random.normal(size=at.shape), at), SHAPE, 24.0, 48.0)
    inner = random.uniform([[20], [20]], [[400], [280]], (2, 400))
    error = fit.model.shift(inner) - bent(inner)
    assert float(np.sqrt((error**2).mean())) < 0.08  # less than the noise of one tie point
    assert 0.05 < trimmed_rms(fit.held_out) < 0.4


def test_a_smooth_field_has_no_edges():
    """Second differences of neighbouring pixels stay small everywhere: the lattice is twice differentiable."""
    at = places(24)
    model = fit_smooth(samples(bent(at), at), SHAPE, 24.0, 48.0).model
    line = np.stack([np.arange(0, 420, 0.5), np.full(840, 133.0)])
    bend = np.diff(model.shift(line), 2)
    assert np.abs(bend).max() < 0.004


def test_nothing_to_model_gives_nothing():
    at = places()
    fit = fit_smooth(samples(np.zeros_like(at), at), SHAPE, 20.0, 40.0)
    assert np.abs(fit.model.shift(at)).max() < 1e-9


def test_a_tie_unlike_its_neighbours_is_found_and_a_gradient_is_not():
    at = places()
    shift = linear(at)
    shift[:, 137] += 1.5
    assert np.nonzero(lonely(ties(shift, at)))[0].tolist() == [137]


def test_a_local_model_sets_wrong_ties_aside():
    at = places()
    shift = bent(at) + 0.03 * np.random.default_rng(0).normal(size=at.shape)
    shift[0, ::17] += 4
    outcome = choose_model(ties(shift, at), "local", Scene(SHAPE, 20, 40))
    assert (outcome.ties.flag[::17] == OUTLIER).all()
    right = outcome.ties.used
    assert right.mean() > 0.85
    error = outcome.correction.shift(at) - bent(at)
    assert float(np.sqrt((error[:, right] ** 2).mean())) < 0.06


def test_landmarks_judge_a_map_with_its_sign():
    reference = np.array([[10.0, 20.0], [30.0, 40.0]])
    shift = Polynomial(np.array([[3.0], [4.0]]), 0, (0.0, 0.0), 1.0)
    right = landmark_error(Mapping((shift,)), reference, reference + np.array([[3.0], [4.0]]))
    wrong = landmark_error(Mapping((shift,)), reference, reference - np.array([[3.0], [4.0]]))
    assert right.mean_px == 0
    assert (wrong.mean_px, wrong.ce90_px, wrong.mean_x_px, wrong.mean_y_px) == (10.0, 10.0, 6.0, 8.0)
    assert landmark_error(lambda xy: xy * np.nan, reference, reference).count == 0


def test_ce90_leaves_a_tenth_outside():
    assert ce90(np.stack([np.arange(101.0), np.zeros(101)])) == 90
