"""Tie points: where small windows of the moving image, as mapped so far, lie on the reference."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree
from torch import Tensor
from torch.nn.functional import pad

from ..core.grid import Grid, measured_along
from ..core.source import PairSource
from ..estimators.base import Estimator, Search
from ..estimators.blocks import measure_block
from ..ops.box import box_sum

EstimatorAt = Callable[[int], Estimator]
"""An estimator for a given step in pixels."""
FLAT_SHARE = 0.02
"""Of the texture that nine in ten places stay below: less is none."""
CANDIDATES = 2
"""Places along each side of a cell, the most textured measured one of which becomes its tie point."""
NEIGHBOURS = 8
ALIKE = 3.0
"""Of the neighbours' own deviations from their median: more is an outlier (Westerweel & Scarano 2005)."""
NOISE_PX = 0.15
"""Added to that deviation, so that neighbours which agree perfectly do not condemn the next."""

FLAGS = ("used", "outlier", "excluded")
USED, OUTLIER, EXCLUDED = range(3)


@dataclass(frozen=True, slots=True, eq=False)
class TiePoints:
    """Places of the reference and where they were found; all arrays have one column or element for each."""

    reference: Float[np.ndarray, "2 n"]
    """(x right, y down) px of the reference."""
    found: Float[np.ndarray, "2 n"]
    """Where the mapped image shows what the reference shows there, px of the reference's own grid."""
    score: Float[np.ndarray, " n"]
    texture: Float[np.ndarray, " n"]
    """Smaller eigenvalue of the structure tensor, over that of the best tenth of places."""
    flag: Int[np.ndarray, " n"]
    """Index into `FLAGS`."""
    tried: int
    """Cells where both images had data and texture, matched or not."""

    def __len__(self) -> int:
        return len(self.score)

    @property
    def shift(self) -> Float[np.ndarray, "2 n"]:
        """(x, y) px from `reference` to `found`."""
        return self.found - self.reference

    @property
    def used(self) -> Bool[np.ndarray, " n"]:
        """Those that models are fitted to."""
        return self.flag == USED

    def of_score(self, least: float) -> TiePoints:
        """Those that score at least so much; the others count as tried."""
        keep = self.score >= least
        parts = (self.reference[:, keep], self.found[:, keep], self.score[keep], self.texture[keep], self.flag[keep])
        return TiePoints(*parts, self.tried)

    def flagged(self, where: Bool[np.ndarray, " n"], flag: int) -> TiePoints:
        """The same, more of them set aside; a flag once set stays."""
        return replace(self, flag=np.where(where & self.used, flag, self.flag))


