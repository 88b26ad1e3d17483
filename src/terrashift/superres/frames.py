"""Frames of one place in memory: what every super-resolution method takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from ..errors import InputError

FILL_PX = 3
"""How far gaps are filled from their rim, so that kernels beside them have numbers; what is filled never counts."""
STILL_PX = 0.02
"""Flows that vary less over a frame are one shift."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Images of one place on the pixels of a reference, moved by fractions of a pixel against it.

    The ground at p of the reference is at p + flow(p) of a frame: frame(p + flow(p)) = reference(p).
    """

    pixels: Float[Tensor, "frame band height width"]
    """NaN where a pixel is not usable: no data, cloud, shadow."""
    flow: Float[Tensor, "frame 2 height width"]
    """(x right, y down) px, on the reference's pixels."""
    home: int = 0
    """The frame that is the reference: its brightness is the result's."""
    level: Float[Tensor, " band"] | None = None
    """Mean of each band over the whole image, for networks; of these pixels unless given."""
    contrast: Float[Tensor, " band"] | None = None
    """Standard deviation of each band over the whole image."""
    trust: Float[Tensor, "frame height width"] | None = None
    """How much a pixel counts, 0 to 1, beside being usable; 1 unless given. See `trust`."""

    def __post_init__(self) -> None:
        """Refuse what fits together in no way.

        Raises:
            InputError: no frames, flows of another shape, or a reference that is not there.
        """
        count, _, height, width = self.pixels.shape
        if not count or self.flow.shape != (count, 2, height, width) or not 0 <= self.home < count:
            raise InputError(
                f"{count} frames of {height} x {width} px with flows of {tuple(self.flow.shape)} and reference "
                f"{self.home}: give one flow (x, y) for each pixel of each frame, and the number of a frame."
            )

    @classmethod
    def shifted(
        cls,
        pixels: Float[Tensor, "frame band height width"],
        shifts: Float[Tensor, "frame 2"] | Sequence[Sequence[float | int]],
        home: int = 0,
    ) -> Frames:
        """Frames that are moved as wholes.

        Args:
            pixels: NaN where not usable.
            shifts: (x right, y down) px of each: frame(p + shift) = reference(p).
            home: number of the reference.

        Raises:
            InputError: as for any frames.
        """
        moves = torch.as_tensor(shifts, dtype=pixels.dtype, device=pixels.device)
        flow = moves[:, :, None, None].expand(-1, -1, *pixels.shape[2:])
        return cls(pixels, flow, home)

    @cached_property
    def usable(self) -> Bool[Tensor, "frame height width"]:
        """Where all bands of a frame have data."""
        return self.pixels.isfinite().all(1)

    @cached_property
    def filled(self) -> Float[Tensor, "frame band height width"]:
        """Numbers everywhere: those of unusable pixels come from the rim of what is usable, nothing else."""
        gaps = torch.where(self.usable[:, None], self.pixels, torch.nan)
        return extended(gaps)

    @cached_property
    def shifts(self) -> Float[Tensor, "frame 2"]:
        """The mean shift of each frame, (x right, y down) px."""
        return self.flow.mean((2, 3))

    @cached_property
    def bent(self) -> list[bool]:
        """Which frames do not move as a whole."""
        spread = self.flow.amax((2, 3)) - self.flow.amin((2, 3))
        return [bool(value) for value in spread.amax(1) > STILL_PX]

    @property
    def count(self) -> int:
        """How many frames."""
        return len(self.pixels)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the reference, px."""
        return self.pixels.shape[2], self.pixels.shape[3]

    def fine_shape(self, scale: float | int) -> tuple[int, int]:
        """(height, width) of the result."""
        return fine_shape(self.shape, scale)

    def with_pixels(self, pixels: Float[Tensor, "frame band height width"]) -> Frames:
        """The same frames with other values."""
        return replace(self, pixels=pixels)

    def with_trust(
        self, pixels: Float[Tensor, "frame band height width"], trust: Float[Tensor, "frame height width"]
    ) -> Frames:
        """The same frames with other values, and how much each counts, 0 to 1."""
        return replace(self, pixels=pixels, trust=trust)

    @cached_property
    def weight(self) -> Float[Tensor, "frame height width"]:
        """Trust of usable pixels, 0 elsewhere."""
        usable = self.usable.to(self.pixels.dtype)
        return usable if self.trust is None else usable * self.trust

    def to(self, device: str) -> Frames:
        """On another device."""
        moved = [None if part is None else part.to(device) for part in (self.level, self.contrast, self.trust)]
        return Frames(self.pixels.to(device), self.flow.to(device), self.home, *moved)

    def fine_flow(self, number: int, shape: tuple[int, int]) -> Float[Tensor, "2 fine_height fine_width"]:
        """The flow of a frame, (x right, y down) still in its own pixels, at those of the result.

        Args:
            number: of the frame.
            shape: (height, width) of the result, px.
        """
        flow = self.flow[number]
        if not self.bent[number]:
            return self.shifts[number][:, None, None].expand(2, *shape)
        return interpolate(flow[None], shape, mode="bilinear", align_corners=False)[0]


def fine_shape(shape: tuple[int, int], scale: float | int) -> tuple[int, int]:
    """(height, width) of what `shape` becomes; sides are rounded to whole pixels.

    >>> fine_shape((10, 7), 1.5)
    (15, 10)
    """
    return round(shape[0] * scale), round(shape[1] * scale)


def extended(
    image: Float[Tensor, "frame band height width"], reach_px: int = FILL_PX
) -> Float[Tensor, "frame band height width"]:
    """NaN within `reach_px` of data becomes a mean of neighbours with data; 0 further away."""
    if bool(image.isfinite().all()):
        return image
    for _ in range(reach_px):
        have = image.isfinite()
        known = have.to(image.dtype)
        total, count = (avg_pool2d(pad(part, (1, 1, 1, 1)), 3, 1) for part in (torch.where(have, image, 0.0), known))
        # a rim that repeats its nearest values: no slope is invented
        image = torch.where(have | (count == 0), image, total / count.clamp_min(1e-6))
    return image.nan_to_num(0.0)
