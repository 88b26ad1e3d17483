"""Several coarse frames of one place to one sharp image: the one structure that every such network fills.

Frames are encoded, aligned, freed of what clouds hide, fused and decoded. The networks of the literature, and ours,
differ in these five parts only; each part is a module that takes and gives a `Stack`, or fuses and decodes one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import InputError
from ..ops.looks import Looks


class SharpEstimate(NamedTuple):
    """The sharp image, and how far it may be off."""

    mean: Float[Tensor, "batch band fine_height fine_width"]
    """On the grid of frame 0: coarse pixel p has its middle at scale * p + (scale - 1)/2 of this."""
    log_scale: Float[Tensor, "batch band fine_height fine_width"] | None
    """Natural logarithm of the Laplace scale of the error, in the frames' unit; None where a network does not tell."""


def calibrated(estimate: SharpEstimate, calibration: Mapping[str, float]) -> SharpEstimate:
    """An estimate whose scale covers the errors that it promises to: offset + power * log-scale.

    Args:
        estimate: of a network; one without a scale stays as it is.
        calibration: `offset` and `power`, as `io.weights` has them beside the network's weights; empty for none.
    """
    if estimate.log_scale is None or not calibration:
        return estimate
    return estimate._replace(log_scale=calibration["offset"] + calibration["power"] * estimate.log_scale)


class Stack(NamedTuple):
    """A burst on its way through a network."""

    frames: Float[Tensor, "batch frame band height width"]
    """Frame 0 is the reference."""
    usable: Float[Tensor, "batch frame 1 height width"]
    """1 = usable."""
    shifts_px: Float[Tensor, "batch frame 2"]
    """(x right, y down) px: frame(p + shift) = reference(p)."""
    features: Float[Tensor, "batch frame feature rows columns"] | None = None
    """Of each frame, on the coarse or the fine grid."""
    fine: Float[Tensor, "batch frame band fine_height fine_width"] | None = None
    """Frames interpolated onto the fine grid, which aligning and masking treat as the features: for the global skip."""
    looks: Looks | None = None
    """How each frame sees the fine grid, where the shifts are taken as given."""

    @property
    def present(self) -> Float[Tensor, "batch frame"]:
        """1 for frames with any usable pixel, 0 for those that merely fill up a batch."""
        return self.usable.amax((2, 3, 4))


class Fused(NamedTuple):
    """What the frames have become together."""

    features: Float[Tensor, "batch feature rows columns"]
    image: Float[Tensor, "batch band fine_height fine_width"] | None = None
    """An estimate so far, where the fuser makes one."""


class Same(nn.Module):
    """A part that does nothing."""

    def forward(self, stack: Stack) -> Stack:
        """As it is."""
        return stack


class MultiFrame(nn.Module):
    """Encode, align, treat masks, fuse, decode.

    Args:
        encode: stack to stack with features.
        align: stack to stack whose features (and fine images) lie on the reference.
        cover: stack to stack in which what is not usable is replaced or left out.
        fuse: stack to `Fused`.
        decode: (fused, stack) to `SharpEstimate`, any global skip included.
        frames: the number of frames that the network is made for; 0 for any. Of more the clearest are taken, in the
            order of their clearness, the reference first; where there are fewer, they are repeated.
        reach_px: largest shift along an axis of the frames that are taken, coarse px.
    """

    def __init__(
        self,
        encode: nn.Module,
        align: nn.Module,
        cover: nn.Module,
        fuse: nn.Module,
        decode: nn.Module,
        *,
        frames: int = 0,
        reach_px: float = math.inf,
    ) -> None:
        super().__init__()
        self.encode, self.align, self.cover, self.fuse, self.decode = encode, align, cover, fuse, decode
        self.frames, self.reach_px = frames, reach_px

    def forward(
        self,
        frames: Float[Tensor, "batch frame band height width"],
        usable: Float[Tensor, "batch frame 1 height width"],
        shifts_px: Float[Tensor, "batch frame 2"],
    ) -> SharpEstimate:
        """One sharp image of each burst.

        Args:
            frames: standardised, numbers everywhere; frame 0 is the reference.
            usable: 1 on clear pixels, 0 elsewhere; a frame of zeros is as good as none.
            shifts_px: (x right, y down) px, frame(p + shift) = reference(p); networks that align frames by
                themselves look at its whole pixels at most.

        Raises:
            InputError: no frame, or masks and shifts of another number of frames.
        """
        if not frames.shape[1] == usable.shape[1] == shifts_px.shape[1] > 0:
            raise InputError(
                f"{frames.shape[1]} frames, {usable.shape[1]} masks and {shifts_px.shape[1]} shifts: give one of each "
                "for every frame, and at least one frame."
            )
        near = (shifts_px.abs().amax(2) <= self.reach_px).to(usable.dtype)
        stack = Stack(frames, usable * near[:, :, None, None, None], shifts_px)
        if self.frames:
            stack = clearest(stack, self.frames)
        stack = self.cover(self.align(self.encode(stack)))
        return self.decode(self.fuse(stack), stack)


def clearest(stack: Stack, count: int) -> Stack:
    """The reference and the clearest of the rest, clearest first; repeated in turn where there are fewer.

    Frame, mask and shift are picked together, so that none can end up beside another's.
    """
    clear = stack.usable.mean((2, 3, 4))
    clear = clear.clone()
    clear[:, 0] = 2.0  # the reference comes first whatever hides it
    order = clear.argsort(dim=1, descending=True, stable=True)
    there = (clear > 0).sum(1).clamp_min(1)
    turn = torch.arange(count, device=order.device)[None] % there[:, None]
    chosen = order.gather(1, turn)
    row = torch.arange(len(chosen), device=order.device)[:, None]
    return Stack(stack.frames[row, chosen], stack.usable[row, chosen], stack.shifts_px[row, chosen])