class TiePlan(NamedTuple):
    """How densely tie points are measured."""

    spacing_px: int
    """Side of the cells, one tie point each."""
    search: Search
    device: str = "cpu"

    @property
    def step_px(self) -> int:
        """Between places that are tried."""
        return max(1, self.spacing_px // CANDIDATES)


def usual_spacing(shape: tuple[int, int], window_px: int, most: int) -> int:
    """Cells half as large as a window, or larger, so that there are at most `most` of them."""
    return max(window_px // 2, math.ceil(math.sqrt(shape[0] * shape[1] / most)))


def measure_ties(pair: PairSource, estimator_at: EstimatorAt, plan: TiePlan) -> TiePoints:
    """Measure tie points of a pair whose second image is mapped onto the first as far as is known.

    Every cell of `plan.spacing_px` gives at most one, where its texture is clearest among the places that matched.
    """
    estimator = estimator_at(plan.step_px)
    step = estimator.step_px
    rows, columns = (measured_along(n, step) for n in pair.grid.shape)
    xy = np.full((2, rows, columns), np.nan)
    score, texture, had = np.zeros((rows, columns)), np.zeros((rows, columns)), np.zeros((rows, columns), bool)
    per_block = estimator.block_px // step
    for i in range(math.ceil(rows / per_block)):
        for j in range(math.ceil(columns / per_block)):
            watched = _Watched(pair)
            flow = measure_block(estimator, watched, plan.search, (i, j), plan.device)
            part = slice(i * per_block, (i + 1) * per_block), slice(j * per_block, (j + 1) * per_block)
            xy[:, *part], score[part] = flow.xy.numpy(), flow.score.numpy()
            look = watched.texture_at(estimator, plan.search, flow.score.shape)
            texture[part] = look.texture
            had[part] = look.data
    return _chosen(np.where(had, xy, np.nan), score, texture, (had, step, plan.spacing_px))


class _Look(NamedTuple):
    """What a block of the reference holds at the places measured."""

    texture: Float[np.ndarray, "rows columns"]
    data: Bool[np.ndarray, "rows columns"]


class _Watched:
    """A pair that remembers the window read last, so that its texture can be looked at without reading again."""

    def __init__(self, pair: PairSource) -> None:
        self._pair = pair
        self._last: tuple[Tensor, Tensor] = (torch.empty(0, 0), torch.empty(0, 0))

    @property
    def grid(self) -> Grid:
        """That of the pair."""
        return self._pair.grid

    def read(
        self, row: int, column: int, height: int, width: int, shift: tuple[int, int] = (0, 0)
    ) -> tuple[Float[Tensor, "height width"], Float[Tensor, "height width"]]:
        """See `PairSource.read`."""
        self._last = self._pair.read(row, column, height, width, shift)
        return self._last

    def texture_at(self, estimator: Estimator, search: Search, shape: tuple[int, ...]) -> _Look:
        """Texture over the estimator's window, and whether both images have data, where it measured."""
        before, after = self._last
        first = estimator.halo(search) + estimator.step_px // 2
        texture = structure(before, estimator.window_px | 1)
        places = tuple(slice(first, first + n * estimator.step_px, estimator.step_px) for n in shape)
        have = (before.isfinite() & after.isfinite())[places]
        return _Look(texture[places].numpy().astype(np.float64), have.numpy())


def structure(image: Float[Tensor, "height width"], side: int) -> Float[Tensor, "height width"]:
    """Smaller eigenvalue of the mean structure tensor over a square: how well both directions are held (Shi & Tomasi).

    Pixels without data count as flat.
    """
    padded = pad(image[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    gx = ((padded[1:-1, 2:] - padded[1:-1, :-2]) / 2).nan_to_num(0.0)
    gy = ((padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2).nan_to_num(0.0)
    products = pad(torch.stack([gx * gx, gx * gy, gy * gy]), (side // 2,) * 4)
    xx, xy, yy = box_sum(products, side) / side**2
    return (xx + yy) / 2 - (((xx - yy) / 2).square() + xy.square()).sqrt()


def _chosen(
    xy: Float[np.ndarray, "2 rows columns"],
    score: Float[np.ndarray, "rows columns"],
    texture: Float[np.ndarray, "rows columns"],
    how: tuple[Bool[np.ndarray, "rows columns"], int, int],
) -> TiePoints:
    """The best-textured measured place of each cell."""
    had, step, spacing = how
    best = np.quantile(texture[had], 0.9) if had.any() else 1.0
    texture = texture / max(best, 1e-30)
    clear = had & (texture >= FLAT_SHARE)
    along = max(1, round(spacing / step))
    rows, columns = np.nonzero(clear)
    cell = (rows // along) * (xy.shape[2] // along + 1) + columns // along
    tried = len(np.unique(cell))
    matched = np.isfinite(xy[:, rows, columns]).all(0)
    rows, columns, cell = rows[matched], columns[matched], cell[matched]
    order = np.lexsort((-texture[rows, columns], cell))
    keep = order[np.unique(cell[order], return_index=True)[1]] if len(order) else order
    rows, columns = rows[keep], columns[keep]
    place = np.stack([columns, rows]) * float(step) + step // 2
    moved = place + xy[:, rows, columns]
    flag = np.full(len(rows), USED)
    return TiePoints(place, moved, score[rows, columns], texture[rows, columns], flag, tried)


def lonely(ties: TiePoints, noise_px: float = NOISE_PX) -> Bool[np.ndarray, " n"]:
    """Ties whose shift is unlike that of their neighbours: the normalised median test (Westerweel & Scarano 2005)."""
    inside = np.nonzero(ties.used)[0]
    result = np.zeros(len(ties), bool)
    if len(inside) < NEIGHBOURS + 1:
        return result
    places, shift = ties.reference[:, inside].T, ties.shift[:, inside].T
    near = np.asarray(KDTree(places).query(places, NEIGHBOURS + 1)[1])[:, 1:]
    around = shift[near]
    middle = np.median(around, 1)
    spread = np.median(np.abs(around - middle[:, None]), 1)
    result[inside] = (np.abs(shift - middle) > ALIKE * (spread + noise_px)).any(1)
    return result
