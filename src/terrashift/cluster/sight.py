"""What a worker sees of the files, and whether it runs the same program."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from ..errors import InputError
from ..io.raster import Raster, RasterPair

ENDS_BYTES = 1 << 16


@lru_cache(maxsize=1)
def code_hash() -> str:
    """Checksum over the source of this package: a version number does not tell two checkouts apart."""
    root = Path(__file__).parent.parent
    crc = 0
    for path in sorted(root.rglob("*.py")):
        crc = zlib.crc32(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes(), crc)
    return f"{crc:08x}"


@dataclass(frozen=True, slots=True)
class Landmark:
    """A file as the client sees it."""

    path: str
    bytes: int
    ends: int
    """Checksum of its first and last 64 kB: enough to tell another file of the same name."""

    @classmethod
    def of(cls, path: str) -> Landmark:
        """Look at a file.

        Raises:
            OSError: it is not there, or cannot be read.
        """
        with open(path, "rb") as file:
            first = file.read(ENDS_BYTES)
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - ENDS_BYTES))
            return cls(path, size, zlib.crc32(file.read(), zlib.crc32(first)))


@dataclass(frozen=True, slots=True)
class Look:
    """What a worker is asked to find."""

    code: str
    probe: str
    """A small file that the client has just made where the results go."""
    word: str
    """What is in it."""
    landmarks: tuple[Landmark, ...]
    pair: RasterPair


def problems(look: Look) -> list[str]:
    """Why this process cannot work for the client; runs on a worker."""
    return list(_problems(look))


def _problems(look: Look) -> Iterator[str]:
    if code_hash() != look.code:
        yield "runs other code of terrashift than this command, though its version says the same: install one of both"
    folder = Path(look.probe).parent
    try:
        if Path(look.probe).read_text(encoding="utf-8") != look.word:
            yield f"sees another folder under the name {folder}"
        elif not os.access(folder, os.W_OK):
            yield f"may not write to {folder}"
    except OSError:
        yield f"does not see {folder}, where the results go: workers need a file system that they share with this one"
    for landmark in look.landmarks:
        try:
            if Landmark.of(landmark.path) != landmark:
                yield f"sees another file under the name {landmark.path}"
        except OSError:
            yield f"does not see {landmark.path}: put it where all workers see it"
    for image in (look.pair.before, look.pair.after):
        if not os.path.isfile(image.path):
            try:
                image.read(0, 0, 1, 1)
            except InputError as error:
                yield f"cannot read an image: {error}"


def absolute(pair: RasterPair) -> RasterPair:
    """The same pair by paths that do not depend on the folder in which a process runs; URLs as they are."""
    return replace(pair, before=_absolute(pair.before), after=_absolute(pair.after))


def _absolute(image: Raster) -> Raster:
    return replace(image, path=os.path.abspath(image.path)) if os.path.exists(image.path) else image
