"""Have the tiles of a run computed by threads or by workers of a cluster, and say which failed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from .core.tiles import Tile
from .errors import IncompleteError, OutputError
from .io.sinks import TileSink
from .watch import Progress


@runtime_checkable  # the tests check every annotation
class Crew(Protocol):
    """Computes tiles and keeps them; never comes back with values."""

    def submit(self, tile: Tile) -> Future[None]:
        """Have a tile computed and kept; the future ends with it, or holds what went wrong."""
        ...

    def stop(self) -> None:
        """Drop the tiles that wait, let those that run end at their next block, and return when nothing runs."""
        ...


@dataclass(frozen=True, slots=True)
class Threads:
    """The threads of this process."""

    pool: ThreadPoolExecutor
    job: Callable[[Tile], None]
    halt: threading.Event
    """Tells the job to end at its next block."""

    def submit(self, tile: Tile) -> Future[None]:
        """See `Crew.submit`."""
        return self.pool.submit(self.job, tile)

    def stop(self) -> None:
        """See `Crew.stop`."""
        self.halt.set()
        self.pool.shutdown(cancel_futures=True)


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
        """Compute a tile and keep it.

        Raises:
            Stopped: `stop` was set meanwhile.
            Exception: whatever makes the tile fail; an `OutputError` ends the run.
        """
        ...


class Stopped(Exception):
    """The run is over; this tile is dropped."""


def run_job(job: TileJob, tiles: list[Tile], workers: int, progress: Progress | None) -> None:
    """Let `workers` threads do the job for all tiles that are not finished; raises as `run_crew` does."""
    with one_thread_per_tile(), ThreadPoolExecutor(max(1, min(workers, len(tiles))), "tile") as pool:
        run_crew(Threads(pool, job, job.stop), tiles, job.store.done(), job.what, progress)


def run_crew(crew: Crew, tiles: list[Tile], finished: set[str], what: str, progress: Progress | None) -> None:
    """Have a crew compute all tiles but the `finished`, and stop it in the end.

    Args:
        crew: who computes and keeps them.
        tiles: of the whole run.
        finished: keys of those that an earlier run kept.
        what: what tiles are called in messages.
        progress: who hears how many are finished.

    Raises:
        IncompleteError: some tiles failed, named with their causes, and the others are finished and kept; or no worker
            is left.
        OutputError: a tile could not be written; nothing further is tried.
        KeyboardInterrupt: on Ctrl-C, saying what is kept.
    """
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


def available_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_thread_per_tile() -> Iterator[None]:
    """Keep torch from splitting one tile over threads: sums would change with the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
