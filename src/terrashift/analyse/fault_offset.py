"""The offset of a fault from a profile across it: two robust lines outside the fault zone, and their gap at the trace.

Signs, whichever way the trace was drawn: lateral is positive where the fault is right-lateral (dextral), as in
`simulate.rupture`; opening is positive where the sides move apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from pydantic import BaseModel, Field
from scipy.stats import t as student

from .correlation import INDEPENDENT, Correlation, Side, bootstrap, estimate, propagated, spread_of
from .fault_zone import (
    ARCTAN_10_90,
    ERF_10_90,
    NO_BELL,
    NO_CURVE,
    Bell,
    Curve,
    arctan_step,
    bell,
    departure,
    erf_step,
    fit_curve,
)
from .profile import Profile
from .robust import Line, fit_line, solve

Values = Float[np.ndarray, " bins"]
LEAST_BINS = 6
"""On either side, for a line and its error."""
ZONE_ROUNDS = 3
NOISE_FLOOR = 0.005
"""Of the offset: what departs less from a line is no fault zone."""
CORE_BINS = 4
NEAR_BINS = 3
"""Right outside the core, whose median is the motion beside it."""
ENOUGH = 30
"""Profiles that the correlation is found from."""
NORMAL_95 = 1.959964
CLEAR = 3.0
"""Standard errors that a slip must have, for its shape to be looked at."""


class OffsetOptions(BaseModel, frozen=True, extra="forbid"):
    """How the offset of a profile is found. Without a CRS a metre is an image pixel."""

    fault_zone_m: float | None = Field(
        default=None, ge=0, description="Full width about the trace that lines leave out, m. Empty: found per profile."
    )
    core_m: float | None = Field(
        default=None, gt=0, description="Full width within which slip counts as on the fault, m. Empty: 4 bins."
    )
    resamples: int = Field(default=400, ge=50, le=100_000, description="Resamples of the bootstrap.")
    seed: int = Field(default=0, ge=0, description="Of the bootstrap.")


DEFAULT = OffsetOptions()


class Estimate(NamedTuple):
    """One component of an offset with its errors, in the profile's unit; NaN where it could not be found."""

    value: float
    error_bootstrap: float
    """Standard error by a bootstrap of what the two lines leave, correlated as it is."""
    error_sigma: float
    """Standard error from the sigma of the field, wider by the correlation of the profiles; NaN without it."""
    low: float
    """End of the 95 % interval, the wider one of the bootstrap's (Student's t) and sigma's: only sigma knows that a
    regularised field is smoother than it is right."""
    high: float


NO_ESTIMATE = Estimate(*[np.nan] * 5)


@dataclass(frozen=True, slots=True, eq=False)
class Offset:
    """What one profile says of the fault. Lengths are in the unit of the profile."""

    profile: Profile
    lateral: Estimate
    """Right-lateral positive, left-lateral negative."""
    opening: Estimate
    """Positive where the sides move apart, negative where they come closer (perpendicular to the trace)."""
    zone: tuple[float, float]
    """Distances from the trace, negative and positive, between which the lines take no value."""
    lines: tuple[tuple[Line, Line], tuple[Line, Line]] | None
    """Of the negative and the positive side, for the parallel and for the perpendicular motion; None without offset."""
    bell: Bell = NO_BELL
    """Width by inflection points, of the motion along the slip; likewise the curves."""
    erf: Curve = NO_CURVE
    arctan: Curve = NO_CURVE
    on_fault: float = np.nan
    """Share of the offset that happens within the core."""
    on_fault_error: float = np.nan
    correlation_bins: float = np.nan
    """Integral length of the correlation of what the lines leave; 1 where it is independent."""
    note: str = ""
    """Why there is no offset; else empty."""

    @property
    def off_fault(self) -> float:
        """Share of the offset that happens outside the core."""
        return 1 - self.on_fault


class _Fit(NamedTuple):
    """Both lines of one component."""

    left: Line
    right: Line
    sides: tuple[Side, Side]
    """What they leave."""
    used: Bool[np.ndarray, " bins"]

    @property
    def jump(self) -> float:
        """Motion of the positive side against the negative one, at the trace."""
        return self.right.at_zero - self.left.at_zero


