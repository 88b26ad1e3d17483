"""Run an estimator over any part of an image, in fixed blocks, so that the cut never shows in the result."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial

import torch
from torch import Tensor

from ..core.field import Flow
from ..core.grid import measured_along
from ..core.reasons import Reason
from ..core.source import PairSource
from ..ops.ahead import read_ahead
from .base import Estimator, Search
from .device import Window, run_on


def measure_block(
    estimator: Estimator, source: PairSource, search: Search, block: tuple[int, int], device: str = "cpu"
) -> Flow:
    """Measure block (i, j): the pixels [i * block_px, (i + 1) * block_px) of rows, likewise columns.

    Returns a `Flow` on the CPU, cut to what lies inside the image (see `Grid.every`).
    """
    return _finished(
        estimator, source, search, block, run_on(estimator, _read(estimator, source, search, block), device)
    )


def _read(estimator: Estimator, source: PairSource, search: Search, block: tuple[int, int]) -> Window:
    """A block and the halo around it."""
    side, halo = estimator.block_px, estimator.halo(search)
    row, column = (side * k - halo for k in block)
    size = side + 2 * halo
    return Window(*source.read(row, column, size, size, search.centre), search)


def _finished(estimator: Estimator, source: PairSource, search: Search, block: tuple[int, int], flow: Flow) -> Flow:
    """What was found in a block, cut to the image and counted from where the ground was, edges named."""
    side, step = estimator.block_px, estimator.step_px
    row, column = (side * k for k in block)
    height, width = source.grid.shape
    rows, columns = measured_along(min(side, height - row), step), measured_along(min(side, width - column), step)
    flow = Flow(*(part[..., :rows, :columns] for part in flow))
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
    rows_of_blocks = [[(top // per_block, left // per_block) for left in starts[1]] for top in starts[0]]
    reads = [partial(_read, estimator, source, search, block) for row in rows_of_blocks for block in row]
    strips = []
    with closing(_windows(reads, device)) as windows:
        for row in rows_of_blocks:
            found = [(block, run_on(estimator, next(windows), device)) for block in row]
            flows = [_finished(estimator, source, search, block, flow) for block, flow in found]
            strips.append([torch.cat(parts, -1) for parts in zip(*flows, strict=True)])
    whole = Flow(*(torch.cat(parts, -2) for parts in zip(*strips, strict=True)))
    rows, columns = (c.stop - c.start for c in core)
    return Flow(*(part[..., :rows, :columns] for part in whole))


def _windows(reads: list[partial[Window]], device: str) -> Generator[Window, None, None]:
    """What is read, one after another; on a GPU the next is read while this one is computed.

    On the CPU the other cores are busy with other tiles, and nothing would be gained.
    """
    if device == "cpu":
        return (read() for read in reads)
    return read_ahead([partial(_pinned, read) for read in reads])


def _pinned(read: Callable[[], Window]) -> Window:
    """A window in memory from which a GPU copies by itself; as it is where there is none."""
    window = read()
    if not torch.cuda.is_available():
        return window
    return window._replace(before=window.before.pin_memory(), after=window.after.pin_memory())


def measure_whole(estimator: Estimator, source: PairSource, search: Search, device: str = "cpu") -> Flow:
    """Measure the whole image at once, in memory."""
    rows, columns = (measured_along(n, estimator.step_px) for n in source.grid.shape)
    return measure_tile(estimator, source, search, (slice(0, rows), slice(0, columns)), device)
