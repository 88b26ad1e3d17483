"""One brightness for all frames, that of the reference, and a result that keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from ..ops.warp import warp
from .align import smoothed
from .frames import Frames

Bands = Float[Tensor, "band height width"]
Anchor = Literal["low", "exact", "none"]

TUKEY = 4.685
ROUNDS = 15
LEAST_GAIN, LARGEST_GAIN = 0.2, 5.0
"""Beyond these a frame's contrast has nothing to do with the reference's, and only its level is changed."""
LOW_PX = 3.0
"""Deviation, px of the frames, of the Gaussian that parts low frequencies, which are the reference's, from the rest."""
ANCHOR_HALO = 16
KNOWN = 0.05
"""Weight of what is known around a pixel from which on the reference decides its level; less counts in part."""


class Light(NamedTuple):
    """What makes a frame as bright as the reference: reference = gain * frame + offset, of each band.

    The offset has the unit of the images.
    """

    gain: Float[Tensor, " band"]
    offset: Float[Tensor, " band"]


def light_of(reference: Bands, frame: Bands, shift: tuple[float, float] = (0.0, 0.0)) -> Light:
    """Robust gain and offset of a frame that is moved by `shift`, (x right, y down) px; see `light_over`."""
    return light_over([overlaid(reference, frame, shift)])


def overlaid(reference: Bands, frame: Bands, shift: tuple[float, float]) -> tuple[Bands, Bands]:
    """Both images smoothed, so that noise and detail do not count, and the frame on the reference's pixels.

    Args:
        reference: NaN where not usable; likewise `frame`.
        shift: (x right, y down) px: frame(p + shift) = reference(p).
    """
    flow = torch.tensor(shift, dtype=frame.dtype)[:, None, None].expand(2, *frame.shape[1:])
    return smoothed(reference), warp(smoothed(frame)[None], flow[None])[0]


def light_over(windows: Sequence[tuple[Bands, Bands]]) -> Light:
    """Robust gain and offset over what is usable in both images of some windows, as `overlaid` gives them.

    Both images have errors, so the gain is the geometric mean of the two regressions' (reduced major axis). A band
    with fewer than 16 pixels in common is left as it is: gain 1, offset 0.

    Args:
        windows: (reference, frame) of each, one at least; NaN where not usable.
    """
    frame = windows[0][1]
    pairs = []
    for band in range(len(frame)):
        still, moved = (torch.cat([window[k][band].flatten() for window in windows]) for k in (0, 1))
        pairs.append(_line(still, moved))
    gain, offset = (torch.tensor(part, dtype=frame.dtype) for part in zip(*pairs, strict=True))
    return Light(gain, offset)


def _line(still: Float[Tensor, " n"], moved: Float[Tensor, " n"]) -> tuple[float, float]:
    """Gain and offset of one band."""
    have = still.isfinite() & moved.isfinite()
    y, x = still[have].double(), moved[have].double()
    if x.numel() < 16:
        return 1.0, 0.0
    weight = torch.ones_like(x)
    gain, offset = 1.0, float(y.median() - x.median())
    for _ in range(ROUNDS):
        left = (y - gain * x - offset).abs()
        spread = max(1.4826 * float(left[weight > 0].median()), 1e-12 + 1e-7 * float(y.abs().max()))
        weight = (1 - (left / (TUKEY * spread)).square()).clamp_min(0).square()
        total = weight.sum().clamp_min(1e-12)
        mean_x, mean_y = (weight * x).sum() / total, (weight * y).sum() / total
        xx, yy = (weight * (x - mean_x) ** 2).sum(), (weight * (y - mean_y) ** 2).sum()
        xy = (weight * (x - mean_x) * (y - mean_y)).sum()
        gain = float((yy / xx).sqrt()) if float(xx) > 0 and float(xy) > 0 else 1.0
        gain = gain if LEAST_GAIN < gain < LARGEST_GAIN else 1.0
        offset = float(mean_y - gain * mean_x)
    return gain, offset


def lit(frames: Frames, lights: list[Light]) -> Frames:
    """Frames as bright as the reference; one of the `lights` for each, in their order."""
    gain, offset = (torch.stack([light[k] for light in lights])[:, :, None, None].to(frames.pixels) for k in (0, 1))
    return frames.with_pixels(gain * frames.pixels + offset)


def anchored(
    fine: Float[Tensor, "band fine_height fine_width"], reference: Bands, scale: int, anchor: Anchor = "low"
) -> Float[Tensor, "band fine_height fine_width"]:
    """A result with the brightness of the reference.

    Methods that only saw registered frames may drift in brightness from place to place (the Kelvins objective leaves
    it free altogether). With `low`, what the squares of scale x scale fine pixels differ from the reference is smoothed
    by `LOW_PX` and taken out: detail stays the method's, level the reference's. With `exact`, each square's mean
    becomes the reference's pixel, its noise included. Where the reference is not usable its surroundings decide, and
    far from them nothing is changed.

    Args:
        fine: NaN where unknown.
        reference: NaN where not usable.
        scale: fine pixels along one of the reference's.
        anchor: low, exact or none.
    """
    if anchor == "none":
        return fine
    if anchor == "exact":
        # slopes first, so that the squares' last step is small
        for _ in range(3):
            fine = fine + _raised(_difference(fine, reference, scale).nan_to_num(0.0), scale, "bicubic")
        return fine + _raised(_difference(fine, reference, scale).nan_to_num(0.0), scale, "nearest")
    for _ in range(2):
        fine = fine + _raised(_low(_difference(fine, reference, scale)), scale, "bicubic")
    return fine


def gathered(fine: Float[Tensor, "band fine_height fine_width"], scale: int) -> Bands:
    """Means of squares of scale x scale fine pixels; NaN where any is."""
    return avg_pool2d(fine[None], scale)[0]


def _difference(fine: Tensor, reference: Bands, scale: int) -> Bands:
    return reference - gathered(fine, scale)


def _low(difference: Bands) -> Bands:
    """Smoothed over what is known, and fading to 0 away from it."""
    have = difference.isfinite().to(difference.dtype)
    reach = smoothed(torch.where(have > 0, difference, 0.0), LOW_PX)
    weight = smoothed(have, LOW_PX)
    return reach / weight.clamp_min(KNOWN)


def _raised(coarse: Bands, scale: int, mode: str) -> Tensor:
    if mode == "nearest":
        return coarse.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    return interpolate(coarse[None], scale_factor=scale, mode=mode, align_corners=False)[0]
