"""Motion from two images by a U-Net in a single pass: the backbone of MicroFlow by itself.

See `models.geoflownet`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..errors import InputError
from ..models.estimate import Estimate
from ..models.geoflownet import COARSEST
from ..models.iterative import IterativeOptions
from .learned import SCORED_PX, Learned, Limits, Sight
from .networks import bytes_of_unet, last_of, network_options, over_mirrors

BLOCK_PX = 512
HALO_PX = 96
"""Around a block; nothing further out reaches its rim."""
CAPTURE_PX = 3
"""Motion that the network finds by itself; larger ones start from a coarse pass."""


class GeoFlowNet(Learned, frozen=True, extra="forbid"):
    """A U-Net on the pair, without correlations or warping: the plainest of the dense networks."""

    method: Literal["geoflownet"] = Field(default="geoflownet", description="A trained U-Net, run once.")
    weights: str = Field(
        default="geoflownet", description="Trained weights: a name of the package's, or a .safetensors file."
    )

    @property
    def papers(self) -> tuple[str, ...]:
        """Keys of the papers behind it."""
        return ("bertrand2025", "dosovitskiy2015")

    @property
    def window_px(self) -> int:
        """Side of the square whose data must be there, and over which images are correlated for the score."""
        return SCORED_PX

    @property
    def _limits(self) -> Limits:
        return Limits(BLOCK_PX, HALO_PX, CAPTURE_PX, COARSEST)

    @property
    def _options(self) -> IterativeOptions:
        options = network_options(self.weights, "iterative", self.method)
        if options.passes != 1:
            raise InputError(
                f"{self.weights} holds weights for {options.passes} passes, but method {self.method} runs a single "
                "one: take --method iterative, or other --weights."
            )
        return options

    @property
    def _tells_error(self) -> bool:
        return self._options.backbone.scale

    def _bytes(self, side_px: int) -> int:
        return bytes_of_unet(self._options.backbone.width) * side_px**2

    def _find(self, sight: Sight) -> Estimate:
        run = last_of(self._ready(sight.before.device))
        return over_mirrors(run, sight.before, sight.after, sight.start, self.mirrors)
