"""Measure an image tile by tile: bounded memory, any number of threads, always the same numbers."""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import BaseModel, Field, field_validator
from torch import Tensor

from .core.field import DisplacementField, Flow
from .core.grid import Grid
from .core.source import PairSource
from .core.tiles import Tile, plan_tiles
from .crew import Crew, Threads, available_cores, one_thread_per_tile
from .errors import IncompleteError, OptionError, OutputError
from .estimators.base import Estimator, Search
from .estimators.blocks import measure_tile
from .io.sinks import TileSink
from .regularise.base import Regulariser
from .regularise.blocks import BLOCK, FlowSource, regularise_tile, settle

LARGEST_TILE_PX = 1024
TILES_ALONG = 8  # a small image still gives every thread work, and a kill loses little
BYTES_PER_MEASUREMENT = 160  # peak of a tile's flow, its pieces, the six bands and their copy on the way out
BYTES_PER_READ = 80  # of a window of stored flow, and of a stored tile on the way into it
RESERVE_BYTES = 150 << 20  # file caches, thread stacks and what the allocator keeps
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}

Progress = Callable[[int, int], None]
"""Called with (finished tiles, all tiles), from the thread that started the run."""


class RunOptions(BaseModel, frozen=True, extra="forbid"):
    """What a run may use of the machine; none of it changes what is measured."""

    max_memory: str = Field(
        default="3GiB", description="Memory that the whole process may take, such as 800MB or 3GiB."
    )
    threads: int | None = Field(
        default=None, ge=1, description="Tiles computed at a time; one per processor core unless given."
    )
    tile_px: int | None = Field(
        default=None,
        ge=1,
        description="Side of the tiles that are stored and resumed, image pixels, rounded up to whole blocks; "
        f"unless given an eighth of the image, {LARGEST_TILE_PX} at most.",
    )
    allow_partial: bool = Field(
        default=False,
        description="Write the result even where tiles failed: without values there, and with a reason of their own.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where to compute; auto takes a GPU if any."
    )

    @field_validator("max_memory")
    @classmethod
    def _is_a_size(cls, value: str) -> str:
        parse_bytes(value)
        return value

    @property
    def max_bytes(self) -> int:
        """`max_memory` in bytes."""
        return parse_bytes(self.max_memory)

    @property
    def torch_device(self) -> str:
        """`cpu` or `cuda`.

        Raises:
            OptionError: where cuda is asked for and there is none.
        """
        if self.device == "cpu":
            return "cpu"
        if torch.cuda.is_available():
            return "cuda"
        if self.device == "cuda":
            raise OptionError("--device cuda: torch finds no GPU here. Use --device cpu or auto.")
        return "cpu"

    def tile_side(self, estimator: Estimator, grid: Grid) -> int:
        """Side of a tile in measurements; depends on the image and never on the threads, so that any run can resume."""
        wanted = self.tile_px or min(LARGEST_TILE_PX, max(grid.shape) // TILES_ALONG)
        blocks = max(1, -(-wanted // estimator.block_px))
        return blocks * (estimator.block_px // estimator.step_px)


class Ground(NamedTuple):
    """Where measurements lie."""

    image: Grid
    step_px: int

    def bands(self, flow: Flow, core: tuple[slice, slice]) -> Float[Tensor, "6 height width"]:
        """The displacement in metres of the part `core` of all measurements."""
        first = core[0].start, core[1].start
        return DisplacementField.from_flow(flow, self.image, self.step_px, first).stack()


def parse_bytes(text: str) -> int:
    """Read a size such as `3GiB`, `800 MB` or `2.5G`.

    >>> parse_bytes("1.5 KiB")
    1536
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([a-zA-Z]*)\s*", text)
    if match is None or match[2].upper() not in UNITS:
        raise OptionError(f"{text!r} is not a size in memory. Write a number and a unit, such as 800MB or 3GiB.")
    return int(float(match[1]) * UNITS[match[2].upper()])


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
        OptionError: not even one tile at a time fits into the memory allowed.
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


@runtime_checkable  # the tests check every annotation
class TileJob(Protocol):
    """What is done for one tile, and where it is kept."""

    @property
    def store(self) -> TileSink:
        """Where finished tiles are."""
        ...

    @property
    def stop(self) -> threading.Event:
        """Set when no further tile is to be begun, and those under way may be dropped."""
        ...

    @property
    def what(self) -> str:
        """What tiles are called in messages."""
        ...

    def __call__(self, tile: Tile) -> None:
        """Compute a tile and keep it."""
        ...


def run_job(job: TileJob, tiles: list[Tile], workers: int, progress: Progress | None) -> None:
    """Let `workers` threads do the job for all tiles that are not finished.

    Raises:
        IncompleteError, OutputError, KeyboardInterrupt: as `run_tiles`.
    """
    with one_thread_per_tile(), ThreadPoolExecutor(max(1, min(workers, len(tiles))), "tile") as pool:
        run_crew(Threads(pool, job, job.stop), tiles, job.store.done(), job.what, progress)


def run_crew(crew: Crew, tiles: list[Tile], finished: set[str], what: str, progress: Progress | None) -> None:
    """Have a crew compute all tiles but the `finished`, and stop it in the end; raises as `run_tiles` does."""
    todo = [tile for tile in tiles if tile.key not in finished]
    count = len(tiles) - len(todo)
    report = progress or (lambda done, total: None)
    report(count, len(tiles))
    failed: dict[str, str] = {}
    try:
        futures = {crew.submit(tile): tile for tile in todo}
        for future in as_completed(futures):
            cause = _cause(future)
            if cause is not None:
                failed[futures[future].key] = cause
                continue
            count += 1
            report(count, len(tiles))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted: {count} of {len(tiles)} {what} are finished and kept. "
            "The same command with --resume goes on from there."
        ) from None
    finally:
        crew.stop()
    if failed:
        raise _incomplete(failed, len(tiles), what)


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
        return self.source.grid

    def read(
        self, row: int, column: int, height: int, width: int, shift: tuple[int, int] = (0, 0)
    ) -> tuple[Float[Tensor, "height width"], Float[Tensor, "height width"]]:
        """The source's read, which every block passes: so a run that is to stop stops at the next block."""
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


class Stopped(Exception):
    """The run is over; this tile is dropped."""


def _cause(future: Future[None]) -> str | None:
    """Why a tile failed, in one line; None where it did not. A full disk or a lost cluster ends the run instead."""
    error = future.exception()
    if error is None:
        return None
    if isinstance(error, OutputError | IncompleteError) or not isinstance(error, Exception):
        raise error
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _incomplete(failed: dict[str, str], total: int, what: str) -> IncompleteError:
    """Name the tiles that failed, grouped by cause."""
    causes: dict[str, list[str]] = {}
    for key, cause in sorted(failed.items()):
        causes.setdefault(cause, []).append(key)
    lines = [
        f"  {', '.join(keys[:8])}{f' and {len(keys) - 8} more' if len(keys) > 8 else ''}: {cause}"
        for cause, keys in causes.items()
    ]
    return IncompleteError(
        f"{len(failed)} of {total} {what} failed (row.column of the tile: cause):\n"
        + "\n".join(lines)
        + "\nThe others are finished and kept. The same command with --resume tries the failed ones again, and with "
        "--resume --allow-partial writes the result without them.",
        failed,
    )


def require_memory(estimator: Estimator, grid: Grid, search: Search, options: RunOptions) -> int:
    """How many tiles of a pair on `grid` may be computed at a time; raises as `count_workers` does."""
    side = options.tile_side(estimator, grid)
    largest = math.prod(min(side, n) for n in grid.every(estimator.step_px).shape)
    return count_workers(estimator, search, largest, options)


def require_regularise_memory(regulariser: Regulariser, shape: tuple[int, int], options: RunOptions) -> None:
    """Make sure that one block of a flow of `shape` can be smoothed.

    Raises:
        OptionError: where it does not fit into `options.max_memory`.
    """
    each = regularise_bytes(regulariser, shape, options)
    if _fitting(each, options) < 1:
        raise _too_little(each, options, ", a smaller --tile-px, or use a weaker --regularize")


def regularise_workers(regulariser: Regulariser, shape: tuple[int, int], options: RunOptions) -> int:
    """How many blocks of a flow of `shape` may be smoothed at a time: one at least."""
    if options.torch_device == "cuda":
        return 1
    each = regularise_bytes(regulariser, shape, options)
    return min(options.threads or available_cores(), max(1, _fitting(each, options)))


def regularise_bytes(regulariser: Regulariser, shape: tuple[int, int], options: RunOptions) -> int:
    """Memory that one block takes: what is read, then a stored tile on its way in or the minimisation, the way out."""
    stored = max(BLOCK, options.tile_px or LARGEST_TILE_PX)  # at most: steps make it smaller
    window, tile, block = (
        math.prod(min(side, n) for n in shape) for side in (BLOCK + 2 * regulariser.halo, stored, BLOCK)
    )
    work = 0 if options.torch_device == "cuda" else regulariser.memory(window)
    return BYTES_PER_READ * window + max(BYTES_PER_READ * tile, work) + BYTES_PER_MEASUREMENT * block


def workers_for(each: int, options: RunOptions, remedy: str = ", or a smaller --tile-px") -> int:
    """How many jobs of `each` bytes may run at a time.

    Raises:
        OptionError: where not even one fits into `options.max_memory`; `remedy` says what else could be changed.
    """
    fitting = _fitting(each, options)
    if fitting < 1:
        raise _too_little(each, options, remedy)
    return min(options.threads or available_cores(), fitting)


def _fitting(each: int, options: RunOptions) -> int:
    """How many jobs of so many bytes fit at a time."""
    return (options.max_bytes - resident_bytes() - RESERVE_BYTES) // each


def _too_little(each: int, options: RunOptions, remedy: str) -> OptionError:
    base = resident_bytes() + RESERVE_BYTES
    needed = -(-(base + each) // 2**20)
    return OptionError(
        f"--max-memory {options.max_memory} is too little: the program itself takes {base >> 20} MiB and one tile "
        f"{each >> 20} MiB. Give it {needed}MiB or more{remedy}."
    )


def count_workers(estimator: Estimator, search: Search, measurements: int, options: RunOptions) -> int:
    """How many tiles of so many `measurements` may be computed at a time.

    Raises:
        OptionError: where not even one fits into `options.max_memory`.
    """
    on_gpu = options.torch_device == "cuda"
    each = BYTES_PER_MEASUREMENT * measurements + (0 if on_gpu else estimator.memory(search))
    fitting = _fitting(each, options)
    if fitting < 1:
        smaller = "" if measurements * estimator.step_px**2 <= estimator.block_px**2 else ", a smaller --tile-px"
        raise _too_little(each, options, f"{smaller}, or use a smaller window or search")
    if on_gpu:
        return 1  # the device is one, and threads would only compete for its memory
    return min(options.threads or available_cores(), fitting)


def resident_bytes() -> int:
    """Memory that this process holds now; its peak so far where the system does not tell."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return _peak_bytes()


def _peak_bytes() -> int:
    """Largest memory that this process held; a guess where no system call tells it (Windows)."""
    try:
        import resource
        import sys
    except ImportError:
        return 500 << 20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
