"""Sums and means over square windows."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad


def box_sum(
    image: Float[Tensor, "*batch height width"], side: int, step: int = 1
) -> Float[Tensor, "*batch rows columns"]:
    """Sum over every `step`-th window of `side` x `side` px that lies inside the image.

    By doubling: few additions, and the same bits wherever the window lies.

    >>> import torch
    >>> box_sum(torch.ones(4, 5), 3)
    tensor([[9., 9., 9.],
            [9., 9., 9.]])
    """
    image = _run_sum(image, side, -1)[..., ::step]
    return _run_sum(image, side, -2)[..., ::step, :]


def box_mean(image: Float[Tensor, "batch band height width"], side: int) -> Float[Tensor, "batch band height width"]:
    """Mean over the square of `side` x `side` px (odd) around each pixel, the border repeated outside."""
    half = side // 2
    wide = pad(image, (half, half, half, half), mode="replicate")
    return avg_pool2d(avg_pool2d(wide, (side, 1), 1), (1, side), 1)


def _run_sum(x: Tensor, side: int, axis: int) -> Tensor:
    """Sum of `side` neighbours along an axis: powers of two added up, lowest first."""
    count = x.shape[axis] - side + 1
    total, done, power, width = None, 0, x, 1
    while True:
        if side & width:
            part = power.narrow(axis, done, count)
            total = part if total is None else total + part
            done += width
        if 2 * width > side:
            return total if total is not None else x
        power = power.narrow(axis, 0, power.shape[axis] - width) + power.narrow(axis, width, power.shape[axis] - width)
        width *= 2
