"""Processes that measure a pair each: what one of them does to itself costs no other pair."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..crew import available_cores
from ..recipe import Recipe
from .results import Status
from .table import Job

STOP_S = 120.0
"""For a process that was told to stop: its tiles end at their next block."""
INTERRUPTED = 130
TOLD = "terrashift: "
"""How the last message of a command begins."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a batch is run."""

    jobs: int = 1
    """Pairs at a time, each in a process of its own; 1: in this process, one after the other."""
    overwrite: bool = False
    """Measure again what is finished or was begun."""
    scheduler: str | None = None
    """For the processes of `jobs`."""


class Outcome(NamedTuple):
    """How the process of a pair ended."""

    status: Status
    seconds: float | None
    """That it took; None where it was not begun."""
    error: str | None
    """Its last words and where the others are; None where all went well."""


@dataclass(frozen=True, slots=True)
class Children:
    """The processes; `measure` is called from threads, one for each that runs."""

    options: Options
    recipes: Path
    """A folder for what they are told."""
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    guard: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)

    def measure(self, job: Job) -> Outcome:
        """Measure a pair in a process, whose messages go into a .log beside the result.

        Raises:
            OSError: the log or the recipe cannot be written, or no process can be started.
        """
        began = time.monotonic()
        log = job.output.with_suffix(".log")
        with self.guard:
            if self.over.is_set():
                return Outcome("not run", None, None)
            with open(log, "wb") as stream:
                # a session of its own: a Ctrl-C in the terminal reaches this process alone, which passes it on once
                child = subprocess.Popen(
                    self._command(job), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
                )
            self.running.append(child)
        code = child.wait()
        with self.guard:
            self.running.remove(child)
        if not code:
            return Outcome("done", time.monotonic() - began, None)
        status: Status = "interrupted" if code == INTERRUPTED else "failed"
        return Outcome(status, time.monotonic() - began, f"{_last_words(log, code)} (see {log.name})")

    def stop(self) -> None:
        """Begin no more, and interrupt those that run: they keep what is finished."""
        with self.guard:
            self.over.set()
            for child in self.running:
                child.send_signal(signal.SIGINT)
            waiting = list(self.running)
        deadline = time.monotonic() + STOP_S
        for child in waiting:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()

    def _command(self, job: Job) -> list[str]:
        """The command line of a pair."""
        path = self.recipes / f"{job.line}.yaml"
        path.write_text(shared(job.recipe, self.options.jobs).to_yaml(), encoding="utf-8")
        way = "--overwrite" if self.options.overwrite else "--resume"
        words = ["measure", job.before, job.after, "-o", str(job.output), "--recipe", str(path), way]
        scheduler = ["--scheduler", self.options.scheduler] if self.options.scheduler else []
        return [sys.executable, "-m", "terrashift", *words, *scheduler]


def shared(recipe: Recipe, jobs: int) -> Recipe:
    """The recipe with a share of the cores, unless it says how many threads it wants."""
    if recipe.run.threads:
        return recipe
    threads = max(1, available_cores() // jobs)
    return recipe.model_copy(update={"run": recipe.run.model_copy(update={"threads": threads})})


def _last_words(log: Path, code: int) -> str:
    """Why a process ended: its own message, or the signal that ended it."""
    if code < 0:
        return f"the process was ended by {signal.Signals(-code).name}, most likely for want of memory"
    text = log.read_text(encoding="utf-8", errors="replace").strip()
    if TOLD in text:
        return text.rsplit(TOLD, 1)[1].strip()
    lines = text.splitlines()
    return lines[-1] if lines else f"the process ended with exit code {code}"
