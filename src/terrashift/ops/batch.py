"""Numbers of samples, laid over the pixels of their images."""

from __future__ import annotations

from jaxtyping import Shaped
from torch import Tensor


def wide(values: Shaped[Tensor, " batch"]) -> Shaped[Tensor, "batch 1 1"]:
    """One value for each sample of a batch, ready to meet `batch height width`."""
    return values[:, None, None]
