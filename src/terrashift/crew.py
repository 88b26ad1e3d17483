"""Who computes the tiles of a run: the threads of this process, or the workers of a cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

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
