"""Statistics that a few wrong values cannot spoil."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

NMAD = 1.4826
"""Times the median distance from the median: the standard deviation, were the values normal."""
TUKEY = 4.685
"""Residual, in deviations, from which a value does not count: 95 % efficiency (Beaton & Tukey 1974)."""
ROUNDS = 10
SETTLED = 1e-3
"""Change of a line, in spreads, from which it stays as it is."""


class Line(NamedTuple):
    """A straight line through values with weights."""

    at_zero: float
    slope: float
    residuals: Float[np.ndarray, " values"]
    weights: Float[np.ndarray, " values"]
    """Those of the last round; 0 for outliers."""
    spread: float
    """Robust standard deviation of the residuals, corrected for the two numbers that were fitted."""

    def __call__(self, places: Float[np.ndarray, " places"]) -> Float[np.ndarray, " places"]:
        """The line's values."""
        return self.at_zero + self.slope * places


def weighted_median(values: Float[np.ndarray, " values"], weights: Float[np.ndarray, " values"]) -> float:
    """The value with half of the weight on either side; between two where it falls there. NaN where nothing weighs.

    >>> weighted_median(np.array([3.0, 1.0, 2.0, 9.0]), np.ones(4))
    2.5
    >>> weighted_median(np.array([3.0, 1.0, 9.0]), np.array([1.0, 1.0, 5.0]))
    9.0
    """
    order = np.argsort(values, kind="stable")
    values, weights = values[order], weights[order]
    passed = np.cumsum(weights)
    if not len(passed) or not passed[-1] > 0:
        return float("nan")
    half = passed[-1] / 2
    low = int(np.searchsorted(passed, half * (1 - 1e-12)))
    high = int(np.searchsorted(passed, half * (1 + 1e-12)))
    return float(values[low] + values[min(high, len(values) - 1)]) / 2


def nmad(values: np.ndarray) -> float:
    """Robust standard deviation of values about their median; NaN where there is none."""
    return NMAD * float(np.median(np.abs(values - np.median(values)))) if len(values) else float("nan")


def fit_line(places: np.ndarray, values: np.ndarray, counts: np.ndarray) -> Line:
    """Robust line: from the median of all slopes (Theil 1950, Sen 1968) to least squares with Tukey's bisquare.

    Args:
        places: where the values are, two different ones or more.
        values: all finite.
        counts: how much each value weighs, above 0.
    """
    first, second = np.triu_indices(len(places), 1)
    run = places[second] - places[first]
    rises = (values[second] - values[first])[run != 0] / run[run != 0]
    slope = float(np.median(rises))
    at_zero = float(np.median(values - slope * places))
    base = counts / counts.mean()
    freedom = np.sqrt(len(places) / max(len(places) - 2, 1))
    weights = base
    for _ in range(ROUNDS):
        residuals = values - at_zero - slope * places
        spread = NMAD * float(np.median(np.abs(residuals)))
        if spread <= 1e-12 * (1 + np.abs(values).max()):
            break
        weights = base * np.clip(1 - (residuals / (TUKEY * spread)) ** 2, 0, None) ** 2
        before = at_zero, slope
        at_zero, slope = solve(places, weights) @ values
        if np.abs(np.subtract(before, (at_zero, slope)) * [1, np.ptp(places)]).max() < SETTLED * spread:
            break
    residuals = values - at_zero - slope * places
    return Line(float(at_zero), float(slope), residuals, weights, NMAD * float(np.median(np.abs(residuals))) * freedom)


def solve(places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The matrix (2, values) that turns values into (at zero, slope) of their weighted line of least squares."""
    total = weights.sum()
    middle = (weights @ places) / total
    slope = weights * (places - middle)
    slope = slope / max(float(slope @ places), 1e-300)
    return np.stack([weights / total - middle * slope, slope])
