"""What a worker is told of a run, and how it does its part: everything is made anew there from plain values."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

import torch

from ..core.tiles import Tile
from ..crew import Stopped
from ..errors import OutputError
from ..estimators.base import Search
from ..io.lock import here
from ..io.opening import bounded_cache
from ..io.raster import RasterPair
from ..io.sinks import StoredFlow
from ..io.store import TileStore
from ..recipe import Recipe
from ..regularise.base import Regulariser
from ..resources import regularise_workers, require_memory
from ..runner import Ground, Measuring, Smoothing
from .sight import code_hash

P = ParamSpec("P")
R = TypeVar("R")
KEPT_RUNS = 4
"""Runs that a worker keeps open: both passes of a few, for a scheduler that serves several at a time."""


class Post(NamedTuple):
    """A worker's part in a run."""

    job: Measuring | Smoothing
    seats: int
    """Tiles at a time that its memory, or its GPU, allows."""


@dataclass(frozen=True, slots=True)
class MeasureOrder:
    """Measure tiles of a pair."""

    ticket: str
    """Names the run; see `TileStore.admit`."""
    code: str
    """What `code_hash` must say."""
    folder: str
    """Of the working store, as all workers see it."""
    pair: RasterPair
    """Its paths likewise; a few kB without any pixel."""
    recipe: Recipe
    search: Search

    def take_post(self) -> Post:
        """Open the files and the store.

        Raises:
            OptionError: memory or device do not do.
            OutputError: the store is not to be seen.
        """
        estimator, run = self.recipe.estimator, self.recipe.run
        seats = require_memory(estimator, self.pair.grid, self.search, run)
        store = TileStore.join(self.folder, self.ticket)
        ground = None if self.recipe.regularises else Ground(self.pair.grid, estimator.step_px)
        return Post(Measuring(estimator, self.pair, self.search, store, run.torch_device, ground), seats)


@dataclass(frozen=True, slots=True)
class SmoothOrder:
    """Smooth tiles of a flow that was measured."""

    ticket: str
    """See `MeasureOrder`; of the store of the second pass."""
    code: str
    folder: str
    """Of the store of the second pass."""
    measured: str
    """Of that of the first."""
    measured_ticket: str
    ground: Ground
    regulariser: Regulariser
    """Settled for the whole field."""
    recipe: Recipe

    def take_post(self) -> Post:
        """Open both stores.

        Raises:
            OptionError: there is no GPU and one is asked for.
            OutputError: a store is not to be seen.
        """
        source = StoredFlow(TileStore.join(self.measured, self.measured_ticket))
        store = TileStore.join(self.folder, self.ticket)
        seats = regularise_workers(self.regulariser, source.shape, self.recipe.run)
        job = Smoothing(self.regulariser, source, self.ground, store, self.recipe.run.torch_device)
        return Post(job, seats)


Order = MeasureOrder | SmoothOrder


class Report(NamedTuple):
    """What a worker says when it has taken its post."""

    place: str
    seats: int
    kind: str
    """Device, processor and arithmetic: results are the same to the last bit where these are."""


@dataclass(slots=True)
class _Desk:
    """A run as this worker process knows it."""

    post: Post
    seats: threading.Semaphore
    running: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def seat(self) -> Iterator[None]:
        """Wait until the memory has room for one more tile."""
        with self.guard:
            self.running += 1
        try:
            with self.seats:
                if self.post.job.stop.is_set():
                    raise Stopped
                yield
        finally:
            with self.guard:
                self.running -= 1


_desks: OrderedDict[str, _Desk] = OrderedDict()
_over: deque[str] = deque(maxlen=1000)
_opening = threading.RLock()


def _travelling(function: Callable[P, R]) -> Callable[P, R]:
    """Let errors go without what they come from: GDAL's own cannot be pickled, and Dask would lose the type of ours."""

    @wraps(function)
    def inner(*args: P.args, **more: P.kwargs) -> R:
        try:
            return function(*args, **more)
        except Exception as error:
            failure = error.with_traceback(None)
            failure.__cause__ = failure.__context__ = None
        raise failure

    return inner


@_travelling
def perform(order: Order, tile: Tile) -> None:
    """Compute a tile and keep it; runs on a worker.

    Raises:
        InputError: an image cannot be read.
        OptionError: memory or device of this worker do not do.
        OutputError: the store is not to be seen or takes nothing more, other code runs here, or the disk is full.
        Stopped: the run is over.
    """
    desk = _desk(order)
    with desk.seat(), bounded_cache():
        torch.set_num_threads(1)  # of this thread of the worker: sums would change with the number of cores
        desk.post.job(tile)


@_travelling
def enter(order: Order) -> Report:
    """Take the post before any tile comes, so that what cannot work is known at once; runs on a worker.

    Raises:
        OptionError, OutputError, Stopped: as `perform`.
    """
    desk = _desk(order)
    return Report(here(), desk.post.seats, kind_of(desk.post.job.device))


def leave(ticket: str) -> int:
    """End a run on this worker; how many of its tiles still compute."""
    with _opening:
        if ticket not in _over:
            _over.append(ticket)
        desk = _desks.get(ticket)
        if desk is None:
            return 0
        desk.post.job.stop.set()
        if not desk.running:
            del _desks[ticket]
        return desk.running


def kind_of(device: str) -> str:
    """What decides the last bits of a result on this machine."""
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    return f"CPU with {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"


def _desk(order: Order) -> _Desk:
    """The run's files and store, opened once in each process."""
    with _opening:
        if order.ticket in _over:
            raise Stopped
        desk = _desks.get(order.ticket)
        if desk is None:
            if code_hash() != order.code:  # a worker that came after the others were asked
                raise OutputError(f"{here()} runs other code of terrashift: install there what runs here")
            post = order.take_post()
            desk = _desks[order.ticket] = _Desk(post, threading.Semaphore(post.seats))
            idle = [ticket for ticket, other in _desks.items() if not other.running and other is not desk]
            for ticket in idle[: max(0, len(idle) - KEPT_RUNS)]:
                del _desks[ticket]
        _desks.move_to_end(order.ticket)
        return desk
