"""What tie points score where there is nothing to find: the same windows against ground beside theirs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..core.grid import Grid
from ..core.source import PairSource
from ..estimators.base import Search
from .ties import EstimatorAt, TiePlan, TiePoints, measure_ties, usual_spacing

LARGEST_PX = 1536
"""Side of the part of the image that is tried."""
MOST_CELLS = 400
AWAY = 1.5
"""Windows by which the moving image is moved aside, along both axes."""
ORDINARY = 0.95
"""Share of chance matches that score less than what counts as a match."""


class Chance(NamedTuple):
    """Scores of windows that hold different ground."""

    scores: Float[np.ndarray, " n"]
    """Of every cell that was tried, 0 where nothing matched."""

    @property
    def least_score(self) -> float:
        """What tie points must score to be no matches by chance; 0 where too few windows could be tried."""
        return float(np.quantile(self.scores, ORDINARY)) if len(self.scores) >= 10 else 0.0

    def beaten_by(self, ties: TiePoints) -> float:
        """How much higher tie points score: the rank-sum statistic in its standard deviations (Mann & Whitney 1947).

        About normal where they do not; infinite where there is nothing to compare with.
        """
        found = np.concatenate([ties.score, np.zeros(max(0, ties.tried - len(ties)))])
        first, second = len(found), len(self.scores)
        if not second:
            return math.inf
        if not first:
            return 0.0
        both = np.concatenate([found, self.scores])
        values, place = np.unique(both, return_inverse=True)
        count = np.bincount(place)
        rank = (np.cumsum(count) - (count - 1) / 2)[place]  # ties of rank share their mean
        higher = rank[:first].sum() - first * (first + 1) / 2
        total = first + second
        equal = float((count**3 - count).sum()) / (total * (total - 1)) if len(values) < total else 0.0
        variance = first * second / 12 * (total + 1 - equal)
        return float((higher - first * second / 2) / math.sqrt(max(variance, 1e-9)))


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A window of a pair; what lies around it is there too."""

    pair: PairSource
    grid: Grid
    first: tuple[int, int]

    def read(
        self, row: int, column: int, height: int, width: int, shift: tuple[int, int] = (0, 0)
    ) -> tuple[Float[Tensor, "height width"], Float[Tensor, "height width"]]:
        """See `PairSource.read`."""
        top, left = self.first
        return self.pair.read(row + top, column + left, height, width, shift)


def by_chance(pair: PairSource, estimator_at: EstimatorAt, plan: TiePlan, about: TiePoints) -> Chance:
    """Measure windows of the reference against the moving image moved aside by `AWAY` windows.

    Args:
        pair: as tie points were measured on.
        estimator_at: that measured them.
        plan: of theirs.
        about: tie points, in the middle of which windows are tried.
    """
    height, width = (min(n, LARGEST_PX) for n in pair.grid.shape)
    middle = np.median(about.reference, 1) if len(about) else np.array([pair.grid.width, pair.grid.height]) / 2
    left = int(np.clip(middle[0] - width / 2, 0, pair.grid.width - width))
    top = int(np.clip(middle[1] - height / 2, 0, pair.grid.height - height))
    part = _Part(pair, pair.grid.crop(top, left, height, width), (top, left))
    away = round(AWAY * estimator_at(plan.step_px).window_px)
    away = max(1, min(away, min(height, width) // 2))
    found = []
    for sign in (1, -1):  # what is lost at one edge of a small image is there at the other
        search = Search((sign * away, sign * away), plan.search.radius)
        spacing = max(plan.spacing_px, usual_spacing((height, width), 2, MOST_CELLS))
        ties = measure_ties(part, estimator_at, TiePlan(spacing, search, plan.device))
        found += [ties.score, np.zeros(max(0, ties.tried - len(ties)))]
    return Chance(np.concatenate(found))
