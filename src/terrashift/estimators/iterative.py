"""Iterative refinement as published: three U-Nets, each shown the images as warped by what the others found.

See `models.iterative`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..models.estimate import Estimate
from ..models.geoflownet import COARSEST
from ..models.iterative import IterativeOptions
from .learned import SCORED_PX, Learned, Limits, Sight
from .networks import bytes_of_unet, last_of, network_options, over_mirrors

BLOCK_PX = 512
HALO_PX = 112
"""Around a block; what lies further out changes no vector at its rim by more than about 0.003 px."""
CAPTURE_PX = 3
"""Motion that the network finds by itself; larger ones start from a coarse pass."""


class Iterative(Learned, frozen=True, extra="forbid"):
    """Passes of a U-Net with explicit warping between them, at the published design."""

    method: Literal["iterative"] = Field(default="iterative", description="Trained U-Nets, run one after the other.")
    weights: str = Field(
        default="iterative", description="Trained weights: a name of the package's, or a .safetensors file."
    )

    @property
    def papers(self) -> tuple[str, ...]:
        """Keys of the papers behind it."""
        return ("bertrand2025",)

    @property
    def window_px(self) -> int:
        """Side of the square whose data must be there, and over which images are correlated for the score."""
        return SCORED_PX

    @property
    def _limits(self) -> Limits:
        return Limits(BLOCK_PX, HALO_PX, CAPTURE_PX, COARSEST)

    @property
    def _options(self) -> IterativeOptions:
        return network_options(self.weights, "iterative", self.method)

    @property
    def _tells_error(self) -> bool:
        return self._options.backbone.scale

    def _bytes(self, side_px: int) -> int:
        return bytes_of_unet(self._options.backbone.width) * side_px**2

    def _find(self, sight: Sight) -> Estimate:
        run = last_of(self._ready(sight.before.device))
        return over_mirrors(run, sight.before, sight.after, sight.start, self.mirrors)
