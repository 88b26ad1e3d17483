"""What several networks are made of: sampling along a flow, padding, convex upsampling, first weights."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import grid_sample, pad, unfold

from ..ops.warp import warp

BORDER = 2
"""Repeated pixels that a bicubic kernel just outside the image may touch."""


def sample(
    image: Float[Tensor, "batch band height width"], flow: Float[Tensor, "batch 2 height width"]
) -> Float[Tensor, "batch band height width"]:
    """image(p + flow(p)) by bicubic interpolation (Keys 1981), the border repeated outside.

    `ops.warp.warp` for networks: the same values inside the image, and numbers instead of NaN outside. Always in
    float32, or float64 where the image is; gradients reach the image and the flow.

    Args:
        image: without NaN.
        flow: (x right, y down) px.
    """
    image = image if image.dtype == torch.float64 else image.float()
    flow = flow.to(image.dtype)
    height, width = image.shape[-2:]
    column = torch.arange(width, device=flow.device, dtype=flow.dtype)
    row = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None]
    # a pixel outside everything is the border already
    x = torch.minimum(torch.maximum(flow[:, 0], -column - 1), width - column)
    y = torch.minimum(torch.maximum(flow[:, 1], -row - 1), height - row)
    around = (BORDER,) * 4
    wide = warp(pad(image, around, mode="replicate"), pad(torch.stack([x, y], 1), around))
    return wide[..., BORDER:-BORDER, BORDER:-BORDER]


def sample_linear(
    image: Float[Tensor, "batch band height width"], flow: Float[Tensor, "batch 2 rows columns"]
) -> Float[Tensor, "batch band rows columns"]:
    """image(p + flow(p)) by bilinear interpolation, the border repeated outside: quick, for tiles of a few thousand px.

    Args:
        image: without NaN.
        flow: (x right, y down) px; of another shape than the image it counts from the image's first pixel all the same.

    >>> sample_linear(torch.tensor([[[[1.0, 2.0, 4.0]]]]), torch.tensor([[[[0.5] * 3], [[0.0] * 3]]]))
    tensor([[[[1.5000, 3.0000, 4.0000]]]])
    """
    height, width = image.shape[-2:]
    column = torch.arange(flow.shape[3], device=flow.device, dtype=flow.dtype)
    row = torch.arange(flow.shape[2], device=flow.device, dtype=flow.dtype)[:, None]
    # each axis by its own length: pixel 0 is at -1, the last one at 1
    x = (column + flow[:, 0]) * (2 / max(1, width - 1)) - 1
    y = (row + flow[:, 1]) * (2 / max(1, height - 1)) - 1
    return grid_sample(image, torch.stack([x, y], 3), padding_mode="border", align_corners=True)


def pad_to_multiple(
    image: Float[Tensor, "batch band height width"], multiple: int, least: int = 1
) -> Float[Tensor, "batch band rows columns"]:
    """Repeat the last row and column until both sides are multiples of `multiple` px, and `least` px at least.

    >>> pad_to_multiple(torch.ones(1, 1, 5, 8), 4).shape
    torch.Size([1, 1, 8, 8])
    """
    rows, columns = (max(-(-side // multiple) * multiple, least) for side in image.shape[-2:])
    height, width = image.shape[-2:]
    if (rows, columns) == (height, width):
        return image
    return pad(image, (0, columns - width, 0, rows - height), mode="replicate")


def convex_upsample(
    coarse: Float[Tensor, "batch band rows columns"], logits: Float[Tensor, "batch weights rows columns"], factor: int
) -> Float[Tensor, "batch band height width"]:
    """Finer values, each a weighted mean of the 3 x 3 coarse values around it (Teed & Deng 2020).

    The border is repeated outside (ours: with zeros there, a uniform flow would fade at the border).

    Args:
        coarse: values; not scaled here, so a flow must already be counted in fine pixels.
        logits: 9 * factor**2 bands, the logarithms of the weights, for each fine pixel of a cell nine in a row.
    """
    count, bands, rows, columns = coarse.shape
    around = unfold(pad(coarse, (1, 1, 1, 1), mode="replicate"), 3)  # b 9*band rows*columns
    around = around.reshape(count, bands, 9, 1, 1, rows, columns)
    weights = logits.float().reshape(count, 1, factor, factor, 9, rows, columns).softmax(4)
    weights = weights.permute(0, 1, 4, 2, 3, 5, 6)  # b 1 9 factor factor rows columns
    fine = (weights * around).sum(2)  # b band factor factor rows columns
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(count, bands, factor * rows, factor * columns)


def keep_variance(network: nn.Module, slope: float = 0.1) -> None:
    """Draw first weights that neither swell nor shrink the features from layer to layer (He et al. 2015); biases 0.

    For convolutions, upsampling ones too, that are followed by a rectifier with `slope` on its negative side.
    """
    for layer in network.modules():
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            continue
        taps = math.prod(layer.kernel_size) * layer.in_channels / layer.groups
        if isinstance(layer, nn.ConvTranspose2d):
            taps /= math.prod(layer.stride)  # of its kernel, a fine pixel sees only every stride-th tap
        nn.init.normal_(layer.weight, std=math.sqrt(2 / (1 + slope**2) / taps))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def start_at_zero(layer: nn.Conv2d) -> None:
    """Make a last layer give nothing before training: an untrained network then finds no motion."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def full_precision(device: str) -> AbstractContextManager[object]:
    """Hold back the automatic lower precision, where the device has one, for a few sensitive operations."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
