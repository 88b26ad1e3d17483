"""What becomes of pixels that are not usable, before or after frames are aligned."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ..ops.looks import nearest_fine
from .sharp import Stack


class FromMedian(nn.Module):
    """Pixels that are not usable take the median of those that are, of all frames at the same place. Ours."""

    def forward(self, stack: Stack) -> Stack:
        """The frames without them; absent frames become the median itself."""
        median = masked_median(stack.frames, stack.usable)
        return stack._replace(frames=torch.where(stack.usable > 0, stack.frames, median[:, None]))


class MutualInpainting(nn.Module):
    """Pixels that are not usable take the first frame that has them, in the order of the frames (DeepSUM). No weights.

    Of features and fine images alike. Masks are brought to the grid of the features along whole fine pixels of the
    shifts that are told. What no frame has stays as it is.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, stack: Stack) -> Stack:
        """Features and fine images from usable pixels wherever there are any."""
        whole = (stack.shifts_px * self.scale).round() / self.scale
        usable = nearest_fine(stack.usable, whole, self.scale)[:, :, 0] > 0.5
        source = first_clear(usable)[:, :, None]
        features, fine = stack.features, stack.fine
        if features is not None:
            features = features.gather(1, source.expand_as(features))
        if fine is not None:
            fine = fine.gather(1, source.expand_as(fine))
        return stack._replace(features=features, fine=fine)


def first_clear(usable: Bool[Tensor, "batch frame height width"]) -> Int[Tensor, "batch frame height width"]:
    """The frame that each pixel of each frame is taken from: its own where clear, else the first that is, else its own.

    >>> first_clear(torch.tensor([[[[True, False]], [[False, False]]]]))[0, :, 0]
    tensor([[0, 0],
            [0, 1]])
    """
    number = torch.arange(usable.shape[1], device=usable.device)[None, :, None, None]
    first = usable.int().argmax(1, keepdim=True)
    return torch.where(usable | ~usable.any(1, keepdim=True), number, first)


def masked_median(
    frames: Float[Tensor, "batch frame band height width"], usable: Float[Tensor, "batch frame 1 height width"]
) -> Float[Tensor, "batch band height width"]:
    """Median over the usable frames of each pixel; 0 where there is none."""
    known = torch.where(usable > 0, frames, torch.nan)
    # nanmedian takes the lower of the middle two: their mean does not depend on the sign of the image
    low, high = known.nanmedian(1).values, -(-known).nanmedian(1).values
    return (0.5 * (low + high)).nan_to_num(0.0)
