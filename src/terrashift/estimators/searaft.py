"""Motion by looking up correlations between all pairs of features, refined by a recurrent network.

See `models.searaft`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from ..models.estimate import Estimate
from ..models.searaft import CELL, SeaRaftOptions, as_laplace
from .learned import SCORED_PX, Learned, Limits, Sight
from .networks import network_options, over_mirrors

BLOCK_PX = 384
"""Small: the correlations of a block and its halo take 90 MiB, of twice the side 16 times as much."""
HALO_PX = 64
"""Around a block; what lies further out changes no vector at its rim by more than about 0.006 px."""
CAPTURE_PX = 3
"""Motion that the packaged weights find by themselves (of 4 px they miss 0.6); larger ones start from a coarse pass."""
BYTES = 900
"""Of working memory for each pixel, beside the correlations."""


class SeaRaft(Learned, frozen=True, extra="forbid"):
    """Correlations of all pairs of features: coarser than the others below a pixel."""

    method: Literal["searaft"] = Field(
        default="searaft", description="A trained network of correlations of all pairs of features."
    )
    weights: str = Field(
        default="searaft", description="Trained weights: a name of the package's, or a .safetensors file."
    )

    @property
    def papers(self) -> tuple[str, ...]:
        """Keys of the papers behind it."""
        return ("wang2024", "teed2020")

    @property
    def window_px(self) -> int:
        """Side of the square whose data must be there, and over which images are correlated for the score."""
        return SCORED_PX

    @property
    def _limits(self) -> Limits:
        return Limits(BLOCK_PX, HALO_PX, CAPTURE_PX, CELL)

    @property
    def _options(self) -> SeaRaftOptions:
        return network_options(self.weights, "searaft", self.method)

    @property
    def _tells_error(self) -> bool:
        return True

    def _bytes(self, side_px: int) -> int:
        """The correlations of every cell with every other grow with the fourth power of the side."""
        return BYTES * side_px**2 + 12 * (side_px // CELL) ** 4

    def _find(self, sight: Sight) -> Estimate:
        ready, options = self._ready(sight.before.device), self._options

        def run(before: Tensor, after: Tensor, start: Tensor | None) -> Estimate:
            return as_laplace(ready(before, after, start=start)[-1], options.fixed_px)

        return over_mirrors(run, sight.before, sight.after, sight.start, self.mirrors)
