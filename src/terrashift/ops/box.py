"""Sums over square windows, by doubling: few additions, the same bits wherever the window lies."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def box_sum(
    image: Float[Tensor, "*batch height width"], side: int, step: int = 1
) -> Float[Tensor, "*batch rows columns"]:
    """Sum over every `step`-th window of `side` x `side` px that lies inside the image.

    >>> import torch
    >>> box_sum(torch.ones(4, 5), 3)
    tensor([[9., 9., 9.],
            [9., 9., 9.]])
    """
    image = _run_sum(image, side, -1)[..., ::step]
    return _run_sum(image, side, -2)[..., ::step, :]


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
