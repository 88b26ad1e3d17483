"""What each frame would look like, were the sharp image right: moved, blurred by the camera, gathered into its pixels.

A frame that moves as a whole is seen by two strided convolutions along the axes; the weights of `ops.warp` and those
of `ops.decimate` are multiplied out before. One that is bent is warped on the fine pixels first. `back` is the
transpose of `see`: exact for frames that move as wholes, to the bend's own gradient for others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, pad

from ..ops.decimate import blur_of, camera_taps, decimate, spread
from ..ops.warp import TAPS, warp, weights_of
from .frames import Frames

Fine = Float[Tensor, "band fine_height fine_width"]
Coarse = Float[Tensor, "band height width"]


class _Axis(NamedTuple):
    """A strided convolution along an axis: coarse p is the sum of taps[k] * fine[scale * p + first + k]."""

    taps: Tensor
    first: int


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """The frames' common camera, and how each frame is moved."""

    frames: Frames
    scale: int
    taps: Float[Tensor, " taps"]
    """Blur and pixel along one axis, see `ops.decimate.camera_taps`."""

    @classmethod
    def of(cls, frames: Frames, scale: int, contrast: float) -> Camera:
        """A camera that leaves this contrast, 0 to 1, of half a cycle per coarse pixel (its MTF at Nyquist).

        Args:
            frames: what it saw.
            scale: fine pixels along one of them.
            contrast: see `BackProjection.contrast`.
        """
        blur = torch.tensor([blur_of(contrast)], dtype=frames.pixels.dtype, device=frames.pixels.device)
        return cls(frames, scale, camera_taps(blur, scale)[0])

    def see(self, fine: Fine, number: int) -> Coarse:
        """Frame `number` of a sharp image without gaps; the image's border is repeated outside."""
        if self.frames.bent[number]:
            flow = -self.scale * self.frames.fine_flow(number, (fine.shape[1], fine.shape[2]))
            return decimate(_moved(fine, flow, "replicate")[None], self.taps[None], self.scale)[0]
        for dim, axis in enumerate(self._axes(number)):
            fine = _along(fine, axis, self.scale, 2 - dim)
        return fine

    def back(self, coarse: Coarse, number: int) -> Fine:
        """The transpose: what each fine pixel has to do with what was seen in frame `number`."""
        if self.frames.bent[number]:
            fine = spread(coarse[None], self.taps[None], self.scale)[0]
            flow = self.scale * self.frames.fine_flow(number, (fine.shape[1], fine.shape[2]))
            return _moved(fine, flow, "constant")
        for dim, axis in enumerate(self._axes(number)):
            coarse = _across(coarse, axis, self.scale, 2 - dim)
        return coarse

    def _axes(self, number: int) -> tuple[_Axis, _Axis]:
        """Along x, along y."""
        x, y = (self._axis(-self.scale * float(shift)) for shift in self.frames.shifts[number])
        return x, y

    def _axis(self, move: float) -> _Axis:
        """The camera behind a move: moved(P) = fine(P + move), then gathered."""
        whole = math.floor(move)
        rest = torch.tensor(move - whole, dtype=self.taps.dtype, device=self.taps.device)
        parts = weights_of(rest, "bicubic")
        taps = self.taps.new_zeros(len(self.taps) + len(parts) - 1)
        for k, weight in enumerate(parts):
            taps[k : k + len(self.taps)] += weight * self.taps
        side = (len(self.taps) - self.scale) // 2
        return _Axis(taps, whole - (TAPS["bicubic"] // 2 - 1) - side)


def _along(fine: Tensor, axis: _Axis, scale: int, dim: int) -> Tensor:
    """Convolve and keep one in `scale`."""
    count = fine.shape[dim] // scale
    before, after = _room(axis, scale, count)
    sides = (before, after, 0, 0) if dim == 2 else (0, 0, before, after)
    padded = pad(fine[None], tuple(max(n, 0) for n in sides), mode="replicate")[0]
    start = max(0, -before)
    padded = padded.narrow(dim, start, scale * (count - 1) + len(axis.taps))
    kernel, stride = _strided(axis, scale, dim)
    return conv2d(padded[:, None], kernel, stride=stride)[:, 0]


def _across(coarse: Tensor, axis: _Axis, scale: int, dim: int) -> Tensor:
    """The transpose of `_along` without its border."""
    count = coarse.shape[dim]
    kernel, stride = _strided(axis, scale, dim)
    wide = conv_transpose2d(coarse[:, None], kernel, stride=stride)[:, 0]
    before, after = _room(axis, scale, count)
    sides = (-before, -after, 0, 0) if dim == 2 else (0, 0, -before, -after)
    return pad(wide, sides)


def _strided(axis: _Axis, scale: int, dim: int) -> tuple[Tensor, tuple[int, int]]:
    """Kernel and stride along dimension 2, x, or 1, y."""
    return (axis.taps[None, None, None], (1, scale)) if dim == 2 else (axis.taps[None, None, :, None], (scale, 1))


def _room(axis: _Axis, scale: int, count: int) -> tuple[int, int]:
    """Fine pixels beyond the image, before and after, that the taps reach; negative where they do not get there."""
    last = axis.first + scale * (count - 1) + len(axis.taps)
    return -axis.first, last - scale * count


def _moved(fine: Fine, flow: Float[Tensor, "2 fine_height fine_width"], border: str) -> Fine:
    """Warp an image that goes on outside: repeated, or as zeros."""
    reach = math.ceil(float(flow.abs().max())) + TAPS["bicubic"]
    wide = pad(fine[None], (reach,) * 4, mode=border)
    moves = pad(flow[None], (reach,) * 4, mode="replicate")
    return warp(wide, moves, "bicubic")[0, :, reach:-reach, reach:-reach]
