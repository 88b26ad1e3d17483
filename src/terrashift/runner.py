"""Measure an image tile by tile: bounded memory, any number of threads, always the same numbers."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .core.field import DisplacementField, Flow
from .core.grid import Grid
from .core.source import PairSource
from .core.tiles import Tile, plan_tiles
from .crew import Stopped, run_job
from .estimators.base import Estimator, Search
from .estimators.blocks import measure_tile
from .io.sinks import TileSink
from .regularise.base import Regulariser
from .regularise.blocks import BLOCK, FlowSource, regularise_tile, settle
from .resources import RunOptions, regularise_workers, require_memory
from .watch import Progress


class Ground(NamedTuple):
    """Where measurements lie."""

    image: Grid
    step_px: int

    def bands(self, flow: Flow, core: tuple[slice, slice]) -> Float[Tensor, "6 height width"]:
        """The displacement in metres of the part `core` (rows, columns) of all; see `DisplacementField`."""
        first = core[0].start, core[1].start
        return DisplacementField.from_flow(flow, self.image, self.step_px, first).stack()


def run_tiles(
    estimator: Estimator,
    source: PairSource,
    search: Search,
    store: TileSink,
    options: RunOptions,
    progress: Progress | None = None,
    in_pixels: bool = False,
) -> None:
    """Measure every tile that `store` lacks and write it there: displacement in metres, or the flow (`in_pixels`).

    Raises:
        OptionError: not even one tile at a time fits into the memory allowed, or there is no GPU and one is asked for.
        IncompleteError: some tiles failed; the others are finished and kept.
        OutputError: a tile could not be written; nothing further is tried.
        KeyboardInterrupt: on Ctrl-C, saying what is kept.
    """
    step, side = estimator.step_px, options.tile_side(estimator, source.grid)
    tiles = list(plan_tiles(source.grid.every(step).shape, side))
    workers = require_memory(estimator, source.grid, search, options)
    ground = None if in_pixels else Ground(source.grid, step)
    run_job(Measuring(estimator, source, search, store, options.torch_device, ground), tiles, workers, progress)


def run_regularise(
    regulariser: Regulariser,
    source: FlowSource,
    ground: Ground,
    store: TileSink,
    options: RunOptions,
    progress: Progress | None = None,
) -> None:
    """Smooth every tile of a measured flow that `store` lacks, and write its displacement in metres there.

    The tiles are blocks of `BLOCK` measurements whatever `options` say. At least one is computed at a time: ask
    `require_regularise_memory` before the measuring, not when all of it is done.

    Raises:
        IncompleteError, OutputError, KeyboardInterrupt: as `run_tiles`.
    """
    tiles = list(plan_tiles(source.shape, BLOCK))
    if len(store.done()) < len(tiles):
        regulariser = settle(regulariser, source)
    job = Smoothing(regulariser, source, ground, store, options.torch_device)
    run_job(job, tiles, regularise_workers(regulariser, source.shape, options), progress)


@dataclass(frozen=True, slots=True)
class Measuring:
    """Measure one tile and keep it."""

    estimator: Estimator
    source: PairSource
    search: Search
    store: TileSink
    device: str
    ground: Ground | None
    """None: keep the flow in pixels."""
    stop: threading.Event = field(default_factory=threading.Event)
    what: str = "tiles"

    @property
    def grid(self) -> Grid:
        """See `PairSource.grid`."""
        return self.source.grid

    def read(
        self, row: int, column: int, height: int, width: int, shift: tuple[int, int] = (0, 0)
    ) -> tuple[Float[Tensor, "height width"], Float[Tensor, "height width"]]:
        """The source's read, which every block passes: so a run that is to stop stops at the next block.

        Raises:
            Stopped: the run is over.
        """
        if self.stop.is_set():
            raise Stopped
        return self.source.read(row, column, height, width, shift)

    @torch.inference_mode()
    def __call__(self, tile: Tile) -> None:
        flow = measure_tile(self.estimator, self, self.search, tile.core, self.device)
        in_pixels = torch.cat([flow.xy, flow.sigma, flow.score[None], flow.reasons[None].float()])
        self.store.write(tile, self.ground.bands(flow, tile.core) if self.ground else in_pixels)


@dataclass(frozen=True, slots=True)
class Smoothing:
    """Smooth one tile of a measured flow and keep it."""

    regulariser: Regulariser
    source: FlowSource
    ground: Ground
    store: TileSink
    device: str
    stop: threading.Event = field(default_factory=threading.Event)
    what: str = "tiles of the smoothing"

    @torch.inference_mode()
    def __call__(self, tile: Tile) -> None:
        flow = regularise_tile(self.regulariser, self.source, tile.core, self.device, BLOCK)
        self.store.write(tile, self.ground.bands(flow, tile.core))
