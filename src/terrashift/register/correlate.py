"""The shift between two images as wholes, gaps left out exactly (Padfield 2012, masked normalised correlation)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import fft
from torch import Tensor

from ..models.normalise import standardise_locally

LEAST_OVERLAP = 0.2
"""Of the smaller image's pixels with data: shifts that leave less are not considered."""
DETAIL_PX = 17
"""Side of the squares by which images are made alike in brightness and contrast."""
AROUND = 5
"""Shifts (px) around the best one that belong to its peak."""


class WholeShift(NamedTuple):
    """How one image lies on another."""

    xy: tuple[float, float]
    """(x right, y down) px: the content at p of the first is at p + xy of the second."""
    correlation: float
    """At the best shift, -1 to 1."""
    strength: float
    """Its height over the mean of all other shifts, in their standard deviations."""
    ahead: float
    """Correlation at the best shift over that at the best one elsewhere."""


def detail(image: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """The image about its local mean and over its local deviation: alike under another sun, haze or gain."""
    if not image.isfinite().any():
        return image
    return standardise_locally(image[None, None], DETAIL_PX)[0, 0]


def whole_shift(
    first: Float[Tensor, "rows columns"], second: Float[Tensor, "height width"], least_overlap: float = LEAST_OVERLAP
) -> WholeShift | None:
    """The shift of the highest correlation over the pixels that both have; None where no shift leaves enough of them.

    Images may differ in shape; every shift that leaves `least_overlap` of the smaller one's data is considered. The
    peak is refined by a parabola along each axis.
    """
    surface, known = masked_correlation(np.asarray(first, np.float64), np.asarray(second, np.float64), least_overlap)
    if not known.any():
        return None
    best = np.unravel_index(np.where(known, surface, -np.inf).argmax(), surface.shape)
    row, column = int(best[0]), int(best[1])
    top = float(surface[row, column])
    near = np.zeros_like(known)
    near[max(row - AROUND, 0) : row + AROUND + 1, max(column - AROUND, 0) : column + AROUND + 1] = True
    others = surface[known & ~near]
    spread, mean, second_best = (others.std(), others.mean(), others.max()) if others.size else (np.inf, 0.0, -1.0)
    y = row + _parabola(surface[:, column], known[:, column], row) - (first.shape[0] - 1)
    x = column + _parabola(surface[row], known[row], column) - (first.shape[1] - 1)
    strength = float((top - mean) / max(spread, 1e-12))
    return WholeShift((x, y), top, strength, float(top - second_best))


def masked_correlation(
    first: Float[np.ndarray, "rows columns"], second: Float[np.ndarray, "height width"], least_overlap: float
) -> tuple[Float[np.ndarray, "down across"], Bool[np.ndarray, "down across"]]:
    """Zero-normalised correlation at every whole shift, and where it counts.

    Element (i, j) belongs to the shift (x, y) = (j - (columns - 1), i - (rows - 1)).
    """
    shape = tuple(a + b - 1 for a, b in zip(first.shape, second.shape, strict=True))
    size = tuple(fft.next_fast_len(n, True) for n in shape)
    have_a, have_b = np.isfinite(first), np.isfinite(second)
    a, b = (np.where(have, image, 0.0) for have, image in ((have_a, first), (have_b, second)))
    a, b = a - a.sum() / max(1, have_a.sum()) * have_a, b - b.sum() / max(1, have_b.sum()) * have_b

    def spectrum(image: np.ndarray, turned: bool) -> np.ndarray:
        return np.asarray(fft.rfft2(image[::-1, ::-1] if turned else image, size))

    fa, fa2, fm = (spectrum(part, True) for part in (a, a * a, have_a.astype(float)))
    gb, gb2, gm = (spectrum(part, False) for part in (b, b * b, have_b.astype(float)))

    def correlate(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.asarray(fft.irfft2(one * other, size))[: shape[0], : shape[1]]

    count = correlate(fm, gm).round()
    safe = np.maximum(count, 1)
    sum_a, sum_b = correlate(fa, gm), correlate(fm, gb)
    covariance = correlate(fa, gb) - sum_a * sum_b / safe
    power_a = np.maximum(correlate(fa2, gm) - sum_a**2 / safe, 0)
    power_b = np.maximum(correlate(fm, gb2) - sum_b**2 / safe, 0)
    power = np.sqrt(power_a * power_b)
    least = least_overlap * max(1, min(have_a.sum(), have_b.sum()))
    known = (count >= least) & (power > 1e-6 * max(power.max(), 1e-30))
    surface = np.where(known, covariance / np.where(known, power, 1.0), 0.0)
    return np.clip(surface, -1, 1), known


def _parabola(line: Float[np.ndarray, " n"], known: Bool[np.ndarray, " n"], at: int) -> float:
    """Offset of the top of the parabola through a peak and its neighbours."""
    if not (0 < at < len(line) - 1 and known[at - 1] and known[at + 1]):
        return 0.0
    low, middle, high = line[at - 1 : at + 2]
    bend = low - 2 * middle + high
    return float(np.clip(0.5 * (low - high) / bend, -0.5, 0.5)) if bend < 0 else 0.0
