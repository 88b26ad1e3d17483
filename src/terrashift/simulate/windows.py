"""Displacements of the window data sets: uniform, or two parts on either side of a line (Montagnon et al. 2023)."""

from __future__ import annotations

import math
from typing import Literal

import torch

from ..ops.batch import wide
from ..ops.edges import beside
from ..ops.random import Random
from .fields import Fields

Kind = Literal["rupture", "uni", "dis", "uni5px"]
"""What pairs are made: crops with faults, or windows."""
WINDOWS_PX = {"uni": 1.0, "dis": 1.0, "uni5px": 5.0}
"""Largest motion along each axis, px, of the kinds that are windows."""
LARGER = 1.05
"""The part that holds the centre is larger than the other by at least this factor."""


def draw_window(kind: Kind, random: Random, size: int, window_px: int = 0) -> Fields:
    """Motion of windows of a kind that `WINDOWS_PX` names, one for each sample of `random`.

    Args:
        size: side of what is drawn, px.
        window_px: side of the window in the middle of it; 0 for all of it.
    """
    if kind == "dis":
        return draw_cut(random, size, WINDOWS_PX[kind], window_px)
    return draw_uniform(random, size, WINDOWS_PX[kind])


def draw_uniform(random: Random, size: int, largest_px: float) -> Fields:
    """Windows that move as a whole, by up to `largest_px` along each axis."""
    shift = random.uniform("shift", 2, low=-largest_px, high=largest_px)
    flow = shift[:, :, None, None].expand(-1, 2, size, size).clone()
    return Fields(flow, torch.zeros(len(shift), size, size, dtype=torch.bool, device=shift.device))


def draw_cut(random: Random, size: int, largest_px: float, window_px: int = 0) -> Fields:
    """Windows cut by a random line; each part moves by itself, by up to `largest_px` along each axis.

    The part with the window's centre is the larger one: its motion, at pixel (size//2, size//2), is what is learned.
    The other part may be empty where the line cuts off no more than a corner pixel. Where the window is but the middle
    of what is drawn, the line goes on beyond it.
    """
    angle = random.uniform("angle", high=2 * math.pi)
    place = torch.arange(size, device=angle.device) - (size - 1) / 2
    across = place * wide(angle.cos()) + place[:, None] * wide(angle.sin())
    # the line that leaves a share of the window on its far side: from 1 % to what still makes the other part larger
    share = random.uniform("share", low=0.01, high=1 / (1 + LARGER))
    side = window_px or size
    first = (size - side) // 2
    window = across[:, first : first + side, first : first + side]
    ranked = window.flatten(1).sort(1, descending=True).values
    last = (share * side * side).long().clamp(1, side * side - 1)
    # a window of even size has its centre beside the middle, and on the other side of it once it is mirrored
    middle = across[:, (size - 1) // 2 : size // 2 + 1, (size - 1) // 2 : size // 2 + 1]
    line = torch.maximum(ranked.gather(1, last[:, None])[:, :, None], middle.amax((1, 2), keepdim=True))
    far = across > line
    near_shift, far_shift = (
        random.uniform(part, 2, 1, 1, low=-largest_px, high=largest_px) for part in ("near", "far")
    )
    flow = torch.where(far[:, None], far_shift, near_shift)
    return Fields(flow, beside(far))
