"""Continue a field smoothly from where it is known to where it is not."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate


def extended(
    field: Float[Tensor, "batch band height width"], known: Bool[Tensor, "batch 1 height width"]
) -> Float[Tensor, "batch band height width"]:
    """The field where it is known; elsewhere means of what is known around, over squares that grow with the distance.

    By means of 2 x 2 cells that are known in part, again and again, and back (pull and push; Gortler et al. 1996). What
    is nowhere known is 0; what stands where the field is not known (NaN too) counts for nothing.

    >>> field = torch.tensor([[[[1.0, 1.0, 9.0, 9.0]]]])
    >>> extended(field, field < 5)
    tensor([[[[1., 1., 1., 1.]]]])
    """
    return _pushed(torch.where(known, field, 0.0), known)


def _pushed(field: Tensor, known: Tensor) -> Tensor:
    if max(field.shape[-2:]) == 1 or known.all():
        return field
    weight = known.float()
    share = _halved(weight)
    coarse = torch.where(share > 0, _halved(field) / share.clamp_min(1e-6), 0.0)
    coarse = _pushed(coarse, share > 0)
    wide = interpolate(coarse, size=tuple(field.shape[-2:]), mode="bilinear", align_corners=False)
    return torch.where(known, field, wide)


def _halved(image: Tensor) -> Tensor:
    return avg_pool2d(image, 2, ceil_mode=True, count_include_pad=False)
