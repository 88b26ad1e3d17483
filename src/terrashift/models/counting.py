"""How large a network is and what it costs: weights, and multiply-adds for each pixel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv3d, conv_transpose2d, linear, multi_head_attention_forward
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a network takes."""

    weights: int
    """Numbers that training changes, those shared by several layers counted once."""
    multiply_adds: int
    """Products in convolutions and matrix products, each with its addition; two of the usual FLOP."""
    pixels: int
    """Pixels (height x width x batch) of the images that were given."""

    @property
    def multiply_adds_per_pixel(self) -> float:
        """Multiply-adds for each pixel of the full resolution."""
        return self.multiply_adds / self.pixels

    @property
    def mebibytes(self) -> float:
        """Size of the weights in float16."""
        return 2 * self.weights / 2**20


def count_weights(network: nn.Module) -> int:
    """Numbers that training changes.

    >>> count_weights(nn.Conv2d(2, 8, 3))
    152
    """
    return sum(parameter.numel() for parameter in network.parameters())


def cost(network: nn.Module, *images: Tensor) -> Cost:
    """Run a network once and count; on the `meta` device this takes no arithmetic and no memory.

    Convolutions and products are seen where they are called, so those without a layer of their own count too.

    Args:
        images: what the network is called with; the first, (batch, band, height, width), has the pixels.

    >>> cost(nn.Conv2d(2, 8, 3, padding=1), torch.zeros(1, 2, 6, 5)).multiply_adds_per_pixel
    144.0
    """
    with torch.no_grad(), _Counter() as counter:
        network(*images)
    pixels = images[0].shape[0] * math.prod(images[0].shape[-2:])
    return Cost(count_weights(network), counter.total, pixels)


class _Counter(TorchFunctionMode):
    """Adds up the products of everything that is called meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (conv2d, conv3d, linear):
            self.total += result.numel() * args[1][0].numel()  # weights (out, in, ...)
        elif func is conv_transpose2d:
            self.total += args[0].numel() * args[1][0].numel()  # weights (in, out, ...)
        elif func in (torch.matmul, torch.bmm, torch.mm, Tensor.matmul, Tensor.__matmul__, Tensor.bmm, Tensor.mm):
            self.total += result.numel() * args[0].shape[-1]
        elif func is multi_head_attention_forward:  # query (length, batch, width); what it calls is not seen
            length, width = args[0].shape[0], args[0].shape[2]
            self.total += args[0].numel() * (4 * width + 2 * length)
        return result
