"""Bring images to one brightness and contrast before a network sees them.

NaN is left out of every statistic and stays NaN; `fill_gaps` then gives networks a number everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from ..errors import OptionError
from ..ops.box import box_sum

Images = Float[Tensor, "batch band height width"]

WIDER = 4
"""The floor of the local deviation comes from squares so many times wider."""


class Filled(NamedTuple):
    """Images without gaps."""

    image: Float[Tensor, "batch band height width"]
    """A number everywhere."""
    valid: Bool[Tensor, "batch band height width"]
    """True where the number was there before."""


def min_max(image: Images) -> Images:
    """Each band of each sample between 0 and 1 (Bertrand et al. 2025); 0 where all its values are equal."""
    low = torch.where(image.isnan(), torch.inf, image).amin((2, 3), keepdim=True)
    high = torch.where(image.isnan(), -torch.inf, image).amax((2, 3), keepdim=True)
    span = high - low
    return (image - low) / torch.where(span > 0, span, 1.0)


def standardise(image: Images) -> Images:
    """Each band of each sample with mean 0 and deviation 1 (Montagnon et al. 2023); 0 where all values are equal."""
    centred = image - image.nanmean((2, 3), keepdim=True)
    deviation = centred.square().nanmean((2, 3), keepdim=True).sqrt()
    # what rounding leaves of a constant is not texture
    return centred / torch.where(deviation > 1e-6 * _size(image), deviation, 1.0)


def standardise_locally(
    image: Images, side_px: int = 17, largest: float | None = 4.0, least_share: float = 0.1
) -> Images:
    """Each pixel less the mean, over the deviation, of the square of `side_px` px around it.

    The border is repeated outside. For even sides the square is that of `ops.windows`: the pixel is its sample
    side_px // 2. What comes out does not depend on the image's brightness and contrast.

    Args:
        largest: values beyond are cut off (lone bright roofs); None keeps them.
        least_share: the deviation counts as no smaller than this share of that of a square four times as wide, so that
            flat ground beside rough stays flat; 0 for none.

    Raises:
        OptionError: for a side below 2 px, or a negative share.
    """
    if side_px < 2 or least_share < 0:
        raise OptionError(f"squares of {side_px} px with a share of {least_share}: take 2 px or more and 0 or more.")
    valid = ~image.isnan()
    middle = image.nanmean((2, 3), keepdim=True).nan_to_num(0.0)  # keeps the squares below small, and so their rounding
    centred = torch.where(valid, image - middle, 0.0)
    mean, variance = _moments(centred, valid, side_px)
    floor = (1e-6 * _size(image)) ** 2
    if least_share:
        floor = floor + least_share**2 * _moments(centred, valid, WIDER * side_px).variance
    flat = (centred - mean) / (variance + floor).sqrt().clamp_min(torch.finfo(image.dtype).tiny)
    flat = flat if largest is None else flat.clamp(-largest, largest)
    return torch.where(valid, flat, torch.nan)


Normalisation = Literal["min-max", "mean-deviation", "local"]
NORMALISATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "min-max": min_max,
    "mean-deviation": standardise,
    "local": standardise_locally,
}
"""By name: the first two are published, and depend on the whole image; the third is ours."""


def fill_gaps(image: Images, around_px: int = 33) -> Filled:
    """Give gaps the mean of the square of `around_px` px around them, else that of the whole sample, else 0.

    >>> fill_gaps(torch.tensor([[[[1.0, torch.nan, 3.0]]]])).image
    tensor([[[[1., 2., 3.]]]])
    """
    valid = ~image.isnan()
    if bool(valid.all()):
        return Filled(image, valid)
    whole = image.nanmean((2, 3), keepdim=True).nan_to_num(0.0)
    centred = torch.where(valid, image - whole, 0.0)
    around = _square_sum(centred, around_px) / _square_sum(valid.to(image.dtype), around_px).clamp_min(1)
    return Filled(torch.where(valid, image, around + whole), valid)


class _Moments(NamedTuple):
    mean: Tensor
    variance: Tensor


def _moments(image: Tensor, valid: Tensor, side: int) -> _Moments:
    """Mean and variance of the valid pixels of the square around each; invalid ones are 0 in `image`."""
    count = _square_sum(valid.to(image.dtype), side, "replicate").clamp_min(1)
    mean = _square_sum(image, side, "replicate") / count
    square = _square_sum(image * image, side, "replicate") / count
    return _Moments(mean, (square - mean * mean).clamp_min(0))


def _square_sum(image: Tensor, side: int, border: str = "constant") -> Tensor:
    """Sum over the square whose sample side//2 is the pixel."""
    before, after = side // 2, side - side // 2 - 1
    return box_sum(pad(image, (before, after, before, after), mode=border), side)


def _size(image: Tensor) -> Tensor:
    """How large the numbers of each band are, to know their rounding by."""
    return image.nan_to_num(0.0).abs().amax((2, 3), keepdim=True)
