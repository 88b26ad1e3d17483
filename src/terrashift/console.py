"""What a user sees while a command runs: messages on stderr, results on stdout."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

SECONDS_BETWEEN_LINES = 15.0  # where there is no terminal, so that a log shows life without filling up
RED, YELLOW = "31", "33"


def out(text: str) -> None:
    """Write a result to stdout."""
    from .core.text import printable

    print(printable(text))


def show(page: Any) -> None:
    """Write a page of results (anything that rich renders) to stdout; plain text where that is no terminal."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 100
    Console(width=width, highlight=False, markup=False, emoji=False).print(_Printable(page))


def tell(text: str) -> None:
    """Say on stderr what is going on."""
    _say(text)


def warn(text: str) -> None:
    """Say on stderr what may spoil the result."""
    _say(text, _coloured("warning:", YELLOW))


def fail(text: str) -> None:
    """Say on stderr why a command ended."""
    _say(text, _coloured("terrashift:", RED))


def _say(text: str, head: str = "") -> None:
    """One message; whatever in it came from a file cannot command the terminal."""
    from .core.text import printable

    shown = printable(text)
    print(f"{head} {shown}" if head else shown, file=sys.stderr, flush=True)


class _Printable:
    """A page of rich whose texts, which may come from files, cannot command the terminal; its colours stay."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from .core.text import printable

        for part in console.render(self.page, options):
            yield part if part.control else part._replace(text=printable(part.text))


def _coloured(text: str, colour: str) -> str:
    plain = not sys.stderr.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\033[{colour}m{text}\033[0m"


class TileProgress:
    """A bar on a terminal, a line every so often elsewhere. Call it with (finished, all)."""

    def __init__(self, what: str = "measuring") -> None:
        """Show progress; `what` stands before the bar."""
        self._what = what
        self._bar: Any = None
        self._task: Any = None
        self._began = self._said = time.monotonic()
        self._first: int | None = None

    def __enter__(self) -> TileProgress:
        return self

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` tiles are finished."""
        if sys.stderr.isatty():
            self._show(done, total)
        else:
            self._log(done, total)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _show(self, done: int, total: int) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn(self._what),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("tiles"),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task(self._what, total=total)
            self._bar.start()
        self._bar.update(self._task, completed=done, total=total)

    def _log(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first, self._began, self._said = done, now, now
            if done:
                tell(f"{done} of {total} tiles were finished before")
        elif done == total or now - self._said >= SECONDS_BETWEEN_LINES:
            self._said = now
            left = (now - self._began) / max(1, done - self._first) * (total - done)
            tell(f"{done} of {total} tiles" + (f", about {left:.0f} s left" if done < total else ""))
