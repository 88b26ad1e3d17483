"""DeepSUM: single-image features, learned registration, mutual inpainting and 3-D fusion of nine frames.

Bordone Molini, Valsesia, Fracastoro & Magli (2020), DeepSUM: Deep neural network for Super-resolution of Unregistered
Multitemporal images, IEEE TGRS, doi:10.1109/TGRS.2019.2959248. SISRNet works on each bicubic frame by itself; RegNet
predicts from the features of a frame and of the reference one 9 x 9 filter, by which all features of the frame (and
the frame itself) are moved: global dynamic convolution; pixels that are not clear are taken from frames where they are;
FusionNet takes time steps away by 3-D convolutions without padding in time. The result is a residual on the mean of the
registered bicubic frames. 1,045,330 weights.

Trained in three steps, each a recipe: SISRNet with a projection on single frames, RegNet on whole shifts of the
features of frozen SISRNet, and all.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from ..errors import OptionError
from ..ops.looks import interpolate_fine
from .covering import MutualInpainting, masked_median
from .layers import full_precision
from .sharp import Fused, MultiFrame, Same, SharpEstimate, Stack

SLOPE, EPS = 0.2, 1e-3
REACH = 4
"""Fine pixels that RegNet's filter can move along each axis."""
SIDE = 2 * REACH + 1


@dataclass(frozen=True, slots=True)
class DeepSumOptions:
    """Size of the network, as published by default, and what of it is trained."""

    scale: int = 3
    bands: int = 1
    frames: int = 9
    """Odd; the fusion takes two away at a time."""
    width: int = 64
    layers: int = 8
    """Of SISRNet."""
    target: float = 0.2577
    """Deviation of the truth over that of the frames that the output counts in (596.98 over 2316.34 as published)."""
    stage: Literal["whole", "sisr", "regnet"] = "whole"
    """sisr: SISRNet and a projection, on the reference alone; regnet: RegNet alone, the estimate being the mean of the
    registered frames."""

    def __post_init__(self) -> None:
        if self.frames < 3 or self.frames % 2 == 0 or min(self.scale, self.bands, self.width, self.layers) < 1:
            raise OptionError(f"{self}: frames are odd and 3 or more, the rest is 1 or more.")


def deepsum(options: DeepSumOptions) -> MultiFrame:
    """The network, or the part of it that a pre-training trains, as parts of the one structure."""
    sisr = SisrNet(options)
    if options.stage == "sisr":
        return MultiFrame(sisr, Same(), Same(), FirstFrame(), Residual(options), frames=1)
    align, cover = RegNet(options), MutualInpainting(options.scale)
    reach = (REACH + 0.5) / options.scale
    several = {"frames": options.frames, "reach_px": reach}
    if options.stage == "regnet":
        return MultiFrame(sisr.requires_grad_(False), align, cover, FirstFrame(), MeanOnly(), **several)
    return MultiFrame(sisr, align, cover, FusionNet(options), Residual(options), **several)


class SisrNet(nn.Module):
    """Convolutions and instance normalisation on each frame, brought to the fine grid by bicubic interpolation."""

    def __init__(self, options: DeepSumOptions) -> None:
        super().__init__()
        self.scale = options.scale
        widths = [options.bands] + [options.width] * options.layers
        self.layers = nn.ModuleList(_layer(a, b) for a, b in pairwise(widths))
        _xavier(self)

    def forward(self, stack: Stack) -> Stack:
        """Features on the fine grid; the frames are not moved."""
        # ours: what is not usable would reach across its mask through every kernel, and must not
        frames = torch.where(stack.usable > 0, stack.frames.float(), masked_median(stack.frames, stack.usable)[:, None])
        fine = interpolate_fine(frames, torch.zeros_like(stack.shifts_px.float()), self.scale)
        x = fine.flatten(0, 1)
        for layer in self.layers:
            x = layer(x)
        return stack._replace(features=x.unflatten(0, fine.shape[:2]), fine=fine)


