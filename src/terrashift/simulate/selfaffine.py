"""Rough lines and surfaces that look alike at every scale: traces of faults, and slip along and down them.

A profile of Hurst exponent H has differences that grow as distance^H and a power spectrum that falls as
frequency^-(1 + 2H); a surface, one that falls as frequency^-(2 + 2H) (Mandelbrot & Van Ness 1968; Turcotte 1997).
Surface ruptures have H near 0.8 (Renard et al. 2006), slip on them near 0.7 (Mai & Beroza 2002).
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from jaxtyping import Float
from numpy.random import Generator
from torch import Tensor

Frequencies = TypeVar("Frequencies", np.ndarray, Tensor)
LEAST_WINDOW = 8  # samples: fewer leave too little beside the line that is taken off


def amplitudes(frequency: Frequencies, hurst: float) -> Frequencies:
    """Of the waves that make up a self-affine profile; none at frequency 0."""
    return frequency.clip(1e-9) ** -(0.5 + hurst) * (frequency > 0)


def self_affine_profile(points: int, hurst: float, random: Generator) -> Float[np.ndarray, " points"]:
    """Profile of unit variance, zero at both ends: the line between its ends is removed."""
    frequency = np.fft.rfftfreq(2 * points)  # twice as long: the two ends of the half kept are independent
    phase = np.exp(2j * math.pi * random.random(len(frequency)))
    profile = np.fft.irfft(amplitudes(frequency, hurst) * phase)[:points]
    profile -= np.linspace(profile[0], profile[-1], points)
    return profile / profile.std()


def self_affine_surface(
    shape: tuple[int, int], spacing: tuple[float, float], hurst: float, random: Generator
) -> Float[np.ndarray, "rows columns"]:
    """Surface of zero mean and unit variance on a lattice of `spacing` (rows, columns), in any one unit of length.

    Alike in both directions when measured in that unit, however different the two spacings and sizes.
    """
    doubled = (2 * shape[0], 2 * shape[1])  # opposite edges of the quarter kept are independent
    down, along = np.fft.fftfreq(doubled[0], spacing[0]), np.fft.rfftfreq(doubled[1], spacing[1])
    frequency = np.hypot(down[:, None], along)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(random.standard_normal(doubled)) * frequency ** -(1 + hurst)
    surface = np.fft.irfft2(spectrum, s=doubled)[: shape[0], : shape[1]]
    surface -= surface.mean()
    return surface / surface.std()


def hurst_exponent(profile: Float[np.ndarray, " points"]) -> float:
    """Hurst exponent by detrended variance (Peng et al. 1994, without their summation).

    The deviation about a straight line, over windows of n samples, grows as n^H; the slope is fitted between
    windows of eight samples and a quarter of the profile. One profile of some thousand samples gives H to about 0.05.
    """
    sizes = 2 ** np.arange(int(math.log2(LEAST_WINDOW)), int(math.log2(len(profile) // 4)) + 1)
    deviation = []
    for size in sizes:
        windows = profile[: len(profile) // size * size].reshape(-1, size)
        windows = windows - windows.mean(1, keepdims=True)
        ramp = np.arange(size) - (size - 1) / 2
        slope = windows @ ramp / (ramp @ ramp)
        deviation.append(math.sqrt(np.mean((windows - slope[:, None] * ramp) ** 2)))
    return float(np.polyfit(np.log(sizes), np.log(deviation), 1)[0])
