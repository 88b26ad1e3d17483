"""What a super-resolution method is, and what it gives."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from .frames import Frames


class Sharp(NamedTuple):
    """A sharper image of the reference's ground; fine pixel P has its middle at (P + 0.5)/scale - 0.5 of it."""

    mean: Float[Tensor, "band fine_height fine_width"]
    """NaN where no frame has a usable pixel, in the brightness of the reference."""
    sigma: Float[Tensor, "band fine_height fine_width"]
    """Standard error, of the unit of `mean`; NaN where the method cannot tell."""


@runtime_checkable  # the tests check every annotation
class Method(Protocol):
    """Makes one sharper image of several frames.

    Promises: unusable pixels change nothing, whatever their values; the order of the frames changes nothing, unless a
    method says so (`ordered`); a part of the image with `halo` pixels around it gives what the whole gives there.
    """

    @property
    def name(self) -> str:
        """As a user calls it."""
        ...

    @property
    def halo(self) -> int:
        """Pixels of the frames around a part that its result comes from."""
        ...

    @property
    def papers(self) -> tuple[str, ...]:
        """Keys in docs/references.md."""
        ...

    def __call__(self, frames: Frames, scale: float | int) -> Sharp:
        """Sharpen, `scale` fine pixels along a pixel of the frames.

        Args:
            frames: as bright as each other.
            scale: above 1; methods that take whole ones alone say so.

        Raises:
            OptionError: a scale that the method has not.
        """
        ...

    def memory(self, frames: int, bands: int, pixels: int, scale: int) -> int:
        """Bytes that a call takes at its peak.

        Args:
            frames: how many.
            bands: of each.
            pixels: of each band of a frame, halo included.
            scale: fine pixels along one of them.
        """
        ...
