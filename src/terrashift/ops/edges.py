"""Pixels on either side of a break between them."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor


def beside(side: Bool[Tensor, "*batch height width"]) -> Bool[Tensor, "*batch height width"]:
    """True on pixels with one of their four neighbours on the other side.

    >>> beside(torch.tensor([[False, False, True]])).tolist()
    [[False, True, True]]
    """
    return at_breaks(side[..., 1:] != side[..., :-1], side[..., 1:, :] != side[..., :-1, :])


def at_breaks(
    across: Bool[Tensor, "*batch height gaps"], down: Bool[Tensor, "*batch between width"]
) -> Bool[Tensor, "*batch height width"]:
    """True on the pixels at both ends of each gap that is broken: `across` within a row, `down` within a column."""
    shape = (*across.shape[:-1], down.shape[-1])
    found = torch.zeros(shape, dtype=torch.bool, device=across.device)
    found[..., 1:] |= across
    found[..., :-1] |= across
    found[..., 1:, :] |= down
    found[..., :-1, :] |= down
    return found
