"""3D-WDSR: wide activations in three dimensions, over seven registered frames.

Dorr (2020), Satellite image multi-frame super resolution using 3D wide-activation neural networks, Remote Sensing
12(22), doi:10.3390/rs12223812. Frames are registered before; blocks of three weight-normalised 3-D convolutions, the
second of which is narrow; convolutions without padding in time leave one step; pixels are shuffled to the fine grid and
added to two convolutions of the mean frame. 327,213 weights and 2,115 gains of the weight normalisation.

Ours: pixels that are not usable are taken from the first frame that has them, as in DeepSUM.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle, relu
from torch.nn.utils.parametrizations import weight_norm

from ..errors import OptionError
from ..ops.looks import interpolate_fine
from .covering import MutualInpainting, masked_median
from .sharp import Fused, MultiFrame, Same, SharpEstimate, Stack


@dataclass(frozen=True, slots=True)
class Wdsr3dOptions:
    """Size of the network, as published by default."""

    scale: int = 3
    bands: int = 1
    frames: int = 7
    """Odd; the last convolutions take two away at a time."""
    width: int = 32
    expansion: int = 6
    narrow: float = 0.8
    """Of the width, in the middle of a block."""
    blocks: int = 8

    def __post_init__(self) -> None:
        if self.frames < 3 or self.frames % 2 == 0 or min(self.scale, self.bands, self.width, self.blocks) < 1:
            raise OptionError(f"{self}: frames are odd and 3 or more, the rest is 1 or more.")


def wdsr3d(options: Wdsr3dOptions) -> MultiFrame:
    """The network as parts of the one structure."""
    parts = Register(), Blocks(options), Reduce(options), Shuffle(options)
    return MultiFrame(Same(), *parts, frames=options.frames)


class Register(nn.Module):
    """Frames brought onto the reference by the shifts told, bicubic, without what is not usable. No weights."""

    def __init__(self) -> None:
        super().__init__()
        self.cover = MutualInpainting(1)

    def forward(self, stack: Stack) -> Stack:
        """The fine images are the registered frames, on the coarse grid."""
        # a bicubic pixel touches its neighbours: what is not usable must not reach across the edge of its mask
        frames = torch.where(stack.usable > 0, stack.frames.float(), masked_median(stack.frames, stack.usable)[:, None])
        return self.cover(stack._replace(fine=interpolate_fine(frames, stack.shifts_px.float(), 1)))


class Blocks(nn.Module):
    """The body."""

    def __init__(self, options: Wdsr3dOptions) -> None:
        super().__init__()
        self.enter = weight_norm(nn.Conv3d(options.bands, options.width, 3, padding=1))
        self.blocks = nn.ModuleList(Block(options) for _ in range(options.blocks))

    def forward(self, stack: Stack) -> Stack:
        """Features of each frame and its neighbours in the order of clearness."""
        assert stack.fine is not None
        x = relu(self.enter(stack.fine.transpose(1, 2)))
        for block in self.blocks:
            x = block(x)
        return stack._replace(features=x.transpose(1, 2))


class Block(nn.Module):
    """Wide, narrow, and over the neighbourhood; the result is added."""

    def __init__(self, options: Wdsr3dOptions) -> None:
        super().__init__()
        width, narrow = options.width, int(options.narrow * options.width)
        self.layers = nn.Sequential(
            weight_norm(nn.Conv3d(width, options.expansion * width, 1)),
            nn.ReLU(),
            weight_norm(nn.Conv3d(options.expansion * width, narrow, 1)),
            weight_norm(nn.Conv3d(narrow, width, 3, padding=1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The features changed."""
        return x + self.layers(x)


class Reduce(nn.Module):
    """Convolutions without padding in time, until one step is left."""

    def __init__(self, options: Wdsr3dOptions) -> None:
        super().__init__()
        count = options.frames // 2
        made = [options.width] * (count - 1) + [options.bands * options.scale**2]
        self.layers = nn.ModuleList(weight_norm(nn.Conv3d(options.width, n, 3)) for n in made)

    def forward(self, stack: Stack) -> Fused:
        """The fine pixels of each coarse one as bands."""
        assert stack.features is not None
        x = stack.features.transpose(1, 2)
        for k, layer in enumerate(self.layers):
            number = x.shape[2]
            x = layer(pad(x.flatten(1, 2), (1, 1, 1, 1), mode="reflect").unflatten(1, (-1, number)))
            x = relu(x) if k + 1 < len(self.layers) else x
        return Fused(x[:, :, 0])


class Shuffle(nn.Module):
    """To the fine grid, with two convolutions of the mean frame."""

    def __init__(self, options: Wdsr3dOptions) -> None:
        super().__init__()
        self.scale, cells = options.scale, options.bands * options.scale**2
        self.first = weight_norm(nn.Conv2d(options.bands, cells, 3, padding=1, padding_mode="reflect"))
        self.second = weight_norm(nn.Conv2d(cells, cells, 3, padding=1, padding_mode="reflect"))

    def forward(self, fused: Fused, stack: Stack) -> SharpEstimate:
        """The sharp image; no scale."""
        assert stack.fine is not None
        skip = self.second(relu(self.first(stack.fine.mean(1))))
        return SharpEstimate(pixel_shuffle((fused.features + skip).float(), self.scale), None)
