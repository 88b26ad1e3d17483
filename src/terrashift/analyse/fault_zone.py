"""How wide a fault zone is: where motion leaves the lines of its sides, and the shape of its step.

Widths by inflection points follow Montagnon et al. (2024): the derivative of the profile is a bell, and its two
inflection points bound the zone. Curves: the arctangent of a buried screw dislocation (Savage & Burford 1973) and the
error function of a step that was blurred.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from scipy.special import erf

from .robust import Line

Values = Float[np.ndarray, " bins"]
DEPART = 3.0
"""Standard errors from which the mean of three neighbours has left its line."""
STAYING = 0.7
"""Share of the bins from there to the trace that have left it too."""
SMOOTHINGS = (1.0, 1.5, 2.0, 3.0, 4.5, 6.5, 9.0)
"""In bins; the first at which the step stands clear of the noise is taken."""
CLEAR = 8.0
"""Height of the derivative's peak, and of its slopes, over their noise from which they stand clear."""
ZOOMS = 5
ERF_10_90 = 2 * 0.9061938024368232 * np.sqrt(2)
"""From 10 % to 90 % of an error function, in its standard deviations."""
ARCTAN_10_90 = 2 * np.tan(0.4 * np.pi)
"""From 10 % to 90 % of an arctangent, in its scale."""


class Bell(NamedTuple):
    """The bell of a profile's derivative, in the profile's unit; NaN where no step stands clear of the noise."""

    at: float
    """Distance of its peak from the trace."""
    width: float
    """Between its inflection points, with what the smoothing added taken away in squares. An error function of
    deviation s has 2 s, an arctangent of scale w has 1.15 w."""
    smoothing: float
    """Standard deviation of the Gaussian that the profile was smoothed with."""


class Curve(NamedTuple):
    """A step of some shape that was fitted to a profile."""

    at: float
    """Distance of its middle from the trace."""
    width: float
    """From 10 % to 90 % of its height."""
    height: float
    """From one side to the other, beyond the slope that both share."""
    misfit: float
    """Root of the mean square of what it leaves."""


NO_BELL = Bell(np.nan, np.nan, np.nan)
NO_CURVE = Curve(np.nan, np.nan, np.nan, np.nan)


def departure(distance: Values, residuals: Values, errors: Values) -> float:
    """How far from the trace one side of a profile leaves its line for good; 0 where it follows it to the trace.

    Args:
        distance: from the trace, without sign, any order.
        residuals: of the line; positive toward the other side, the only way that a fault zone takes.
        errors: standard error of the mean of three neighbours about the line, at each place.
    """
    order = np.argsort(-distance)  # from far to near
    distance, residuals, errors = distance[order], residuals[order], errors[order]
    away = uniform_filter1d(residuals, 3, mode="nearest") > DEPART * errors
    for k in np.flatnonzero(away & (distance <= distance[0] / 2)):
        if away[k:].mean() > STAYING:
            return float(distance[k])
    return 0.0


def bell(distance: Values, motion: Values, sides: tuple[Line, Line], noise: float) -> Bell:
    """Where the derivative of a profile has its peak and its two inflection points.

    Args:
        distance: from the trace, rising, at nearly equal steps.
        motion: along the slip.
        sides: lines of the negative and of the positive side.
        noise: standard deviation of one bin.
    """
    left, right = sides
    step = float(np.median(np.diff(distance)))
    places = np.arange(distance[0], distance[-1] + step / 2, step)
    values = np.interp(places, distance, motion)
    height = right.at_zero - left.at_zero
    values = (values - 0.5 * (left.slope + right.slope) * places) * np.sign(height)
    for smoothing in SMOOTHINGS:
        margin = int(3 * smoothing) + 1
        if len(values) <= 2 * margin + 2:
            break
        rise = gaussian_filter1d(values, smoothing, order=1)
        bend = gaussian_filter1d(values, smoothing, order=2)
        rise_noise = noise / np.sqrt(4 * np.sqrt(np.pi) * smoothing**3)
        bend_noise = noise * np.sqrt(3 / (8 * np.sqrt(np.pi) * smoothing**5))
        peak = margin + int(np.argmax(rise[margin:-margin]))
        before, after = int(np.argmax(bend[:peak])), peak + int(np.argmin(bend[peak:]))
        clear = rise[peak] > CLEAR * rise_noise and min(bend[before], -bend[after]) > CLEAR * bend_noise
        if clear and 0 < before < after < len(bend) - 1:
            seen = step * (_summit(-bend, after) - _summit(bend, before))
            width = np.sqrt(max(seen**2 - (2 * smoothing * step) ** 2, 0))
            return Bell(float(places[peak]), float(width), smoothing * step)
    return NO_BELL


def _summit(values: Values, k: int) -> float:
    """Where the parabola through three values has its top."""
    low, middle, high = values[k - 1 : k + 2]
    curve = low - 2 * middle + high
    return k + (0.5 * (low - high) / curve if curve < 0 else 0.0)


def erf_step(places: np.ndarray) -> np.ndarray:
    """From -1/2 to 1/2, standard deviation 1."""
    return 0.5 * erf(places / np.sqrt(2))


def arctan_step(places: np.ndarray) -> np.ndarray:
    """From -1/2 to 1/2, scale 1."""
    return np.arctan(places) / np.pi


def fit_curve(
    distance: Values, motion: Values, weights: Values, shape: Callable[[np.ndarray], np.ndarray], to_width: float
) -> Curve:
    """Fit a level, a slope and a step of a shape, its place and scale free, by weighted least squares.

    Args:
        distance: from the trace, rising.
        motion: along the slip.
        weights: of the bins; 0 for outliers.
        shape: the step of height and scale 1 about 0.
        to_width: its 10-90 % width.
    """
    weights = weights / weights.mean()
    reach = float(np.abs(distance).max())
    least = 0.05 * float(np.median(np.diff(distance)))

    def searched(at: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums of squares and heights of many steps."""
        steps = shape((distance - at[:, None]) / scale[:, None])
        design = np.stack(np.broadcast_arrays(1.0, distance / reach, steps), -1)
        normal = np.einsum("kni,n,knj->kij", design, weights, design) + 1e-12 * np.eye(3)
        part = np.linalg.solve(normal, np.einsum("kni,n,n->ki", design, weights, motion)[..., None])[..., 0]
        left = np.einsum("kni,ki->kn", design, part) - motion
        return (left**2 * weights).sum(1), part[:, 2]

    ats, scales = np.linspace(-reach / 4, reach / 4, 15), np.geomspace(2 * least, reach / 3, 12)
    for _ in range(ZOOMS):
        places, sizes = (part.ravel() for part in np.meshgrid(ats, scales))
        squares, heights = searched(places, sizes)
        k = int(squares.argmin())
        across, factor = (ats[1] - ats[0]), scales[1] / scales[0]
        ats = places[k] + across * np.linspace(-1, 1, 7)
        scales = np.clip(sizes[k] * factor ** np.linspace(-1, 1, 7), least, reach)
        scales = np.geomspace(scales[0], max(scales[-1], scales[0] * 1.001), 7)
    at, scale = float(places[k]), float(sizes[k])
    return Curve(at, scale * to_width, float(heights[k]), float(np.sqrt(squares[k] / len(distance))))
