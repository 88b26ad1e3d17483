"""Motion from two images by a U-Net in a single pass: the backbone of MicroFlow by itself.

See `models.geoflownet`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..errors import InputError
from ..models.iterative import IterativeOptions
from .unets import UNets


class GeoFlowNet(UNets, frozen=True, extra="forbid"):
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
    def _halo_px(self) -> int:
        return 96

    @property
    def _options(self) -> IterativeOptions:
        options = super()._options
        if options.passes != 1:
            raise InputError(
                f"{self.weights} holds weights for {options.passes} passes, but method {self.method} runs a single "
                "one: take --method iterative, or other --weights."
            )
        return options
