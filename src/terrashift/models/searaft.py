"""Flow by looking up correlations between all pairs of features, refined by a recurrent network.

SEA-RAFT: Wang, Lipson & Deng (2024), arXiv:2405.14793, after RAFT: Teed & Deng (2020), arXiv:2003.12039. Encoders are
ResNets cut off at an eighth of the resolution (He et al. 2016), the update is made of ConvNeXt blocks (Liu et al.
2022). Here for images of a single band, without weights trained on photographs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, gelu, grid_sample, logsigmoid, relu

from .estimate import Estimate
from .layers import convex_upsample, full_precision, pad_to_multiple, sample, start_at_zero
from .normalise import NORMALISATIONS, Normalisation

CELL = 8
"""Pixels of the image along a side of a feature's cell."""
LEVELS = 4
"""Of the correlation pyramid; the coarsest cells measure 64 px."""
LARGEST_LOG_SCALE = 10.0
"""Of the ambiguous part of the mixture, as published."""


@dataclass(frozen=True, slots=True)
class SeaRaftOptions:
    """Size of the network; the default is the published SEA-RAFT (M), with 12 iterations (L)."""

    blocks: tuple[int, int, int] = (3, 4, 6)
    """Residual blocks at 1/2, 1/4 and 1/8: (3, 4, 6) cut off a ResNet-34, (2, 2, 2) a ResNet-18 (S)."""
    maps: tuple[int, int, int] = (64, 128, 256)
    """Feature maps at 1/2, 1/4 and 1/8."""
    hidden: int = 128
    """Feature maps of the state, and as many of the context; the correlated features are twice as many."""
    radius: int = 4
    """Cells looked at on either side of the flow so far, at each level."""
    updates: int = 2
    """ConvNeXt blocks."""
    iterations: int = 4
    normalisation: Normalisation = "mean-deviation"
    fixed_px: float = 1.0
    """Scale of the ordinary distribution of errors: 1 px as published, less for motions below a pixel (ours)."""


SMALL = SeaRaftOptions(blocks=(2, 2, 2), maps=(56, 112, 224), hidden=112)
"""Ours: 6.8 million weights, 13 MiB in float16."""


class SeaRaftEstimate(NamedTuple):
    """What one iteration ends in: a flow, and a mixture of two Laplace distributions of its error."""

    flow: Float[Tensor, "batch 2 height width"]
    """(x right, y down) px."""
    ordinary: Float[Tensor, "batch 1 height width"]
    """Log-odds of the ordinary distribution, whose scale is fixed; the sigmoid is its share (alpha)."""
    log_scale: Float[Tensor, "batch 1 height width"]
    """Natural logarithm of the other one's scale over the fixed one (beta 2), cut off to 0 to 10 where it is used."""


