"""Do the next piece of work while this one is used."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

Piece = TypeVar("Piece")


def read_ahead(jobs: Iterable[Callable[[], Piece]]) -> Generator[Piece, None, None]:
    """The results of `jobs` in their order, each begun in a thread when the one before it is handed out.

    At most two results are held at a time. An error of a job is raised where its result is asked for.

    >>> list(read_ahead([lambda: 1, lambda: 2]))
    [1, 2]
    """
    waiting = iter(jobs)
    with ThreadPoolExecutor(1, "ahead") as pool, suppress(StopIteration):
        coming = pool.submit(next(waiting))
        while True:
            found = coming.result()
            following = next(waiting, None)
            coming = coming if following is None else pool.submit(following)
            yield found
            if following is None:
                return
