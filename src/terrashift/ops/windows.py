"""Many small windows of one image."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor


def cut_windows(
    image: Float[Tensor, "height width"], rows: Int[Tensor, " windows"], columns: Int[Tensor, " windows"], side: int
) -> Float[Tensor, "windows side side"]:
    """Square windows whose sample side//2 is the given pixel."""
    return image.unfold(0, side, 1).unfold(1, side, 1)[rows - side // 2, columns - side // 2]
