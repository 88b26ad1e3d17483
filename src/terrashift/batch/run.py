"""Measure many pairs, one after the other or a few at a time; a pair that fails does not stop the others."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from ..cluster.workers import Cluster
from ..errors import OutputError
from ..io.store_folder import work_folder
from ..pipeline import measure
from ..product import Files
from ..watch import Watch, silent
from .children import Children, Options, Outcome
from .results import Row, first_line, is_finished, numbers_or_reason, seconds_before, write_table
from .table import Job


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears how a batch goes on."""

    begins: Callable[[int, int, Job], Watch] = lambda number, total, job: Watch()
    """Called with the pair's number from 1, how many there are, and the pair; watches it."""
    ends: Callable[[Row], None] = silent
    """Called with the outcome of each pair."""


State = str
"""`new`, `unfinished`, `finished`, or `other`: results of these names that were made otherwise."""


def state_of(job: Job) -> State:
    """How far a pair is."""
    if work_folder(job.output).exists():
        return "unfinished"
    if is_finished(job):
        return "finished"
    return "other" if any(path.exists() for path in Files.beside(job.output)) else "new"


def require_free(jobs: Sequence[Job], overwrite: bool) -> None:
    """Refuse results that another recipe or other images made, all at once, before any work.

    Raises:
        OutputError: naming them.
    """
    others = [] if overwrite else [job for job in jobs if state_of(job) == "other"]
    if others:
        listing = "\n".join(f"  line {job.line}: {job.output}" for job in others[:20])
        more = f"\n  and {len(others) - 20} more" if len(others) > 20 else ""
        raise OutputError(
            "results of these names are there, of another recipe or of images that have changed since:\n"
            f"{listing}{more}\nPass --overwrite to measure all pairs again, or choose another folder."
        )


def run_batch(
    jobs: Sequence[Job],
    folder: Path,
    options: Options | None = None,
    cluster: Cluster | None = None,
    listener: Listener | None = None,
) -> list[Row]:
    """Measure all pairs but the finished ones, and keep `summary.csv` and `summary.json` in `folder` up to date.

    Args:
        jobs: see `table.read_jobs`.
        folder: where the tables of results go; made if it is not there.
        options: how.
        cluster: who computes the tiles, where pairs are measured one after the other.
        listener: who hears.

    Returns:
        The outcome of each pair, in order.

    Raises:
        OutputError: results of another recipe are there, or the tables cannot be written.
        KeyboardInterrupt: on Ctrl-C; what is finished stays, and the same call goes on from there.
    """
    options, listener = options or Options(), listener or Listener()
    require_free(jobs, options.overwrite)
    for parent in {folder, *(job.output.parent for job in jobs)}:
        parent.mkdir(parents=True, exist_ok=True)
    spent = seconds_before(folder)
    rows = [Row.of(job, "not run") for job in jobs]
    todo = []
    for number, job in enumerate(jobs):
        if not options.overwrite and state_of(job) == "finished":
            rows[number] = numbers_or_reason(Row.of(job, "skipped", spent.get(str(job.output))))
            listener.ends(rows[number])
        else:
            todo.append(number)
    book = _Book(folder, rows, listener)
    try:
        if options.jobs > 1:
            _side_by_side(jobs, todo, options, book)
        else:
            _one_by_one(jobs, todo, options, cluster, book)
    finally:
        write_table(folder, rows)
    return rows


@dataclass(frozen=True, slots=True)
class _Book:
    """The rows so far."""

    folder: Path
    rows: list[Row]
    listener: Listener

    def enter(self, number: int, row: Row) -> None:
        """Note an outcome, and write the tables anew: a machine that stops then leaves them."""
        self.rows[number] = row
        write_table(self.folder, self.rows)
        self.listener.ends(row)


def _one_by_one(
    jobs: Sequence[Job], todo: Sequence[int], options: Options, cluster: Cluster | None, book: _Book
) -> None:
    """In this process."""
    for count, number in enumerate(todo, 1):
        job, began = jobs[number], time.monotonic()
        watch = book.listener.begins(count, len(todo), job)
        way = {"resume": not options.overwrite, "overwrite": options.overwrite}
        try:
            measure(job.before, job.after, job.output, job.recipe, **way, watch=watch, cluster=cluster)
        except KeyboardInterrupt as error:
            book.enter(number, Row.of(job, "interrupted", time.monotonic() - began, str(error)))
            raise
        except Exception as error:  # whatever is wrong with one pair must not cost the others
            book.enter(number, Row.of(job, "failed", time.monotonic() - began, first_line(error)))
            if cluster and cluster.client.status != "running":
                return
            continue
        book.enter(number, numbers_or_reason(Row.of(job, "done", time.monotonic() - began)))


def _side_by_side(jobs: Sequence[Job], todo: Sequence[int], options: Options, book: _Book) -> None:
    """Each pair in a process of its own, a few at a time."""
    with (
        tempfile.TemporaryDirectory(prefix="terrashift-batch-") as recipes,
        ThreadPoolExecutor(options.jobs, "pair") as pool,
    ):
        children = Children(options, Path(recipes))
        for count, number in enumerate(todo, 1):
            book.listener.begins(count, len(todo), jobs[number])
        futures = {pool.submit(children.measure, jobs[number]): number for number in todo}
        try:
            for future in as_completed(futures):
                _enter(future.result(), jobs[futures[future]], futures[future], book)
        except KeyboardInterrupt:
            children.stop()
            pool.shutdown(cancel_futures=True)
            for future, number in futures.items():
                if not future.cancelled() and book.rows[number].status == "not run":
                    _enter(future.result(), jobs[number], number, book)
            raise KeyboardInterrupt("interrupted: the same command goes on from there") from None


def _enter(outcome: Outcome, job: Job, number: int, book: _Book) -> None:
    """Note how the process of a pair ended."""
    row = Row.of(job, outcome.status, outcome.seconds, outcome.error)
    book.enter(number, numbers_or_reason(row) if outcome.status == "done" else row)
