"""Measure both ways, and keep only what comes back to where it started."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, Field
from torch import Tensor

from ..core.field import Flow
from ..core.reasons import Reason
from .base import Estimator, Search


class BackwardOptions(BaseModel, frozen=True, extra="forbid"):
    """Whether to measure the way back too."""

    backward_px: float | None = Field(
        default=None,
        gt=0,
        description="Also measure after -> before and reject what disagrees by more than this many pixels; "
        "doubles the cost. Off unless given.",
    )

    def wrap(self, estimator: Estimator) -> Estimator:
        """The estimator itself, or one that checks its way back."""
        return estimator if self.backward_px is None else WithBackward(estimator, self.backward_px)


@dataclass(frozen=True, slots=True)
class WithBackward:
    """Any estimator, its vectors held against those measured from `after` to `before`."""

    estimator: Estimator
    tolerance_px: float

    @property
    def name(self) -> str:
        """Name of the estimator within."""
        return self.estimator.name

    @property
    def papers(self) -> tuple[str, ...]:
        """Papers of the estimator within."""
        return self.estimator.papers

    @property
    def window_px(self) -> int:
        """Window of the estimator within."""
        return self.estimator.window_px

    @property
    def step_px(self) -> int:
        """Step of the estimator within."""
        return self.estimator.step_px

    @property
    def block_px(self) -> int:
        """Block of the estimator within."""
        return self.estimator.block_px

    def margin(self, search: Search) -> int:
        """How far beyond the block the backward motion is needed: the search, in whole steps, and one step more."""
        steps = math.ceil((max(search.radius) + 1) / self.step_px) + 1
        return steps * self.step_px

    def halo(self, search: Search) -> int:
        """The estimator's own halo around the block and its margin."""
        return self.estimator.halo(search) + self.margin(search)

    def memory(self, search: Search) -> int:
        """The backward measurement of the widened block, and both results."""
        side = self.block_px + 2 * self.margin(search)
        growth = (side / self.block_px) ** 2
        return math.ceil(self.estimator.memory(search) * growth) + 40 * (side // self.step_px) ** 2

    def __call__(
        self, before: Float[Tensor, "rows columns"], after: Float[Tensor, "rows columns"], search: Search
    ) -> Flow:
        """Measure forward; drop the vectors p -> p + f whose way back does not end within `tolerance_px` of p.

        Where the way back has no value nothing is known, and the forward vector stands.
        """
        margin = self.margin(search)
        inner = slice(margin, before.shape[0] - margin), slice(margin, before.shape[1] - margin)
        forward = self.estimator(before[inner], after[inner], search)
        x, y = search.centre
        backward = self.estimator(after, before, search._replace(centre=(-x, -y)))
        bad = disagrees(forward.xy, backward.xy, self.step_px, margin // self.step_px, self.tolerance_px)
        nan = torch.full_like(forward.xy, torch.nan)
        return Flow(
            xy=torch.where(bad, nan, forward.xy),
            sigma=torch.where(bad, nan, forward.sigma),
            score=forward.score,
            reasons=torch.where(bad, forward.reasons | int(Reason.INCONSISTENT), forward.reasons),
        )


def disagrees(
    forward: Float[Tensor, "2 height width"],
    backward: Float[Tensor, "2 tall wide"],
    step: int,
    margin: int,
    tolerance: float,
) -> Bool[Tensor, "height width"]:
    """True where |f(p) + b(p + f(p))| > tolerance, b sampled bilinearly between its measurements.

    Args:
        forward: motion in pixels at every `step`-th pixel.
        backward: the same the other way, on `margin` more measurements on every side.
        step: distance between measurements, pixels.
        margin: measurements by which `backward` is wider.
        tolerance: largest distance between start and return, pixels.

    Returns:
        False where either vector is missing.
    """
    height, width = forward.shape[1:]
    rows = torch.arange(height, device=forward.device, dtype=forward.dtype)[:, None] + margin
    columns = torch.arange(width, device=forward.device, dtype=forward.dtype)[None, :] + margin
    back = _bilinear(backward, columns + forward[0] / step, rows + forward[1] / step)
    return (forward + back).pow(2).sum(0) > tolerance**2


def _bilinear(values: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Values at (x, y) of a (2, height, width) array; NaN outside and beside NaN, unless it has no weight."""
    height, width = values.shape[1:]
    left, top = x.floor(), y.floor()
    total = torch.zeros_like(x).expand(2, *x.shape).clone()
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = (1 - (x - left - column).abs()) * (1 - (y - top - row).abs())
        i, j = top + row, left + column
        inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)  # False for NaN too
        i, j = (torch.where(inside, k, 0).long() for k in (i, j))
        part = torch.where(inside, values[:, i, j], torch.nan) * weight
        total += torch.where(weight == 0, 0, part)
    return total
