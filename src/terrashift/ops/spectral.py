"""Fourier tools: windows, exact shifts, and one shift per patch from the phase of the cross-spectrum."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class PhasePeak(NamedTuple):
    """The best whole-patch shift of each patch of a batch."""

    xy: Float[Tensor, "batch 2"]
    """(x right, y down) px: the content at p in `before` is at p + xy in `after`."""
    strength: Float[Tensor, " batch"]
    """Height of the peak over what phases at random would give, in its standard deviations; above ~6 is a match."""


def hann(size: int, dtype: torch.dtype = torch.float32, device: torch.device | str | None = None) -> Tensor:
    """Raised cosine, zero at its first sample and one at sample size//2, so that it is centred on a pixel."""
    angle = 2 * math.pi * torch.arange(size, dtype=torch.float64) / size
    return (0.5 - 0.5 * torch.cos(angle)).to(dtype=dtype, device=device)


def fourier_shift(
    image: Float[Tensor, "*batch height width"], xy: tuple[float, float]
) -> Float[Tensor, "*batch height width"]:
    """Move the content of a periodic image by exactly (x right, y down) px: result(p + xy) = image(p).

    The highest frequency of an even side, whose sign is not known, is moved as its real part.

    >>> fourier_shift(torch.eye(4, dtype=torch.float64)[:1], (1.0, 0.0)).abs().round(decimals=6)
    tensor([[0., 1., 0., 0.]], dtype=torch.float64)
    """
    height, width = image.shape[-2:]
    x, y = xy
    fx = torch.fft.rfftfreq(width, dtype=torch.float64, device=image.device)
    fy = torch.fft.fftfreq(height, dtype=torch.float64, device=image.device)
    ramp_x, ramp_y = torch.exp(-2j * math.pi * fx * x), torch.exp(-2j * math.pi * fy * y)
    if width % 2 == 0:
        ramp_x[-1] = ramp_x[-1].real.clone()
    if height % 2 == 0:
        ramp_y[height // 2] = ramp_y[height // 2].real.clone()
    spectrum = torch.fft.rfft2(image.double()) * ramp_y[:, None] * ramp_x
    return torch.fft.irfft2(spectrum, s=(height, width)).to(image.dtype)


def phase_correlate(
    before: Float[Tensor, "batch height width"], after: Float[Tensor, "batch height width"], sharpness: float = 0.5
) -> PhasePeak:
    """Shift of each patch as the peak of the phase correlation, to a fraction of a pixel (Kuglin & Hines 1975).

    Patches are windowed by a raised cosine; NaN counts as the patch's mean. The cross-spectrum's amplitude is kept to
    the power 1 - `sharpness`: 1 is pure phase correlation, 0 plain correlation; in between, noise at frequencies where
    the images hold nothing counts less. The peak is refined by a parabola along each axis.
    """
    height, width = before.shape[-2:]
    window = hann(height, device=before.device)[:, None] * hann(width, device=before.device)
    cross = spectrum_of(after, window) * spectrum_of(before, window).conj()
    cross = cross / cross.abs().clamp_min(1e-20) ** sharpness
    surface = torch.fft.irfft2(cross, s=(height, width))
    flat = surface.flatten(1)
    best = flat.argmax(1)
    row, column = best // width, best % width
    xy = torch.stack(
        [
            _wrap(column, width) + _parabola(surface, row, column, 0, 1),
            _wrap(row, height) + _parabola(surface, row, column, 1, 0),
        ],
        1,
    )
    spread = flat.std(1).clamp_min(1e-20)
    strength = (flat.gather(1, best[:, None])[:, 0] - flat.mean(1)) / spread
    return PhasePeak(xy, strength)


def refined_correlate(
    before: Float[Tensor, "batch height width"], after: Float[Tensor, "batch height width"]
) -> PhasePeak:
    """`phase_correlate`, and once more with `after` moved back by what was found.

    A parabola through a narrow peak is off by up to 0.1 px between pixels, but not where the rest is small. NaN counts
    as the patch's mean.
    """
    mean = after.nanmean((1, 2), keepdim=True).nan_to_num(0.0)
    filled = torch.where(after.isnan(), mean, after)
    first = phase_correlate(before, filled)
    moved = torch.stack([fourier_shift(one, (-x, -y)) for one, (x, y) in zip(filled, first.xy.tolist(), strict=True)])
    rest = phase_correlate(before, moved).xy
    small = rest.abs().amax(1, keepdim=True) < 0.5
    return PhasePeak(torch.where(small, first.xy + rest, first.xy), first.strength)


def spectrum_of(patch: Float[Tensor, "batch height width"], window: Float[Tensor, "height width"]) -> Tensor:
    """Half spectrum of the windowed patch about its own weighted mean; NaN counts as that mean."""
    weight = window * patch.isfinite()
    filled = patch.nan_to_num(0.0, 0.0, 0.0)
    mean = (filled * weight).sum((1, 2)) / weight.sum((1, 2)).clamp_min(1e-12)
    return torch.fft.rfft2((filled - mean[:, None, None]) * weight)


def _wrap(index: Tensor, size: int) -> Tensor:
    """Whole shift of a peak's index, in (-size/2, size/2]."""
    return torch.where(index > size // 2, index - size, index).float()


def _parabola(surface: Tensor, row: Tensor, column: Tensor, down: int, right: int) -> Tensor:
    """Offset of the top of the parabola through a peak and its two periodic neighbours."""
    batch = torch.arange(len(surface), device=surface.device)
    height, width = surface.shape[-2:]
    low = surface[batch, (row - down) % height, (column - right) % width]
    mid = surface[batch, row, column]
    high = surface[batch, (row + down) % height, (column + right) % width]
    bend = low - 2 * mid + high
    return torch.where(bend < 0, 0.5 * (low - high) / bend.clamp_max(-1e-20), torch.zeros_like(bend)).clamp(-0.5, 0.5)
