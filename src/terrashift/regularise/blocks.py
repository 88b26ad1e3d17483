"""Regularise any part of a field, in fixed blocks, so that the cut never shows in the result.

A minimisation knows no locality of its own: every vector has a say in every other, only ever less. So the field is
cut into blocks of `BLOCK` measurements anchored at its first one, each solved alone from its own vectors and a halo
around, and stopped by its own error. A vector then depends on its block and nothing else: not on tiles, threads, or on
whether the field was in memory. Between two blocks a small step may remain: about a tenth of the tolerance of the
minimisation in the root mean square, a few times that tolerance for single vectors (benchmarks/regularisers.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from ..core.field import Flow
from ..core.tiles import plan_tiles
from ..errors import OptionError
from ..ops.memory import attempt, tell_once
from .base import Regulariser
from .problem import median_sigma

BLOCK = 768
"""Side of a block, measurements."""
SAMPLES = 1024
"""How many measurements along the longer side tell the typical standard error."""


@runtime_checkable  # the tests check every annotation
class FlowSource(Protocol):
    """A measured flow, read by window. Safe to read from several threads."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of measurements."""
        ...

    def read(self, rows: slice, columns: slice) -> Flow:
        """The part of the flow in these rows and columns, which lie inside, on the CPU."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ArrayFlow:
    """A `FlowSource` in memory."""

    flow: Flow

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of measurements."""
        rows, columns = self.flow.score.shape
        return rows, columns

    def read(self, rows: slice, columns: slice) -> Flow:
        """See `FlowSource.read`."""
        return Flow(*(part[..., rows, columns].cpu() for part in self.flow))


def settle(regulariser: Regulariser, source: FlowSource) -> Regulariser:
    """The regulariser, told once for all blocks which standard error is typical of the whole field."""
    return regulariser.settled(typical_sigma(source))


def typical_sigma(source: FlowSource) -> float | None:
    """Median standard error of about a million measurements spread over the field; None where none is known."""
    every = -(-max(source.shape) // SAMPLES) or 1
    found = []
    for tile in plan_tiles(source.shape, BLOCK):
        flow = source.read(*tile.core)
        first = [-part.start % every for part in tile.core]
        picked = Flow(*(part[..., first[0] :: every, first[1] :: every] for part in flow))
        found.append(picked.sigma[:, picked.reasons == 0].flatten())
    return median_sigma(torch.cat(found)) if found else None


def regularise_block(
    regulariser: Regulariser,
    source: FlowSource,
    block: tuple[int, int],
    device: str = "cpu",
    side: int = BLOCK,
) -> Flow:
    """Regularise block (i, j): measurements [i * side, (i + 1) * side) of rows, likewise columns, inside the field.

    Args:
        regulariser: settled, see `settle`, or neighbouring blocks would weigh their vectors differently.
        source: the whole field.
        block: which.
        device: where to compute; the result is on the CPU.
        side: of a block; another one gives slightly different numbers, so a run never chooses it.
    """
    read, keep = [], []
    for number, length in zip(block, source.shape, strict=True):
        start, end = number * side, min((number + 1) * side, length)
        first = max(0, start - regulariser.halo)
        read.append(slice(first, min(length, end + regulariser.halo)))
        keep.append(slice(start - first, end - first))
    flow = source.read(*read)
    smooth = attempt(lambda: _on(regulariser, flow, device))
    if smooth is None:
        tell_once(f"the memory of {device} is too small for a block of the smoothing: some are computed on the CPU")
        smooth = _on(regulariser, flow, "cpu")
    return Flow(*(part[..., keep[0], keep[1]] for part in smooth))


def _on(regulariser: Regulariser, flow: Flow, device: str) -> Flow:
    """Regularise on a device; the answer is on the CPU."""
    return Flow(*(part.cpu() for part in regulariser(Flow(*(part.to(device) for part in flow)))))


def regularise_tile(
    regulariser: Regulariser,
    source: FlowSource,
    core: tuple[slice, slice],
    device: str = "cpu",
    side: int = BLOCK,
) -> Flow:
    """Regularise the part `core` (rows, columns) of a field; starts must fall on block starts.

    Raises:
        OptionError: where they do not.
    """
    if any(part.start % side for part in core):
        raise OptionError(f"tile {core} does not start on a block of {side} measurements: use a multiple of {side}")
    strips = []
    for top in range(core[0].start, core[0].stop, side):
        lefts = range(core[1].start, core[1].stop, side)
        row = [regularise_block(regulariser, source, (top // side, left // side), device, side) for left in lefts]
        strips.append([torch.cat(parts, -1) for parts in zip(*row, strict=True)])
    whole = Flow(*(torch.cat(parts, -2) for parts in zip(*strips, strict=True)))
    rows, columns = (part.stop - part.start for part in core)
    return Flow(*(part[..., :rows, :columns] for part in whole))


def regularise_whole(regulariser: Regulariser, flow: Flow, device: str = "cpu", side: int = BLOCK) -> Flow:
    """Regularise a whole flow in memory; the same numbers as window by window."""
    source = ArrayFlow(flow)
    rows, columns = source.shape
    return regularise_tile(settle(regulariser, source), source, (slice(0, rows), slice(0, columns)), device, side)
