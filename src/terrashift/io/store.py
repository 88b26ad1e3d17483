"""Keep finished tiles on disk while a run goes on, so that a run cut short can be resumed."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..core.field import DisplacementField
from ..core.reasons import Reason
from ..core.tiles import Tile, plan_tiles
from ..errors import OutputError
from .atomic import atomic_write_text, explain
from .lock import FolderLock
from .untrusted import LARGEST_VECTORS, expect_object, parse_json, read_text

BANDS = len(DisplacementField.BANDS)
FORMAT = 1
_MANIFEST, _ARRAY, _DONE, _LOCK, _NEXT = "manifest.json", "field.zarr", "done", "lock", "next-pass"
_LOST = "lost"
_GUESTS = ".guests"  # the dot lets a folder that holds no more than this count as empty


def work_folder(output: str | Path) -> Path:
    """The folder beside `output` that keeps the tiles of its run.

    >>> work_folder("maps/field.tif").name
    'field.tif.terrashift-work'
    """
    target = Path(output)
    return target.with_name(f"{target.name}.terrashift-work")


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
            folder: see `work_folder`.
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
        try:
            place.mkdir(exist_ok=True)
            lock = FolderLock.acquire(place / _LOCK)
        except OutputError:
            raise
        except OSError as error:
            raise explain(place, error) from error
        try:
            kept = _read_manifest(place)
            if kept is not None:
                _refuse_other_run(place, kept, wanted, resume)
                _retry_lost(place)
            else:
                _create(place, wanted)
            (place / _GUESTS).unlink(missing_ok=True)  # those of a run that was killed
            return cls(place, shape, tile, _open_array(place, wanted), lock)
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
        kept = _read_manifest(place)
        if kept is None:
            raise OutputError(f"{place} is not to be seen from {_here()}: put it where all workers see it")
        rows, columns = kept["shape"]
        guest = cls(place, (rows, columns), kept["tile"], _open_array(place, kept), None, ticket)
        guest._require_admitted()
        return guest

    def admit(self) -> str:
        """The ticket by which other processes may `join`, until `dismiss` or the next `open`; earlier ones are void."""
        ticket = secrets.token_hex(8)
        atomic_write_text(self.folder / _GUESTS, ticket)
        return ticket

    def dismiss(self) -> None:
        """Let no guest write any more."""
        (self.folder / _GUESTS).unlink(missing_ok=True)

    def _require_admitted(self) -> None:
        """Refuse a guest whose host has gone: another run may be using the folder."""
        try:
            if (self.folder / _GUESTS).read_text(encoding="utf-8") == self.ticket:
                return
        except FileNotFoundError:
            pass
        raise OutputError(f"{self.folder} takes tiles of this run no longer ({_here()}): it was stopped or begun anew")

    def next_pass(self, tile: int) -> TileStore:
        """A store inside this one for what a second pass makes of its tiles; goes on with what an earlier run left.

        It has the key of this one and ends with it. Close it first.

        Args:
            tile: side of its tiles, measurements.
        """
        kept = _read_manifest(self.folder)
        if kept is None:
            raise OutputError(f"{self.folder} has lost its {_MANIFEST}: delete the folder and start again")
        return TileStore.open(self.folder / _NEXT, self.shape, tile, kept["key"], resume=True)

    def tiles(self) -> Iterator[Tile]:
        """All tiles, finished or not."""
        return plan_tiles(self.shape, self.tile)

    def done(self) -> set[str]:
        """Keys of the tiles that are finished."""
        return {mark.name for mark in (self.folder / _DONE).iterdir() if not mark.name.startswith(".")}

    def write(self, tile: Tile, values: Float[Tensor, "band height width"]) -> None:
        """Keep the result of a tile, then mark it as finished; a crash in between leaves it unfinished.

        What a guest brings of a tile that is finished already is the same, and dropped: a scheduler that believed
        a worker dead may have had it computed twice.

        Raises:
            OutputError: where the disk is full, or a guest is no longer admitted; tiles finished before stay.
        """
        mark = self.folder / _DONE / tile.key
        try:
            if self.lock is None:
                self._require_admitted()
                if mark.exists():
                    return
            mark.unlink(missing_ok=True)
            self.array[:, *tile.core] = np.asarray(values.numpy(force=True), np.float32)
            atomic_write_text(mark, _flush(self._chunk(tile)))
        except OutputError:
            raise
        except OSError as error:
            raise explain(self.folder, error) from error

    def give_up(self, tile: Tile) -> None:
        """Keep a tile without any value, its reason FAILED; the next `open` counts it as unfinished again.

        Raises:
            OutputError: where the disk is full.
        """
        rows, columns = (part.stop - part.start for part in tile.core)
        values = torch.full((self.array.shape[0], rows, columns), torch.nan)
        values[-1] = float(Reason.FAILED)
        try:
            (self.folder / _LOST).mkdir(exist_ok=True)
            (self.folder / _LOST / tile.key).touch()
        except OSError as error:
            raise explain(self.folder, error) from error
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
        mark, chunk = self.folder / _DONE / tile.key, self._chunk(tile)
        if not mark.exists():
            raise OutputError(f"tile {tile.key} of {self.folder} is not finished: go on with --resume")
        if not chunk.exists() or _crc(chunk.read_bytes()).encode() != mark.read_bytes():
            raise OutputError(
                f"tile {tile.key} in {self.folder} is damaged: delete {mark} and pass --resume to measure it again, or "
                "--overwrite to start again"
            )

    def _chunk(self, tile: Tile) -> Path:
        """Where Zarr keeps the tile (its default chunk names, format 3)."""
        return self.folder / _ARRAY / "c" / "0" / str(tile.row) / str(tile.column)

    def blocks(self, tiles: Iterable[Tile]) -> Iterator[tuple[int, int, Float[Tensor, "band height width"]]]:
        """The finished ones among `tiles`, one at a time, as `write_field` takes them."""
        done = self.done()
        for tile in tiles:
            if tile.key in done:
                rows, columns = tile.core
                yield rows.start, columns.start, self.read(tile)

    def close(self) -> None:
        """Let other processes in; what is finished stays for --resume."""
        if self.lock is not None:
            self.lock.release()

    def remove(self) -> None:
        """Delete the store with all its tiles, and close it."""
        _delete(self.folder)
        self.close()

    def __enter__(self) -> TileStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def discard(folder: str | Path) -> None:
    """Delete the store that an earlier run left in `folder`, if there is one.

    Raises:
        OutputError: where a process is working on it, or the folder is something else.
    """
    place = Path(folder)
    if not place.exists():
        return
    if not place.is_dir() or (_read_manifest(place) is None and not _is_unborn(place)):
        raise OutputError(f"{place} is not the working folder of a run, so it was left alone: move it away")
    lock = FolderLock.acquire(place / _LOCK)
    try:
        _delete(place)
    finally:
        lock.release()


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


def _create(folder: Path, manifest: dict[str, Any]) -> None:
    """Make an empty store; the manifest comes last, so that a store with a manifest is complete."""
    import zarr

    if not _is_unborn(folder):
        raise OutputError(f"{folder} holds files of something else: move them away, or choose another output")
    rows, columns = manifest["shape"]
    side, bands = manifest["tile"], manifest.get("bands", BANDS)
    try:
        for left in (_DONE, _NEXT, _LOST):  # what a removal cut short may have left
            shutil.rmtree(folder / left, ignore_errors=True)
        (folder / _DONE).mkdir()
        zarr.create_array(
            store=str(folder / _ARRAY),
            shape=(bands, rows, columns),
            chunks=(bands, min(side, rows), min(side, columns)),
            dtype="float32",
            fill_value=float("nan"),
            dimension_names=("band", "row", "column"),
            overwrite=True,
        )
        atomic_write_text(folder / _MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False))
    except OutputError:
        raise
    except OSError as error:
        raise explain(folder, error) from error


def _open_array(folder: Path, manifest: Mapping[str, Any]) -> Any:
    import zarr

    try:
        # so that a tile of nothing but NaN is a file like others, and its absence a fault
        with zarr.config.set({"array.write_empty_chunks": True}):
            array: Any = zarr.open_array(str(folder / _ARRAY), mode="r+")
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise OutputError(
            f"{folder / _ARRAY} is damaged ({error}): pass --overwrite to start again, or delete {folder}"
        ) from error
    rows, columns = manifest["shape"]
    side, bands = manifest["tile"], manifest.get("bands", BANDS)
    plan = (bands, rows, columns), (bands, min(side, rows), min(side, columns)), np.dtype(np.float32)
    if (array.shape, array.chunks, array.dtype) != plan:
        raise OutputError(f"{folder / _ARRAY} is not what {_MANIFEST} says: pass --overwrite to start again")
    return array


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    try:
        return dict(expect_object(parse_json(read_text(folder / _MANIFEST, LARGEST_VECTORS))))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder / _MANIFEST} cannot be read ({error}): delete {folder} and start again") from error


def _refuse_other_run(folder: Path, kept: dict[str, Any], wanted: dict[str, Any], resume: bool) -> None:
    changed = "\n".join(f"  {line}" for line in _differences(kept, wanted))
    if changed:
        raise OutputError(
            f"{folder} keeps an unfinished run of other settings or inputs, so its tiles cannot be used:\n{changed}\n"
            "Pass --overwrite to start again, or go back to what it had and pass --resume."
        )
    if not resume:
        raise OutputError(
            f"{folder} keeps an unfinished run: pass --resume to go on with it, or --overwrite to start again."
        )


def _retry_lost(folder: Path) -> None:
    """Count tiles that were given up as unfinished, and drop what a second pass made of them."""
    lost = folder / _LOST
    if lost.is_dir():
        shutil.rmtree(folder / _NEXT, ignore_errors=True)
        for tile in lost.iterdir():
            (folder / _DONE / tile.name).unlink(missing_ok=True)
        shutil.rmtree(lost)


def _differences(kept: Any, wanted: Any, name: str = "") -> Iterator[str]:
    """What differs between two trees of JSON values, one line each."""
    if isinstance(kept, dict) and isinstance(wanted, dict):
        for key in sorted(kept.keys() | wanted.keys()):
            inner = f"{name}.{key}".removeprefix(".").removeprefix("key.")
            yield from _differences(kept.get(key), wanted.get(key), inner)
    elif kept != wanted:
        yield f"{name}: {json.dumps(kept, ensure_ascii=False)} then, {json.dumps(wanted, ensure_ascii=False)} now"


def _is_unborn(folder: Path) -> bool:
    """True for a folder that a run had no time to fill."""
    known = (_LOCK, _ARRAY, _DONE, _NEXT, _LOST)
    return all(item.name in known or item.name.startswith(".") for item in folder.iterdir())


def _delete(folder: Path) -> None:
    # guests first, so that none fills it again, then the manifest: what is left after a crash in between is no store
    for name in (_GUESTS, _MANIFEST):
        with suppress(FileNotFoundError):
            os.unlink(folder / name)
    shutil.rmtree(folder, ignore_errors=True)


def _here() -> str:
    """This machine and process, for messages of guests."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def _flush(chunk: Path) -> str:
    """Bring a chunk to the disk; its checksum."""
    with open(chunk, "rb+") as file:
        os.fsync(file.fileno())
        return _crc(file.read())


def _crc(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}"
