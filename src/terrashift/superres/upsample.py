"""A frame on the fine pixels of the result, through its flow: one resampling of its own pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from ..errors import OptionError
from ..ops.sample import Kernel, sample_at
from .frames import FILL_PX, Frames, extended

MOST_PX = 2.0
"""Places so far outside a frame still lie beside its filled rim."""
BYTES_PER_SAMPLE = 60
"""Of a fine pixel on its way: places, weights, taps."""


class Upsampled(NamedTuple):
    """One frame on the fine grid."""

    values: Float[Tensor, "band fine_height fine_width"]
    """A number everywhere."""
    usable: Bool[Tensor, "fine_height fine_width"]
    """Where the frame's pixel that holds the place is usable."""
    weight: Float[Tensor, "fine_height fine_width"]
    """How much that pixel counts; 0 where it is not usable."""


def upsample(frames: Frames, number: int, scale: float | int, kernel: Kernel = "bicubic") -> Upsampled:
    """A frame at the middles of the fine pixels.

    Beside gaps values are made with numbers repeated from the rim of what is usable, so that gaps do not grow.

    Args:
        frames: on any device; the sampling itself is done by the processor.
        number: of the frame.
        scale: fine pixels along one of the frames, above 1; need not be whole.
        kernel: see `ops.sample.sample_at`.

    Raises:
        OptionError: a scale of 1 or less.
    """
    at = places(frames, number, scale)
    held = held_at(frames, number, at) > 0
    weight = held_at(frames, number, at, frames.weight)
    gaps = torch.where(frames.usable[number], frames.pixels[number], torch.nan)
    rim = pad(gaps, (FILL_PX,) * 4, value=torch.nan)
    values = sample_at(extended(rim[None])[0].float().cpu(), at + FILL_PX, kernel)
    return Upsampled(values.nan_to_num(0.0).to(frames.pixels), held & values.isfinite().all(0).to(held.device), weight)


def held_at(
    frames: Frames,
    number: int,
    at: Float[np.ndarray, "2 fine_height fine_width"],
    of: Float[Tensor, "frame height width"] | None = None,
) -> Float[Tensor, "fine_height fine_width"]:
    """Of the pixel of a frame that holds a place: 1 where it is usable, or what `of` says; 0 outside.

    Args:
        frames: see there.
        number: of the frame.
        at: (x right, y down) px of the frame.
        of: a number for each pixel of each frame, in place of whether it is usable.
    """
    of = frames.usable.to(frames.pixels.dtype) if of is None else of
    column, row = np.floor(at + 0.5)
    height, width = frames.shape
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    rows, columns = (
        torch.from_numpy(np.clip(part, 0, n - 1).astype(np.int64)) for part, n in ((row, height), (column, width))
    )
    return (of[number].cpu()[rows, columns] * torch.from_numpy(inside)).to(frames.pixels.device)


def count_frames(frames: Frames, scale: float | int) -> Float[Tensor, "fine_height fine_width"]:
    """How many frames have a usable pixel at each fine pixel.

    Raises:
        OptionError: a scale of 1 or less.
    """
    held = [held_at(frames, number, places(frames, number, scale)) for number in range(frames.count)]
    return torch.stack(held).sum(0)


def places(frames: Frames, number: int, scale: float | int) -> Float[np.ndarray, "2 fine_height fine_width"]:
    """Where the fine pixels lie in a frame, (x right, y down) px of it.

    Raises:
        OptionError: a scale of 1 or less.
    """
    if not scale > 1:
        raise OptionError(f"a scale of {scale:g} makes nothing sharper: take one above 1, such as 2 or 3")
    height, width = frames.shape
    rows, columns = shape = frames.fine_shape(scale)
    x = (np.arange(columns) + 0.5) * (width / columns) - 0.5
    y = (np.arange(rows) + 0.5) * (height / rows) - 0.5
    flow = frames.fine_flow(number, shape).cpu().double().numpy()
    return np.stack([x + flow[0], y[:, None] + flow[1]])
