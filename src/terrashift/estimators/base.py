"""What every estimator promises: two images in, motion in pixels out."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from ..core.field import Flow


class Search(NamedTuple):
    """Where to look for the match of a pixel: a box around a whole-pixel offset."""

    centre: tuple[int, int] = (0, 0)
    """(x right, y down), whole pixels; the runner moves the `after` window by it and adds it to the answer."""
    radius: tuple[int, int] = (2, 2)
    """(x, y) whole pixels on either side of the centre."""


@runtime_checkable  # the tests check every annotation
class Estimator(Protocol):
    """One way to measure displacement between two images. Pixels in, pixels out: no file, CRS or metre.

    Results never depend on how an image is cut for computing, because the cut is fixed: blocks of `block_px`
    anchored at the image's first pixel, each computed alone, in one thread, from its own pixels and `halo` around.
    """

    @property
    def name(self) -> str:
        """Short name: `frequency`, `spatial`, ..."""
        ...

    @property
    def papers(self) -> tuple[str, ...]:
        """Keys of the papers behind the method (see docs/references.md)."""
        ...

    @property
    def window_px(self) -> int:
        """Side of the square of pixels that one measurement looks at."""
        ...

    @property
    def step_px(self) -> int:
        """Distance between measurements, pixels."""
        ...

    @property
    def block_px(self) -> int:
        """Side of a block in image pixels, a multiple of `step_px`."""
        ...

    def halo(self, search: Search) -> int:
        """Pixels to read around a block on each side."""
        ...

    def memory(self, search: Search) -> int:
        """Peak working memory of one block in bytes, an upper estimate."""
        ...

    def __call__(
        self, before: Float[Tensor, "rows columns"], after: Float[Tensor, "rows columns"], search: Search
    ) -> Flow:
        """Measure at pixels halo + step//2, halo + step//2 + step, ... of both axes, short of the far halo.

        Args:
            before: float32, block and halo, NaN where there is no data.
            after: the same window moved by `search.centre`; the flow returned is relative to the moved window.
            search: what to look through.
        """
        ...
