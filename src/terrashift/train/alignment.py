"""How the registration network learns from pairs without their truth, and how well it does on pairs held out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..models.estimate import Estimate
from ..models.linear_deformable import PARTS, LinearDeformable
from ..ops.random import Random, waves
from ..register.objective import AlignmentOptions, alignment_loss
from ..simulate.archive import Archive
from ..simulate.fields import FieldOptions
from ..simulate.stream import Batch, Stream, StreamOptions

CLASSES = {
    "translation": FieldOptions(0.1, 10.0, (1.0, 0.0, 0.0, 0.0), shift_px=7.0, smooth_px=0.0),
    "affine": FieldOptions(0.1, 10.0, (1.0, 0.0, 0.0, 0.0), shift_px=4.0, smooth_px=0.0, linear_px=10.0),
    "deformation": FieldOptions(0.1, 10.0, (1.0, 0.0, 0.0, 0.0), shift_px=1.0, smooth_px=0.0, bend_px=10.0),
}
SEED = 20_000_301
BLOTS, CLOUD = 5, 3.0
"""Knots of missing parts along a side, and how much brighter than the ground a cloud is, in its deviations."""
CYCLE = ("both", "both", "affine", "deformable")
"""Parts of one pair after another."""


class AlignmentScore(NamedTuple):
    """Mean distance from the truth over all pixels of a class of pairs."""

    name: str
    initial_px: float
    """Before registration."""
    left_px: float
    """After it."""

    @property
    def share(self) -> float:
        """What is left, of 1."""
        return self.left_px / max(self.initial_px, 1e-9)

    @property
    def text(self) -> str:
        """As a line of a log."""
        return f"{self.name}: {self.initial_px:.2f} px before, {self.left_px:.2f} px after ({self.share:.3f})"


class AlignmentValidation:
    """Fixed pairs of each class, made once."""

    def __init__(self, archive: Archive, pairs: int, size_px: int, device: str, seed: int = SEED) -> None:
        self.sets: dict[str, list[Batch]] = {}
        for name, fields in CLASSES.items():
            options = StreamOptions(size_px=size_px, batch=8, fields=fields, one_date_share=0.0, one_date_views=0.0)
            stream = Stream(archive, options, seed, device)
            self.sets[name] = [stream.batch(k) for k in range(-(-pairs // 8))]

    def __call__(self, run: Callable[[Tensor, Tensor], Estimate]) -> list[AlignmentScore]:
        """Score a network given as (before, after) -> estimate."""
        scores = []
        for name, batches in self.sets.items():
            before = [batch.flow.norm(dim=1).mean() for batch in batches]
            after = [
                (run(batch.before[:, None], batch.after[:, None]).flow.float() - batch.flow).norm(dim=1).mean()
                for batch in batches
            ]
            scores.append(AlignmentScore(name, *(float(torch.stack(part).mean()) for part in (before, after))))
        return scores


def align_batch(
    network: LinearDeformable, batch: Batch, options: AlignmentOptions
) -> tuple[Float[Tensor, ""], Float[Tensor, "batch 2 height width"]]:
    """The loss of a batch, with gradients, and the flow that was found. The truth is not looked at."""
    hidden = hide(batch, options.gaps) if options.gaps else batch
    before, after = hidden.before[:, None], hidden.after[:, None]
    names = [CYCLE[k % len(CYCLE)] if options.parts == "any" else options.parts for k in range(len(before))]
    parts = before.new_tensor([PARTS[name] for name in names])
    passes = network(before, after, parts)
    return alignment_loss(passes, options).mean(), passes[-1].full((before.shape[2], before.shape[3]))


def aligned(network: LinearDeformable, before: Tensor, after: Tensor) -> Estimate:
    """What the network finds at every pixel with both parts; it does not tell its error."""
    flow = network(before, after)[-1].full((before.shape[2], before.shape[3]))
    return Estimate(flow, torch.zeros_like(flow))


def hide(batch: Batch, share: float) -> Batch:
    """Take data from one image of some pairs, and lay clouds over the second image of as many others.

    Each pair is treated alike in whatever batch it is: its own first numbers draw for it.
    """
    numbers = (batch.before[:, 0, :2].contiguous().view(torch.int32).sum(1) & 0x7FFFFFFF).to(torch.int32)
    random = Random.of(0, numbers, str(batch.before.device))
    size = (batch.before.shape[1], batch.before.shape[2])
    blots = waves(random, "blots", 1, BLOTS, size)[:, 0] > random.uniform("cover", low=-0.2, high=1.2)[:, None, None]
    which = random.uniform("which")[:, None, None]
    before = torch.where(blots & (which < share / 2), torch.nan, batch.before)
    after = torch.where(blots & (which >= share / 2) & (which < share), torch.nan, batch.after)
    cloudy = blots & (which >= share) & (which < 2 * share)
    cloud = CLOUD + 0.3 * waves(random, "cloud", 1, 4 * BLOTS, size)[:, 0]
    return batch._replace(before=before, after=torch.where(cloudy, cloud, after))
