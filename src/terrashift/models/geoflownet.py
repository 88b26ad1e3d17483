"""Flow from two images by a U-Net without a correlation layer, at five scales.

The backbone of Bertrand, Giffard-Roisin, Hollingsworth & Mairal (2025), MicroFlow, arXiv:2504.13452, which has the form
of FlowNetS (Dosovitskiy et al. 2015) with 3 x 3 kernels and the first two layers at full resolution. At full width 38.0
million weights and 0.95 million multiply-adds for each pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import OptionError
from .equations import EQUATIONS, equations
from .estimate import Estimate, split
from .layers import keep_variance, pad_to_multiple, start_at_zero

SLOPE = 0.1
"""Of the leaky rectifier on its negative side."""
COARSEST = 16
"""Pixels of the image along a side of the coarsest features' cells."""


@dataclass(frozen=True, slots=True)
class GeoFlowNetOptions:
    """Size of the network.

    Raises:
        OptionError: where no feature map is left.
    """

    width: float | int = 1.0
    """Share of the published feature maps; 7/16 makes 7.3 million weights, 14 MiB in float16."""
    inputs: Literal["images", "equations"] = "images"
    """What the first layer sees: the two images as published, or what the least-squares flow is made of too (ours: it
    learns many times faster)."""
    scale: bool = False
    """Also tell how far each component may be off (ours)."""

    def __post_init__(self) -> None:
        if round(64 * self.width) < 1:
            raise OptionError(f"a width of {self.width} leaves no feature map: take 1/64 or more.")

    def maps(self, published: int) -> int:
        """Feature maps where the published network has so many."""
        return round(published * self.width)


class GeoFlowNet(nn.Module):
    """Motion between two images of any one size, in a single pass."""

    def __init__(self, options: GeoFlowNetOptions = GeoFlowNetOptions()) -> None:
        super().__init__()
        self.options = options
        n64, n128, n256, n512, n1024 = (options.maps(n) for n in (64, 128, 256, 512, 1024))
        seen_bands, told_bands = EQUATIONS if options.inputs == "equations" else 2, 4 if options.scale else 2
        self.full = nn.Sequential(_convolution(seen_bands, n64), _convolution(n64, n128))
        seen = (n128, n256, n512, n512, n1024)  # at 1, 1/2, 1/4, 1/8, 1/16
        self.down = nn.ModuleList(nn.Sequential(_convolution(a, b, 2), _convolution(b, b)) for a, b in pairwise(seen))
        rising = (n512, n256, n128, n64)  # at 1/8, 1/4, 1/2, 1
        joined = (n1024, *(skip + up + 2 for skip, up in zip(seen[-2::-1], rising, strict=True)))
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(a, b, 4, 2, 1), nn.LeakyReLU(SLOPE))
            for a, b in zip(joined, rising, strict=False)
        )
        self.heads = nn.ModuleList(nn.Conv2d(maps, told_bands, 3, padding=1) for maps in joined)
        self.up_flow = nn.ModuleList(nn.ConvTranspose2d(2, 2, 4, 2, 1, bias=False) for _ in rising)
        keep_variance(self, SLOPE)
        for head in self.heads:
            assert isinstance(head, nn.Conv2d)
            start_at_zero(head)

    def forward(
        self, before: Float[Tensor, "batch 1 height width"], after: Float[Tensor, "batch 1 height width"]
    ) -> list[Estimate]:
        """Motion at 1/16, 1/8, 1/4, 1/2 and 1 of the resolution, (x right, y down), in full-size pixels at every scale.

        Images are normalised and without NaN. Those whose sides are no multiples of 16 px are continued by their last
        row and column; the last answer is cut back to their size, coarser ones hold the continuation.
        """
        height, width = before.shape[-2:]
        before, after = (pad_to_multiple(image, COARSEST) for image in (before, after))
        given = equations(before, after) if self.options.inputs == "equations" else torch.cat([before, after], 1)
        x = self.full(given)  # b 128 h w
        seen = [x]
        for stage in self.down:
            seen.append(stage(seen[-1]))  # b 256 h/2; 512 h/4; 512 h/8; 1024 h/16
        x = seen.pop()
        told = [self.heads[0](x)]  # b 2 h/16 w/16
        for up, up_flow, head in zip(self.up, self.up_flow, self.heads[1:], strict=True):
            skip = seen.pop()
            x = torch.cat([skip, up(x), up_flow(told[-1][:, :2])], 1)  # b 512+512+2 h/8; 770 h/4; 386 h/2; 194 h
            told.append(head(x))  # b 2
        told[-1] = told[-1][..., :height, :width]
        return [split(bands) for bands in told]


def _convolution(inner: int, outer: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inner, outer, 3, stride, 1), nn.LeakyReLU(SLOPE))
