"""Learned iterative refinement: a small network, run three times, each time on the images as warped so far.

See `models.microflow`. Dense, sharp at faults, with an error for every vector.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import Field
from torch import Tensor

from ..models.estimate import Estimate
from ..models.microflow import MicroFlow as Network
from ..models.microflow import MicroFlowOptions
from .boundary import with_boundary
from .closer import looked_closer, most_at_once
from .learned import SCORED_PX, Learned, Limits, Sight
from .networks import last_of, network_options, over_mirrors
from .sides import with_sides

BLOCK_PX = 1024
HALO_PX = 96
"""Around a block; what lies further out still changes one vector in a hundred at its rim by more than 0.01 px."""
CAPTURE_PX = 3
"""Motion that the network finds by itself (at 4 px it begins to miss); larger ones start from a coarse pass."""
BYTES = 500
"""Of working memory for each pixel, at the packaged width."""


class MicroFlow(Learned, frozen=True, extra="forbid"):
    """Learned refinement with explicit warping: dense and sharp, with an error for every vector."""

    method: Literal["microflow"] = Field(default="microflow", description="A trained network, run three times.")
    weights: str = Field(
        default="microflow-compact", description="Trained weights: a name of the package's, or a .safetensors file."
    )

    closer: bool = Field(
        default=True,
        description="Where motion jumps, as across a fault, let the network go on at twice the resolution.",
    )
    both_sides: bool = Field(
        default=True,
        description="Where motion jumps, as across a fault, lay the boundary where the images say, and measure large "
        "slip again from the motion of either side.",
    )

    @property
    def papers(self) -> tuple[str, ...]:
        """Keys of the papers behind it."""
        return ("bertrand2025", "wang1994", "boykov2001")

    @property
    def window_px(self) -> int:
        """Side of the square whose data must be there, and over which images are correlated for the score."""
        return SCORED_PX

    @property
    def _limits(self) -> Limits:
        return Limits(BLOCK_PX, HALO_PX, CAPTURE_PX, Network.multiple)

    @property
    def _options(self) -> MicroFlowOptions:
        return network_options(self.weights, "microflow", self.method)

    @property
    def _tells_error(self) -> bool:
        return True

    def _bytes(self, side_px: int) -> int:
        return BYTES * max(side_px**2, most_at_once(side_px))

    def _find(self, sight: Sight) -> Estimate:
        before, after = sight.before, sight.after
        ready = self._ready(before.device)
        first, closer = (partial(over_mirrors, last_of(run), count=self.mirrors) for run in (ready, ready.closer))

        def measured(start: Tensor | None) -> Estimate:
            return first(before, after, start)

        found = measured(sight.start)
        if self.both_sides:
            found = with_sides(before, after, found, measured)
        if self.closer:
            found = looked_closer(closer, before, after, found)
        if self.both_sides:
            found = with_boundary(before, after, found, measured)
        return found
