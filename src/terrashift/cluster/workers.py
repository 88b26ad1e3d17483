"""The workers of a cluster: whether they can do a run, and how they are set to it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.tiles import plan_tiles
from ..crew import run_crew
from ..errors import OptionError
from ..estimators.base import Search
from ..io.atomic import scratch
from ..io.raster import RasterPair
from ..io.sinks import StoredFlow
from ..io.store import TileStore
from ..recipe import Recipe
from ..regularise.blocks import settle
from ..runner import Ground
from ..watch import Progress, silent
from .crew import crew_of
from .orders import MeasureOrder, Order, Report, SmoothOrder, enter
from .sight import Landmark, Look, absolute, code_hash, problems

SHOWN = 6
"""Workers that a message names."""


@dataclass(frozen=True, slots=True, eq=False)
class Cluster:
    """Workers that compute tiles. Any number of runs may use it, one after the other."""

    client: Any
    """`distributed.Client`."""
    name: str
    address: str | None = None
    """For other clients; None for processes that were started for this one."""
    warn: Callable[[str], None] = silent
    """Who hears what a user should know of the workers, once each."""
    told: set[str] = field(default_factory=set)

    def at_home(self, recipe: Recipe) -> Recipe:
        """The recipe for what is not spread out: a GPU that is asked for need only be where the workers are."""
        if recipe.run.device != "cuda":
            return recipe
        return recipe.model_copy(update={"run": recipe.run.model_copy(update={"device": "auto"})})

    def check(self, pair: RasterPair, recipe: Recipe, folder: Path) -> None:
        """Make sure that all workers see the images and the folder of the results, before any work.

        Raises:
            OptionError: naming the workers that do not.
        """
        pair, weights = absolute(pair), getattr(_placed(recipe).estimate, "weights", "")
        files = [path for path in (pair.before.path, pair.after.path, weights) if os.path.isfile(path)]
        with scratch(folder.resolve() / "probe.txt") as probe:
            word = secrets.token_hex(8)
            probe.write_text(word, encoding="utf-8")
            look = Look(code_hash(), str(probe), word, tuple(Landmark.of(path) for path in files), pair)
            found = self.client.run(problems, look, on_error="return")
        self._refuse({worker: _in_words(answer) for worker, answer in found.items()})

    def run_tiles(
        self, pair: RasterPair, search: Search, store: TileStore, recipe: Recipe, progress: Progress | None = None
    ) -> None:
        """As `runner.run_tiles`, on the workers; what a recipe that regularises measures stays in pixels.

        Raises:
            OptionError: memory or device of a worker do not do.
            IncompleteError, OutputError, KeyboardInterrupt: as there; also where no worker or no scheduler is left.
        """
        order = MeasureOrder(store.admit(), code_hash(), _path(store), absolute(pair), _placed(recipe), search)
        self._work(order, store, progress)

    def run_regularise(
        self, measured: TileStore, store: TileStore, ground: Ground, recipe: Recipe, progress: Progress | None = None
    ) -> None:
        """As `runner.run_regularise`, on the workers: from the `measured` flow (px) into `store` (metres).

        Raises:
            OptionError, IncompleteError, OutputError, KeyboardInterrupt: as `run_tiles`.
        """
        regulariser = recipe.regularise
        if len(store.done()) < len(list(store.tiles())):
            regulariser = settle(regulariser, StoredFlow(measured))
        places = store.admit(), code_hash(), _path(store), _path(measured), measured.admit()
        try:
            self._work(SmoothOrder(*places, ground, regulariser, recipe), store, progress)
        finally:
            measured.dismiss()

    def _work(self, order: Order, store: TileStore, progress: Progress | None) -> None:
        """Have all tiles of a pass computed."""
        what = "tiles" if isinstance(order, MeasureOrder) else "tiles of the smoothing"
        tiles = list(plan_tiles(store.shape, store.tile))
        try:
            reports = self.client.run(enter, order, on_error="return")
            self._refuse({worker: [str(a)] for worker, a in reports.items() if isinstance(a, BaseException)})
            for text in self._remarks(reports):
                if text not in self.told:
                    self.told.add(text)
                    self.warn(text)
            with crew_of(self.client, order) as crew:
                run_crew(crew, tiles, store.done(), what, progress)
        finally:
            store.dismiss()

    def _refuse(self, found: Mapping[str, list[str]]) -> None:
        """Name the workers that cannot work, grouped by cause."""
        causes: dict[str, list[str]] = {}
        for worker, said in sorted(found.items()):
            for cause in said:
                causes.setdefault(cause, []).append(worker)
        if causes:
            lines = [f"  {some(workers)}: {cause}" for cause, workers in causes.items()]
            raise OptionError(f"{self.name}: not every worker can do this run:\n" + "\n".join(lines))

    def _remarks(self, reports: Mapping[str, Report]) -> Iterator[str]:
        """What a user should know of workers that are not alike, or stand idle."""
        kinds: dict[str, list[str]] = {}
        for worker, report in reports.items():
            kinds.setdefault(report.kind, []).append(worker)
        if len(kinds) > 1:
            listing = "; ".join(f"{kind} ({some(workers)})" for kind, workers in kinds.items())
            yield (
                "the workers compute on unlike processors or devices, so the last digits of a tile depend on who had "
                f"it: {listing}. Take workers of one kind where results must be the same to the last bit."
            )
        threads = self.client.nthreads()
        idle = [worker for worker, report in reports.items() if threads.get(worker, 0) > report.seats]
        if idle:
            yield (
                f"{some(idle)}: more threads than tiles at a time that --max-memory, --threads or one GPU allow, so "
                "tiles will wait there while others may have nothing to do. Start such workers with fewer --nthreads."
            )


def some(workers: list[str]) -> str:
    """The first few names of a list.

    >>> some(["a", "b"])
    'a, b'
    """
    more = f" and {len(workers) - SHOWN} more" if len(workers) > SHOWN else ""
    return ", ".join(workers[:SHOWN]) + more


def _in_words(answer: Any) -> list[str]:
    """What a worker said about itself; that it could not say anything is a problem too."""
    if isinstance(answer, BaseException):
        return [f"cannot be asked ({type(answer).__name__}: {answer}): does it run the same terrashift?"]
    return list(answer)


def _placed(recipe: Recipe) -> Recipe:
    """The recipe with the path of its weights, if they are a file, that does not depend on where a process runs."""
    weights = getattr(recipe.estimate, "weights", "")
    if not os.path.isfile(weights):
        return recipe
    return recipe.model_copy(
        update={"estimate": recipe.estimate.model_copy(update={"weights": os.path.abspath(weights)})}
    )


def _path(store: TileStore) -> str:
    return str(store.folder.resolve())
