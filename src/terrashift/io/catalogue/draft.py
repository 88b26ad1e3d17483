"""The unfinished part of a fetched file: finished blocks are kept beside the target until all are there."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, OutputError
from ..atomic import atomic_write_text, explain
from ..lock import FolderLock
from .place import Pixels

BLOCK_PX = 1024
"""Side of a block at least, where the source's own tiles are smaller: fewer, larger requests."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A folder with the blocks of one window that have come so far."""

    folder: Path
    blocks: tuple[Pixels, ...]
    """All blocks, in pixels of the source."""

    @property
    def missing(self) -> list[Pixels]:
        """Blocks that have not come yet."""
        return [block for block in self.blocks if self._find(block) is None]

    def keep(self, block: Pixels, pixels: np.ndarray) -> None:
        """Store the layers (layer, height, width) of a block; its name carries their checksum."""
        pixels = np.ascontiguousarray(pixels)
        name = self.folder / f"{_name(block)}_{zlib.crc32(pixels.data):08x}.npy"
        trial = name.with_suffix(".part")
        with open(trial, "wb") as file:
            np.save(file, pixels)
            file.flush()
            os.fsync(file.fileno())
        os.replace(trial, name)

    def load(self, block: Pixels) -> np.ndarray:
        """The layers (layer, height, width) of a block that `keep` stored."""
        found = self._find(block)
        if found is None:
            raise FileNotFoundError(f"block {_name(block)} of {self.folder}")
        return np.load(found)

    def check(self) -> None:
        """Throw away blocks whose pixels are not what their name says: the machine may have gone down meanwhile."""
        for path in self.folder.glob("*.npy"):
            with suppress(ValueError, OSError, EOFError):
                if zlib.crc32(np.ascontiguousarray(np.load(path)).data) == int(path.stem.rsplit("_", 1)[-1], 16):
                    continue
            path.unlink()

    def _find(self, block: Pixels) -> Path | None:
        return next(self.folder.glob(f"{_name(block)}_*.npy"), None)


def work_folder(target: Path) -> Path:
    """Where the unfinished part of a file is kept."""
    return target.with_name(f".{target.name}.fetch")


@contextmanager
def working(target: Path, plan: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the work folder of `target`, locked, with what an earlier run of the same plan left there.

    It is removed at the end, and stays where an error came up that may pass.

    Raises:
        OutputError: the folder cannot be made, or another process works there.
    """
    folder, text = work_folder(target), json.dumps(plan, sort_keys=True)
    try:
        folder.mkdir(exist_ok=True)
        lock = FolderLock.acquire(folder / "lock")
        try:
            with suppress(FileNotFoundError):
                if (folder / "plan.json").read_text(encoding="utf-8") != text:
                    _empty(folder)
            if not (folder / "plan.json").exists():
                _empty(folder)
                atomic_write_text(folder / "plan.json", text)
            yield folder
        finally:
            lock.release()
        shutil.rmtree(folder, ignore_errors=True)
    except InputError:  # what came is of no use
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except OutputError:
        raise
    except OSError as error:
        raise explain(target, error) from error


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != "lock":
            path.unlink()


def plan_blocks(window: Pixels, tile: tuple[int, int]) -> tuple[Pixels, ...]:
    """Cut a window along the source's tiles (height, width), so that none is asked for twice.

    >>> plan_blocks(Pixels(500, 0, 1000, 10), (512, 512))
    (Pixels(row=500, column=0, height=524, width=10), Pixels(row=1024, column=0, height=476, width=10))
    """
    rows, columns = (size * max(1, BLOCK_PX // size) for size in tile)
    return tuple(
        Pixels(top, left, bottom - top, right - left)
        for top, bottom in _cuts(window.row, window.height, rows)
        for left, right in _cuts(window.column, window.width, columns)
    )


def _cuts(start: int, length: int, step: int) -> list[tuple[int, int]]:
    """(from, to) of the pieces of a stretch, cut at multiples of `step`."""
    end = start + length
    edges = [start, *range((start // step + 1) * step, end, step), end]
    return list(pairwise(edges))


def _name(block: Pixels) -> str:
    return "_".join(map(str, block))
