"""Say of a measurement why it does not stand."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..core.field import Flow
from ..core.reasons import Reason
from .base import Search


def reject(
    xy: Float[Tensor, "2 height width"],
    score: Float[Tensor, "height width"],
    reasons: Tensor,
    search: Search,
    min_score: float,
) -> Flow:
    """Give a reason to what left the search box or scored too little, and NaN to all that has a reason."""
    limit = torch.tensor(search.radius, device=xy.device)[:, None, None] + 0.5
    unexplained = reasons == 0
    outside = (xy.abs() > limit).any(0) & unexplained
    low = (score < min_score) & unexplained
    reasons = reasons | outside * int(Reason.SEARCH_EDGE) | low * int(Reason.LOW_SCORE)
    reasons = reasons.to(torch.uint8)
    xy = xy.masked_fill(reasons > 0, torch.nan)
    return Flow(xy, torch.full_like(xy, torch.nan), score, reasons)
