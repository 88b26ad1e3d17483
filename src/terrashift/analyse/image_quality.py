"""How like the truth an image is where it stands and as bright as it is: PSNR, SSIM, RMSE in the data's own units.

Nothing is registered and no brightness equalised here; what tolerates both is called otherwise, see `kelvins`. The
range of the data is always told, never guessed from it.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy import ndimage

from ..errors import InputError

WINDOW_DEVIATION = 1.5
WINDOW_RADIUS = 5
"""An 11 x 11 Gaussian window, as Wang et al. (2004) take."""
K1, K2 = 0.01, 0.03


def rmse(estimate: Shaped[np.ndarray, "*shape"], truth: Shaped[np.ndarray, "*shape"]) -> float:
    """Root mean square error over the pixels that both have; NaN for none."""
    left = np.asarray(estimate, np.float64) - np.asarray(truth, np.float64)
    left = left[np.isfinite(left)]
    return float(np.sqrt(np.mean(left**2))) if left.size else math.nan


def psnr(estimate: Shaped[np.ndarray, "*shape"], truth: Shaped[np.ndarray, "*shape"], data_range: float | int) -> float:
    """Peak signal-to-noise ratio, 20 log10(range / RMSE), dB, over the pixels that both have.

    >>> psnr(np.array([0.0, 0.2]), np.array([0.1, 0.1]), 1.0)
    20.0

    Raises:
        InputError: a range that is not positive.
    """
    if not data_range > 0:
        raise InputError(f"a data range of {data_range}: give the difference of the largest and least possible value")
    error = rmse(estimate, truth)
    return math.inf if error == 0 else round(20 * math.log10(data_range / error), 12) if error > 0 else math.nan


def ssim(
    estimate: Shaped[np.ndarray, "height width"], truth: Shaped[np.ndarray, "height width"], data_range: float | int
) -> float:
    """Mean structural similarity (Wang et al. 2004) over windows that lie in what both images have; NaN for none."""
    have = np.isfinite(estimate) & np.isfinite(truth)
    one, other = (np.where(have, image, 0.0).astype(np.float64) for image in (estimate, truth))
    values = ssim_map(one, other, data_range)
    whole = whole_windows(have)
    return float(values[whole].mean()) if whole.any() else math.nan


def whole_windows(have: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "rows columns"]:
    """Which of the windows of `ssim_map` lie in what is there."""
    filled = np.asarray(ndimage.minimum_filter(have, 2 * WINDOW_RADIUS + 1), bool)
    return filled[WINDOW_RADIUS : have.shape[0] - WINDOW_RADIUS, WINDOW_RADIUS : have.shape[1] - WINDOW_RADIUS]


def ssim_map(
    one: Float[np.ndarray, "height width"], other: Float[np.ndarray, "height width"], data_range: float | int
) -> Float[np.ndarray, "rows columns"]:
    """Structural similarity of the windows that lie inside: 5 px less than the images on each side.

    Raises:
        InputError: images smaller than the window.
    """
    if min(one.shape) < 2 * WINDOW_RADIUS + 1:
        raise InputError(f"images of {one.shape} px are smaller than the window of 11 x 11 px that SSIM takes")

    def mean(image: np.ndarray) -> np.ndarray:
        r = WINDOW_RADIUS
        return ndimage.gaussian_filter(image, WINDOW_DEVIATION, radius=r)[r:-r, r:-r]

    mean_x, mean_y = mean(one), mean(other)
    xx, yy, xy = mean(one * one) - mean_x**2, mean(other * other) - mean_y**2, mean(one * other) - mean_x * mean_y
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    return (2 * mean_x * mean_y + c1) * (2 * xy + c2) / ((mean_x**2 + mean_y**2 + c1) * (xx + yy + c2))
