"""HighRes-net: frames fused two by two, again and again, by one module; and ShiftNet, which registers its training.

Deudon et al. (2020), HighRes-net: recursive fusion for multi-frame super-resolution of satellite imagery,
arXiv:2002.06460. Every frame is encoded beside the median of all; then the first frame is fused with the last, the
second with the last but one, until one is left, which a transposed convolution brings to the fine grid: 591,818
weights. ShiftNet (after DeTone et al. 2016), 34,187,648 weights, finds the shift between the output and the truth, so
that a loss need not search for it; the loss with a border does that without weights, and our recipes use it.

Ours: the median, and what it replaces, are of usable pixels alone, and frames that merely fill up a batch are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from ..errors import InputError, OptionError
from .covering import masked_median
from .sharp import Fused, MultiFrame, Same, SharpEstimate, Stack

LANCZOS = 3


@dataclass(frozen=True, slots=True)
class HighResNetOptions:
    """Size of the network, as published by default."""

    scale: int = 3
    bands: int = 1
    width: int = 64
    blocks: int = 2
    """Residual blocks of the encoder."""

    def __post_init__(self) -> None:
        if min(self.scale, self.bands, self.width) < 1 or self.blocks < 0:
            raise OptionError(f"{self}: scale, bands and width take 1 or more.")


def highresnet(options: HighResNetOptions) -> MultiFrame:
    """The network as parts of the one structure."""
    return MultiFrame(Encoder(options), Same(), Same(), Pairwise(options), Decoder(options))


class Encoder(nn.Module):
    """Features of each frame beside the median of all."""

    def __init__(self, options: HighResNetOptions) -> None:
        super().__init__()
        width = options.width
        self.enter = nn.Sequential(nn.Conv2d(2 * options.bands, width, 3, padding=1), nn.PReLU())
        self.blocks = nn.ModuleList(Block(width) for _ in range(options.blocks))
        self.last = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, stack: Stack) -> Stack:
        """Features on the coarse grid."""
        median = masked_median(stack.frames.float(), stack.usable)
        frames = torch.where(stack.usable > 0, stack.frames.float(), median[:, None])
        both = torch.cat([frames, median[:, None].expand_as(frames)], 2)
        x = self.enter(both.flatten(0, 1))
        for block in self.blocks:
            x = block(x)
        return stack._replace(features=self.last(x).unflatten(0, both.shape[:2]))


class Pairwise(nn.Module):
    """Fusion two by two until one is left; what has no partner stays as it is."""

    def __init__(self, options: HighResNetOptions) -> None:
        super().__init__()
        width = options.width
        self.block = Block(2 * width)
        self.join = nn.Sequential(nn.Conv2d(2 * width, width, 3, padding=1), nn.PReLU())

    def forward(self, stack: Stack) -> Fused:
        """Features of all frames together."""
        x = stack.features
        assert x is not None
        present = stack.present.clone()
        present[:, 0] = 1.0  # where there is nothing at all, the reference stands for it
        order = present.argsort(dim=1, descending=True, stable=True)
        row = torch.arange(len(x), device=x.device)[:, None]
        x, left = x[row, order], present.sum(1, keepdim=True).long()
        while x.shape[1] > 1:
            place = torch.arange(-(-x.shape[1] // 2), device=x.device)[None]
            partner = left - 1 - place  # by each burst's own number of frames: absent ones change nothing
            both = torch.cat([x[:, : place.shape[1]], x[row, partner.clamp_min(0)]], 2)
            joined = self.join(self.block(both.flatten(0, 1))).unflatten(0, both.shape[:2])
            paired = (partner > place).to(joined.dtype)[:, :, None, None, None]
            x, left = x[:, : place.shape[1]] + paired * joined, (left + 1) // 2
        return Fused(x[:, 0])


class Decoder(nn.Module):
    """To the fine grid."""

    def __init__(self, options: HighResNetOptions) -> None:
        super().__init__()
        width, scale = options.width, options.scale
        self.up = nn.Sequential(nn.ConvTranspose2d(width, width, scale, scale), nn.PReLU())
        self.last = nn.Conv2d(width, options.bands, 1)

    def forward(self, fused: Fused, _: Stack) -> SharpEstimate:
        """The sharp image; no scale."""
        return SharpEstimate(self.last(self.up(fused.features)).float(), None)


class Block(nn.Module):
    """Two convolutions, each with a learned rectifier, whose result is added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.PReLU(), nn.Conv2d(width, width, 3, padding=1), nn.PReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        """The features changed."""
        return x + self.layers(x)


class ShiftNet(nn.Module):
    """The shift between two images of 128 px, from all of them at once; untrained it finds none."""

    SIDE = 128

    def __init__(self) -> None:
        super().__init__()
        widths, layers = [2, 64, 64, 64, 64, 128, 128, 128, 128], []
        for k, (given, made) in enumerate(pairwise(widths)):
            layers += [nn.Conv2d(given, made, 3, padding=1), nn.BatchNorm2d(made), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if k in (1, 3, 5) else []
        self.layers = nn.Sequential(*layers)
        self.join = nn.Sequential(nn.Dropout(0.5), nn.Linear(128 * 16 * 16, 1024), nn.ReLU(), nn.Dropout(0.5))
        self.last = nn.Linear(1024, 2, bias=False)
        nn.init.zeros_(self.last.weight)

    def forward(
        self, sharp: Float[Tensor, "batch 1 height width"], truth: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch 2"]:
        """(x right, y down) px by which `sharp` is to be moved, from the middles of both.

        Raises:
            InputError: images below 128 px.
        """
        if min(sharp.shape[-2:]) < self.SIDE:
            raise InputError(f"images of {tuple(sharp.shape[-2:])} px: ShiftNet takes 128 px a side or more.")
        top, left = ((n - self.SIDE) // 2 for n in sharp.shape[-2:])
        middle = (..., slice(top, top + self.SIDE), slice(left, left + self.SIDE))
        both = torch.cat([image[middle] - image[middle].mean((2, 3), keepdim=True) for image in (sharp, truth)], 1)
        return self.last(self.join(self.layers(both).flatten(1)))


def lanczos_shift(
    image: Float[Tensor, "batch band height width"], shift_px: Float[Tensor, "batch 2"]
) -> Float[Tensor, "batch band height width"]:
    """Move an image, result(p + shift) = image(p), by a Lanczos kernel of 3 px; the border is reflected.

    Gradients reach the image and the shift, which ShiftNet learns by.
    """
    reach = LANCZOS + 2
    place = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
    count, bands = image.shape[:2]
    result = pad(image, (reach,) * 4, mode="reflect").flatten(0, 1)[None]
    for component, shape in ((1, (-1, 1)), (0, (1, -1))):
        away = place + shift_px[:, component, None]
        kernel = torch.sinc(away) * torch.sinc(away / LANCZOS) * (away.abs() < LANCZOS)
        kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(bands, 0).reshape(count * bands, 1, *shape)
        result = nn.functional.conv2d(result, kernel, groups=count * bands)
    return result.reshape(image.shape)
