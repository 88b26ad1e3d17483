"""Write a result although some of its tiles failed, and say which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .errors import IncompleteError
from .io.store import TileStore
from .recipe import Recipe

FAILED_TILES = "FAILED_TILES"
"""Tag of a result that lacks tiles: rows and columns of measurements, and the cause, of each."""
NAMED = 8  # tiles that a warning names


@dataclass(frozen=True, slots=True)
class Losses:
    """The tiles that failed in a run, in whichever pass."""

    recipe: Recipe
    warn: Callable[[str], None]
    found: list[dict[str, Any]] = field(default_factory=list)
    """Of each: `rows` and `columns` [first, end) in measurements, and `cause`."""

    @property
    def tags(self) -> dict[str, Any]:
        """What a result should say of them; nothing where there are none."""
        return {FAILED_TILES: self.found} if self.found else {}

    @contextmanager
    def borne(self, store: TileStore) -> Iterator[None]:
        """Where the recipe allows for it, give up the tiles that fail within, and go on without them.

        Raises:
            IncompleteError: where it does not, no tile at all was computed, or the run was cut short.
            OutputError: a lost tile cannot be written as such.
        """
        try:
            yield
        except IncompleteError as error:
            every = list(store.tiles())
            if not self.recipe.run.allow_partial or len(error.failed) in (0, len(every)):
                raise
            lost = [tile for tile in every if tile.key in error.failed]
            for tile in lost:
                store.give_up(tile)
                rows, columns = ([part.start, part.stop] for part in tile.core)
                self.found.append({"rows": rows, "columns": columns, "cause": error.failed[tile.key]})
            named = ", ".join(tile.key for tile in lost[:NAMED])
            more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
            causes = "; ".join(sorted({error.failed[tile.key] for tile in lost})[:3])
            self.warn(
                f"{len(lost)} of {len(every)} tiles failed and have no value in the result ({named}{more}: {causes}). "
                "Mend the cause and measure again."
            )
