"""How sharply the motion changes across a fault: the 10-90 % width of the stacked step.

Motion is stacked by its distance from the trace: the median over all pixels at the same distance is hardly touched by
noise, and keeps the width that every single crossing has. Slip that varies along the trace changes the height of the
stack, not its width.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt

REACH_PX = 24
"""Distance up to which the motion is stacked; from half of it on it is taken for that of the sides."""
LEAST, MOST = 0.1, 0.9


class Profile(NamedTuple):
    """Motion along one direction, stacked by distance from a trace."""

    distance: Float[np.ndarray, " places"]
    """From the trace, px, negative on one side, rising."""
    motion: Float[np.ndarray, " places"]
    """Median over all pixels there, px."""


class Step(NamedTuple):
    """A step of motion across a trace, px; NaN where the motion of the two sides is alike."""

    width: float
    """From 10 % to 90 % of the height; 0.8 to 1.1 where it happens between two pixels."""
    at: float
    """Distance of its middle from the trace."""
    height: float
    """Motion of one side against the other."""


def signed_distance(side: Bool[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """Distance from the border between two sides, px: positive where `side` is true.

    >>> signed_distance(np.array([[False, False, True, True]])).tolist()
    [[-1.5, -0.5, 0.5, 1.5]]
    """
    inside, outside = (np.asarray(distance_transform_edt(part)) for part in (side, ~side))
    return np.where(side, inside - 0.5, 0.5 - outside)


def stacked(
    motion: Float[np.ndarray, "height width"], distance: Float[np.ndarray, "height width"], reach_px: int = REACH_PX
) -> Profile:
    """Stack motion in classes of distance 1 px wide; NaN is left out, and so is a class that holds nothing else.

    Args:
        motion: along one direction, px.
        distance: see `signed_distance`; NaN where a pixel does not count.
        reach_px: farthest distance from the trace.
    """
    counted = np.isfinite(motion) & (np.abs(distance) < reach_px)
    motion, distance = motion[counted], distance[counted]
    number = np.floor(distance)
    found = [(distance[here].mean(), np.median(motion[here])) for here in (number == k for k in np.unique(number))]
    return Profile(*np.array(found, dtype=float).reshape(-1, 2).T)


def along_the_step(
    xy: Float[np.ndarray, "2 height width"], distance: Float[np.ndarray, "height width"], reach_px: int = REACH_PX
) -> Float[np.ndarray, " 2"]:
    """Direction in which the positive side of a trace moves against the other, a unit vector from their medians.

    NaN where one of the sides has no motion within reach.
    """
    inner = np.isfinite(xy).all(0) & (np.abs(distance) < reach_px)
    sides = [xy[:, inner & side] for side in (distance > 0, distance < 0)]
    if not all(side.size for side in sides):
        return np.full(2, np.nan)
    one, other = (np.median(side, axis=1) for side in sides)
    return (one - other) / max(float(np.hypot(*(one - other))), 1e-12)


def step_of(profile: Profile) -> Step:
    """Measure the step in a profile, between the mean motions of the outer halves of its two sides."""
    distance, motion = profile
    outer = np.abs(distance) >= np.abs(distance).max(initial=0) / 2
    sides = motion[outer & (distance < 0)], motion[outer & (distance > 0)]
    if not all(part.size for part in sides):
        return Step(np.nan, np.nan, np.nan)
    low, high = (float(part.mean()) for part in sides)
    if low == high:
        return Step(np.nan, np.nan, 0.0)
    share = (motion - low) / (high - low)
    middles = _crossings(distance, share, 0.5)
    at = middles[np.abs(middles).argmin()]  # a far wiggle is not the step
    start, end = (_crossings(distance, share, level) for level in (LEAST, MOST))
    start, end = start[start <= at].max(initial=-np.inf), end[end >= at].min(initial=np.inf)
    width = float(end - start)
    return Step(width if np.isfinite(width) else np.nan, float(at), high - low)


def _crossings(
    distance: Float[np.ndarray, " places"], share: Float[np.ndarray, " places"], level: float
) -> Float[np.ndarray, " crossings"]:
    """Distances at which a profile rises or falls through a level, between its places by straight lines."""
    below = share < level
    first = np.flatnonzero(below[1:] != below[:-1])
    part = (level - share[first]) / (share[first + 1] - share[first])
    return distance[first] + part * (distance[first + 1] - distance[first])
