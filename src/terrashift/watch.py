"""Who hears how a run goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[int, int], None]
"""Called with (finished tiles, all tiles), from the thread that started the run."""


def silent(*_: object) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Listeners of a run; nobody hears anything unless given."""

    say: Callable[[str], None] = silent
    """What is being done."""
    warn: Callable[[str], None] = silent
    """What a user should know."""
    tiles: Progress = silent
