"""How the frames of a burst see one finer grid, each moved as a whole: as pairs of matrices, rows times columns.

Blur, gathering and shift of a frame are all separable, so that what it sees of an image X is D X A^T with a matrix for
each axis, and the adjoint D^T Y A. The grids are those of `ops.decimate`: the middle of coarse pixel p lies at
scale * p + (scale - 1)/2, and the ground at p of the reference at p + shift of the frame.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .warp import weights_of

LEAST_SHARE = 0.5
"""Of the weight of a coarse pixel that must lie inside the fine grid: what is less than half seen is not seen."""


class Looks(NamedTuple):
    """The matrices of all frames."""

    down: Float[Tensor, "batch frame height fine_height"]
    across: Float[Tensor, "batch frame width fine_width"]
    seen: Float[Tensor, "batch frame 1 height width"]
    """1 where the fine grid covers most of what the pixel sees, 0 elsewhere."""

    def see(
        self, fine: Float[Tensor, "batch band fine_height fine_width"]
    ) -> Float[Tensor, "batch frame band height width"]:
        """What each frame sees of an image; what lies outside it is left out of the means."""
        return self.down[:, :, None] @ fine[:, None] @ self.across[:, :, None].transpose(-1, -2)

    def back(
        self, coarse: Float[Tensor, "batch frame band height width"]
    ) -> Float[Tensor, "batch band fine_height fine_width"]:
        """The adjoint of `see`: every pixel laid where its light came from, summed over the frames."""
        return (self.down[:, :, None].transpose(-1, -2) @ coarse @ self.across[:, :, None]).sum(1)


def looks(
    shifts_px: Float[Tensor, "batch frame 2"], size: tuple[int, int], scale: int, blur_px: float, pixel: bool = True
) -> Looks:
    """Matrices of frames of this size and these shifts.

    Args:
        shifts_px: (x right, y down) coarse px: frame(p + shift) = reference(p).
        size: height and width of the frames.
        scale: fine pixels along a coarse one.
        blur_px: deviation of the Gaussian, coarse px.
        pixel: gather over the coarse pixel's square too; else the Gaussian alone weighs.
    """
    x, y = shifts_px.unbind(-1)
    (down, high), (across, wide) = (
        _matrix(shift, length, scale, blur_px, pixel) for shift, length in ((y, size[0]), (x, size[1]))
    )
    seen = (high[..., :, None] * wide[..., None, :] > LEAST_SHARE).to(shifts_px.dtype)
    return Looks(down, across, seen[:, :, None])


def _matrix(shift: Tensor, length: int, scale: int, blur_px: float, pixel: bool) -> tuple[Tensor, Tensor]:
    """Weights of the fine samples in each coarse one, rows summing to 1, and the share of them that lies inside."""
    coarse = torch.arange(length, device=shift.device, dtype=shift.dtype)
    fine = torch.arange(scale * length, device=shift.device, dtype=shift.dtype)
    middle = scale * coarse + (scale - 1) / 2 - scale * shift[..., None]  # batch frame length
    away = fine - middle[..., None]
    deviation = blur_px * scale
    parts = [k - (scale - 1) / 2 for k in range(scale)] if pixel else [0.0]
    weight = sum(torch.exp(-0.5 * ((away - part) / deviation).square()) for part in parts)
    assert isinstance(weight, Tensor)
    total = weight.sum(-1)
    whole = len(parts) * deviation * math.sqrt(2 * math.pi)  # of an endless fine grid
    return weight / total[..., None].clamp_min(1e-6), (total / whole).clamp_max(1.0)


def interpolate_fine(
    frames: Float[Tensor, "batch frame band height width"], shifts_px: Float[Tensor, "batch frame 2"], scale: int
) -> Float[Tensor, "batch frame band fine_height fine_width"]:
    """Every frame between its pixels, at the fine grid of the reference: bicubic (Keys 1981, a = -0.5), the border
    repeated outside. Gradients reach the frames.

    Args:
        shifts_px: as for `looks`; zeros leave each frame where it is.
    """
    x, y = shifts_px.unbind(-1)
    down, across = (_cubic(shift, length, scale) for shift, length in ((y, frames.shape[3]), (x, frames.shape[4])))
    return down[:, :, None] @ frames @ across[:, :, None].transpose(-1, -2)


def nearest_fine(
    masks: Float[Tensor, "batch frame band height width"], shifts_px: Float[Tensor, "batch frame 2"], scale: int
) -> Float[Tensor, "batch frame band fine_height fine_width"]:
    """The nearest pixel of every frame at the fine grid of the reference, 0 outside: for masks."""
    (column, wide), (row, high) = (
        (place.round().long().clamp(0, length - 1), (place >= -0.5) & (place <= length - 0.5))
        for place, length in (
            (_places(shifts_px[..., 0], masks.shape[4], scale), masks.shape[4]),
            (_places(shifts_px[..., 1], masks.shape[3], scale), masks.shape[3]),
        )
    )
    batch, number, bands = masks.shape[:3]
    b = torch.arange(batch, device=masks.device)[:, None, None, None, None]
    t = torch.arange(number, device=masks.device)[None, :, None, None, None]
    c = torch.arange(bands, device=masks.device)[None, None, :, None, None]
    found = masks[b, t, c, row[:, :, None, :, None], column[:, :, None, None, :]]
    return found * (high[:, :, None, :, None] & wide[:, :, None, None, :]).to(masks.dtype)


def _places(shift: Tensor, length: int, scale: int) -> Float[Tensor, "batch frame fine"]:
    """Where each fine pixel of the reference lies along an axis of each frame."""
    fine = torch.arange(scale * length, device=shift.device, dtype=shift.dtype)
    return (fine - (scale - 1) / 2) / scale + shift[..., None]


def _cubic(shift: Tensor, length: int, scale: int) -> Float[Tensor, "batch frame fine coarse"]:
    place = _places(shift, length, scale).clamp(0, length - 1)
    whole = place.floor()
    weights = weights_of(place - whole, "bicubic")
    matrix = place.new_zeros(*place.shape, length)
    for k, weight in enumerate(weights):
        tap = (whole.long() + k - 1).clamp(0, length - 1)
        matrix.scatter_add_(-1, tap[..., None], weight[..., None])
    return matrix
