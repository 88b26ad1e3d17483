"""Slip along strike: the offsets of all profiles as a curve with its envelope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from .fault_offset import Offset

Component = Literal["lateral", "opening"]
WINDOW = 5


class SlipCurve(NamedTuple):
    """Offsets along a trace, those of profiles that gave one. Lengths are in the unit of the profiles."""

    along: Float[np.ndarray, " places"]
    """Length of trace from its start."""
    offset: Float[np.ndarray, " places"]
    low: Float[np.ndarray, " places"]
    """Ends of the 95 % interval of each offset."""
    high: Float[np.ndarray, " places"]
    smooth: Float[np.ndarray, " places"]
    """Mean of neighbouring profiles of one segment, weighted by 1 / the square of their 95 % intervals."""
    lower: Float[np.ndarray, " places"]
    """Envelope: the least offset among these neighbours, averaged over them; `upper` is the largest."""
    upper: Float[np.ndarray, " places"]
    segment: Float[np.ndarray, " places"]

    def strongest(self) -> tuple[float, float]:
        """(along, smooth) where the smoothed offset is largest in size; NaN where there is none."""
        if not len(self.along):
            return np.nan, np.nan
        k = int(np.abs(self.smooth).argmax())
        return float(self.along[k]), float(self.smooth[k])


def slip_curve(offsets: Sequence[Offset], component: Component = "lateral", window: int = WINDOW) -> SlipCurve:
    """The curve of one component.

    Args:
        offsets: in the order of the trace.
        component: which.
        window: profiles that are smoothed over, the middle one among them; neighbours are those of one segment.
    """
    given = [(o, getattr(o, component)) for o in offsets if np.isfinite(getattr(o, component).value)]
    rows = [(o.profile.box.along, e.value, e.low, e.high, e.high - e.low, o.profile.box.segment) for o, e in given]
    along, offset, low, high, error, segment = np.array(rows, float).reshape(-1, 6).T
    least = np.median(error) * 1e-3 + 1e-12 if len(error) else 1.0
    weight = 1 / np.maximum(error, least) ** 2
    smooth, lower, upper = (np.full(len(along), np.nan) for _ in range(3))
    neighbours = [_neighbours(k, segment, window) for k in range(len(along))]
    for k, near in enumerate(neighbours):
        smooth[k] = np.average(offset[near], weights=weight[near])
        lower[k], upper[k] = offset[near].min(), offset[near].max()
    lower, upper = (np.array([edge[near].mean() for near in neighbours]) for edge in (lower, upper))
    return SlipCurve(along, offset, low, high, smooth, lower, upper, segment)


def _neighbours(k: int, segment: np.ndarray, window: int) -> np.ndarray:
    around = np.arange(max(0, k - window // 2), min(len(segment), k + window // 2 + 1))
    return around[segment[around] == segment[k]]
