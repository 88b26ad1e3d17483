"""Models of a shift that varies slowly, fitted to tie points some of which are wrong."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from .mapping import Polynomial, terms

TRIALS = 400
MISSED = 1e-6
"""Chance that no trial was made of right samples alone."""
TUKEY = 4.685
"""Residuals beyond so many robust deviations count as nothing (95 % efficient for normal errors)."""
ROUNDS = 20
LEAST_SPREAD_PX = 0.02
FOLDS = 5
KEPT = 0.9
POINTS = {0: 1, 1: 3, 2: 6, 3: 10}
"""Tie points that decide a polynomial of each order."""


class Samples(NamedTuple):
    """Shifts to be modelled."""

    places: Float[np.ndarray, "2 n"]
    shift: Float[np.ndarray, "2 n"]
    weight: Float[np.ndarray, " n"]

    def part(self, where: Bool[np.ndarray, " n"]) -> Samples:
        """Some of them."""
        return Samples(self.places[:, where], self.shift[:, where], self.weight[where])


class PolynomialFit(NamedTuple):
    """A polynomial, and how it was come to."""

    model: Polynomial
    inlier: Bool[np.ndarray, " n"]
    """Samples that count for something."""
    spread_px: float
    """Robust standard deviation of a residual's component over the inliers."""
    covariance: Float[np.ndarray, "terms terms"]
    """Of the coefficients of either component, were the samples independent."""

    def error_at(self, xy: Float[np.ndarray, "2 n"]) -> Float[np.ndarray, " n"]:
        """Standard error, px, of either component of the model at some places."""
        basis = self.model.terms(xy)
        return np.sqrt(np.einsum("in,ij,jn->n", basis, self.covariance, basis))


def frame_of(shape: tuple[int, int]) -> tuple[tuple[float, float], float]:
    """Centre and scale in which polynomials over an image are written."""
    height, width = shape
    return ((width - 1) / 2, (height - 1) / 2), max(height, width) / 2


def fit_polynomial(samples: Samples, order: int, shape: tuple[int, int], tolerance_px: float = 2.0) -> PolynomialFit:
    """A robust polynomial: RANSAC of a translation or affine to begin with, then reweighting (Tukey's biweight).

    Args:
        samples: at least `POINTS[order]`.
        order: of the polynomial, 0 to 3.
        shape: (height, width) of the reference, for the polynomial's own frame.
        tolerance_px: within which a sample agrees with a trial; the true shift may leave a trial by that much.
    """
    centre, scale = frame_of(shape)
    start = min(order, 1)
    about = Polynomial(np.zeros((2, len(_terms(samples.places, start, centre, scale)))), start, centre, scale)
    basis = about.terms(samples.places)
    agree = _ransac(samples, basis, POINTS[start], tolerance_px)
    coefficients = _solve(basis[:, agree], samples.part(agree))
    residual = np.linalg.norm(samples.shift - coefficients @ basis, axis=0)
    spread = _spread(residual[agree])
    basis = _terms(samples.places, order, centre, scale)
    # what is left of the trial's model may be the part of a higher order: begin with all that agree
    weight = agree.astype(float) if order > start else biweight(residual, max(spread, tolerance_px / 3))
    for _ in range(ROUNDS):
        coefficients = _solve(basis, samples._replace(weight=samples.weight * weight))
        residual = np.linalg.norm(samples.shift - coefficients @ basis, axis=0)
        spread = _spread(residual[weight > 0])
        weight, last = biweight(residual, spread), weight
        if np.abs(weight - last).max() < 1e-4:
            break
    total = samples.weight * weight
    normal = (basis * total) @ basis.T
    # weights have a mean near one, so that the normal matrix counts samples
    covariance = spread**2 * np.linalg.pinv(normal / max(total.mean() / max(weight.mean(), 1e-9), 1e-9))
    return PolynomialFit(Polynomial(coefficients, order, centre, scale), weight > 0, spread, covariance)


def _terms(places: np.ndarray, order: int, centre: tuple[float, float], scale: float) -> np.ndarray:
    return terms((places - np.array(centre)[:, None]) / scale, order)


