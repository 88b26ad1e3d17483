"""How the errors of neighbouring values in a profile are correlated, from what lines leave of many profiles.

Values of a correlator whose windows overlap are no independent witnesses; an error that takes them for such is several
times too small. Fitting a line takes long waves away with it: the correlation is found as the one whose residuals would
look like those seen, not from the residuals alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .robust import solve

LENGTHS = np.geomspace(0.7, 14, 15)
"""In bins."""
SHARES = np.linspace(0, 1, 21)
LAGS = 12
FEWEST = 8
"""Values of a side, below which it says nothing of correlation."""


class Side(NamedTuple):
    """What a line leaves of one side of a profile."""

    places: Float[np.ndarray, " values"]
    residuals: Float[np.ndarray, " values"]
    weights: Float[np.ndarray, " values"]


class Correlation(NamedTuple):
    """Correlation exp(-(d / length)^2) of a share of the variance, or exp(-d / length); the rest is independent."""

    share: float = 0.0
    length: float = 1.0
    """In the unit of the places."""
    gaussian: bool = True

    def matrix(self, places: Float[np.ndarray, " values"]) -> Float[np.ndarray, "values values"]:
        """Correlation of all values with each other."""
        return (1 - self.share) * np.eye(len(places)) + self.share * _shape(places, self.length, self.gaussian)

    def of_mean(self, count: int, spacing: float) -> float:
        """How much larger the variance of the mean of `count` values at equal spacing is than if independent."""
        places = spacing * np.arange(max(1, count))
        return float(self.matrix(places).sum() / len(places))

    def integral(self, spacing: float) -> float:
        """Correlation summed over all distances, in steps of `spacing`: 1 where all is independent."""
        return self.of_mean(200, spacing)


INDEPENDENT = Correlation()


def estimate(sides: Sequence[Side], spacing: float) -> Correlation:
    """The correlation that explains the residuals of many lines best; independence where there are too few.

    Args:
        sides: each with its own line taken off.
        spacing: between neighbours, in the unit of the places.
    """
    sides = [side for side in sides if len(side.places) >= FEWEST and np.square(side.residuals).sum() > 0]
    if not sides:
        return INDEPENDENT
    lags = min(LAGS, min(len(side.places) for side in sides) // 2)
    seen = np.mean([_lag_products(np.outer(r, r), lags) for r in map(_limited, sides)], axis=0)
    makers = [np.eye(len(s.places)) - _hat(s) for s in sides]
    white = np.mean([_lag_products(m @ m.T, lags, False) for m in makers], axis=0)
    best, found = np.square(seen - white / white[0]).sum() * 0.98, INDEPENDENT  # a tie is for independence
    for gaussian in (True, False):
        for length in LENGTHS * spacing:
            full = np.mean(
                [
                    _lag_products(m @ _shape(s.places, length, gaussian) @ m.T, lags, False)
                    for m, s in zip(makers, sides, strict=True)
                ],
                axis=0,
            )
            for share in SHARES[1:]:
                mixed = (1 - share) * white + share * full
                misfit = np.square(seen - mixed / mixed[0]).sum()
                if misfit < best:
                    best, found = misfit, Correlation(float(share), float(length), gaussian)
    return found


class LineError(NamedTuple):
    """What the residuals of one line say of its value at the trace."""

    variance: float
    """By bootstrap."""
    freedom: float
    """Degrees of freedom of that variance."""


def bootstrap(side: Side, correlation: Correlation, resamples: int, random: np.random.Generator) -> LineError:
    """Bootstrap of correlated values: made independent, drawn anew, made correlated again (Solow 1985).

    Outliers are drawn from the others; the scatter that the line itself took away is given back.
    """
    full = correlation.matrix(side.places)
    gain = solve(side.places, side.weights)[0]
    lower = np.linalg.cholesky(full + 1e-6 * np.eye(len(full)))
    maker = np.eye(len(full)) - _hat(side)
    left = maker @ full
    freedom = float(np.trace(left)) ** 2 / float((left * left.T).sum())
    spread = spread_of(side, correlation)
    pool = np.linalg.solve(lower, _limited(side))
    pool = pool - pool.mean()
    scale = float(np.sqrt(np.square(pool).mean()))
    pool = pool * (spread / scale) if scale > 0 else pool
    drawn = pool[random.integers(0, len(pool), (resamples, len(pool)))]
    return LineError(float(np.var(drawn @ (lower.T @ gain))), max(freedom, 1.0))


def spread_of(side: Side, correlation: Correlation) -> float:
    """Standard deviation of one value, with what the line took away of it."""
    trace = float(np.trace((np.eye(len(side.places)) - _hat(side)) @ correlation.matrix(side.places)))
    return float(np.sqrt(np.square(_limited(side)).sum() / max(trace, 1e-9)))


def propagated(side: Side, sigma: Float[np.ndarray, " values"], correlation: Correlation) -> float:
    """Variance of a line's value at the trace, from the standard errors of its values."""
    weighted = solve(side.places, side.weights)[0] * sigma
    return float(weighted @ correlation.matrix(side.places) @ weighted)


def _shape(places: np.ndarray, length: float, gaussian: bool) -> np.ndarray:
    away = np.abs(places[:, None] - places) / length
    return np.exp(-(away**2)) if gaussian else np.exp(-away)


def _limited(side: Side) -> np.ndarray:
    """Residuals with those of outliers brought back to what the others have at most."""
    inside = side.weights > 0
    most = np.abs(side.residuals[inside]).max(initial=0)
    return np.clip(side.residuals, -most, most)


def _hat(side: Side) -> np.ndarray:
    """The matrix that turns values into those of their line."""
    return np.stack([np.ones_like(side.places), side.places], 1) @ solve(side.places, side.weights)


def _lag_products(full: np.ndarray, lags: int, relative: bool = True) -> np.ndarray:
    """Sums of the diagonals of a matrix of products, the main one first; relative to that one."""
    sums = np.array([np.trace(full, lag) for lag in range(lags)])
    return sums / sums[0] if relative else sums / len(full)