class RegNet(nn.Module):
    """One filter for each frame that brings it onto the first."""

    def __init__(self, options: DeepSumOptions) -> None:
        super().__init__()
        width = options.width
        widths = [2 * width, 2 * width, width, width, width]
        self.layers = nn.ModuleList(nn.Sequential(_conv(a, b), nn.LeakyReLU(SLOPE)) for a, b in pairwise(widths))
        self.last = _conv(width, SIDE**2)
        _xavier(self)

    def forward(self, stack: Stack) -> Stack:
        """Features and bicubic frames on the reference; the first frame is as it was."""
        assert stack.features is not None
        assert stack.fine is not None
        filters = self.logits(stack.features).softmax(2).unflatten(2, (SIDE, SIDE))
        return stack._replace(
            features=self._all(stack.features, filters), fine=self._all(stack.fine, filters.to(stack.fine.dtype))
        )

    def logits(self, features: Float[Tensor, "batch frame feature height width"]) -> Float[Tensor, "batch others 81"]:
        """Of the filter's taps, row by row, for every frame but the first."""
        others = features[:, 1:]
        x = torch.cat([others, features[:, :1].expand_as(others)], 2).flatten(0, 1)
        for layer in self.layers:
            x = layer(x)
        return self.last(x).float().mean((2, 3)).unflatten(0, others.shape[:2])

    @staticmethod
    def _all(frames: Tensor, filters: Tensor) -> Tensor:
        return torch.cat([frames[:, :1], dynamic_convolution(frames[:, 1:], filters.to(frames.dtype))], 1)


def dynamic_convolution(
    frames: Float[Tensor, "batch frame feature height width"], filters: Float[Tensor, "batch frame side side"]
) -> Float[Tensor, "batch frame feature height width"]:
    """Every band of a frame by the frame's one filter, which is not flipped; the border is reflected.

    A filter that is 1 at (reach + y, reach + x) and 0 elsewhere moves as a shift does: result(p) = frame(p + (x, y)).
    """
    reach, (height, width) = filters.shape[-1] // 2, frames.shape[-2:]
    with full_precision(frames.device.type):  # by its spectrum: several times faster on a CPU than filters in groups
        wide = pad(frames.float().flatten(0, 1), (reach,) * 4, mode="reflect")
        size = (wide.shape[-2], wide.shape[-1])
        filters_there = torch.fft.rfft2(filters.float(), s=size).conj().flatten(0, 1)[:, None]
        result = torch.fft.irfft2(torch.fft.rfft2(wide) * filters_there, s=size)
    return result[..., :height, :width].reshape(frames.shape).to(frames.dtype)


class FusionNet(nn.Module):
    """3-D convolutions that take two frames away each, until one is left."""

    def __init__(self, options: DeepSumOptions) -> None:
        super().__init__()
        width = options.width
        self.layers = nn.ModuleList(nn.Conv3d(width, width, 3) for _ in range(options.frames // 2))
        self.norms = nn.ModuleList(nn.InstanceNorm2d(width, EPS, affine=True) for _ in self.layers)
        _xavier(self)

    def forward(self, stack: Stack) -> Fused:
        """Features of all frames together."""
        assert stack.features is not None
        x = stack.features.transpose(1, 2)  # b 64 t h w
        for layer, norm in zip(self.layers, self.norms, strict=True):
            number, side = x.shape[2], x.shape[3:]
            x = pad(x.flatten(1, 2), (1, 1, 1, 1), mode="reflect").unflatten(1, (-1, number))
            x = layer(x)
            left = x.shape[2]
            flat = norm(x.transpose(1, 2).reshape(-1, x.shape[1], *side))  # each time step by itself
            x = nn.functional.leaky_relu(flat, SLOPE).reshape(-1, left, x.shape[1], *side).transpose(1, 2)
        return Fused(x[:, :, 0])


class FirstFrame(nn.Module):
    """The reference alone."""

    def forward(self, stack: Stack) -> Fused:
        """Its features."""
        assert stack.features is not None
        return Fused(stack.features[:, 0])


class Residual(nn.Module):
    """A projection, added to the mean of the registered bicubic frames."""

    def __init__(self, options: DeepSumOptions) -> None:
        super().__init__()
        self.target = options.target
        self.project = nn.Conv2d(options.width, options.bands, 1)
        _xavier(self)

    def forward(self, fused: Fused, stack: Stack) -> SharpEstimate:
        """The sharp image; no scale."""
        assert stack.fine is not None
        return SharpEstimate(stack.fine.mean(1) + self.target * self.project(fused.features).float(), None)


class MeanOnly(nn.Module):
    """The mean of the registered bicubic frames, to see what registration alone does."""

    def forward(self, _: Fused, stack: Stack) -> SharpEstimate:
        """The mean; no scale."""
        assert stack.fine is not None
        return SharpEstimate(stack.fine.mean(1), None)


def _conv(given: int, made: int) -> nn.Conv2d:
    return nn.Conv2d(given, made, 3, padding=1, padding_mode="reflect")


def _layer(given: int, made: int) -> nn.Sequential:
    return nn.Sequential(_conv(given, made), nn.InstanceNorm2d(made, EPS, affine=True), nn.LeakyReLU(SLOPE))


def _xavier(part: nn.Module) -> None:
    for layer in part.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            nn.init.xavier_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
