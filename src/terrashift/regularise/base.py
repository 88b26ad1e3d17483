"""What every regulariser promises: a flow in, a smoother flow at the same places out."""

from __future__ import annotations

from typing import Annotated, Protocol, runtime_checkable

from pydantic import Field

from ..core.field import Flow

BySigma = Annotated[
    bool, Field(description="Let vectors count by the inverse square of their standard error, where it is known.")
]
SigmaPx = Annotated[
    float | None,
    Field(gt=0, description="Standard error that counts as 1, pixels; the median of the field's own unless given."),
]
FillPx = Annotated[
    int,
    Field(
        ge=0,
        le=64,
        description="Also give a value to rejected vectors (never to nodata or the edge) within so many "
        "measurements of one that stands; 0: none.",
    ),
]
TolerancePx = Annotated[
    float, Field(gt=0, description="Bound on the root mean square error of the minimisation in a block, pixels.")
]
MaxIterations = Annotated[int, Field(ge=1, description="Iterations after which a minimisation ends anyway.")]


@runtime_checkable  # the tests check every annotation
class Regulariser(Protocol):
    """One way to smooth a flow. Lengths along the ground are counted in measurements, motion in pixels.

    What a vector has to say is its value and how much that counts. Missing vectors say nothing, drag nobody toward
    anything, and stay missing; no influence passes through them.
    """

    @property
    def name(self) -> str:
        """Short name: `tv`, `log_tv`, ..."""
        ...

    @property
    def papers(self) -> tuple[str, ...]:
        """Keys of the papers behind the method (see docs/references.md)."""
        ...

    @property
    def halo(self) -> int:
        """Measurements to read around a block on each side, beyond which nothing has a say worth mentioning."""
        ...

    def memory(self, measurements: int) -> int:
        """Peak working memory for so many measurements (halo included) in bytes, an upper estimate."""
        ...

    def settled(self, sigma_px: float | None) -> Regulariser:
        """The same with a standard error that counts as 1, unless it has one: for parts of a larger field."""
        ...

    def __call__(self, flow: Flow) -> Flow:
        """Smooth a flow, on its own device.

        Returns:
            `xy` smoothed. `sigma` and `score` are those of the measurements: the error of a smoothed vector is no
            longer independent of its neighbours', and away from faults it is smaller than its `sigma`. `reasons`
            changes only where a missing vector was filled: to 0, with a `sigma` of NaN.
        """
        ...
