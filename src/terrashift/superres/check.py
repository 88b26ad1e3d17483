"""Whether several frames tell more than one: does the result of the others predict a frame that was held out?

A frame is taken out, the rest are sharpened, and the camera model looks at the result as that frame does. If this is
closer to the frame than the reference alone, moved to its place, the method has found detail that is there; if not, the
frames contradict each other (change, parallax, wrong masks), or the camera model is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from ..ops.warp import warp
from .base import Method
from .camera import Camera
from .frames import Frames, extended

MOST_HELD_OUT = 2
SIDE_PX = 96
"""Of the window that is looked at, without the method's halo."""
LEAST_WEIGHT = 100.0
"""Trusted pixels that a held-out frame has to have."""


class HeldOut(NamedTuple):
    """Root mean square differences from frames that were held out, weighed by trust; NaN where none could be."""

    method: float
    """Of the result of the others."""
    reference: float
    """Of the reference alone."""

    @property
    def worse(self) -> bool:
        """True where several frames tell less than one."""
        return self.method > self.reference


def held_out(frames: Frames, method: Method, scale: int, contrast: float) -> HeldOut:
    """Predict the most trusted frames from the others.

    Args:
        frames: of a window; bright and trusted as they go into the method.
        method: what is to be judged.
        scale: fine pixels along one of the frames.
        contrast: of the camera that looks at the result, at half a cycle per pixel, 0 to 1.

    Returns:
        In the unit of the frames; NaN for fewer than three frames, or where no other than the reference is trusted.
    """
    inner = slice(method.halo, -method.halo or None)
    weight = frames.weight[:, inner, inner]
    order = weight.sum((1, 2)).argsort(descending=True, stable=True).tolist()
    chosen = [k for k in order if k != frames.home and float(weight[k].sum()) >= LEAST_WEIGHT][:MOST_HELD_OUT]
    if not chosen or frames.count < 3:
        return HeldOut(math.nan, math.nan)
    sums = torch.zeros(3, dtype=torch.float64)
    camera = Camera.of(frames, scale, contrast)
    for number in chosen:
        fine = method(_without(frames, number), scale).mean
        predicted = camera.see(extended(fine[None], scale * method.halo)[0], number)
        alone = warp(frames.pixels[frames.home][None], -frames.flow[number][None], "bicubic")[0]
        left = [(image - frames.pixels[number])[:, inner, inner].square().mean(0) for image in (predicted, alone)]
        known = weight[number] * (left[0] + left[1]).isfinite()
        sums += torch.stack([*((known * part.nan_to_num(0.0)).sum() for part in left), known.sum()]).double().cpu()
    method_rms, reference_rms = (sums[:2] / sums[2].clamp_min(1e-12)).sqrt().tolist()
    return HeldOut(method_rms, reference_rms)


def _without(frames: Frames, number: int) -> Frames:
    rest: Sequence[int] = [k for k in range(frames.count) if k != number]
    trust = None if frames.trust is None else frames.trust[rest]
    home = rest.index(frames.home)
    return Frames(frames.pixels[rest], frames.flow[rest], home, frames.level, frames.contrast, trust)
