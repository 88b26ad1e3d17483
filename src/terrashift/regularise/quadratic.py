"""Smooth everywhere alike: a price on the squared change from one vector to the next.

The classical membrane (Tikhonov and Arsenin 1977): a vector becomes an average of those within about `reach`. It is for
motion without breaks; a fault is smeared over the same distance.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, Field

from ..core.field import Flow
from ..ops.membrane import quadratic
from ..ops.quads import Stop
from .base import BySigma, FillPx, MaxIterations, SigmaPx, TolerancePx
from .problem import LEAST, Problem

BYTES_PER_MEASUREMENT = 4 * 32
FADED = 1e-4  # of a change at the rim of the window, where it no longer has a say


class Quadratic(BaseModel, frozen=True, extra="forbid"):
    """Quadratic regulariser: smooth motion without breaks."""

    method: Literal["quadratic"] = Field(default="quadratic", description="Price on the squared gradient.")
    reach: float = Field(
        default=2.0, ge=0, le=8, description="Distance over which vectors are averaged, measurements; 0: nothing."
    )
    by_sigma: BySigma = True
    sigma_px: SigmaPx = None
    fill_px: FillPx = 0
    tolerance_px: TolerancePx = 1e-4
    max_iterations: MaxIterations = 400

    @property
    def name(self) -> str:
        """Short name of the method."""
        return self.method

    @property
    def papers(self) -> tuple[str, ...]:
        """Keys of the papers behind it."""
        return ("tikhonov1977",)

    @property
    def halo(self) -> int:
        """Influence falls like exp(-distance sqrt(weight) / reach): until it is `FADED` at the least weight."""
        slowest = self.reach / math.sqrt(LEAST if self.by_sigma else 1.0)
        return self.fill_px + math.ceil(slowest * math.log(1 / FADED))

    def memory(self, measurements: int) -> int:
        """Upper estimate of the working memory, bytes."""
        return BYTES_PER_MEASUREMENT * measurements

    def settled(self, sigma_px: float | None) -> Quadratic:
        """See `Regulariser.settled`."""
        return self.model_copy(update={"sigma_px": self.sigma_px or sigma_px})

    def __call__(self, flow: Flow) -> Flow:
        """See `Regulariser.__call__`."""
        problem = Problem.of(flow, self.by_sigma, self.sigma_px, self.fill_px)
        stop = Stop(self.tolerance_px, self.max_iterations)
        return problem.answered(quadratic(problem.data, self.reach**2, problem.edges, stop).field)
