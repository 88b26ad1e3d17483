"""What the registration network is punished for without any truth: images that differ after warping, wild maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from ..models.linear_deformable import Pass
from ..ops.similarity import Similarity, unlike


@dataclass(frozen=True, slots=True)
class AlignmentOptions:
    """Weights of the parts of the loss of Vakalopoulou et al. (2019), and what pairs it is taken on."""

    similarity: Similarity = "ncc"
    """square as published; ncc, census: blind to brightness and contrast; robust: absolute difference."""
    affine: float = 1e-6
    """Published alpha: weight of the mean distance of the affine map from identity."""
    gradients: float = 1e-6
    """Published beta: weight of the mean distance of the grid's gradients from 1."""
    shear: float = 0.0
    """Weight of how much a row's deformation differs from the next one's, and a column's (ours): the sums of gradients
    leave that free."""
    parts: Literal["any", "both", "affine", "deformable"] = "any"
    """any: half of the pairs with both parts, a quarter with the affine map only, a quarter with the deformation."""
    gaps: float = 0.0
    """Share of the pairs with missing data in one image, in blots of up to half of it; as many show clouds."""


def alignment_loss(passes: Sequence[Pass], options: AlignmentOptions) -> Float[Tensor, " batch"]:
    """Loss of each pair, all passes counting alike."""
    total = passes[0].flow.new_zeros(len(passes[0].flow))
    for found in passes:
        moved = found.pair.moved(found.flow)
        total = total + unlike(found.pair.before, moved.image, moved.both, options.similarity)
        total = total + options.affine * found.affine.abs().mean((1, 2))
        total = total + options.gradients * (found.gradients - 1).abs().mean((1, 2, 3))
        if options.shear:
            across = found.bent[:, 0].diff(dim=1).abs().mean((1, 2)) + found.bent[:, 1].diff(dim=2).abs().mean((1, 2))
            total = total + options.shear * across
    return total / len(passes)