class SeaRaft(nn.Module):
    """Motion between two images of any one size."""

    def __init__(self, options: SeaRaftOptions = SeaRaftOptions()) -> None:
        super().__init__()
        self.options = options
        hidden = options.hidden
        self.features = Encoder(1, 2 * hidden, options)
        self.context = Encoder(2, 2 * hidden, options)
        self.context_mix = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1)
        self.motion = MotionEncoder(LEVELS * (2 * options.radius + 1) ** 2, hidden)
        self.updates = nn.ModuleList(UpdateBlock(3 * hidden, hidden) for _ in range(options.updates))
        self.flow_head = _head(hidden, 4, 3)
        self.upsample_head = _head(hidden, 9 * CELL**2, 1)
        last = self.flow_head[-1]
        assert isinstance(last, nn.Conv2d)
        start_at_zero(last)

    def forward(
        self,
        before: Float[Tensor, "batch 1 height width"],
        after: Float[Tensor, "batch 1 height width"],
        iterations: int | None = None,
        start: Float[Tensor, "batch 2 height width"] | None = None,
    ) -> list[SeaRaftEstimate]:
        """The starting flow, regressed from the two images alone, then that of every iteration.

        Images of any brightness and contrast, without NaN. They are continued by their last row and column to multiples
        of 8 px, and to 64 at least. Memory goes with the square of the area: the correlations of a 256 x 256 px pair
        take 5.3 MiB, of a 1024 x 1024 px pair 1.3 GiB.

        Args:
            iterations: another number than the options'.
            start: a first idea of the flow, (x right, y down) px: what is left after it is looked for.
        """
        normalise = NORMALISATIONS[self.options.normalisation]
        before, after = normalise(before), normalise(after if start is None else sample(after, start))
        height, width = before.shape[-2:]
        least = CELL * 2 ** (LEVELS - 1)
        before, after = (pad_to_multiple(image, CELL, least) for image in (before, after))
        one, other = self.features(torch.cat([before, after])).chunk(2)  # b 256 h/8 w/8
        pyramid = correlation_pyramid(one, other)
        both = self.context_mix(self.context(torch.cat([before, after], 1)))  # b 256 h/8 w/8
        state, context = both.chunk(2, 1)  # b 128 h/8 w/8
        estimate = self.flow_head(state).float()  # b 4 h/8 w/8
        flow = estimate[:, :2]  # in cells
        estimates = [self._full_size(flow, estimate[:, 2:], state, (height, width))]
        for _ in range(self.options.iterations if iterations is None else iterations):
            flow = flow.detach()
            seen = self.motion(look_up(pyramid, flow, self.options.radius), flow)  # b 128 h/8 w/8
            for update in self.updates:
                state = update(torch.cat([state, context, seen], 1))  # b 128 h/8 w/8
            estimate = self.flow_head(state).float()
            flow = flow + estimate[:, :2]
            estimates.append(self._full_size(flow, estimate[:, 2:], state, (height, width)))
        return estimates if start is None else [e._replace(flow=e.flow + start) for e in estimates]

    def _full_size(self, flow: Tensor, mixture: Tensor, state: Tensor, shape: tuple[int, int]) -> SeaRaftEstimate:
        logits = self.upsample_head(state)  # b 576 h/8 w/8
        full = convex_upsample(torch.cat([CELL * flow, mixture], 1), logits, CELL)  # b 4 h w
        full = full[..., : shape[0], : shape[1]]
        return SeaRaftEstimate(full[:, :2], full[:, 2:3], full[:, 3:])


class Encoder(nn.Module):
    """A ResNet of basic blocks down to an eighth of the resolution."""

    def __init__(self, bands: int, out: int, options: SeaRaftOptions) -> None:
        super().__init__()
        first = options.maps[0]
        self.stem = nn.Conv2d(bands, first, 7, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(first)
        blocks: list[nn.Module] = []
        inner = first
        for stage, (count, outer) in enumerate(zip(options.blocks, options.maps, strict=True)):
            for number in range(count):
                blocks.append(ResidualBlock(inner, outer, 2 if stage and not number else 1))
                inner = outer
        self.blocks = nn.Sequential(*blocks)
        self.out = nn.Conv2d(inner, out, 1)

    def forward(self, images: Float[Tensor, "batch bands height width"]) -> Float[Tensor, "batch maps rows columns"]:
        x = relu(self.norm(self.stem(images)))  # b 64 h/2 w/2
        return self.out(self.blocks(x))  # b 64 h/2; 128 h/4; 256 h/8


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a way that goes around them."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outer)
        self.second = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outer)
        self.around: nn.Module = nn.Identity()
        if stride != 1 or inner != outer:
            self.around = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x: Tensor) -> Tensor:
        y = relu(self.first_norm(self.first(x)))
        return relu(self.around(x) + self.second_norm(self.second(y)))