def _solve(basis: Float[np.ndarray, "terms n"], samples: Samples) -> Float[np.ndarray, "2 terms"]:
    root = np.sqrt(samples.weight)
    return np.linalg.lstsq((basis * root).T, (samples.shift * root).T, rcond=None)[0].T


def _ransac(samples: Samples, basis: np.ndarray, count: int, tolerance_px: float) -> Bool[np.ndarray, " n"]:
    """The largest set of samples that agree with one trial (Fischler & Bolles 1981); near misses count in part."""
    random = np.random.default_rng(0)
    number = basis.shape[1]
    best, agree = -1.0, np.ones(number, bool)
    needed = TRIALS if number > count else 1
    for done in range(TRIALS):
        if done >= needed:
            break
        chosen = random.choice(number, count, replace=False)
        square = basis[:, chosen]
        if abs(np.linalg.det(square)) < 1e-3 * (count > 1):
            continue  # nearly on one line
        trial = np.linalg.solve(square.T, samples.shift[:, chosen].T).T
        square_residual = ((samples.shift - trial @ basis) ** 2).sum(0) / tolerance_px**2
        score = float((samples.weight * np.maximum(1 - square_residual, 0)).sum())
        if score > best:
            best, agree = score, square_residual < 1
            # so many trials that one of right samples alone was among them, all but certainly
            right = min(float(agree.mean()) ** count, 1 - 1e-9)
            needed = min(needed, math.ceil(math.log(MISSED) / math.log(1 - right)) if right > 0 else needed)
    return agree


def biweight(residual: Float[np.ndarray, " n"], spread: float) -> Float[np.ndarray, " n"]:
    """Tukey's weights of residual lengths."""
    return np.maximum(1 - (residual / (TUKEY * max(spread, LEAST_SPREAD_PX))) ** 2, 0) ** 2


def _spread(residual: Float[np.ndarray, " n"]) -> float:
    """Deviation of a component from the median length of vectors, which for normal components is 1.1774 of it."""
    return float(np.median(residual)) / 1.1774 if len(residual) else math.inf


def folds_of(places: Float[np.ndarray, "2 n"], cell_px: float) -> Int[np.ndarray, " n"]:
    """Fold 0 to `FOLDS` - 1 of each place; places in one square of `cell_px` share theirs, so that neighbours whose
    windows overlap do not vouch for each other."""
    column, row = np.floor(places / max(cell_px, 1.0)).astype(np.int64)
    return (column + 2 * row) % FOLDS


def held_out_polynomial(
    samples: Samples, order: int, shape: tuple[int, int], cell_px: float
) -> Float[np.ndarray, "2 n"]:
    """What each sample is off a model fitted without its fold; NaN where the rest is too little."""
    fold = folds_of(samples.places, cell_px)
    left = np.full_like(samples.shift, np.nan)
    for k in range(FOLDS):
        rest, own = samples.part(fold != k), fold == k
        if len(rest.weight) >= 2 * POINTS[order] and own.any():
            model = fit_polynomial(rest, order, shape).model
            left[:, own] = samples.shift[:, own] - model.shift(samples.places[:, own])
    return left


def trimmed_rms(residual: Float[np.ndarray, "2 n"]) -> float:
    """Root mean square length of the smallest `KEPT` of residuals, by which models are compared; infinite for none."""
    square = (residual**2).sum(0)
    square = np.sort(square[np.isfinite(square)])
    kept = square[: math.ceil(KEPT * len(square))]
    return float(np.sqrt(kept.mean())) if len(kept) else math.inf


def ce90(residual: Float[np.ndarray, "2 n"]) -> float:
    """Length that nine in ten residuals stay below (circular error, 90 %); NaN without any.

    >>> ce90(np.array([[3.0, 0.0], [4.0, 1.0]]))
    4.6
    """
    length = np.hypot(*residual)
    length = length[np.isfinite(length)]
    return float(np.quantile(length, 0.9)) if len(length) else math.nan
