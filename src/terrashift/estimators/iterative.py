"""Iterative refinement as published: three U-Nets, each shown the images as warped by what the others found.

See `models.iterative`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .unets import UNets


class Iterative(UNets, frozen=True, extra="forbid"):
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
    def _halo_px(self) -> int:
        return 112  # what lies further out changes no vector at a block's rim by more than about 0.003 px
