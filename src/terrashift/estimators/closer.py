"""Near a fault, look closer: let the network go on at twice the resolution, where it parts the two sides more sharply.

A network blurs a jump over about two of its pixels, whatever their size. Interpolated images tell nothing new, but a
blur of two of their pixels is half as wide on the ground. It costs four times as much, so it is done near jumps only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import max_pool2d

from ..models.estimate import Estimate
from ..ops.box import box_mean
from .networks import Run
from .sides import LEAST_PX, sides_of

FADE_PX = 17
"""Over so many pixels at the rim of what lies near a jump, what is found closer fades into what was found first."""
CELL_PX, MARGIN_PX = 96, 48
"""Squares of this side are looked at, with so much around them; both multiples of 16."""
TOGETHER = 4
"""Squares."""


def looked_closer(
    run: Run, before: Float[Tensor, "1 1 height width"], after: Float[Tensor, "1 1 height width"], found: Estimate
) -> Estimate:
    """The estimate, gone on from at twice the resolution near jumps of the motion.

    Args:
        run: goes on from a first motion, at twice the resolution; see `models.microflow.MicroFlow.closer`.
        before: image; sides are multiples of 16.
        after: image, `before` moved along the flow.
        found: a first estimate.
    """
    share = box_mean((sides_of(found.flow).apart > LEAST_PX).float(), FADE_PX)
    closer = Estimate(found.flow.clone(), found.log_scale.clone())
    views = list(_views(share))
    for some in (views[first : first + TOGETHER] for first in range(0, len(views), TOGETHER)):
        pieces = (torch.cat([part[..., *view.seen] for view in some]) for part in (before, after, found.flow))
        for view, *parts in zip(some, *run(*pieces), strict=True):
            for whole, part in zip(closer, parts, strict=True):
                whole[0][:, *view.kept] = part[:, *view.inner].to(whole.dtype)
    return Estimate(*(torch.lerp(a, b, share.to(a.dtype)) for a, b in zip(found, closer, strict=True)))


def most_at_once(side_px: int) -> int:
    """Pixels, of twice the resolution, that a network is shown together of images of a side, at most."""
    return TOGETHER * (2 * min(CELL_PX + 2 * MARGIN_PX, side_px)) ** 2


class View(NamedTuple):
    """Rows and columns of a square."""

    seen: tuple[slice, slice]
    """With its surroundings."""
    kept: tuple[slice, slice]
    inner: tuple[slice, slice]
    """What is kept, counted within what is seen."""


def _views(share: Float[Tensor, "1 1 height width"]) -> Iterator[View]:
    """Squares that hold anything above 0, all seen with as much around them, if on one side only."""
    lengths = share.shape[-2:]
    some = max_pool2d(share, CELL_PX, ceil_mode=True)[0, 0] > 0
    for cell in some.nonzero().tolist():
        seen, kept, inner = [], [], []
        for number, length in zip(cell, lengths, strict=True):
            side = min(CELL_PX + 2 * MARGIN_PX, length)
            first = min(max(number * CELL_PX - MARGIN_PX, 0), length - side)
            start, stop = number * CELL_PX, min((number + 1) * CELL_PX, length)
            seen.append(slice(first, first + side))
            kept.append(slice(start, stop))
            inner.append(slice(start - first, stop - first))
        yield View(tuple(seen), tuple(kept), tuple(inner))
