"""Correlation of small windows, made consistent by dynamic programming (Rosu et al. 2015; Hirschmueller 2008).

Every pixel scores every candidate shift by the correlation of a small window. The costs are then summed along paths
that reach the pixel from many directions, where a change of shift between neighbours has its price, and the cheapest
shift wins. This is done for whole-pixel shifts first, then three shifts per axis around the winner at 1/2, 1/4, 1/8 px.

A correlation at a fraction of a pixel needs no resampled image: over a window that moves as one, the covariance with an
interpolated image is the interpolation of the covariances at whole pixels.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, Field
from torch import Tensor

from ..core.field import Flow
from ..core.reasons import Reason
from ..ops.box import box_sum
from ..ops.fill import filled
from .base import Search
from .correlation import LOBES, Match, Places, cheapest, match_windows, paraboloid_bottom
from .paths import Change, Labels, aggregate, settle
from .rejection import reject

LEVELS = 3  # halvings of the whole-pixel lattice; below 1/8 px a paraboloid does
PRICE = 10 / 3  # costs per pixel of change at reg 1: puts the best regularisation at the customary 0.3
LEAST = 0.3  # correlation below which a match is no match
CONTEXT_PX = 64  # around a block, for its paths to settle before they count


class Spatial(BaseModel, frozen=True, extra="forbid"):
    """Spatial correlator: small windows, regularised along many directions."""

    method: Literal["spatial"] = Field(
        default="spatial", description="Normalised cross-correlation and dynamic programming."
    )
    window_px: int = Field(default=9, ge=3, le=129, description="Side of the correlation window, pixels; odd.")
    step_px: int = Field(default=1, ge=1, description="Distance between measurements, pixels.")
    reg: float = Field(
        default=0.3, ge=0, description="Price of a change of shift between neighbours, per pixel of change; 0 = off."
    )
    max_slope: float | None = Field(
        default=0.1,
        gt=0,
        description="With reg 0: change of shift that costs nothing, pixels per pixel; none: every window alone.",
    )
    directions: Literal[8, 16] = Field(default=16, description="Paths that reach each pixel.")
    min_score: float = Field(default=0.0, ge=0, le=1, description="Reject measurements with a lower correlation.")
    min_valid_share: float = Field(
        default=0.5, gt=0, le=1, description="Reject windows with a smaller share of pixels with data."
    )

    @property
    def name(self) -> str:
        """Short name of the method."""
        return self.method

    @property
    def papers(self) -> tuple[str, ...]:
        """Keys of the papers behind it."""
        return ("rosu2015", "hirschmueller2008")

    @property
    def block_px(self) -> int:
        """Side of a block: about 320 px and a whole number of steps."""
        return self.step_px * max(1, math.ceil(320 / self.step_px))

    def halo(self, search: Search) -> int:
        """Room for the window, the search, the sinc, and the paths before they count."""
        return self._context * self.step_px + self.window_px // 2 + max(search.radius) + LOBES + 1

    @property
    def _context(self) -> int:
        """Measurements around a block that its paths run through, none without regularisation."""
        return math.ceil(CONTEXT_PX / self.step_px) if self.reg or self.max_slope else 0

    def memory(self, search: Search) -> int:
        """Upper estimate of one block's working memory, bytes."""
        rx, ry = search.radius
        n = (self.block_px // self.step_px + 2 * self._context) ** 2
        dense = (self.block_px + 2 * self.halo(search)) ** 2
        covariances = (2 * rx + 2 * LOBES + 1) * (2 * ry + 2 * LOBES + 1)
        paths = 6 * (2 * rx + 1) * (2 * ry + 1)
        return 4 * (n * (2 * covariances + paths + 4 * (2 * LOBES + 1) ** 2) + 2 * dense * 4**LEVELS)

    def __call__(
        self, before: Float[Tensor, "rows columns"], after: Float[Tensor, "rows columns"], search: Search
    ) -> Flow:
        """Measure one block; see `Estimator.__call__`."""
        halo = self.halo(search)
        inner = (before.shape[0] - 2 * halo + self.step_px - 1 - self.step_px // 2) // self.step_px
        count = inner + 2 * self._context
        places = Places(halo + self.step_px // 2 - self._context * self.step_px, self.step_px, count, self.window_px)
        valid = torch.minimum(valid_share(before, places), valid_share(after, places))
        match = match_windows(filled(before), filled(after), places, search.radius, 2**LEVELS)
        reasons = torch.zeros(valid.shape, dtype=torch.uint8, device=valid.device)
        reasons[valid < self.min_valid_share] = int(Reason.NODATA)
        reasons[match.flat & (reasons == 0)] = int(Reason.NO_TEXTURE)
        xy, score = self._search(match, reasons == 0)
        core = slice(self._context, self._context + inner)
        return reject(xy[:, core, core], score[core, core], reasons[core, core], search, self.min_score)

    def _search(self, match: Match, known: Bool[Tensor, "n n"]) -> tuple[Float[Tensor, "2 n n"], Float[Tensor, "n n"]]:
        """(shift, correlation there) of every place, from whole pixels down to the finest lattice.

        Places that are not `known` have no say: paths run through them as if all their shifts were alike.
        """
        cost = self._consistent(cost_of(match.at_whole_shifts(), known), Labels(None, 1.0))
        shift = cheapest(cost, 1.0)
        whole = shift.long()
        taps = match.taps_around(whole)
        offset = torch.zeros_like(shift)
        for level in range(1, LEVELS + 1):
            spacing = 0.5**level
            correlation = match.around(taps, whole, offset, spacing)
            cost = self._consistent(cost_of(correlation, known), Labels(whole + offset, spacing))
            last = offset
            offset = offset + cheapest(cost, spacing)
        return self._settled(whole + offset, whole + last, correlation, known), correlation.amax((0, 1)).clamp(0, 1)

    def _settled(self, shift: Tensor, middle: Tensor, correlation: Tensor, known: Tensor) -> Tensor:
        """From the finest lattice to between its candidates, by each place's own correlations and its neighbours."""
        spacing = 0.5**LEVELS
        cost = cost_of(correlation, known)
        own = middle + paraboloid_bottom(cost) * spacing
        if not self.reg:
            return own
        bend = (cost.sum(0) + cost.sum(1)) / 6 / spacing**2
        curvature = (bend[0] - 2 * bend[1] + bend[2]).clamp_min(1e-3)
        own = torch.where(known, own, shift)
        return settle(shift, own, curvature * known, self.reg * PRICE / self.step_px)

    def _consistent(self, cost: Tensor, labels: Labels) -> Tensor:
        """The costs themselves, or summed along paths."""
        if not (self.reg or self.max_slope):
            return cost
        limit = math.inf if self.reg or self.max_slope is None else self.max_slope * self.step_px
        change = Change(self.reg * PRICE / self.step_px, limit)
        return aggregate(cost, labels, change, self.directions)


def cost_of(correlation: Tensor, known: Bool[Tensor, "n n"]) -> Tensor:
    """Cost in [0, 1] of a correlation: none counts below `LEAST`, and high ones count more (Rosu et al. 2015)."""
    return torch.where(known, 1 - ((correlation - LEAST) / (1 - LEAST)).clamp_min(0) ** 2, 1.0)


def valid_share(image: Float[Tensor, "height width"], places: Places) -> Float[Tensor, "n n"]:
    """Share of pixels with data in the window around each place."""
    side, start = places.window_px, places.first - places.window_px // 2
    part = image.isfinite().float()[start : start + places.span + side - 1, start : start + places.span + side - 1]
    return box_sum(part, side, places.step) / side**2
