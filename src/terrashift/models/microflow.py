"""MicroFlow compact: iterative refinement with explicit warping, on the equations of optical flow at three scales.

Iterative refinement after Bertrand et al. 2025; one small network serves all passes. It is given, beside the two
images, the entries of the Gauss-Newton system of optical flow (Lucas & Kanade 1981), so that it only learns where and
how far to pool them, and keeps a memory between the passes (as in Teed & Deng 2020).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, grid_sample, interpolate, leaky_relu, pixel_shuffle, pixel_unshuffle

from ..ops.box import box_mean
from .equations import EQUATIONS, equations
from .estimate import Estimate

STATISTICS_PX = 4
"""Local mean and deviation are taken on a grid this much coarser."""
LARGEST = 4.0
"""Normalised values beyond this are cut off (lone bright roofs), and steps of the flow (px)."""
MOST_PX = 12.0
"""No pass moves anything further than this."""
CLOSER_PASSES = 2
"""At twice the resolution; a third gains nothing."""


@dataclass(frozen=True, slots=True)
class MicroFlowOptions:
    """Size of the network."""

    channels: tuple[int, int, int, int] = (64, 96, 128, 192)
    """Feature maps at a quarter, an eighth, a 16th and a 32nd of the resolution."""
    fine: int = 32
    """Feature maps at half the resolution."""
    passes: int = 3


class MicroFlow(nn.Module):
    """Motion between two images of one size, whose sides are multiples of 32."""

    multiple = 32

    def __init__(self, options: MicroFlowOptions = MicroFlowOptions()) -> None:
        super().__init__()
        self.options = options
        first, fine = options.channels[0], options.fine
        self.stem = nn.Conv2d(4 * EQUATIONS, first, 3, 2, 1)
        self.side = nn.Conv2d(5 * EQUATIONS + 2 + first, first, 3, 1, 1)
        self.down = nn.ModuleList(
            _Twice(a, b, stride)
            for a, b, stride in zip((first, *options.channels), options.channels, (1, 2, 2, 2), strict=False)
        )
        self.up = nn.ModuleList(
            _Twice(low + high, high, 1) for high, low in zip(options.channels[:-1], options.channels[1:], strict=True)
        )
        self.finer = nn.Conv2d(first, 4 * fine, 3, 1, 1)
        self.join = nn.Conv2d(fine + 4 * EQUATIONS + 8, fine + 8, 3, 1, 1)
        self.head = nn.Conv2d(fine + 8, 16, 3, 1, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # pyright: ignore[reportArgumentType]

    def forward(
        self,
        before: Float[Tensor, "batch 1 height width"],
        after: Float[Tensor, "batch 1 height width"],
        passes: int | None = None,
        start: Float[Tensor, "batch 2 height width"] | None = None,
    ) -> list[Estimate]:
        """The estimate after every pass; images of any brightness and contrast, without NaN.

        `start` is a first idea of the motion, from which the passes go on.
        """
        count, _, height, width = before.shape
        fixed = [normalise(image) for image in _pyramid(before)]
        flow = before.new_zeros(count, 2, height, width) if start is None else start
        memory = before.new_zeros(count, self.options.channels[0], height // 4, width // 4)
        estimates = []
        for number in range(passes or self.options.passes):
            moved = after if start is None and number == 0 else sample(after, flow)
            pyramid = [normalise(image) for image in _pyramid(moved)]
            change, log_scale, memory = self._once(fixed, pyramid, flow, memory)
            flow = flow + change
            estimates.append(Estimate(flow, log_scale))
            flow = flow.detach()
        return estimates

    def closer(
        self,
        before: Float[Tensor, "batch 1 height width"],
        after: Float[Tensor, "batch 1 height width"],
        start: Float[Tensor, "batch 2 height width"],
        passes: int = CLOSER_PASSES,
    ) -> list[Estimate]:
        """Go on from a flow on images of twice the resolution: sharper, at four times the cost. Sides: multiples of 16.

        Interpolated images tell nothing new, but the network parts motions a pixel of theirs away from each other.
        """
        once, twice = tuple(before.shape[-2:]), tuple(2 * side for side in before.shape[-2:])
        before, after = (interpolate(one, size=twice, mode="bicubic", align_corners=False) for one in (before, after))
        start = 2 * interpolate(start, size=twice, mode="bilinear", align_corners=False)
        estimates = []
        for found in self(before, after, passes, start):
            motion, log_scale = (interpolate(part, size=once, mode="area") for part in found)
            estimates.append(Estimate(motion / 2, log_scale - math.log(2)))
        return estimates

    def _once(
        self, before: list[Tensor], after: list[Tensor], flow: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        full, half, quarter = (equations(a, b) for a, b in zip(before, after, strict=True))  # b 8 h w; 1/2; 1/4
        # bounded, as the memory is: what a pass makes of an odd pair must not grow from pass to pass
        detail = (flow - _smooth(flow)).clamp(-LARGEST, LARGEST)  # b 2 h w
        full = pixel_unshuffle(full, 2)  # b 32 h/2 w/2
        side = torch.cat([pixel_unshuffle(half, 2), quarter, avg_pool2d(detail, 4), memory], 1)
        x = leaky_relu(self.stem(full) + self.side(side), 0.1)  # b 64 h/4 w/4
        seen = []
        for block in self.down:
            x = block(x)  # b 64 h/4; b 96 h/8; b 128 h/16; b 192 h/32
            seen.append(x)
        for level in (2, 1, 0):
            wide = interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = self.up[level](torch.cat([wide, seen[level]], 1))
        fine = leaky_relu(pixel_shuffle(self.finer(x), 2), 0.1)  # b 32 h/2 w/2
        fine = torch.cat([fine, full, pixel_unshuffle(detail, 2)], 1)  # b 32+32+8 h/2 w/2
        fine = leaky_relu(self.join(fine), 0.1)
        out = pixel_shuffle(self.head(fine), 2).float()  # b 4 h w
        return MOST_PX * torch.tanh(out[:, :2] / MOST_PX), out[:, 2:], torch.tanh(x.float())


class _Twice(nn.Module):
    """Two 3x3 convolutions, each followed by a leaky rectifier."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inner, outer, 3, stride, 1)
        self.second = nn.Conv2d(outer, outer, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return leaky_relu(self.second(leaky_relu(self.first(x), 0.1)), 0.1)


def normalise(image: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 1 height width"]:
    """Subtract the local mean and divide by the local deviation, both over about 20 px, found on a coarser grid.

    Beside `models.normalise.standardise_locally`, which is exact and slower; the weights learned with this one.

    The deviation is never taken for less than a tenth of that over some 70 px, so that flat ground beside rough stays
    flat. What comes out does not depend on the image's brightness and contrast.
    """
    size = tuple(image.shape[-2:])
    middle = image.mean((2, 3), keepdim=True)  # keeps the squares small
    shifted = image - middle
    mean = box_mean(avg_pool2d(shifted, STATISTICS_PX), 5)
    square = box_mean(avg_pool2d(shifted * shifted, STATISTICS_PX), 5)
    variance = (square - mean * mean).clamp_min(0)
    floor = 0.01 * box_mean(variance, 17) + 1e-12
    scale = (variance + floor).rsqrt()
    mean, scale = (interpolate(part, size=size, mode="bilinear", align_corners=False) for part in (mean, scale))
    return ((shifted - mean) * scale).clamp(-LARGEST, LARGEST)


def sample(
    image: Float[Tensor, "batch 1 height width"], flow: Float[Tensor, "batch 2 height width"]
) -> Float[Tensor, "batch 1 height width"]:
    """image(p + flow(p)), flow in px, by bicubic interpolation, the border repeated outside.

    Torch's own kernel (Keys' parameter -0.75, three times as fast as that of `ops.warp`, -0.5); the weights learned
    with it, so the two change together.
    """
    height, width = image.shape[-2:]
    x = torch.arange(width, device=flow.device, dtype=flow.dtype) + flow[:, 0]
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]
    unit = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)  # pixel centres, corners at -1 and 1
    return grid_sample(image, unit, mode="bicubic", padding_mode="border", align_corners=False)


def _pyramid(image: Tensor) -> list[Tensor]:
    half = avg_pool2d(image, 2)
    return [image, half, avg_pool2d(half, 2)]


def _smooth(flow: Tensor) -> Tensor:
    """The flow over some 20 px."""
    coarse = box_mean(avg_pool2d(flow, 4), 5)
    return interpolate(coarse, size=tuple(flow.shape[-2:]), mode="bilinear", align_corners=False)
