"""Bursts of made-up ground whose shifts are exact to every frequency: moved by Fourier phases, not by a kernel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from terrashift.ops.decimate import blur_of, camera_taps, decimate
from terrashift.superres.frames import Frames

MARGIN = 10
CONTRAST = 0.25
SHIFTS = ((0.0, 0.0), (0.4, -0.3), (-0.35, 0.2), (0.15, 0.45), (-0.2, -0.45), (0.5, 0.1))


class Planted(NamedTuple):
    """Frames and what they were made of."""

    pixels: Tensor
    """frame band height width"""
    shifts: Tensor
    """frame 2: frame(p + shift) = reference(p)"""
    truth: Tensor
    """band fine_height fine_width"""
    scale: int

    @property
    def frames(self) -> Frames:
        """With the exact shifts."""
        return Frames.shifted(self.pixels, self.shifts)


def ground(shape: tuple[int, int], seed: int, finest: float) -> np.ndarray:
    """Periodic ground without anything finer than `finest` cycles per sample; mean 100, deviation 20."""
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(random.normal(size=shape))
    f = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    spectrum *= (f < finest) / np.maximum(f, 0.01) ** 1.0
    values = np.fft.irfft2(spectrum, shape)
    return 100 + 20 * (values - values.mean()) / values.std()


def moved(fine: np.ndarray, x: float, y: float) -> np.ndarray:
    """The ground carried by (x right, y down) samples: moved(p + (x, y)) = fine(p)."""
    fy, fx = np.fft.fftfreq(fine.shape[0])[:, None], np.fft.rfftfreq(fine.shape[1])
    return np.fft.irfft2(np.fft.rfft2(fine) * np.exp(-2j * np.pi * (fx * x + fy * y)), fine.shape)


def burst(
    shape: tuple[int, int] = (36, 44),
    scale: int = 2,
    shifts: tuple[tuple[float, float], ...] = SHIFTS,
    noise: float = 0.0,
    seed: int = 0,
    bands: int = 1,
    finest: float = 0.4,
) -> Planted:
    """Frames by a camera that leaves `CONTRAST` at half a cycle per pixel."""
    sides = tuple(scale * (n + 2 * MARGIN) for n in shape)
    random = np.random.default_rng(1000 + seed)
    taps = camera_taps(torch.tensor([blur_of(CONTRAST)]), scale)
    inner, coarse = slice(scale * MARGIN, -scale * MARGIN), slice(MARGIN, -MARGIN)
    fine = [ground(sides, seed + 7 * band, finest) for band in range(bands)]
    pixels = []
    for x, y in shifts:
        light = np.stack([moved(band, scale * x, scale * y) for band in fine]).astype(np.float32)
        seen = decimate(torch.from_numpy(light)[None], taps, scale)[0, :, coarse, coarse]
        pixels.append(seen + noise * torch.from_numpy(random.normal(size=seen.shape).astype(np.float32)))
    truth = torch.from_numpy(np.stack(fine).astype(np.float32))[:, inner, inner]
    return Planted(torch.stack(pixels), torch.tensor(shifts), truth, scale)


def psnr(found: Tensor, truth: Tensor, border: int = 8) -> float:
    """Of a range of 100, away from the border."""
    part = slice(border, -border)
    return float(-10 * torch.log10((found - truth)[:, part, part].square().mean() / 100**2))
