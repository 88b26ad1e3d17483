"""PIUnet: a permutation-invariant network that tells its uncertainty.

Valsesia & Magli (2022), Permutation invariance and uncertainty in multitemporal image super-resolution, IEEE TGRS,
doi:10.1109/TGRS.2021.3130673. Convolutions see each frame by itself, attention at each pixel sees all frames in no
order, a 5 x 5 filter per frame registers, a mean joins; two heads give the mean and the log-scale of a Laplace
distribution. 828,355 weights.

Ours: pixels that are not usable take the median of those that are; absent frames are left out of attention and means.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, pixel_shuffle

from ..errors import OptionError
from .covering import masked_median
from .deepsum import dynamic_convolution
from .sharp import Fused, MultiFrame, Same, SharpEstimate, Stack

SIDE = 5
"""Of the registering filters, coarse px."""


@dataclass(frozen=True, slots=True)
class PiunetOptions:
    """Size of the network, as published by default."""

    scale: int = 3
    bands: int = 1
    width: int = 42
    blocks: int = 16
    squeeze: int = 8

    def __post_init__(self) -> None:
        if min(self.scale, self.bands, self.blocks) < 1 or self.width < self.squeeze:
            raise OptionError(f"{self}: scale, bands and blocks take 1 or more, the width as much as squeeze.")


def piunet(options: PiunetOptions) -> MultiFrame:
    """The network as parts of the one structure."""
    return MultiFrame(Encoder(options), Tern(options), Same(), FrameMean(), Heads(options))


class Frames(nn.Module):
    """Convolution of each frame by itself, then attention over the frames of each pixel, which is added."""

    def __init__(self, given: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(given, width, (1, 3, 3), padding=(0, 1, 1))
        self.first, self.second = nn.BatchNorm3d(width), nn.BatchNorm3d(width)
        self.attend = nn.MultiheadAttention(width, 1, batch_first=True)

    def forward(self, x: Tensor, absent: Tensor) -> Tensor:
        """b f t h w to b width t h w."""
        x = leaky_relu(self.first(self.conv(x)))
        count, width, number, height, across = x.shape
        row = x.permute(0, 3, 4, 2, 1).reshape(-1, number, width)
        mask = absent.repeat_interleave(height * across, 0)
        seen, _ = self.attend(row, row, row, key_padding_mask=mask, need_weights=False)
        seen = seen.reshape(count, height, across, number, width).permute(0, 4, 3, 1, 2)
        return self.second(x + seen)


class Tefa(nn.Module):
    """Two of these, and a weight of each feature from its mean over everything; the result is added."""

    def __init__(self, options: PiunetOptions) -> None:
        super().__init__()
        width = options.width
        self.one, self.two = Frames(width, width), Frames(width, width)
        self.squeeze = nn.Linear(width, width // options.squeeze)
        self.excite = nn.Linear(width // options.squeeze, width)

    def forward(self, x: Tensor, absent: Tensor) -> Tensor:
        """The features changed."""
        seen = self.two(leaky_relu(self.one(x, absent)), absent)
        mean = _mean_of_present(seen.mean((3, 4)), absent)
        weight = self.excite(leaky_relu(self.squeeze(mean))).sigmoid()
        return x + seen * weight[:, :, None, None, None]


class Encoder(nn.Module):
    """Features of every frame that know of the others."""

    def __init__(self, options: PiunetOptions) -> None:
        super().__init__()
        self.enter = Frames(options.bands, options.width)
        self.blocks = nn.ModuleList(Tefa(options) for _ in range(options.blocks))
        self.middle = Frames(options.width, options.width)

    def forward(self, stack: Stack) -> Stack:
        """Features on the coarse grid; the frames without what is not usable."""
        median = masked_median(stack.frames.float(), stack.usable)
        frames = torch.where(stack.usable > 0, stack.frames.float(), median[:, None])
        absent = absent_of(stack)
        start = self.enter(frames.transpose(1, 2), absent)
        x = start
        for block in self.blocks:
            x = block(x, absent)
        x = leaky_relu(self.middle(x, absent)) + start
        return stack._replace(frames=frames, features=x.transpose(1, 2))


class Tern(nn.Module):
    """A filter for each frame, without softmax, that its features pass."""

    def __init__(self, options: PiunetOptions) -> None:
        super().__init__()
        self.frames = Frames(options.width, options.width)
        self.last = nn.Linear(options.width, SIDE**2)

    def forward(self, stack: Stack) -> Stack:
        """Features registered with each other."""
        assert stack.features is not None
        seen = leaky_relu(self.frames(stack.features.transpose(1, 2), absent_of(stack)))
        filters = self.last(seen.mean((3, 4)).transpose(1, 2)).unflatten(2, (SIDE, SIDE))
        return stack._replace(features=dynamic_convolution(stack.features, filters.to(stack.features.dtype)))


class FrameMean(nn.Module):
    """The mean over the frames that are there. No weights."""

    def forward(self, stack: Stack) -> Fused:
        """Features of all frames together."""
        assert stack.features is not None
        return Fused(_mean_of_present(stack.features.transpose(1, 2), absent_of(stack)))


class Heads(nn.Module):
    """Mean, on top of the mean of the bilinear frames, and log-scale."""

    def __init__(self, options: PiunetOptions) -> None:
        super().__init__()
        self.scale, width = options.scale, options.width
        self.mean = nn.Conv2d(width, options.bands * options.scale**2, 3, padding=1)
        self.spread = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(),
            nn.Conv2d(width, options.bands, 1),
        )

    def forward(self, fused: Fused, stack: Stack) -> SharpEstimate:
        """The sharp image and the scale of its error."""
        plain = _mean_of_present(stack.frames.transpose(1, 2), absent_of(stack))
        mean = pixel_shuffle(self.mean(fused.features), self.scale).float() + self._up(plain)
        return SharpEstimate(mean, self.spread(self._up(fused.features)).float())

    def _up(self, image: Tensor) -> Tensor:
        return interpolate(image, scale_factor=self.scale, mode="bilinear", align_corners=False)


def absent_of(stack: Stack) -> Tensor:
    """True for frames that merely fill up a batch; the reference never counts as such."""
    absent = stack.present == 0
    absent[:, 0] = False
    return absent


def _mean_of_present(x: Tensor, absent: Tensor) -> Tensor:
    """Mean over frames, b f t ... to b f ...."""
    weight = (~absent).to(x.dtype).reshape(len(x), 1, -1, *[1] * (x.ndim - 3))
    return (x * weight).sum(2) / weight.sum(2)
