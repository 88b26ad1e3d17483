"""What the registration network is punished for without any truth: images that differ after warping, wild maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from ..models.linear_deformable import Level, Pass, finer
from ..ops.similarity import Similarity, unlike


@dataclass(frozen=True, slots=True)
class AlignmentOptions:
    """Weights of the parts of the loss of Vakalopoulou et al. (2019), and what pairs it is taken on."""

    similarity: Similarity = "ncc"
    """square as published; ncc, census: blind to brightness and contrast; robust: absolute difference."""
    affine: float = 1e-6
    """Published alpha: weight of the mean distance of the affine map from identity."""
    gradients: float = 0.4
    """Published beta, 1e-6: weight of the mean distance of the grid's gradients from 1. With so little of it, noise
    that the correlation of small windows likes adds up along rows and columns to some pixels."""
    shear: float = 0.04
    """Weight of how many pixels the deformation of a row of cells differs from the next one's, and of a column (ours):
    the sums of gradients leave that free."""
    parts: Literal["any", "both", "affine", "deformable"] = "any"
    """any: half of the pairs with both parts, a quarter with the affine map only, a quarter with the deformation."""
    gaps: float = 0.0
    """Share of the pairs with missing data in one image, in blots of up to half of it; as many show clouds."""


def alignment_loss(passes: Sequence[Pass], options: AlignmentOptions) -> Float[Tensor, " batch"]:
    """Loss of each pair, all passes counting alike.

    Images are compared at the level of each pass and at the next finer one (ours): the optimum of a coarse level alone
    is off by some tenths of its own large pixels.
    """
    total = passes[0].flow.new_zeros(len(passes[0].flow))
    for k, found in enumerate(passes):
        finer_one = next((later for later in passes[k + 1 :] if later.px < found.px), None)
        judged = [_unlike(found.pair, found.flow, options)]
        if finer_one is not None:
            pair = finer_one.pair
            flow = finer(found.flow, found.px // finer_one.px, (pair.before.shape[2], pair.before.shape[3]))
            judged.append(_unlike(pair, flow, options))
        total = total + sum(judged) / len(judged) + _wildness(found, options)
    return total / len(passes)


def _unlike(pair: Level, flow: Tensor, options: AlignmentOptions) -> Float[Tensor, " batch"]:
    moved = pair.moved(flow)
    return unlike(pair.before, moved.image, moved.both, options.similarity)


def _wildness(found: Pass, options: AlignmentOptions) -> Float[Tensor, " batch"]:
    """What a pass's own maps cost."""
    cost = options.affine * found.affine.abs().mean((1, 2))
    cost = cost + options.gradients * (found.gradients - 1).abs().mean((1, 2, 3))
    if options.shear:
        x, y = found.bent[:, 0].diff(dim=1), found.bent[:, 1].diff(dim=2)
        cost = cost + options.shear * (x.abs().mean((1, 2)) + y.abs().mean((1, 2)))
    return cost
