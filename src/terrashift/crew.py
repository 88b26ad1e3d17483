"""Who computes the tiles of a run: the threads of this process, or the workers of a cluster."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from .core.tiles import Tile


@runtime_checkable  # the tests check every annotation
class Crew(Protocol):
    """Computes tiles and keeps them; never comes back with values."""

    def submit(self, tile: Tile) -> Future[None]:
        """Have a tile computed and kept."""
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
