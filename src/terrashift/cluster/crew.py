"""The workers of a Dask scheduler as the crew of a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ..core.tiles import Tile
from ..errors import IncompleteError
from .orders import Order, leave, perform

TICK_S = 2.0  # between looks at who is left
ALONE_S = 120.0  # a queueing system may need that long to start a worker anew
STOP_S = 120.0  # a block takes seconds; only a hung file system takes longer
ANSWER_S = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class DaskCrew:
    """Hands tiles to the scheduler, which hands those of lost workers to others."""

    client: Any
    """`distributed.Client`."""
    order: Order
    given: dict[Future[None], Any] = field(default_factory=dict)
    """Every tile's future here, and Dask's own, which keeps the task alive."""
    over: threading.Event = field(default_factory=threading.Event)

    def submit(self, tile: Tile) -> Future[None]:
        """See `Crew.submit`."""
        name = f"terrashift-{type(self.order).__name__.removesuffix('Order').lower()}-{self.order.ticket}"
        theirs = self.client.submit(perform, self.order, tile, key=(name, tile.row, tile.column), pure=False)
        ours: Future[None] = Future()
        self.given[ours] = theirs
        theirs.add_done_callback(lambda done: _pass_on(done, ours))
        return ours

    def stop(self) -> None:
        """See `Crew.stop`."""
        if self.over.is_set():
            return
        self.over.set()
        waiting = [theirs for ours, theirs in self.given.items() if not ours.done()]
        if self.client.status != "running":
            return  # without a scheduler nobody can be told; the store takes no more from them
        with suppress(OSError, TimeoutError):
            if waiting:
                self.client.cancel(waiting, force=True)
            deadline = time.monotonic() + STOP_S
            while any(self._leave().values()) and time.monotonic() < deadline:
                time.sleep(0.1)
        self.given.clear()

    def _leave(self) -> dict[str, int]:
        """Tell all workers that the run is over; how many tiles each still computes."""
        run = self.client._run  # the public `run` waits for ever where a worker has just died
        return self.client.sync(run, leave, self.order.ticket, on_error="ignore", callback_timeout=ANSWER_S)

    def watch(self) -> None:
        """Fail what is open when no worker has been left for long: a tile would wait for ever."""
        seen = time.monotonic()
        while not self.over.wait(TICK_S):
            try:
                alone = not self.client.sync(self.client.scheduler.ncores, callback_timeout=ANSWER_S)
            except (OSError, TimeoutError, RuntimeError):
                continue  # a lost scheduler cancels all futures by itself
            seen = seen if alone else time.monotonic()
            if time.monotonic() - seen > ALONE_S:
                self._fail(f"no worker has been left for {ALONE_S:.0f} s: start some again")
                return

    def _fail(self, why: str) -> None:
        for ours in list(self.given):
            _settle(ours, _cut_short(why))


@contextmanager
def crew_of(client: Any, order: Order) -> Iterator[DaskCrew]:
    """A crew that is watched while it works, and stopped in the end.

    Where no worker has been left for `ALONE_S` seconds, or the scheduler is lost, the futures of open tiles hold an
    `IncompleteError`.
    """
    crew = DaskCrew(client, order)
    guard = threading.Thread(target=crew.watch, name="terrashift-watch", daemon=True)
    guard.start()
    try:
        yield crew
    finally:
        crew.stop()
        guard.join()


def _pass_on(theirs: Any, ours: Future[None]) -> None:
    """Tell a future of ours how that of Dask ended."""
    if theirs.status == "finished":
        _settle(ours, None)
    elif theirs.status == "error":
        _settle(ours, _explained(theirs.exception()))
    else:
        _settle(ours, _cut_short("the connection to the scheduler is lost"))


def _settle(ours: Future[None], error: BaseException | None) -> None:
    if ours.done():
        return
    if error is None:
        ours.set_result(None)
    else:
        ours.set_exception(error)


def _explained(error: BaseException) -> BaseException:
    """What Dask says of a tile whose workers died one after the other, in words that help."""
    if type(error).__name__ == "KilledWorker":
        return RuntimeError(
            "every worker that computed it died: most likely the system ended them for want of memory; give workers "
            "more, or a smaller --max-memory or --tile-px"
        )
    return error


def _cut_short(why: str) -> IncompleteError:
    return IncompleteError(
        f"{why}. The finished tiles are kept: the same command with --resume goes on from there, with or without a "
        "cluster."
    )
