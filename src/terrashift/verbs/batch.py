"""Measure many pairs from a table."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import flags
from ..arguments import REQUIRED, Argument, argument, model_of, positional, settings, switch
from ..cluster.options import ClusterOptions
from ..console import TileProgress, out, show, tell, warn
from ..errors import OptionError
from ..recipe import Recipe

BATCH = """Measure many pairs of images from a table.

The table is a CSV file with the columns before and after, and if wanted name, output, preset, recipe, method,
regularize and any setting by its name (step_px, search_px, band, ...), which holds for its row. Writes what `measure`
writes for each pair into a folder, and summary.csv and summary.json about all. A pair that fails does not stop the
others. The same command again skips what is finished and goes on with what is not."""
TWO = ("preset", "recipe")


def batch(words: Sequence[str]) -> int:
    """`terrashift batch pairs.csv -o results`."""
    found, made = _parse(words)
    from ..batch.results import render, tally
    from ..batch.run import Listener, Options, require_free, run_batch
    from ..batch.table import read_jobs
    from ..cluster.connect import connect

    options = model_of(ClusterOptions, found)
    if found.jobs < 1:
        raise OptionError(f"--jobs is {found.jobs}: give 1 or more.")
    if found.jobs > 1 and options.workers:
        raise OptionError("--jobs and --workers both start processes: give one of them.")
    jobs = read_jobs(found.table, found.output, made)
    require_free(jobs, found.overwrite)
    if found.dry_run:
        return _plan(jobs, found.overwrite)
    side_by_side = found.jobs > 1
    how = Options(found.jobs, found.overwrite, options.scheduler if side_by_side else None)
    mine = ClusterOptions() if side_by_side else options
    with connect(mine, jobs[0].recipe.run, warn) as cluster, _Told(not side_by_side) as told:
        rows = run_batch(jobs, found.output, how, cluster, Listener(told.begins, told.ends))
    show(render(rows))
    out(f"{tally(rows)}; {found.output / 'summary.csv'}")
    return 0 if all(row.status in ("done", "skipped") for row in rows) else 1


def _parse(words: Sequence[str]) -> tuple[Any, Callable[[Mapping[str, str]], Recipe]]:
    """The arguments, and what makes the recipe of a row: the flags, laid over by the row's own columns."""
    from ..batch.table import STARTS, overridden

    made: dict[tuple[str, ...], Recipe] = {}

    def recipe_of(columns: Mapping[str, str]) -> Recipe:
        starts = {name: columns[name] for name in STARTS if name in columns}
        chosen = (*_without(words, TWO if starts.keys() & set(TWO) else ()), *_as_flags(starts))
        if chosen not in made:
            made[chosen] = flags.parse(flags.take_start(chosen), "batch", BATCH, _arguments())[1]
        rest = {name: text for name, text in columns.items() if name not in starts}
        return overridden(made[chosen], rest, flags.PARTS) if rest else made[chosen]

    found, made[tuple(words)] = flags.parse(flags.take_start(words), "batch", BATCH, _arguments())
    return found, recipe_of


def _arguments() -> list[Argument]:
    return [
        positional("table", Path, REQUIRED, "CSV file that names the pairs.", metavar="PAIRS.CSV"),
        argument("output", Path, REQUIRED, "Folder for the results.", aliases=["-o"], metavar="FOLDER"),
        *flags.start_arguments(),
        argument("jobs", int, 1, "Pairs measured at a time, each in a process of its own."),
        *settings(ClusterOptions),
        switch("overwrite", "Measure again what is finished, or was begun."),
        switch("dry_run", "Say what would be run, and run nothing."),
    ]


def _without(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """A command line without some flags and their values."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in names:
        early.add_argument(f"--{name}")
    return early.parse_known_args(list(words))[1]


def _as_flags(columns: Mapping[str, str]) -> list[str]:
    return [word for name, text in columns.items() for word in (f"--{name}", text)]


def _plan(jobs: Sequence[Any], overwrite: bool) -> int:
    """What would be run."""
    from rich import box
    from rich.table import Table

    from ..batch.run import state_of

    table = Table(box=box.SIMPLE_HEAD)
    for head in ("name", "state", "before", "after", "output", "method", "recipe"):
        table.add_column(head, overflow="fold")
    states = []
    for job in jobs:
        states.append("again" if overwrite and state_of(job) != "new" else state_of(job))
        recipe = job.recipe
        way = f"{recipe.estimator.name}, {recipe.regularise.name}" if recipe.regularises else recipe.estimator.name
        table.add_row(job.name, states[-1], job.before, job.after, str(job.output), way, recipe.hash[:12])
    show(table)
    out(f"{len(jobs)} pairs, of which {states.count('finished')} are finished; nothing was run")
    return 0


class _Told:
    """Says on stderr how a batch goes on: each pair's own progress, or only its end where several run at a time."""

    def __init__(self, each_tile: bool) -> None:
        self._each_tile = each_tile
        self._bar: TileProgress | None = None

    def __enter__(self) -> _Told:
        return self

    def __exit__(self, *_: Any) -> None:
        self._close()

    def begins(self, number: int, total: int, job: Any) -> Any:
        """A pair is about to be measured."""
        from ..watch import Watch

        if not self._each_tile:
            return Watch()
        tell(f"[{number}/{total}] {job.name}")
        self._bar = TileProgress()
        return Watch(say=tell, warn=warn, tiles=self._bar)

    def ends(self, row: Any) -> None:
        """A pair has its outcome."""
        self._close()
        if row.status != "skipped":
            spent = f" ({row.seconds:.0f} s)" if row.seconds is not None else ""
            tell(f"{row.name}: {row.status}{spent}" + (f": {row.error}" if row.error else ""))

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
