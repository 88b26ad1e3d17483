"""Ground that no model is fitted to: masks, outlines, and the surroundings of a trace."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ..core.grid import Grid
from .overlap import georeferenced_map
from .sources import Readable
from .ties import EXCLUDED, TiePoints

FEWEST = 20
"""Tie points that a judgement on a trace needs."""
CHANCE = 0.01
PERMUTATIONS = 199
NOTABLE_PX = 0.05

Chooser = Callable[[Float[np.ndarray, "2 n"]], Bool[np.ndarray, " n"]]
"""Which places of the reference (x, y px) count."""


@dataclass(frozen=True, slots=True, eq=False)
class RasterMask:
    """True where a raster is neither 0 nor without data."""

    image: Readable
    reference: Grid

    def __call__(self, xy: Float[np.ndarray, "2 n"]) -> Bool[np.ndarray, " n"]:
        """See `Chooser`; the raster lies where its own georeferencing says, or pixel on pixel."""
        at = xy
        grid = self.image.grid
        if grid.crs is not None or not grid.transform.is_identity or grid.shape != self.reference.shape:
            at = georeferenced_map(self.reference, grid)(xy)
        column, row = np.floor(at + 0.5).astype(np.int64)
        result = np.zeros(xy.shape[1], bool)
        for k in range(xy.shape[1]):
            value = float(self.image.read(int(row[k]), int(column[k]), 1, 1)[0, 0])
            result[k] = math.isfinite(value) and value != 0
        return result


class Trace(NamedTuple):
    """Lines (such as a fault's) in pixels of the reference, corners being whole numbers."""

    lines: Sequence[Float[np.ndarray, "_ 2"]]

    def signed_distance(self, xy: Float[np.ndarray, "2 n"]) -> Float[np.ndarray, " n"]:
        """Distance (px) of places to the nearest line, positive on its right as it runs and as images are shown."""
        best = np.full(xy.shape[1], np.inf)
        signed = np.full(xy.shape[1], np.inf)
        places = xy.T + 0.5
        for line in self.lines:
            for start, end in pairwise(line):
                along = end - start
                t = np.clip((places - start) @ along / (along @ along), 0, 1)
                away = places - (start + t[:, None] * along)
                distance = np.hypot(*away.T)
                side = np.sign(along[0] * (places - start)[:, 1] - along[1] * (places - start)[:, 0])
                nearer = distance < best
                best = np.where(nearer, distance, best)
                signed = np.where(nearer, distance * np.where(side == 0, 1, side), signed)
        return signed


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What may be fitted to."""

    excluded: tuple[Chooser, ...] = ()
    stable: tuple[Chooser, ...] = ()
    """Where there are any, only ground in one of them counts."""
    trace: Trace | None = None
    keep_off_px: float = 0.0

    def seen_from(self, offset: tuple[int, int]) -> Ground:
        """The same for places that count from pixel (column, row) = `offset` of the reference."""
        if offset == (0, 0):
            return self
        away = np.array(offset, np.float64)

        def shifted(chooser: Chooser) -> Chooser:
            return lambda xy: chooser(xy + away[:, None])

        excluded, stable = (tuple(shifted(one) for one in choosers) for choosers in (self.excluded, self.stable))
        trace = None if self.trace is None else Trace([line - away for line in self.trace.lines])
        return Ground(excluded, stable, trace, self.keep_off_px)

    def apply(self, ties: TiePoints) -> TiePoints:
        """The tie points, those on other ground set aside."""
        if not len(ties):
            return ties
        return ties.flagged(self.leaves_out(ties.reference), EXCLUDED)

    def leaves_out(self, places: Float[np.ndarray, "2 n"]) -> Bool[np.ndarray, " n"]:
        """Which places (x, y px of the reference) are on other ground."""
        out = np.zeros(places.shape[1], bool)
        for chooser in self.excluded:
            out |= chooser(places)
        if self.stable:
            out |= ~np.any([chooser(places) for chooser in self.stable], 0)
        if self.trace is not None and self.keep_off_px > 0:
            out |= np.abs(self.trace.signed_distance(places)) < self.keep_off_px
        return out


class TraceCheck(NamedTuple):
    """Whether what a model leaves has to do with a trace."""

    related: bool
    step_px: float
    """Length of the difference between the medians on both sides, within `near_px` of the trace."""
    decay: float
    """Rank correlation (Spearman) of residual length and distance: negative where residuals grow toward the trace."""
    chance: float
    """Of either in residuals that have nothing to do with the trace, by permutation."""
    near_px: float


def check_trace(trace: Trace, places: Float[np.ndarray, "2 n"], residual: Float[np.ndarray, "2 n"]) -> TraceCheck:
    """Hold residuals against the distance to a trace: a step across it, or sizes that fall away from it.

    The step is looked for within the median distance; both are judged by `PERMUTATIONS` shuffles of the residuals.
    """
    known = np.isfinite(residual).all(0)
    places, residual = places[:, known], residual[:, known]
    if places.shape[1] < FEWEST:
        return TraceCheck(False, math.nan, math.nan, 1.0, math.nan)
    signed = trace.signed_distance(places)
    near = np.abs(signed) <= np.median(np.abs(signed))
    ranks = _ranks(np.abs(signed))

    def measures(values: Float[np.ndarray, "2 n"]) -> tuple[float, float]:
        right, left = values[:, near & (signed > 0)], values[:, near & (signed < 0)]
        step = 0.0
        if min(right.shape[1], left.shape[1]) >= 3:
            step = float(np.linalg.norm(np.median(right, 1) - np.median(left, 1)))
        return step, float(np.corrcoef(ranks, _ranks(np.hypot(*values)))[0, 1])

    step, decay = measures(residual)
    random = np.random.default_rng(0)
    trials = [measures(residual[:, random.permutation(residual.shape[1])]) for _ in range(PERMUTATIONS)]
    steps, decays = np.array(trials).T
    by_step = (1 + (steps >= step).sum()) / (PERMUTATIONS + 1)
    by_decay = (1 + (decays <= decay).sum()) / (PERMUTATIONS + 1)
    chance = float(min(1.0, 2 * min(by_step, by_decay)))
    size = float(np.median(np.hypot(*residual)))
    related = chance <= CHANCE and (max(step, size) > NOTABLE_PX)
    return TraceCheck(related, step, decay, chance, float(np.median(np.abs(signed))))


def _ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    result = np.empty(len(values))
    result[np.argsort(values, kind="stable")] = np.arange(len(values))
    return result
