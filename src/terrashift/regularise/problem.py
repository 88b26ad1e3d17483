"""What a measured flow has to say to a regulariser, and the flow that its answer makes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..core.field import Flow
from ..core.reasons import Reason
from ..ops.quads import Data, Edges

LEAST, MOST = 0.1, 10.0  # weights: a standard error that is far off must neither silence a vector nor crown it
UNFILLABLE = int(Reason.NODATA | Reason.EDGE | Reason.FAILED)


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A flow as measurements with weights, on the places where an answer is wanted."""

    flow: Flow
    data: Data
    edges: Edges

    @classmethod
    def of(cls, flow: Flow, by_sigma: bool, sigma_px: float | None, fill_px: int) -> Problem:
        """Weigh the vectors, and find the places to fill.

        Args:
            flow: what was measured.
            by_sigma: whether standard errors count.
            sigma_px: the standard error that weighs 1; the flow's own median if not given.
            fill_px: how far from a vector that stands missing ones get a value, measurements.
        """
        known = flow.xy.isfinite().all(0)
        weight = torch.ones_like(flow.xy)
        if by_sigma:
            typical = sigma_px or median_sigma(flow.sigma[:, known])
            weight = relative_weight(flow.sigma, typical) if typical else weight
        value, region = grown(torch.where(known, flow.xy, 0.0), known, flow.reasons & UNFILLABLE == 0, fill_px)
        return cls(flow, Data(value, weight * known, region), Edges.within(region))

    def answered(self, field: Float[Tensor, "2 height width"]) -> Flow:
        """The flow with the answer in place of its vectors."""
        region = self.data.region
        filled = region & ~self.flow.xy.isfinite().all(0)
        return Flow(
            xy=torch.where(region, field, torch.nan),
            sigma=torch.where(filled, torch.nan, self.flow.sigma),
            score=self.flow.score,
            reasons=torch.where(filled, 0, self.flow.reasons),
        )


def median_sigma(sigma: Float[Tensor, ...]) -> float | None:
    """The median of the standard errors that are known; None where none is.

    >>> median_sigma(torch.tensor([0.1, torch.nan, 0.3, 0.5])) == torch.tensor(0.3).item()
    True
    """
    known = sigma[sigma.isfinite() & (sigma > 0)]
    return known.median().item() if known.numel() else None


def relative_weight(sigma: Float[Tensor, "2 height width"], typical: float) -> Float[Tensor, "2 height width"]:
    """(typical / sigma)^2 within bounds; 1 where sigma is not known, so that a price keeps its meaning."""
    return (typical / sigma).square().clamp(LEAST, MOST).nan_to_num(1.0)


def grown(
    value: Float[Tensor, "2 height width"],
    known: Bool[Tensor, "height width"],
    allowed: Bool[Tensor, "height width"],
    steps: int,
) -> tuple[Float[Tensor, "2 height width"], Bool[Tensor, "height width"]]:
    """Let known values grow so many steps to their side neighbours within `allowed`.

    A new value is the mean of those it grew from.
    """
    for _ in range(steps):
        total, count = _from_sides(torch.where(known, value, 0.0)), _from_sides(known[None].float())[0]
        new = allowed & ~known & (count > 0)
        if not new.any():
            break
        value, known = torch.where(new, total / count.clamp_min(1), value), known | new
    return value, known


def _from_sides(array: Float[Tensor, "band height width"]) -> Float[Tensor, "band height width"]:
    """Sum over the four side neighbours."""
    total = torch.zeros_like(array)
    total[:, 1:] += array[:, :-1]
    total[:, :-1] += array[:, 1:]
    total[:, :, 1:] += array[:, :, :-1]
    total[:, :, :-1] += array[:, :, 1:]
    return total
