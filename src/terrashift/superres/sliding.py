"""More frames than a network takes: windows over the frames, the clearest first, and the mean of what they give.

After the evaluation of DeepSUM (Bordone Molini et al. 2020): frames are sorted by how clear they are, a window of as
many as the network takes moves along them, and its estimates are averaged. There each window has a reference of its
own, and estimates are registered afterwards; here the reference stays the first of every window, so that all lie on its
grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..models.sharp import MultiFrame, SharpEstimate

POSITIONS = 7
"""Of the window at most: with nine frames the 15 clearest take part, and more gain nothing (as published)."""
CLEAR, LESS_CLEAR = 0.9, 0.05
"""Share of a frame that has to be usable, and by how much less will do where too few are."""


@dataclass(frozen=True, slots=True, eq=False)
class SlidingWindow:
    """A network for a fixed number of frames, called as if it took any number."""

    network: MultiFrame
    positions: int = POSITIONS

    def __call__(
        self,
        frames: Float[Tensor, "batch frame band height width"],
        usable: Float[Tensor, "batch frame 1 height width"],
        shifts_px: Float[Tensor, "batch frame 2"],
    ) -> SharpEstimate:
        """See `MultiFrame.forward`; no scale comes back, since estimates that share frames err together."""
        if frames.shape[1] <= self.network.frames:
            return self.network(frames, usable, shifts_px)
        near = (shifts_px.abs().amax(2) <= self.network.reach_px).to(usable)
        clear = usable.mean((2, 3, 4)) * near
        sharp = []
        for one in range(len(frames)):
            found = [
                self.network(frames[one, chosen][None], usable[one, chosen][None], shifts_px[one, chosen][None]).mean
                for chosen in windows(clear[one], self.network.frames, self.positions)
            ]
            sharp.append(torch.cat(found).mean(0))
        return SharpEstimate(torch.stack(sharp), None)


def windows(clear: Float[Tensor, " frame"], count: int, positions: int) -> Iterator[list[int]]:
    """Frames of each window: the reference, number 0, and `count` - 1 of the others, the clearest first.

    Frames count that are usable over nine tenths, or over less by steps of a twentieth until a window is full.

    >>> list(windows(torch.tensor([0.2, 1.0, 0.95, 0.92, 0.3]), 3, 7))
    [[0, 1, 2], [0, 2, 3]]
    """
    others = (clear[1:].argsort(descending=True, stable=True) + 1).tolist()
    least = CLEAR
    while least > 0 and int((clear[1:] > least).sum()) < count - 1:
        least -= LESS_CLEAR
    kept = [number for number in others if clear[number] > max(least, 0.0)] or others[:1]
    for first in range(max(1, min(positions, len(kept) - count + 2))):
        yield [0, *kept[first : first + count - 1]]
