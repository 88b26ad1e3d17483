"""Run an estimator on a device: a block at once, in quarters where its memory is too small, at last on the CPU."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..core.field import Flow
from ..ops.memory import attempt, tell_once
from .base import Estimator, Search

WHOLE_CELLS_PX = 32
"""Networks see the same in a quarter if it begins on a whole cell of theirs: the largest is this wide."""
LEAST_PX = 64
"""Smaller quarters would be almost all halo."""


class Window(NamedTuple):
    """What an estimator is given of a pair: a block, or a part of one, and its halo."""

    before: Float[Tensor, "size size"]
    after: Float[Tensor, "size size"]
    search: Search


def run_on(estimator: Estimator, window: Window, device: str) -> Flow:
    """Measure a window on a device; the answer is on the CPU.

    Where the memory of the device does not hold it, its quarters are measured one after another, and theirs where that
    is too much; what not even then fits is measured on the CPU.
    """
    found = attempt(lambda: _on(estimator, window, device))
    if found is not None:
        return found
    halo, step = estimator.halo(window.search), estimator.step_px
    side = window.before.shape[0] - 2 * halo
    half = _half(side, step)
    if half is None:
        if device == "cpu":
            return _on(estimator, window, device)  # and let it fail
        tell_once(f"the memory of {device} is too small for the method {estimator.name}: parts are computed on the CPU")
        return _on(estimator, window, "cpu")
    tell_once(f"the memory of {device} is too small for whole blocks of the method {estimator.name}: they are halved")
    starts = 0, side - half
    size = half + 2 * halo
    parts = [[run_on(estimator, _part(window, row, column, size), device) for column in starts] for row in starts]
    return _joined(parts, -(-side // step), starts[1] // step)


def _on(estimator: Estimator, window: Window, device: str) -> Flow:
    """Measure at once."""
    before, after = (image.to(device, non_blocking=True) for image in (window.before, window.after))
    return Flow(*(part.cpu() for part in estimator(before, after, window.search)))


def _half(side: int, step: int) -> int | None:
    """Side of the four parts that cover a square of `side`; they may overlap. None where it is too small to cut.

    >>> _half(128, 1), _half(258, 3), _half(64, 1)
    (64, 129, None)
    """
    unit = math.lcm(step, WHOLE_CELLS_PX)
    unit = step if side % unit else unit
    half = unit * math.ceil(side / 2 / unit)
    return half if LEAST_PX <= half < side else None


def _part(window: Window, row: int, column: int, size: int) -> Window:
    place = slice(row, row + size), slice(column, column + size)
    return window._replace(before=window.before[place].contiguous(), after=window.after[place].contiguous())


def _joined(parts: list[list[Flow]], count: int, start: int) -> Flow:
    """Four parts as one flow of `count` measurements a side; the later parts begin at `start`."""
    strips = [
        Flow(*(_beside(left, right, count, start, -1) for left, right in zip(*row, strict=True))) for row in parts
    ]
    return Flow(*(_beside(above, below, count, start, -2) for above, below in zip(*strips, strict=True)))


def _beside(first: Tensor, second: Tensor, count: int, start: int, axis: int) -> Tensor:
    """All of the first, and what of the second lies beyond it."""
    known = first.shape[axis]
    return torch.cat([first, second.narrow(axis, known - start, count - known)], axis)
