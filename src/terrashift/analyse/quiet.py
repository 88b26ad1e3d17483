"""Ground that most likely stood still, and what the field shows there: its bias and its noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from ..core.field import DisplacementField
from .robust import NMAD

BLOCK_CELLS = 32
QUIET_SHARE = 0.25
"""Of the blocks with values: those that moved least, as autoRIFT takes the slowest quarter."""
FULL_SHARE = 0.5
"""A block with fewer values is not looked at."""


class Quiet(NamedTuple):
    """A component on stable ground, in the field's unit."""

    median: float
    """Bias: what ground that stood still seems to have moved."""
    nmad: float
    """Noise of single cells: 1.4826 times the median distance from the median of their block."""


class StableGround(NamedTuple):
    """Where the ground is taken to have stood still, and the field there."""

    blocks: list[tuple[int, int, int, int]]
    """(row, column, height, width) of each, in cells; one for all where a mask was given."""
    cells: int
    east: Quiet
    north: Quiet
    sigma_ratio: float
    """NMAD by the median sigma that the field itself states; NaN where it states none. 1 is right."""
    chosen: str
    """How, in a sentence."""


def stable_ground(field: DisplacementField, mask: Bool[Tensor, "height width"] | None = None) -> StableGround | None:
    """Statistics where the ground stood still: where `mask` is true, or the blocks that moved least.

    Without a mask the field is cut into blocks of 32 x 32 cells, and the quarter of them whose median vector is
    shortest is taken. That choice pulls the median toward zero: only a mask gives an honest bias. The noise is not
    touched by it, as it is counted around each block's own median.

    Returns:
        None where no block has enough values.
    """
    ground = torch.stack([field.east, field.north]).numpy()
    if mask is not None:
        blocks = [(0, 0, *field.grid.shape)]
        ground = np.where(mask.numpy(), ground, np.nan)
        chosen = "cells of the mask that was given"
    else:
        blocks, looked_at = _quietest(ground)
        share = "" if looked_at == len(blocks) else f" of {looked_at}"
        chosen = (
            f"the {len(blocks)}{share} blocks of {BLOCK_CELLS} x {BLOCK_CELLS} cells that moved least; this choice "
            "pulls the median toward zero, so give a mask to judge the bias"
        )
    parts = [_residual(ground, block) for block in blocks]
    if not sum(len(part[0]) for part in parts):
        return None
    values, around = (np.concatenate([part[k] for part in parts], 0) for k in (0, 1))
    nmad = NMAD * np.median(np.abs(around), 0)
    medians = np.median(values, 0)
    stats = [Quiet(float(m), float(n)) for m, n in zip(medians, nmad, strict=True)]
    ratio = _sigma_ratio(field, blocks, mask, nmad)
    return StableGround(blocks, len(values), stats[0], stats[1], ratio, chosen)


def _quietest(ground: np.ndarray) -> tuple[list[tuple[int, int, int, int]], int]:
    """The blocks that moved least, and how many had enough values."""
    _, height, width = ground.shape
    found = []
    for row in range(0, height, BLOCK_CELLS):
        for column in range(0, width, BLOCK_CELLS):
            part = ground[:, row : row + BLOCK_CELLS, column : column + BLOCK_CELLS]
            known = np.isfinite(part).all(0)
            if known.mean() >= FULL_SHARE:
                size = float(np.hypot(*np.median(part[:, known], 1)))
                found.append((size, (row, column, *part.shape[1:])))
    found.sort()
    count = max(1, round(QUIET_SHARE * len(found)))
    return [block for _, block in found[:count]], len(found)


def _residual(ground: np.ndarray, block: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(east, north) of the cells of a block, and the same less their medians."""
    row, column, height, width = block
    part = ground[:, row : row + height, column : column + width]
    values = part[:, np.isfinite(part).all(0)].T
    return values, values - np.median(values, 0) if len(values) else values


def _sigma_ratio(
    field: DisplacementField, blocks: list[tuple[int, int, int, int]], mask: Tensor | None, nmad: np.ndarray
) -> float:
    here = torch.zeros(field.grid.shape, dtype=torch.bool)
    for row, column, height, width in blocks:
        here[row : row + height, column : column + width] = True
    here = here if mask is None else here & mask
    stated = torch.stack([field.sigma_east[here], field.sigma_north[here]]).numpy()
    stated = stated[:, np.isfinite(stated).all(0)]
    if not stated.size or not (np.median(stated, 1) > 0).all():
        return float("nan")
    return float(np.mean(nmad / np.median(stated, 1)))