class MotionEncoder(nn.Module):
    """What the correlations around the flow, and the flow itself, say."""

    def __init__(self, correlations: int, hidden: int) -> None:
        super().__init__()
        self.correlation_first = nn.Conv2d(correlations, 2 * hidden, 1)
        self.correlation_second = nn.Conv2d(2 * hidden, hidden + hidden // 2, 3, padding=1)
        self.flow_first = nn.Conv2d(2, hidden, 7, padding=3)
        self.flow_second = nn.Conv2d(hidden, hidden // 2, 3, padding=1)
        self.join = nn.Conv2d(2 * (hidden // 2) + hidden, hidden - 2, 3, padding=1)

    def forward(
        self, correlations: Float[Tensor, "batch looks rows columns"], flow: Float[Tensor, "batch 2 rows columns"]
    ) -> Float[Tensor, "batch hidden rows columns"]:
        x = relu(self.correlation_second(relu(self.correlation_first(correlations))))  # b 192 h/8 w/8
        y = relu(self.flow_second(relu(self.flow_first(flow))))  # b 64 h/8 w/8
        return torch.cat([relu(self.join(torch.cat([x, y], 1))), flow], 1)  # b 126+2 h/8 w/8


class UpdateBlock(nn.Module):
    """A ConvNeXt block, and a layer that keeps the new state of it."""

    def __init__(self, inner: int, hidden: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(inner, inner, 7, padding=3, groups=inner)
        self.norm = nn.LayerNorm(inner)
        self.grow = nn.Linear(inner, 4 * hidden)
        self.shrink = nn.Linear(4 * hidden, inner)
        self.scale = nn.Parameter(torch.full((inner,), 0.1))  # ours: 1e-6, made for deep networks, wakes up late
        self.keep = nn.Conv2d(inner, hidden, 1)

    def forward(self, x: Float[Tensor, "batch inner rows columns"]) -> Float[Tensor, "batch hidden rows columns"]:
        y = self.norm(self.wide(x).permute(0, 2, 3, 1))  # b h/8 w/8 384
        y = self.scale * self.shrink(gelu(self.grow(y)))
        return self.keep(x + y.permute(0, 3, 1, 2))


def correlation_pyramid(
    one: Float[Tensor, "batch maps rows columns"], other: Float[Tensor, "batch maps rows columns"]
) -> list[Float[Tensor, "places 1 _ _"]]:
    """Correlation of every feature of `one` (batch * rows * columns places) with all of `other`, ever coarser."""
    maps, (rows, columns) = one.shape[1], one.shape[-2:]
    with full_precision(one.device.type):  # sums of hundreds of products
        volume = one.float().flatten(2).transpose(1, 2) @ other.float().flatten(2) / math.sqrt(maps)
    pyramid = [volume.reshape(-1, 1, rows, columns)]
    for _ in range(LEVELS - 1):
        pyramid.append(avg_pool2d(pyramid[-1], 2))
    return pyramid


def look_up(
    pyramid: list[Float[Tensor, "places 1 _ _"]], flow: Float[Tensor, "batch 2 rows columns"], radius: int
) -> Float[Tensor, "batch looks rows columns"]:
    """Correlations around where the flow points, in squares of 2 * radius + 1 cells of each level; 0 outside.

    Bilinear. A coarser cell has its centre between those of the finer ones (ours: RAFT takes that of the first).

    Args:
        flow: in cells of the finest level.
    """
    count, _, rows, columns = flow.shape
    x = torch.arange(columns, device=flow.device) + 0.5 + flow[:, 0]  # b rows columns, from the left edge
    y = torch.arange(rows, device=flow.device)[:, None] + 0.5 + flow[:, 1]
    near = torch.arange(-radius, radius + 1, device=flow.device, dtype=flow.dtype)
    looks = []
    for level, volume in enumerate(pyramid):
        height, width = volume.shape[-2:]
        right = 2 / width * (x.reshape(-1, 1, 1) / 2**level + near) - 1  # edges at -1 and 1
        down = 2 / height * (y.reshape(-1, 1, 1) / 2**level + near[:, None]) - 1
        at = torch.stack(torch.broadcast_tensors(right, down), -1)  # places 9 9 2
        found = grid_sample(volume, at, align_corners=False)  # places 1 9 9
        looks.append(found.reshape(count, rows, columns, -1))
    return torch.cat(looks, -1).permute(0, 3, 1, 2)  # b 324 rows columns


def as_laplace(estimate: SeaRaftEstimate, fixed_px: float) -> Estimate:
    """The estimate with a single Laplace distribution of the same mean absolute error."""
    ordinary = estimate.ordinary.sigmoid()
    beta = estimate.log_scale.clamp(0, LARGEST_LOG_SCALE)
    log_scale = (ordinary + (1 - ordinary) * beta.exp()).log() + math.log(fixed_px)
    return Estimate(estimate.flow, log_scale.expand_as(estimate.flow))


def mixture_loss(
    estimate: SeaRaftEstimate, flow: Float[Tensor, "batch 2 height width"], fixed_px: float = 1.0
) -> Float[Tensor, "batch 2 height width"]:
    """Negative log-likelihood of each component of the true flow under the mixture of Laplace distributions.

    Args:
        fixed_px: scale of the ordinary distribution; 1 as published, for motions below a pixel it should be smaller.
    """
    error = (estimate.flow - flow).abs() / fixed_px
    beta = estimate.log_scale.clamp(0, LARGEST_LOG_SCALE)
    ordinary = logsigmoid(estimate.ordinary) - error
    ambiguous = logsigmoid(-estimate.ordinary) - error * torch.exp(-beta) - beta
    return math.log(2 * fixed_px) - torch.logaddexp(ordinary, ambiguous)


def _head(hidden: int, out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(hidden, 2 * hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(2 * hidden, out, kernel, padding=kernel // 2)
    )
