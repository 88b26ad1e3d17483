"""How well a network does on places that it never learned from, by size of the motion and distance from the fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..models.estimate import Estimate
from ..simulate.archive import Archive
from ..simulate.fields import FieldOptions
from ..simulate.stream import Batch, Stream, StreamOptions
from .losses import near

CLASSES = {"very small": 0.6, "small": 2.0, "medium": 6.0}
"""Offset across the fault, px."""
SEED = 20_000_101
BORDER_PX = 12
FAULT_PX, FAR_PX = 3, 16


class Score(NamedTuple):
    """Mean endpoint errors in px of one class, each pair's median residual removed, and coverage of the scale."""

    name: str
    fault: float
    near: float
    far: float
    raw_far: float
    """Without removing the median."""
    one_sigma: float
    """Share of the errors of a component within one Laplace scale; 0.632 where it is calibrated."""

    @property
    def text(self) -> str:
        """As a line of a log."""
        return (
            f"{self.name}: {self.fault:.3f} px at the fault, {self.near:.3f} near it, {self.far:.3f} beyond; "
            f"{self.one_sigma:.0%} within one sigma"
        )


class Validation:
    """Fixed pairs of each class, made once."""

    def __init__(self, archive: Archive, pairs: int, size_px: int, device: str, seed: int = SEED) -> None:
        self.sets: dict[str, list[Batch]] = {}
        for name, offset in CLASSES.items():
            fields = FieldOptions(offset, offset, (0.0, 1.0, 0.0, 0.0), 0.0, 0.1, 0.3, 0.1)
            options = StreamOptions(size_px=size_px, batch=16, fields=fields, one_date_share=0.0)
            stream = Stream(archive, replace(options, one_date_views=0.0), seed, device)
            self.sets[name] = [stream.batch(k) for k in range(-(-pairs // 16))]

    def __call__(self, run: Callable[[Tensor, Tensor], Estimate]) -> list[Score]:
        """Score a network given as (before, after) -> estimate."""
        return [self._score(name, batches, run) for name, batches in self.sets.items()]

    @staticmethod
    def _score(name: str, batches: list[Batch], run: Callable[[Tensor, Tensor], Estimate]) -> Score:
        sums = torch.zeros(5, 2, dtype=torch.float64)
        for batch in batches:
            estimate = run(batch.before[:, None], batch.after[:, None])
            rest = estimate.flow.float() - batch.flow
            error = _length(rest - rest.flatten(2).median(2).values[:, :, None, None])
            fault, close = near(batch.trace, FAULT_PX) > 0, near(batch.trace, FAR_PX) > 0
            inside = torch.zeros_like(fault)
            inside[:, BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX] = True
            within = (rest.abs() < estimate.log_scale.float().exp()).float().mean(1)
            for k, (values, where) in enumerate(
                ((error, fault), (error, close), (error, ~close), (_length(rest), ~close), (within, inside))
            ):
                chosen = values[where & inside]
                sums[k] += torch.tensor([float(chosen.double().sum()), chosen.numel()])
        return Score(name, *(sums[:, 0] / sums[:, 1].clamp_min(1)).tolist())


def _length(vectors: Float[Tensor, "batch 2 height width"]) -> Float[Tensor, "batch height width"]:
    return vectors.square().sum(1).sqrt()
