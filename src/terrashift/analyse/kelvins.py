"""The score of the Kelvins super-resolution challenge: blind to brightness, to small shifts, and to masked pixels.

As the challenge defines it (Märtens et al. 2019): of all whole-pixel shifts up to 3 px the one that is best, brightness
equalised first, over the clear pixels of the truth. It says nothing of where a result lies nor of how bright it is: for
that see `image_quality`, whose names never stand for these.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from ..errors import InputError
from .image_quality import ssim_map, whole_windows

BORDER_PX = 3
PEAK = 65535.0
"""Largest value of a 16-bit image, which the challenge takes for the range though its images hold 14 bits."""


class Registered(NamedTuple):
    """An error, and the registration that it was taken at."""

    value: float
    """cMSE in squared units of the images, or what was made of it; NaN where no clear pixel is left."""
    shift: tuple[int, int]
    """(x right, y down) px: the result at p shows what the truth shows at p + shift."""
    brightness: float
    """What was added to the result."""


def cmse(
    estimate: Shaped[np.ndarray, "rows columns"],
    truth: Shaped[np.ndarray, "height width"],
    clear: Bool[np.ndarray, "height width"],
    border: int = BORDER_PX,
) -> Registered:
    """The least mean squared error over shifts up to `border` px, brightness equalised, over clear pixels of the truth.

    For each shift the error is E[d^2] - E[d]^2 of the differences d over the clear pixels, which is that with the best
    brightness already.

    Raises:
        InputError: where shapes differ, or nothing is left inside the border.
    """
    height, width = truth.shape
    if estimate.shape != truth.shape or clear.shape != truth.shape or min(height, width) <= 2 * border:
        raise InputError(
            f"a result of {estimate.shape}, a truth of {truth.shape} and its mask of {clear.shape} px with a border of "
            f"{border}: all take one shape, larger than twice the border."
        )
    have = clear & np.isfinite(truth)
    middle = float(truth[have].mean()) if have.any() else 0.0
    target = np.where(have, truth - middle, 0.0)  # about zero: squares of 16-bit numbers lose three digits
    inner = estimate[border : height - border, border : width - border].astype(np.float64) - middle
    best = Registered(math.nan, (0, 0), math.nan)
    for v in range(2 * border + 1):
        for u in range(2 * border + 1):
            part = slice(v, v + height - 2 * border), slice(u, u + width - 2 * border)
            mask = have[part]
            count = int(mask.sum())
            if not count:
                continue
            difference = (target[part] - inner)[mask]
            bias = float(difference.mean())
            value = max(float(np.square(difference).mean()) - bias**2, 0.0)
            if not value >= best.value:
                best = Registered(value, (u - border, v - border), bias)
    return best


def cpsnr(
    estimate: Shaped[np.ndarray, "rows columns"],
    truth: Shaped[np.ndarray, "height width"],
    clear: Bool[np.ndarray, "height width"],
    border: int = BORDER_PX,
    peak: float | int = PEAK,
) -> Registered:
    """The challenge's peak signal-to-noise ratio, dB, as `Registered.value`; infinite where nothing is wrong.

    Args:
        estimate: the result, of the truth's shape; with NaN inside the border there is no score (NaN).
        truth: the sharp image.
        clear: where it counts.
        border: px that shifts may reach, and that is left out around the result.
        peak: range of the data: 65535 in the challenge.

    Raises:
        InputError: see `cmse`.
    """
    found = cmse(estimate, truth, clear, border)
    if math.isnan(found.value):
        return found
    return found._replace(value=math.inf if found.value == 0 else -10 * math.log10(found.value / peak**2))


def cssim(
    estimate: Shaped[np.ndarray, "rows columns"],
    truth: Shaped[np.ndarray, "height width"],
    clear: Bool[np.ndarray, "height width"],
    border: int = BORDER_PX,
    peak: float | int = PEAK,
) -> float:
    """Structural similarity at the shift and brightness of `cpsnr`, over pixels whose whole window is clear.

    Later papers search the shift of the best SSIM; here it is that of the least squared error, so that both numbers
    speak of one registration. NaN where no window is clear.
    """
    found = cmse(estimate, truth, clear, border)
    if math.isnan(found.value):
        return math.nan
    height, width = truth.shape
    x, y = found.shift
    inner = estimate[border : height - border, border : width - border].astype(np.float64) + found.brightness
    part = slice(border + y, border + y + inner.shape[0]), slice(border + x, border + x + inner.shape[1])
    target, mask = truth[part].astype(np.float64), clear[part] & np.isfinite(truth[part])
    values = ssim_map(inner, np.where(mask, target, inner), peak)
    whole = whole_windows(mask)
    return float(values[whole].mean()) if whole.any() else math.nan


def kelvins_score(cpsnrs: Float[np.ndarray, " scene"], baselines: Float[np.ndarray, " scene"]) -> float:
    """The mean of baseline over result of all scenes; below 1 beats the baseline (norm.csv), lower is better.

    >>> kelvins_score(np.array([50.0, 40.0]), np.array([45.0, 40.0]))
    0.95
    """
    return float(np.mean(baselines / cpsnrs))
