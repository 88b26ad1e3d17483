"""One shift from each small window by a plain convolutional network, run over a whole block at once.

See `models.cnn4l`. The network knows motions of up to a pixel. Where the search is wider, a first step finds the whole
pixels, and the network looks in windows moved by them.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import pad

from ..models.cnn4l import PATCH_PX, Cnn4lOptions, Lattice, prepare, recentred
from ..models.estimate import Estimate
from .coarse import neighbour_median
from .learned import Learned, Limits, Sight
from .networks import network, network_options, over_mirrors

BLOCK_PX = 512
CELL_PX = 4
"""Side of the squares whose windows are moved alike: the first step costs a 16th (ours: the paper has one a window)."""
FINE_PX = 1
"""Motion that the network finds by itself."""
COARSE_PX = 5
"""Motion that the network of the first step finds by itself."""


class Cnn4l(Learned, frozen=True, extra="forbid"):
    """A window network: every vector from its own few pixels, nothing learned of the shape of motion."""

    method: Literal["cnn4l"] = Field(default="cnn4l", description="A trained network that sees one small window.")
    weights: str = Field(
        default="cnn4l-dis16", description="Trained weights: a name of the package's, or a .safetensors file."
    )
    coarse: str = Field(
        default="none",
        description="Trained weights of a first step, such as cnn3l-5px, which finds whole pixels where the search is "
        "wider than one; none: phase correlation of large windows finds them.",
    )

    @property
    def papers(self) -> tuple[str, ...]:
        """Keys of the papers behind it."""
        return ("montagnon2024",)

    @property
    def window_px(self) -> int:
        """Side of the smallest square around a pixel that holds its window."""
        return self._options.window_px // 2 * 2 + 1

    @property
    def _options(self) -> Cnn4lOptions:
        return network_options(self.weights, "cnn4l", self.method)

    @property
    def _coarse_options(self) -> Cnn4lOptions | None:
        return None if self.coarse == "none" else network_options(self.coarse, "cnn4l", self.method)

    @property
    def _limits(self) -> Limits:
        """A window reaches half its side, and each of its pixels is standardised over as much again."""
        fine, coarse = self._options.window_px, self._coarse_options
        if coarse is None:
            return Limits(BLOCK_PX, fine, FINE_PX, CELL_PX, CELL_PX)
        return Limits(BLOCK_PX, max(fine + COARSE_PX, coarse.window_px), COARSE_PX, CELL_PX, CELL_PX)

    @property
    def _tells_error(self) -> bool:
        return self._options.scale

    def _bytes(self, side_px: int) -> int:
        """The images and answers, and the features of one patch."""
        patches = 0
        for options in (self._options, self._coarse_options):
            if options is not None:
                patches = max(patches, options.width * (max(PATCH_PX, self.step_px) + options.window_px) ** 2)
        return 250 * side_px**2 + 90 * patches

    def _find(self, sight: Sight) -> Estimate:
        fine, reach = self._ready(sight.before.device), _reach(sight)
        rows, columns = (
            torch.arange(start, max(start, stop), self.step_px, device=sight.before.device)
            for start, stop in zip(sight.first, sight.before.shape[-2:], strict=True)
        )
        if not (len(rows) and len(columns)):  # all data lies between the places
            nothing = sight.before.new_zeros(sight.have.shape)
            return Estimate(nothing, nothing)
        offsets = self._offsets(sight)[..., rows[:, None] // CELL_PX, columns // CELL_PX]
        cell = CELL_PX // self.step_px if CELL_PX % self.step_px == 0 else 1
        lattice = Lattice(reach, self.step_px, cell)

        def run(before: Tensor, after: Tensor, start: Tensor | None) -> Estimate:
            assert start is not None
            return recentred(fine, torch.cat([before, after], 1), start.long(), lattice)

        pair = _prepared(sight, self._options.window_px, reach)
        pair = _between(pair, sight.first, self.step_px, offsets, self._options.window_px + 2 * reach)
        found = over_mirrors(run, pair[:, :1], pair[:, 1:], offsets, self.mirrors)
        return _spread(found, sight, self.step_px)

    def _offsets(self, sight: Sight) -> Float[Tensor, "1 2 rows columns"]:
        """Whole pixels by which the windows of each cell are moved, never beyond the search.

        The median of the neighbouring cells (ours): a lone cell of another offset costs much and is seldom right.
        """
        height, width = (n // CELL_PX for n in sight.before.shape[-2:])
        offsets = sight.before.new_zeros(1, 2, height, width)
        reach, middle = _reach(sight), CELL_PX // 2
        if sight.start is not None:
            offsets = sight.start[..., middle::CELL_PX, middle::CELL_PX].round().clamp(-reach, reach)
        if self._coarse_options is None or not reach:
            return offsets
        side, margin = self._coarse_options.window_px, reach if sight.start is not None else 0
        pair = _prepared(sight, side, margin)
        pair = _between(pair, (middle, middle), CELL_PX, offsets, side + 2 * margin)
        first = network(self.coarse, str(pair.device))
        found = recentred(first, pair, offsets.long(), Lattice(margin, CELL_PX)).flow
        return neighbour_median(found[0])[None].round().clamp(-reach, reach)


def _reach(sight: Sight) -> int:
    """Largest whole-pixel offset of a window."""
    return sight.reach_px if sight.reach_px > FINE_PX else 0


def _prepared(sight: Sight, side: int, margin: int) -> Float[Tensor, "1 2 rows columns"]:
    """Both images as a network with windows of `side` wants them, and room for a window around every pixel.

    A window moved by `margin` at most stays inside; the one at pixel (i, j) begins at (i + margin, j + margin).
    """
    images = torch.where(sight.have, torch.cat([sight.before, sight.after], 1), torch.nan)
    return pad(prepare(images, side), (side // 2 + margin,) * 4)


def _between(pair: Tensor, first: tuple[int, int], step: int, places: Tensor, room: int) -> Tensor:
    """The part around a lattice of places, as far beyond its last as before its first, so that it can be mirrored."""
    down, across = (
        slice(start, start + step * (count - 1) + room) for start, count in zip(first, places.shape[-2:], strict=True)
    )
    return pair[..., down, across]


def _spread(found: Estimate, sight: Sight, step: int) -> Estimate:
    """What was found on a lattice, at every pixel: that of the nearest place."""
    if step == 1:
        return found
    rows, columns = (
        ((torch.arange(n, device=found.flow.device) - start + step // 2) // step).clamp(0, count - 1)
        for n, start, count in zip(sight.before.shape[-2:], sight.first, found.flow.shape[-2:], strict=True)
    )
    return Estimate(*(part[..., rows[:, None], columns] for part in found))
