"""How frames lie against their reference: sub-pixel shifts over usable pixels, robust to what changed in between.

The whole-pixel shift is where the masked correlation is highest (Padfield 2012); from there Gauss-Newton steps (Lucas
and Kanade 1981) on images that are smoothed, so that aliasing does not pull, and standardised locally, so that
brightness does not. Gradients are means of both images', which halves what noise in them does, and residuals beyond
Tukey's bound count as nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, pad

from ..ops.warp import warp
from ..register.correlate import detail, whole_shift
from .frames import Frames

Bands = Float[Tensor, "band height width"]

SMOOTH_PX = 1.0
"""Deviation of the blur before shifts are measured: a quarter of the amplitude is left at a third of a cycle per px."""
ROUNDS = 12
SETTLED_PX = 1e-3
TUKEY = 4.685
STANDS_OUT = 5.0
"""Height of the correlation's peak over all other shifts, in their deviations, from which it is believed. Windows of
different ground reach 5 in one of a hundred cases."""
LEAST_CORRELATION = 0.2
LARGEST_STEP_PX = 0.5
FEWEST_PX = 64
CORRELATED_PX = 4 * math.pi * SMOOTH_PX**2
"""Pixels of a smoothed image that are as good as one of white noise."""


class Match(NamedTuple):
    """How a frame lies on the reference."""

    shift: tuple[float, float]
    """(x right, y down) px: frame(p + shift) = reference(p)."""
    error_px: float
    """Standard error of either component, as far as the residuals tell."""
    correlation: float
    """Of the smoothed, standardised images, as registered."""
    strength: float
    """Of the first, whole-pixel estimate; see `register.correlate.WholeShift`."""

    @property
    def believable(self) -> bool:
        """False where the two may as well show different ground."""
        return self.strength > STANDS_OUT and self.correlation > LEAST_CORRELATION


ITSELF = Match((0.0, 0.0), 0.0, 1.0, math.inf)


class Aligned(NamedTuple):
    """Frames with their shifts, and those that match nothing."""

    frames: Frames
    matches: tuple[Match | None, ...]
    """Of every image given; None for one without texture or usable pixels, the reference's own is zero."""
    used: tuple[int, ...]
    """Which of the images `frames` are."""


def align(pixels: Float[Tensor, "frame band height width"], home: int | None = None) -> Aligned:
    """Find the shifts of frames in memory, and leave out those that do not match.

    Args:
        pixels: NaN where not usable.
        home: number of the reference; the clearest unless given.

    Returns:
        The frames that match, with shifts (x right, y down) px, and what was found of all.
    """
    home = clearest(pixels) if home is None else home
    matches = [ITSELF if k == home else match(pixels[home], frame) for k, frame in enumerate(pixels)]
    used = [k for k, found in enumerate(matches) if found is not None and found.believable]
    shifts = [found.shift for k, found in enumerate(matches) if k in used and found is not None]
    return Aligned(Frames.shifted(pixels[used], shifts, used.index(home)), tuple(matches), tuple(used))


def clearest(pixels: Float[Tensor, "frame band height width"]) -> int:
    """Number of the frame with most usable pixels; of equals the first."""
    return int(pixels.isfinite().all(1).float().mean((1, 2)).argmax())


def match(reference: Bands, frame: Bands) -> Match | None:
    """How a frame lies on the reference, both NaN where not usable; None where there is nothing to match.

    Its error is NaN, and its correlation 0, where the whole-pixel estimate could not be refined.
    """
    first, second = (_joined([detail(band) for band in image]) for image in (reference, frame))
    if first is None or second is None:
        return None
    whole = whole_shift(first, second)
    if whole is None:
        return None
    still, moving = (_standardised(image) for image in (reference, frame))
    shift = np.array(whole.xy)
    found = None
    for _ in range(ROUNDS):
        found = _step(still, moving, shift)
        if found is None:
            return Match((float(shift[0]), float(shift[1])), math.nan, 0.0, whole.strength)
        shift = shift + found.step
        if np.abs(found.step).max() < SETTLED_PX:
            break
    assert found is not None
    return Match((float(shift[0]), float(shift[1])), found.error_px, found.correlation, whole.strength)


class _Step(NamedTuple):
    step: Float[np.ndarray, 2]
    error_px: float
    correlation: float


def _step(still: Bands, moving: Bands, shift: Float[np.ndarray, 2]) -> _Step | None:
    """One Gauss-Newton step: still(p) = moving(p + shift + step)."""
    flow = torch.as_tensor(shift, dtype=still.dtype)[:, None, None].expand(2, *still.shape[1:])
    moved = warp(moving[None], flow[None])[0]
    slopes = [_slope((still + moved) / 2, axis) for axis in (2, 1)]
    have = (still + moved + slopes[0] + slopes[1]).isfinite()
    if int(have.sum()) < FEWEST_PX:
        return None
    a, b = still[have].double().numpy(), moved[have].double().numpy()
    design = np.stack([slope[have].double().numpy() for slope in slopes])
    left = a - b
    spread = max(1.4826 * float(np.median(np.abs(left))), 1e-9)
    weight = np.clip(1 - (left / (TUKEY * spread)) ** 2, 0, None) ** 2
    normal = (design * weight) @ design.T
    if not np.linalg.cond(normal) < 1e8:
        return None
    step = np.clip(np.linalg.solve(normal, (design * weight) @ left), -LARGEST_STEP_PX, LARGEST_STEP_PX)
    variance = float((weight * left**2).sum() / max(weight.sum(), 1e-9)) * CORRELATED_PX
    error = math.sqrt(float(np.trace(np.linalg.inv(normal))) / 2 * variance)
    a, b = a - a.mean(), b - b.mean()
    return _Step(step, error, float((a * b).sum() / max(math.sqrt(float((a * a).sum() * (b * b).sum())), 1e-12)))


def _slope(image: Bands, axis: int) -> Bands:
    """Central differences; NaN at the border."""
    inner = image.narrow(axis, 2, image.shape[axis] - 2) - image.narrow(axis, 0, image.shape[axis] - 2)
    sides = (1, 1, 0, 0) if axis == 2 else (0, 0, 1, 1)
    return pad(inner / 2, sides, value=torch.nan)


def _standardised(image: Bands) -> Bands:
    """Smoothed over usable pixels, then about the local mean and over the local deviation."""
    return torch.stack([detail(band) for band in smoothed(image)])


def _joined(parts: list[Tensor]) -> Tensor | None:
    """Bands as one image for the whole-pixel shift; None without any texture."""
    total = torch.stack(parts).mean(0)
    known = total[total.isfinite()]
    return total if known.numel() >= FEWEST_PX and float(known.std()) > 1e-6 else None


def smoothed(image: Bands, deviation_px: float = SMOOTH_PX) -> Bands:
    """A Gaussian mean of usable pixels; NaN where a pixel itself is not usable."""
    reach = math.ceil(3 * deviation_px)
    away = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    taps = torch.exp(-0.5 * (away / deviation_px).square())
    taps = taps / taps.sum()
    have = image.isfinite()
    centre = image.nanmean((1, 2), keepdim=True).nan_to_num(0.0)
    stack = torch.cat([torch.where(have, image - centre, 0.0), have.to(image.dtype)])[:, None]
    for kernel in (taps[None, None, None], taps[None, None, :, None]):
        sides = (reach, reach, 0, 0) if kernel.shape[3] > 1 else (0, 0, reach, reach)
        stack = conv2d(pad(stack, sides), kernel)
    total, weight = stack[:, 0].chunk(2)
    return torch.where(have, total / weight.clamp_min(1e-6) + centre, torch.nan)
