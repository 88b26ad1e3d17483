"""What the methods share that run passes of a plain U-Net (see `models.iterative`)."""

from __future__ import annotations

from abc import abstractmethod

from ..models.estimate import Estimate
from ..models.geoflownet import COARSEST
from ..models.iterative import IterativeOptions
from .learned import SCORED_PX, Learned, Limits, Sight
from .networks import bytes_of_unet, last_of, network_options, over_mirrors

BLOCK_PX = 512
CAPTURE_PX = 3
"""Motion that the networks find by themselves; larger ones start from a coarse pass."""


class UNets(Learned, frozen=True, extra="forbid"):
    """Abstract: one or several U-Nets, each pass warping `after` by what is known of the motion."""

    @property
    def window_px(self) -> int:
        """Side of the square whose data must be there, and over which images are correlated for the score."""
        return SCORED_PX

    @property
    @abstractmethod
    def _halo_px(self) -> int:
        """Around a block; what lies further out does not reach its rim."""

    @property
    def _limits(self) -> Limits:
        return Limits(BLOCK_PX, self._halo_px, CAPTURE_PX, COARSEST)

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
