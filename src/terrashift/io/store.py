"""Keep finished tiles on disk while a run goes on, so that a run cut short can be resumed."""

from __future__ import annotations

import json
import os
import secrets
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..core.reasons import Reason
from ..core.tiles import Tile, plan_tiles
from ..errors import OutputError
from .atomic import atomic_write_text, explaining
from .lock import FolderLock, here
from .manifest import read_manifest
from .store_folder import (
    ARRAY,
    BANDS,
    DONE,
    GUESTS,
    LOCK,
    LOST,
    MANIFEST,
    NEXT,
    begin,
    delete,
    open_array,
)

FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class TileStore:
    """Float32 bands in a Zarr array, one chunk for each tile, and a mark for each tile that is finished.

    Locked while open, so only one process may hold it; threads may write different tiles at once. That process may
    let others write too, on any machine that sees the folder: see `admit` and `join`.
    """

    folder: Path
    shape: tuple[int, int]
    """(rows, columns) of measurements."""
    tile: int
    """Side of a tile, measurements."""
    array: Any
    """`zarr.Array` of (band, row, column)."""
    lock: FolderLock | None
    """None for a guest."""
    ticket: str = ""
    """What a guest was admitted by."""

    @classmethod
    def open(
        cls,
        folder: str | Path,
        shape: tuple[int, int],
        tile: int,
        key: Mapping[str, Any],
        resume: bool = False,
        *,
        bands: int = BANDS,
    ) -> TileStore:
        """Make the store, or go on with the one that an earlier run left.

        Args:
            folder: see `store_folder.work_folder`.
            shape: (rows, columns) of measurements.
            tile: side of a tile, measurements.
            key: whatever decides the result (recipe, inputs, tile plan), as JSON values; a store goes on only under
                the same key.
            resume: go on with an unfinished run.
            bands: of a tile; those of a displacement field unless given.

        Raises:
            OutputError: where an unfinished run is there and `resume` is off, it had another key, another process is
                working on it, or the disk refuses.
        """
        place = Path(folder)
        wanted = {"format": FORMAT, "shape": list(shape), "tile": tile, "key": json.loads(json.dumps(key))}
        if bands != BANDS:  # what earlier versions left has none
            wanted["bands"] = bands
        with explaining(place):
            place.mkdir(exist_ok=True)
            lock = FolderLock.acquire(place / LOCK)
        try:
            begin(place, wanted, resume)
            return cls(place, shape, tile, open_array(place, wanted), lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def join(cls, folder: str | Path, ticket: str) -> TileStore:
        """Write into the store that another process holds open and has given the ticket for.

        Raises:
            OutputError: where this machine does not see that store, or it takes this ticket no longer.
        """
        place = Path(folder)
        kept = read_manifest(place / MANIFEST)
        if kept is None:
            raise OutputError(f"{place} is not to be seen from {here()}: put it where all workers see it")
        rows, columns = kept["shape"]
        guest = cls(place, (rows, columns), kept["tile"], open_array(place, kept), None, ticket)
        guest._require_admitted()
        return guest

    def admit(self) -> str:
        """The ticket by which other processes may `join`, until `dismiss` or the next `open`; earlier ones are void."""
        ticket = secrets.token_hex(8)
        atomic_write_text(self.folder / GUESTS, ticket)
        return ticket

    def dismiss(self) -> None:
        """Let no guest write any more."""
        (self.folder / GUESTS).unlink(missing_ok=True)

    def _require_admitted(self) -> None:
        """Refuse a guest whose host has gone: another run may be using the folder."""
        try:
            if (self.folder / GUESTS).read_text(encoding="utf-8") == self.ticket:
                return
        except FileNotFoundError:
            pass
        raise OutputError(f"{self.folder} takes tiles of this run no longer ({here()}): it was stopped or begun anew")

    def next_pass(self, tile: int) -> TileStore:
        """A store inside this one for what a second pass makes of its tiles; goes on with what an earlier run left.

        It has the key of this one and ends with it. Close it first.

        Args:
            tile: side of its tiles, measurements.
        """
        kept = read_manifest(self.folder / MANIFEST)
        if kept is None:
            raise OutputError(f"{self.folder} has lost its {MANIFEST}: delete the folder and start again")
        return TileStore.open(self.folder / NEXT, self.shape, tile, kept["key"], resume=True)

    def tiles(self) -> Iterator[Tile]:
        """All tiles, finished or not."""
        return plan_tiles(self.shape, self.tile)

    def done(self) -> set[str]:
        """Keys of the tiles that are finished."""
        return {mark.name for mark in (self.folder / DONE).iterdir() if not mark.name.startswith(".")}

    def write(self, tile: Tile, values: Float[Tensor, "band height width"]) -> None:
        """Keep the result of a tile, then mark it as finished; a crash in between leaves it unfinished.

        What a guest brings of a tile that is finished already is the same, and dropped: a scheduler that believed
        a worker dead may have had it computed twice.

        Raises:
            OutputError: where the disk is full, or a guest is no longer admitted; tiles finished before stay.
        """
        mark = self.folder / DONE / tile.key
        with explaining(self.folder):
            if self.lock is None:
                self._require_admitted()
                if mark.exists():
                    return
            mark.unlink(missing_ok=True)
            self.array[:, *tile.core] = np.asarray(values.numpy(force=True), np.float32)
            atomic_write_text(mark, _flush(self._chunk(tile)))

    def give_up(self, tile: Tile) -> None:
        """Keep a tile without any value, its reason FAILED; the next `open` counts it as unfinished again.

        Raises:
            OutputError: where the disk is full.
        """
        rows, columns = (part.stop - part.start for part in tile.core)
        values = torch.full((self.array.shape[0], rows, columns), torch.nan)
        values[-1] = float(Reason.FAILED)
        with explaining(self.folder):
            (self.folder / LOST).mkdir(exist_ok=True)
            (self.folder / LOST / tile.key).touch()
        self.write(tile, values)

    def read(self, tile: Tile) -> Float[Tensor, "band height width"]:
        """The result of a finished tile.

        Raises:
            OutputError: where it is not finished, or what is on disk is not what was written.
        """
        self._require_whole(tile)
        return torch.from_numpy(np.ascontiguousarray(self.array[:, *tile.core]))

    def window(self, rows: slice, columns: slice) -> Float[Tensor, "band height width"]:
        """Any part of the field whose tiles are all finished, which lies inside; one tile in memory at a time.

        Raises:
            OutputError: as `read`.
        """
        out = torch.empty(self.array.shape[0], rows.stop - rows.start, columns.stop - columns.start)
        for i, high in _cut(rows, self.tile):
            for j, wide in _cut(columns, self.tile):
                self._require_whole(Tile(i, j, (high, wide)))
                to = slice(high.start - rows.start, high.stop - rows.start)
                across = slice(wide.start - columns.start, wide.stop - columns.start)
                out[:, to, across] = torch.from_numpy(np.asarray(self.array[:, high, wide]))
        return out

    def _require_whole(self, tile: Tile) -> None:
        """Refuse a tile that is not finished, or whose file is not what was written."""
        mark, chunk = self.folder / DONE / tile.key, self._chunk(tile)
        if not mark.exists():
            raise OutputError(f"tile {tile.key} of {self.folder} is not finished: go on with --resume")
        if not chunk.exists() or _crc(chunk.read_bytes()).encode() != mark.read_bytes():
            raise OutputError(
                f"tile {tile.key} in {self.folder} is damaged: delete {mark} and pass --resume to measure it again, or "
                "--overwrite to start again"
            )

    def _chunk(self, tile: Tile) -> Path:
        """Where Zarr keeps the tile (its default chunk names, format 3)."""
        return self.folder / ARRAY / "c" / "0" / str(tile.row) / str(tile.column)

    def close(self) -> None:
        """Let other processes in; what is finished stays for --resume."""
        if self.lock is not None:
            self.lock.release()

    def remove(self) -> None:
        """Delete the store with all its tiles, and close it."""
        delete(self.folder)
        self.close()

    def __enter__(self) -> TileStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _cut(part: slice, side: int) -> Iterator[tuple[int, slice]]:
    """The tiles along one axis that `part` touches, each with what of `part` lies in it.

    >>> list(_cut(slice(10, 40), 16))
    [(0, slice(10, 16, None)), (1, slice(16, 32, None)), (2, slice(32, 40, None))]
    """
    for k in range(part.start // side, -(-part.stop // side)):
        yield k, slice(max(k * side, part.start), min((k + 1) * side, part.stop))


@contextmanager
def saying_what_is_kept(store: TileStore) -> Iterator[None]:
    """Where a run ends early, say that it can go on; leave nothing behind where nothing is finished."""
    try:
        yield
    except BaseException as error:
        if not store.done():
            store.remove()
        elif isinstance(error, OutputError | KeyboardInterrupt) and "--resume" not in str(error):
            said = str(error) or "interrupted"
            raise type(error)(
                f"{said}. The finished tiles are kept: the same command with --resume goes on from there."
            ) from error
        raise


def _flush(chunk: Path) -> str:
    """Bring a chunk to the disk; its checksum."""
    with open(chunk, "rb+") as file:
        os.fsync(file.fileno())
        return _crc(file.read())


def _crc(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}"
