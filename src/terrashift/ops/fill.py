"""Give gaps the brightness of what lies around them, for methods that need a number everywhere."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from .box import box_sum

AROUND_PX = 33  # what a filling comes from


def filled(image: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """The image about its mean, gaps filled with the mean of what lies within 16 px of them, or 0."""
    have = image.isfinite()
    if not have.any():
        return torch.zeros_like(image)
    image = torch.where(have, image - image[have].mean(), 0.0)
    if have.all():
        return image
    padded = torch.nn.functional.pad(torch.stack([image, have.float()]), (AROUND_PX // 2,) * 4)
    total, count = box_sum(padded, AROUND_PX)
    return torch.where(have, image, total / count.clamp_min(1))