def fit_offsets(profiles: Sequence[Profile], options: OffsetOptions = DEFAULT) -> tuple[Offset, ...]:
    """The offset in each profile; one that cannot give any says why in its note.

    Errors of neighbouring bins are taken to be correlated alike in all profiles: that is found from all of them.
    """
    correlation = INDEPENDENT
    for _ in range(2):  # zones depend on the correlation, and it on what lies outside them
        some = profiles[:: -(-len(profiles) // ENOUGH) or 1]
        sides = [side for profile in some for side in _sides_of(profile, options, correlation)]
        steps = [_step(profile) for profile in some if len(profile.distance) > 1]
        correlation = estimate(sides, float(np.median(steps))) if sides else INDEPENDENT
    return tuple(_offset(profile, options, correlation, number) for number, profile in enumerate(profiles))


def _sides_of(profile: Profile, options: OffsetOptions, correlation: Correlation) -> list[Side]:
    """What the lines of a profile leave, on both sides of both components."""
    if _lacking(profile.distance, _half(options)):
        return []
    zone = _zone(profile, options, correlation)
    fits = [_fit(profile, motion, zone) for motion in (profile.parallel, profile.perpendicular)]
    return [side for fit in fits for side in fit.sides]


def _offset(profile: Profile, options: OffsetOptions, correlation: Correlation, number: int) -> Offset:
    """The offset in one profile; `number` makes its bootstrap independent of that of others."""
    half = _half(options)
    if note := _lacking(profile.distance, half):
        return Offset(profile, NO_ESTIMATE, NO_ESTIMATE, (-half, half), None, note=note)
    zone = _zone(profile, options, correlation)
    fits = [_fit(profile, motion, zone) for motion in (profile.parallel, profile.perpendicular)]
    random = np.random.default_rng((options.seed, number))
    wider = correlation.of_mean(round(float(np.median(profile.count))), _step(profile))
    sigmas = [part * np.sqrt(wider) for part in (profile.sigma_parallel, profile.sigma_perpendicular)]
    along, across = (
        _estimate(fit, sigma, correlation, options.resamples, random) for fit, sigma in zip(fits, sigmas, strict=True)
    )
    # seen along the trace, the right side of a right-lateral fault moves back; of an opening one, away to the right
    lateral = Estimate(-along.value, along.error_bootstrap, along.error_sigma, -along.high, -along.low)
    lines = ((fits[0].left, fits[0].right), (fits[1].left, fits[1].right))
    shape = _shape(profile, fits, np.hypot(along.error_bootstrap, across.error_bootstrap), (zone, options, correlation))
    integral = correlation.integral(_step(profile))
    return Offset(profile, lateral, across, zone, lines, correlation_bins=integral, **shape)


def _half(options: OffsetOptions) -> float:
    return 0.0 if options.fault_zone_m is None else options.fault_zone_m / 2


def _step(profile: Profile) -> float:
    return float(np.median(np.diff(profile.distance)))


def _lacking(distance: Values, half: float) -> str:
    for name, side in (("negative", distance < -half), ("positive", distance > half)):
        if side.sum() < LEAST_BINS:
            return f"only {side.sum()} of {LEAST_BINS} bins with a value outside the fault zone on the {name} side"
    return ""


def _fit(profile: Profile, motion: Values, zone: tuple[float, float]) -> _Fit:
    distance, count = profile.distance, profile.count
    sides, lines = [], []
    for inside in (distance < zone[0], distance > zone[1]):
        line = fit_line(distance[inside], motion[inside], count[inside])
        lines.append(line)
        sides.append(Side(distance[inside], line.residuals, line.weights))
    return _Fit(lines[0], lines[1], (sides[0], sides[1]), (distance < zone[0]) | (distance > zone[1]))


def _zone(profile: Profile, options: OffsetOptions, correlation: Correlation) -> tuple[float, float]:
    """Where either component leaves the line of its side, coming from outside, unless the options tell it.

    Lines begin on the outer halves, and take in the bins that follow them until nothing changes. The bin at the trace
    is always left out on both sides: cells there may lie on either.
    """
    distance, step = profile.distance, _step(profile)
    if options.fault_zone_m is not None:
        half = _half(options)
        return (-half, half) if half else (-1e-9, -1e-9)
    reach = min(-distance[0], distance[-1])
    zone = (-reach / 2, reach / 2)
    for _ in range(ZONE_ROUNDS):
        found = [step, step]
        for motion in (profile.parallel, profile.perpendicular):
            fit = _fit(profile, motion, _with_enough(distance, zone))
            for k, (line, side, sign) in enumerate(zip((fit.left, fit.right), fit.sides, (1, -1), strict=True)):
                here = distance * sign < 0
                toward = sign * np.sign(fit.jump) * (motion - line(distance))[here]
                errors = np.maximum(_spread_about(distance[here], side, correlation), NOISE_FLOOR * abs(fit.jump))
                found[k] = max(found[k], departure(np.abs(distance[here]), toward, errors) + step / 2)
        new = (-min(found[0], reach / 2), min(found[1], reach / 2))
        if np.allclose(new, zone, atol=step / 4):
            break
        zone = new
    return _with_enough(distance, zone)


def _spread_about(places: Values, side: Side, correlation: Correlation) -> Values:
    """Standard error of the mean of three neighbours about a line that was fitted to others."""
    full = correlation.matrix(side.places)
    gain = np.stack([np.ones_like(places), places], 1) @ solve(side.places, side.weights)
    of_line = ((gain @ full) * gain).sum(1)
    spacing = float(np.abs(np.median(np.diff(side.places))))
    return spread_of(side, correlation) * np.sqrt(correlation.of_mean(3, spacing) / 3 + of_line)


def _with_enough(distance: Values, zone: tuple[float, float]) -> tuple[float, float]:
    """A zone that leaves enough bins on either side."""
    left, right = np.sort(distance[distance < 0]), np.sort(-distance[distance > 0])
    return max(zone[0], float(left[LEAST_BINS - 1]) + 1e-9), min(zone[1], -float(right[LEAST_BINS - 1]) - 1e-9)


def _estimate(
    fit: _Fit, sigma: Values, correlation: Correlation, resamples: int, random: np.random.Generator
) -> Estimate:
    """The jump at the trace with both errors; `sigma` is that of all bins of the profile."""
    errors = [bootstrap(side, correlation, resamples, random) for side in fit.sides]
    variances = [error.variance for error in errors]
    error = float(np.sqrt(sum(variances)))
    own = sigma[fit.used]
    known = np.nan
    if np.isfinite(own).all():
        parts = np.split(own, [len(fit.sides[0].places)])
        known = np.sqrt(sum(propagated(side, part, correlation) for side, part in zip(fit.sides, parts, strict=True)))
    # Welch-Satterthwaite: the degrees of freedom of a sum of two variances
    squares = sum(e.variance**2 / e.freedom for e in errors)
    freedom = sum(variances) ** 2 / squares if squares > 0 else 1e3
    reach = max(float(student.ppf(0.975, max(freedom, 1.0))) * error, np.nan_to_num(NORMAL_95 * float(known)))
    return Estimate(fit.jump, error, float(known), fit.jump - reach, fit.jump + reach)


def _shape(
    profile: Profile, fits: Sequence[_Fit], error: float, about: tuple[tuple[float, float], OffsetOptions, Correlation]
) -> dict[str, Any]:
    """Widths and the share on the fault, of the motion along the slip; nothing where no slip stands clear."""
    zone, options, correlation = about
    jump = np.array([fits[0].jump, fits[1].jump])
    slip = float(np.linalg.norm(jump))
    if not slip > CLEAR * error or slip == 0:
        return {}
    distance = profile.distance
    motion = jump / slip @ np.stack([profile.parallel, profile.perpendicular])
    fit = _fit(profile, motion, zone)
    spreads = [spread_of(side, correlation) for side in fit.sides]
    noise = float(np.hypot(spreads[0], spreads[1]) / np.sqrt(2))
    weights = np.where(fit.used, 0.0, profile.count / profile.count.mean())
    weights[fit.used] = np.concatenate([side.weights for side in fit.sides])
    found = bell(distance, motion, (fit.left, fit.right), noise)
    at = found.at if np.isfinite(found.at) else 0.0
    half = options.core_m / 2 if options.core_m is not None else CORE_BINS * _step(profile) / 2
    share, share_error = _on_fault(
        distance, motion, fit, (at, half, noise * np.sqrt(correlation.of_mean(3, _step(profile))))
    )
    return {
        "bell": found,
        "erf": fit_curve(distance, motion, weights, erf_step, ERF_10_90),
        "arctan": fit_curve(distance, motion, weights, arctan_step, ARCTAN_10_90),
        "on_fault": share,
        "on_fault_error": share_error,
    }


def _on_fault(distance: Values, motion: Values, fit: _Fit, core: tuple[float, float, float]) -> tuple[float, float]:
    """Share of the offset within `core` (middle, half width, noise of a bin), and its error."""
    at, half, noise = core
    near = NEAR_BINS * float(np.median(np.diff(distance)))
    left = (distance < at - half) & (distance >= at - half - near)
    right = (distance > at + half) & (distance <= at + half + near)
    if not (left.any() and right.any()):
        return np.nan, np.nan
    beside = [
        float(np.median((motion - line.slope * distance)[side]))
        for side, line in ((left, fit.left), (right, fit.right))
    ]
    error = np.sqrt(np.pi / 2 * (1 / left.sum() + 1 / right.sum())) * noise / abs(fit.jump)
    return (beside[1] - beside[0]) / fit.jump, float(error)
