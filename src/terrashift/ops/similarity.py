"""How unlike two images are, pixel by pixel, with gradients: what registration without truth learns from."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from .box import box_sum

Image = Float[Tensor, "batch bands height width"]
Weight = Float[Tensor, "batch 1 height width"]
"""With a number everywhere; what stands where `weight` is 0 counts for nothing."""

NCC_PX = 17
"""Side of the windows that are correlated: smaller ones agree by chance with a map that is wrong."""
CENSUS_PX = 5
FLAT = 0.05
"""Variance that windows of correlation have at least, of images of unit deviation: flat ground tells nothing."""
SOFT = 0.01
"""Square of the difference below which the robust distance is a square."""

Similarity = Literal["ncc", "robust", "square", "census"]


def square(first: Image, second: Image, weight: Weight) -> Image:
    """Squared difference, as published (Vakalopoulou et al. 2019): for images of one brightness and contrast."""
    return (first - second).square()


def robust(first: Image, second: Image, weight: Weight) -> Image:
    """Absolute difference, smooth at 0 (Charbonnier et al. 1994): lone changes count less than by their square."""
    return ((first - second).square() + SOFT).sqrt() - SOFT**0.5


def ncc(first: Image, second: Image, weight: Weight) -> Image:
    """One less the square of the correlation of the windows around each pixel: 0 where alike, 1 where they are not.

    Blind to brightness and contrast that differ from place to place. By its square, windows that agree lead, and those
    on ground that changed have little say; opposite windows count as unlike, no more: what turned from dark to bright
    between two dates must not push the map away.
    """
    return 1 - correlation(first, second, weight).clamp_min(0).square()


def correlation(first: Image, second: Image, weight: Weight, side_px: int = NCC_PX) -> Image:
    """Correlation, -1 to 1, of the windows of `side_px` px around each pixel; flat ones have none."""
    count = _mean(weight, side_px).clamp_min(1e-6)
    mean_a, mean_b = (_mean(image * weight, side_px) / count for image in (first, second))
    a, b = (
        _mean(image * image * weight, side_px) / count - mean**2 for image, mean in ((first, mean_a), (second, mean_b))
    )
    both = _mean(first * second * weight, side_px) / count - mean_a * mean_b
    return both / ((a.clamp_min(0) + FLAT) * (b.clamp_min(0) + FLAT)).sqrt()


def census(first: Image, second: Image, weight: Weight) -> Image:
    """Share of the neighbours whose order of brightness with the pixel differs (Zabih & Woodfill 1994).

    Smooth as in Meister et al. (2018). Blind to any change of brightness that keeps its order.
    """
    reach = CENSUS_PX // 2
    wide = [pad(image, (reach,) * 4, mode="replicate") for image in (first, second)]
    height, width = first.shape[-2:]
    total = torch.zeros_like(first)
    places = [(i, j) for i, j in product(range(CENSUS_PX), repeat=2) if (i, j) != (reach, reach)]
    for i, j in places:
        steps = [w[..., i : i + height, j : j + width] - image for w, image in zip(wide, (first, second), strict=True)]
        one, other = (step / (0.1 + step.square()).sqrt() for step in steps)
        rest = (one - other).square()
        total = total + rest / (0.1 + rest)
    return total / len(places)


SIMILARITIES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "ncc": ncc,
    "robust": robust,
    "square": square,
    "census": census,
}


def unlike(first: Image, second: Image, weight: Weight, kind: Similarity = "ncc") -> Float[Tensor, " batch"]:
    """Mean of a distance between images over the pixels that count, all bands alike.

    Args:
        first: of about unit deviation.
        second: likewise.
        weight: 0 to 1, 0 where either image has no data.
        kind: one of `SIMILARITIES`.

    >>> a = torch.tensor([[[[1.0, 2.0]]]])
    >>> unlike(a, a + 2, torch.tensor([[[[1.0, 0.0]]]]), "square")
    tensor([4.])
    """
    distance = SIMILARITIES[kind](first, second, weight)
    return (distance * weight).sum((1, 2, 3)) / (first.shape[1] * weight.sum((1, 2, 3))).clamp_min(1.0)


def _mean(image: Tensor, side: int) -> Tensor:
    """Over the square around each pixel, zeros outside."""
    return box_sum(pad(image, (side // 2,) * 4), side) / side**2
