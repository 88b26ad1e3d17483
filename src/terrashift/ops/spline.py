"""Values between pixels, for many crops of many images at once: cubic B-splines on images of twice the density.

A spline alone moves fine detail too little (the quintic one by 0.03 px at 0.4 cycles/px). Where the image is first
brought to twice its density by the Fourier transform, all detail is coarse to the spline, and four taps do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import fft
from torch import Tensor

from .batch import wide

DENSITY = 2
TAPS = 4
REACH = 3
"""Pixels of the image around a sample that must exist."""


class Crops(NamedTuple):
    """Where the crops of a batch lie in a row of images laid one after another."""

    start: Int[Tensor, " batch"]
    """Place of the image's first coefficient in the row."""
    height: Int[Tensor, " batch"]
    width: Int[Tensor, " batch"]
    """Of the image, pixels."""
    row: Int[Tensor, " batch"]
    column: Int[Tensor, " batch"]
    """First pixel of the crop in the image."""


def coefficients(image: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "fine_height fine_width"]:
    """Cubic B-spline coefficients of an image on a grid of twice its density, mirrored about its border.

    Fine sample 2k is pixel k: the result has 2 * height by 2 * width samples, the last of each line half a pixel past
    the last pixel. Not a number anywhere spreads everywhere.
    """
    fine = image.astype(np.float32)
    for axis in (0, 1):
        fine = _finer(fine, axis)
    return fine


def sample_moved(
    row: Float[Tensor, " samples"], crops: Crops, flow: Float[Tensor, "batch 2 height width"]
) -> Float[Tensor, "batch height width"]:
    """Crops seen at moved places: result(p) = image(corner + p + flow(p)), flow = (x right, y down) px.

    Exact at whole pixels; a frequency of up to 0.42 cycles/px is moved right to 0.0015 px, of 0.48 to 0.003. Whatever
    lies less than `REACH` pixels from the image's border, or past it, is read at the nearest place inside.

    Args:
        row: the coefficients of all images, flattened, one after another.
        crops: where the crops lie.
        flow: the crops' own size.
    """
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device) + wide(crops.column) + flow[:, 0]
    y = torch.arange(height, device=flow.device)[:, None] + wide(crops.row) + flow[:, 1]
    whole_x, across = _split(x, crops.width)
    whole_y, down = _split(y, crops.height)
    stride = DENSITY * wide(crops.width)
    first = wide(crops.start) + (whole_y - 1) * stride + whole_x - 1
    shares, result = _weights(across), torch.zeros_like(x)
    for weight in _weights(down):
        total = torch.zeros_like(x)
        for i, share in enumerate(shares):
            total.addcmul_(share, _take(row[i:], first))
        result.addcmul_(weight, total)
        first = first + stride
    return result


def sample_shifted(
    row: Float[Tensor, " samples"], crops: Crops, shift: Float[Tensor, "batch 2"], size: tuple[int, int]
) -> Float[Tensor, "batch height width"]:
    """Crops moved as a whole: `sample_moved` of a constant flow, at a third of its price.

    The crop, its shift and `REACH` pixels around it must lie inside the image.
    """
    fine = DENSITY * shift
    floor = fine.floor()
    rest, (left, above) = fine - floor, floor.long().unbind(1)
    across, down = (_weights(wide(part)) for part in rest.unbind(1))
    # neighbouring pixels share their samples: fetch each once
    lines, columns = (DENSITY * (length - 1) + TAPS for length in size)
    corner = (DENSITY * crops.row + above - 1) * DENSITY * crops.width + DENSITY * crops.column + left - 1
    inside = torch.arange(lines, device=shift.device)[:, None] * DENSITY * wide(crops.width)
    block = _take(row, wide(crops.start + corner) + inside + torch.arange(columns, device=shift.device))
    narrow = torch.zeros(len(shift), lines, size[1], device=shift.device)
    for i, share in enumerate(across):
        narrow.addcmul_(share, block[:, :, i : i + DENSITY * size[1] - 1 : DENSITY])
    result = torch.zeros(len(shift), *size, device=shift.device)
    for j, weight in enumerate(down):
        result.addcmul_(weight, narrow[:, j : j + DENSITY * size[0] - 1 : DENSITY])
    return result


def _take(row: Float[Tensor, " samples"], index: Int[Tensor, "batch height width"]) -> Tensor:
    # several times faster on a CPU than torch.take
    return row.index_select(0, index.flatten()).reshape(index.shape)


def _finer(image: Float[np.ndarray, "height width"], axis: int) -> Float[np.ndarray, "fine_height fine_width"]:
    """Double the density along one axis and turn samples into coefficients, both in the cosine transform.

    The samples half a pixel on follow from cos(a + b) = cos a cos b - sin a sin b, by one more cosine and one sine
    transform.
    """
    length = image.shape[axis]
    waves = np.asarray(fft.dct(image, type=2, axis=axis))
    shape = [1, 1]
    shape[axis] = length
    turns = np.arange(length).reshape(shape) / (2 * length)  # cycles per pixel
    waves = waves / ((2 + np.cos(2 * np.pi * turns / DENSITY)) / 3).astype(image.dtype)  # the spline's own response
    even = np.asarray(fft.idct(waves, type=2, axis=axis))
    sine, cosine = (waves * wave(np.pi * turns).astype(image.dtype) for wave in (np.sin, np.cos))
    odd = np.asarray(fft.idct(cosine, type=2, axis=axis)) - _sines(np.roll(sine, -1, axis), axis)
    doubled = np.stack([even, odd], axis + 1)
    return doubled.reshape([DENSITY * n if k == axis else n for k, n in enumerate(image.shape)])


def _sines(waves: Float[np.ndarray, "height width"], axis: int) -> Float[np.ndarray, "height width"]:
    """The sine counterpart of the inverse cosine transform; `waves` starts at the first frequency above zero."""
    kept = waves.copy()
    kept[tuple(slice(-1, None) if k == axis else slice(None) for k in (0, 1))] = 0
    return np.asarray(fft.idst(kept, type=2, axis=axis))


def _split(place: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Whole sample and rest of a place in pixels, kept where all taps are inside the image."""
    last = wide(length - REACH).to(place.dtype)
    fine = DENSITY * torch.minimum(place.clamp_min(REACH - 1), last)
    whole = fine.floor()
    return whole.long(), fine - whole


def _weights(t: Float[Tensor, "*places"]) -> list[Float[Tensor, "*places"]]:
    """The cubic B-spline at the four samples around a place that is `t` past the second."""
    u = 1 - t
    return [u * u * u / 6, _near(t), _near(u), t * t * t / 6]


def _near(s: Tensor) -> Tensor:
    """The spline at a distance `s` below 1."""
    square = s * s
    return (4 + square * (3 * s - 6)) / 6
