"""What a coarser camera sees of a finer image: blur, then pixels that gather `scale` x `scale` finer ones.

Coarse pixel p covers the fine pixels scale * p to scale * p + scale - 1, so its middle lies at scale * p + (scale-1)/2
of the fine grid. The blur is told by the contrast that the whole camera, blur and pixel, leaves of a wave of half a
cycle per coarse pixel (its modulation transfer at Nyquist).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, pad

from ..errors import OptionError

REACH = 3
"""Deviations of the blur that it is followed to."""
SHARPEST = 2 / math.pi
"""Contrast at Nyquist of a pixel without any blur, of many finer ones."""


def blur_of(contrast: float) -> float:
    """Deviation of the Gaussian blur, coarse pixels, with which a camera leaves this contrast at Nyquist.

    >>> round(blur_of(0.25), 2)
    0.44

    Raises:
        OptionError: where the contrast is not above 0, or is more than a bare pixel leaves (0.64).
    """
    if not 0 < contrast <= SHARPEST:
        raise OptionError(f"a contrast at Nyquist of {contrast}: take one above 0 and up to {SHARPEST:.3f}.")
    return math.sqrt(-2 * math.log(contrast / SHARPEST)) / math.pi


def camera_taps(
    blur_px: Float[Tensor, " batch"], scale: int, largest_px: float | None = None
) -> Float[Tensor, "batch taps"]:
    """Weights along one axis of the fine pixels around a coarse one; each row sums to 1.

    Args:
        blur_px: deviation of each camera's Gaussian blur, coarse pixels.
        scale: fine pixels along a coarse one.
        largest_px: the blur that the number of taps is made for, else the largest of these.
    """
    largest = float(blur_px.max()) if largest_px is None else largest_px
    reach = math.ceil(REACH * largest * scale)
    away = torch.arange(-reach, reach + 1, device=blur_px.device) / scale
    blur = torch.exp(-0.5 * (away / blur_px[:, None].clamp_min(1e-3)).square())
    blur = blur / blur.sum(1, keepdim=True)
    taps = blur.new_zeros(len(blur), 2 * reach + scale)
    for k in range(scale):
        taps[:, k : k + 2 * reach + 1] += blur / scale
    return taps


def decimate(
    fine: Float[Tensor, "batch band fine_height fine_width"], taps: Float[Tensor, "batch taps"], scale: int
) -> Float[Tensor, "batch band height width"]:
    """Blur and gather; the border is repeated outside. Gradients reach the image.

    Args:
        fine: both sides multiples of `scale`.
        taps: see `camera_taps`; their number is `scale` plus an even one.
        scale: fine pixels along a coarse one.

    >>> decimate(torch.arange(6.0).reshape(1, 1, 1, 6).expand(1, 1, 3, 6), torch.ones(1, 3) / 3, 3)
    tensor([[[[1., 4.]]]])
    """
    side = (taps.shape[1] - scale) // 2
    return _gather(pad(fine, (side,) * 4, mode="replicate"), taps, scale)


def spread(
    coarse: Float[Tensor, "batch band height width"], taps: Float[Tensor, "batch taps"], scale: int
) -> Float[Tensor, "batch band fine_height fine_width"]:
    """The adjoint of `decimate` for images with zeros around them: sum(x * spread(y)) = sum(decimate(x) * y)."""
    count, bands, height, width = coarse.shape
    side = (taps.shape[1] - scale) // 2
    kernel = taps.repeat_interleave(bands, 0)[:, None]
    flat = coarse.reshape(1, count * bands, height, width)
    for weights, step in ((kernel[..., None], (scale, 1)), (kernel[:, :, None], (1, scale))):
        flat = conv_transpose2d(flat, weights, stride=step, groups=count * bands)
    rows, columns = scale * height, scale * width
    return flat[..., side : side + rows, side : side + columns].reshape(count, bands, rows, columns)


def _gather(padded: Tensor, taps: Tensor, scale: int) -> Tensor:
    """One axis after the other, every image by its own weights."""
    count, bands = padded.shape[:2]
    kernel = taps.repeat_interleave(bands, 0)[:, None]
    flat = padded.reshape(1, count * bands, *padded.shape[2:])
    for weights, step in ((kernel[..., None], (scale, 1)), (kernel[:, :, None], (1, scale))):
        flat = conv2d(flat, weights, stride=step, groups=count * bands)
    return flat.reshape(count, bands, *flat.shape[2:])
