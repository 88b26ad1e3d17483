"""How far two images are apart as a whole, and how well they match once that is removed."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..core.grid import Grid
from ..core.source import PairSource
from ..ops.spectral import fourier_shift, hann, refined_correlate
from .findings import OffsetCheck
from .sampling import Window, plan_windows

TRUSTED = 8.0
"""Height of a phase-correlation peak from which it is a match, in deviations of its surroundings.

On our imagery pairs of one place have a median of 11 to 116, even after crops changed; unrelated places mostly 6 to 7.
"""
ENOUGH_VALID = 0.5


class _Match(NamedTuple):
    """One window's answer."""

    xy: Float[Tensor, " 2"]
    strength: float
    correlation: float


def measure_offset(source: PairSource) -> OffsetCheck:
    """Median shift of large windows: once roughly, then again with `after` moved by the whole pixels found."""
    side = 512 if min(source.grid.shape) >= 2048 else 256  # the larger, the larger the offset that is still found
    windows = plan_windows(source.grid.shape, side).windows
    rough = [match for window in windows if (match := _match(source, window, (0, 0)))]
    x, y = (round(v) for v in _consensus(rough).nan_to_num().tolist())
    matches = rough if (x, y) == (0, 0) else [m for w in windows if (m := _match(source, w, (x, y)))]
    trusted = [m for m in matches if m.strength > TRUSTED]
    xy = _consensus(matches)
    spread = math.nan
    if trusted:
        distance = (torch.stack([m.xy for m in trusted]) - xy).norm(dim=1)
        spread = float(distance.median()) / 1.1774  # median length of a 2-D normal vector of unit deviation
    return OffsetCheck(
        xy_px=(float(xy[0]), float(xy[1])),
        spread_px=spread,
        ground=_ground(source.grid, xy),
        correlation=_median([m.correlation for m in matches]),
        strength=_median([m.strength for m in matches]),
        matched=len(trusted),
        windows=len(matches),
    )


def _match(source: PairSource, window: Window, shift: tuple[int, int]) -> _Match | None:
    """Compare one window; None where too little of it has data or nothing varies."""
    before, after = source.read(*window, shift)
    valid = before.isfinite() & after.isfinite()
    if valid.float().mean() < ENOUGH_VALID or not (_varies(before, valid) and _varies(after, valid)):
        return None
    before, after = (image.masked_fill(~valid, float(image[valid].mean())) for image in (before, after))
    peak = refined_correlate(before[None], after[None])
    x, y = peak.xy[0].tolist()
    moved = fourier_shift(after, (-x, -y))
    weight = hann(window.height)[:, None] * hann(window.width) * valid
    return _Match(
        torch.tensor([x + shift[0], y + shift[1]]), float(peak.strength[0]), _correlation(before, moved, weight)
    )


def _varies(image: Tensor, valid: Tensor) -> bool:
    values = image[valid]
    return bool(values.max() > values.min())


def _correlation(before: Tensor, after: Tensor, weight: Tensor) -> float:
    """Weighted zero-normalised correlation."""
    total = weight.sum()
    a, b = (image - (image * weight).sum() / total for image in (before.double(), after.double()))
    power = (a.square() * weight).sum() * (b.square() * weight).sum()
    return float((a * b * weight).sum() / power.sqrt().clamp_min(1e-30))


def _consensus(matches: list[_Match]) -> Float[Tensor, " 2"]:
    """Median of the clear matches; NaN where there is none."""
    trusted = [m.xy for m in matches if m.strength > TRUSTED]
    return torch.stack(trusted).quantile(0.5, dim=0) if trusted else torch.full((2,), math.nan)


def _median(values: list[float]) -> float:
    return float(torch.tensor(values).quantile(0.5)) if values else math.nan


def _ground(grid: Grid, xy: Tensor) -> tuple[float, float]:
    """An offset in pixels as (east, north) at the middle of the grid."""
    middle = grid.crop(grid.height // 2, grid.width // 2, 1, 1)
    east, north = middle.to_metres(xy[:, None, None]).flatten().tolist()
    return east, north
