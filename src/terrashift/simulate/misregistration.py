"""How far two dates of one place lie apart as a whole: part of the truth of every pair made of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..ops.spectral import refined_correlate

SIDE_PX = 128
CLEAR = 8.0
"""Height of a correlation peak, in deviations of its surroundings, from which it is a match."""
FULL = 0.9
"""Share of a window that must hold data."""


class Misregistration(NamedTuple):
    """Constant offset between two dates."""

    xy: tuple[float, float]
    """(x right, y down) px: the ground at p on the first date is at p + xy on the second; NaN where nothing matches."""
    spread: tuple[float, float]
    """Robust deviation (1.4826 MAD) of the windows about it, px: local offsets and noise."""
    matched: float
    """Share of the windows with data that match."""
    count: int = 0
    """Windows that match."""

    @property
    def error(self) -> float:
        """Rough standard error of `xy`, px: that of a median, four windows that overlap by half counted as one."""
        return 1.25 * math.hypot(*self.spread) / math.sqrt(max(1.0, self.count / 4))


def misregistration(
    first: Float[Tensor, "height width"], second: Float[Tensor, "height width"], side_px: int = SIDE_PX
) -> Misregistration:
    """Median shift of windows that overlap by half, by phase correlation; NaN marks missing data.

    Nothing but the offset may have moved between the dates: with an earthquake between them it is taken for offset.
    """
    side = min(side_px, *first.shape)
    windows = [
        (first[top : top + side, left : left + side], second[top : top + side, left : left + side])
        for top in _starts(first.shape[0], side)
        for left in _starts(first.shape[1], side)
    ]
    usable = [pair for pair in windows if min(part.isfinite().float().mean() for part in pair) >= FULL]
    if not usable:
        return Misregistration((math.nan, math.nan), (math.nan, math.nan), 0.0)
    before, after = (torch.stack([pair[k] for pair in usable]) for k in (0, 1))
    found = refined_correlate(before, after)
    clear = found.xy[found.strength > CLEAR]
    if not len(clear):
        return Misregistration((math.nan, math.nan), (math.nan, math.nan), 0.0)
    middle = clear.quantile(0.5, dim=0)
    spread = 1.4826 * (clear - middle).abs().quantile(0.5, dim=0)
    x, y = middle.tolist()
    wide, high = spread.tolist()
    return Misregistration((x, y), (wide, high), len(clear) / len(usable), len(clear))


def _starts(length: int, side: int) -> list[int]:
    count = max(1, round(2 * (length - side) / side) + 1)
    return [round(k * (length - side) / max(1, count - 1)) for k in range(count)]
