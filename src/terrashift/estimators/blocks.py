"""Run an estimator over any part of an image, in fixed blocks, so that the cut never shows in the result."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.field import Flow
from ..core.grid import measured_along
from ..core.reasons import Reason
from ..core.source import PairSource
from .base import Estimator, Search


def measure_block(
    estimator: Estimator, source: PairSource, search: Search, block: tuple[int, int], device: str = "cpu"
) -> Flow:
    """Measure block (i, j): the pixels [i * block_px, (i + 1) * block_px) of rows, likewise columns.

    Returns a `Flow` on the CPU, cut to what lies inside the image (see `Grid.every`).
    """
    side, halo, step = estimator.block_px, estimator.halo(search), estimator.step_px
    row, column = (side * k for k in block)
    size = side + 2 * halo
    before, after = source.read(row - halo, column - halo, size, size, search.centre)
    flow = estimator(before.to(device), after.to(device), search)
    height, width = source.grid.shape
    rows, columns = measured_along(min(side, height - row), step), measured_along(min(side, width - column), step)
    flow = Flow(*(part[..., :rows, :columns].cpu() for part in flow))
    centre = torch.tensor(search.centre, dtype=flow.xy.dtype)[:, None, None]
    reasons = name_edges(flow.reasons, source.grid.shape, (row, column), estimator, search)
    return flow._replace(xy=flow.xy + centre, reasons=reasons)


def name_edges(
    reasons: Tensor, shape: tuple[int, int], first: tuple[int, int], estimator: Estimator, search: Search
) -> Tensor:
    """Where a window without data reaches past the image, say that the edge is the cause."""
    outside = []
    for axis, moved in ((0, search.centre[1]), (1, search.centre[0])):
        place = first[axis] + estimator.step_px // 2 + estimator.step_px * torch.arange(reasons.shape[axis])
        half = estimator.window_px // 2
        low, high = place - half + min(moved, 0), place + half + max(moved, 0)
        outside.append((low < 0) | (high >= shape[axis]))
    past = outside[0][:, None] | outside[1][None, :]
    nodata = (reasons & Reason.NODATA) > 0
    return torch.where(past & nodata, (reasons & ~int(Reason.NODATA)) | int(Reason.EDGE), reasons)


def measure_tile(
    estimator: Estimator,
    source: PairSource,
    search: Search,
    core: tuple[slice, slice],
    device: str = "cpu",
) -> Flow:
    """Measure the part `core` (rows, columns of measurements) of the output; starts must fall on block starts."""
    per_block = estimator.block_px // estimator.step_px
    starts = [range(c.start, c.stop, per_block) for c in core]
    if any(c.start % per_block for c in core):
        raise ValueError(f"tile {core} does not start on a block of {per_block} measurements")
    strips = []
    for top in starts[0]:
        row = [
            measure_block(estimator, source, search, (top // per_block, left // per_block), device)
            for left in starts[1]
        ]
        strips.append([torch.cat(parts, -1) for parts in zip(*row, strict=True)])
    whole = Flow(*(torch.cat(parts, -2) for parts in zip(*strips, strict=True)))
    rows, columns = (c.stop - c.start for c in core)
    return Flow(*(part[..., :rows, :columns] for part in whole))


def measure_whole(estimator: Estimator, source: PairSource, search: Search, device: str = "cpu") -> Flow:
    """Measure the whole image at once, in memory."""
    rows, columns = (measured_along(n, estimator.step_px) for n in source.grid.shape)
    return measure_tile(estimator, source, search, (slice(0, rows), slice(0, columns)), device)
