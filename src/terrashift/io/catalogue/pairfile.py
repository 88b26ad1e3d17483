"""The file of a chosen pair, which `terrashift search` writes and `terrashift fetch` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from ...errors import InputError
from ..atomic import atomic_write_text
from .area import Area
from .items import Scene


class PairFile(BaseModel, frozen=True):
    """Two scenes and the area around the event. Holds no signature and no token."""

    terrashift_pair: Literal[1] = 1
    """Version of this format."""
    endpoint: str
    """Short name or URL."""
    box: tuple[float, float, float, float]
    """West, south, east, north, degrees; east is below west across the antimeridian."""
    event: str | None = None
    before: Scene
    after: Scene

    @property
    def area(self) -> Area:
        """The box as an area."""
        return Area.of_box(self.box)


def write_pair(path: Path, pair: PairFile) -> None:
    """Write a pair as JSON, whole or not at all."""
    atomic_write_text(path, pair.model_dump_json(indent=2, exclude_none=True) + "\n")


def read_pair(path: Path) -> PairFile:
    """Read what `write_pair` wrote.

    Raises:
        InputError: where it is no such file.
    """
    try:
        return PairFile.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}. Give a file that `terrashift search -o` wrote") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise InputError(
            f"{path} is no pair that `terrashift search -o` wrote ({where}: {first['msg']}). Search again"
        ) from None
