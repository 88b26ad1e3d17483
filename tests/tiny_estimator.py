"""A small, honest estimator for the tests of what surrounds estimators: least squared difference over whole pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from terrashift.core.field import Flow
from terrashift.core.grid import Grid, measured_along
from terrashift.core.image import Image, Pair
from terrashift.core.reasons import Reason
from terrashift.core.source import ArrayPair
from terrashift.estimators.base import Search


@dataclass(frozen=True)
class Tiny:
    """The offset within `search.radius` of the least mean squared difference, with a parabola through its costs."""

    window_px: int = 5
    step_px: int = 1
    block_px: int = 16
    name: str = "tiny"
    papers: tuple[str, ...] = ()

    def halo(self, search: Search) -> int:
        return self.window_px // 2 + max(search.radius) + 1

    def memory(self, search: Search) -> int:
        return 4 * 50 * (self.block_px + 2 * self.halo(search)) ** 2

    def __call__(self, before, after, search: Search) -> Flow:
        halo, half = self.halo(search), self.window_px // 2
        rx, ry = search.radius
        keep = slice(halo + self.step_px // 2, before.shape[0] - halo, self.step_px)
        across = slice(halo + self.step_px // 2, before.shape[1] - halo, self.step_px)
        costs = []
        for dy in range(-ry, ry + 1):
            for dx in range(-rx, rx + 1):
                squared = (before - after.roll((-dy, -dx), (0, 1))) ** 2
                mean = torch.nn.functional.avg_pool2d(squared[None], self.window_px, 1, half)[0]
                costs.append(mean[keep, across])
        cost = torch.stack(costs)
        best = torch.where(cost.isnan(), torch.inf, cost).argmin(0)
        y, x = best // (2 * rx + 1) - ry, best % (2 * rx + 1) - rx
        missing = cost.isnan().any(0)
        xy = torch.stack([x, y]).float() + 0.1 * cost.mean(0).sigmoid()  # a fraction, to make bits matter
        return Flow(
            xy=torch.where(missing, torch.nan, xy),
            sigma=torch.where(missing, torch.nan, cost.min(0).values.expand(2, -1, -1)),
            score=torch.where(missing, 0.0, 1 / (1 + cost.min(0).values)),
            reasons=torch.where(missing, int(Reason.NODATA), 0).to(torch.uint8),
        )


def pair_of(grid: Grid, move: tuple[int, int] = (1, -1), hole: bool = True, seed: int = 0) -> ArrayPair:
    """Noise on `grid` and the same moved by `move` = (x right, y down) whole pixels."""
    generator = torch.Generator().manual_seed(seed)
    before = torch.randn(grid.shape, generator=generator)
    after = before.roll((move[1], move[0]), (0, 1)) + 0.01 * torch.randn(grid.shape, generator=generator)
    if hole:
        before[3:6, 7:11] = torch.nan
    return ArrayPair(Pair(Image(before[None], grid), Image(after[None], grid)))


class MemoryStore:
    """Finished tiles in a dict, put together again on demand."""

    def __init__(self, fail_on: str = "") -> None:
        self.tiles: dict[str, tuple] = {}
        self.fail_on = fail_on

    def done(self) -> set[str]:
        return set(self.tiles)

    def write(self, tile, values) -> None:
        self.tiles[tile.key] = (tile.core, values.clone())

    def whole(self, grid: Grid, step: int) -> torch.Tensor:
        rows, columns = (measured_along(n, step) for n in grid.shape)
        out = torch.full((6, rows, columns), -999.0)
        for (r, c), values in self.tiles.values():
            out[:, r, c] = values
        return out
