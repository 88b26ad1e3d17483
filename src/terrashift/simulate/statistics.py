"""Numbers that tell the texture of a real image from that of a bad imitation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import ndimage

FREQUENCIES = (0.02, 0.3)
"""Cycles per pixel that the slope of the spectrum is fitted between."""
RINGS = 14
LOCAL_PX = 17
"""Side of the window that images are normalised in before two dates are compared."""
OUTLIERS = 0.5
"""Percent of the pixels at either end that are clipped before the spectrum and the correlation are taken."""


class Texture(NamedTuple):
    """What one image is like."""

    slope: float
    """Of the radially averaged power spectrum against frequency, both logarithmic."""
    length_px: float
    """Distance at which the autocorrelation, averaged over directions, has fallen to 1/e."""
    variation: float
    """Standard deviation over mean."""
    kurtosis: float
    """Excess kurtosis of the differences between neighbours: 0 for Gaussian texture, large for edges on even ground."""


def texture(image: Float[np.ndarray, "height width"]) -> Texture:
    """Measure an image of finite numbers, some 200 px a side or more."""
    exact = image.astype(np.float64)
    clipped = np.clip(exact, *np.percentile(exact, [OUTLIERS, 100 - OUTLIERS]))
    down, across = np.diff(exact, axis=0).ravel(), np.diff(exact, axis=1).ravel()
    steps = np.concatenate([down - down.mean(), across - across.mean()])
    kurtosis = (steps**4).mean() / (steps**2).mean() ** 2 - 3
    return Texture(_slope(clipped), _length(clipped), float(exact.std() / exact.mean()), float(kurtosis))


def likeness(first: Float[np.ndarray, "height width"], second: Float[np.ndarray, "height width"]) -> float:
    """Correlation coefficient, without any shift, of two images after local normalisation."""
    return float((_normalised(first) * _normalised(second)).mean())


def _slope(image: np.ndarray) -> float:
    window = np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1]))
    edges = np.geomspace(*FREQUENCIES, RINGS + 1)
    ring = np.digitize(frequency, edges)
    mean = np.array([power[ring == k].mean() for k in range(1, RINGS + 1)])
    return float(np.polyfit(np.log(edges[:-1] * edges[1:]) / 2, np.log(mean), 1)[0])


def _length(image: np.ndarray) -> float:
    centred = image - image.mean()
    shape = [2 * n for n in image.shape]  # twice as large: nothing wraps around
    products = np.fft.irfft2(np.abs(np.fft.rfft2(centred, shape)) ** 2, shape)
    counts = np.fft.irfft2(np.abs(np.fft.rfft2(np.ones_like(centred), shape)) ** 2, shape)
    reach = min(image.shape) // 2
    distance = np.hypot(np.fft.fftfreq(shape[0], 1 / shape[0])[:, None], np.fft.fftfreq(shape[1], 1 / shape[1]))
    near = distance < reach
    ring = np.rint(distance[near]).astype(int)
    profile = np.bincount(ring, products[near]) / np.bincount(ring, counts[near])
    share = profile / profile[0]
    below = int(np.argmax(share < np.exp(-1))) if (share < np.exp(-1)).any() else len(share) - 1
    fall = share[below - 1] - share[below]
    return float(below - 1 + (share[below - 1] - np.exp(-1)) / fall) if fall > 0 else float(below)


def _normalised(image: np.ndarray) -> np.ndarray:
    """Mean 0 and deviation 1 around every pixel."""
    exact = image.astype(np.float64)
    mean = ndimage.uniform_filter(exact, LOCAL_PX)
    deviation = np.sqrt(np.maximum(ndimage.uniform_filter(exact**2, LOCAL_PX) - mean**2, 0))
    flat = (exact - mean) / np.maximum(deviation, 0.1 * np.median(deviation) + 1e-12)
    return (flat - flat.mean()) / flat.std()
