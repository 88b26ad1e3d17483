"""The folder that keeps the tiles of a run: where it lies, how it is made, known again and deleted."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..core.field import DisplacementField
from ..errors import OutputError
from .atomic import atomic_write_text, explaining
from .lock import FolderLock
from .manifest import read_manifest

BANDS = len(DisplacementField.BANDS)
MANIFEST, ARRAY, DONE, LOCK, NEXT = "manifest.json", "field.zarr", "done", "lock", "next-pass"
LOST = "lost"
GUESTS = ".guests"  # the dot lets a folder that holds no more than this count as empty


def work_folder(output: str | Path) -> Path:
    """The folder beside `output` that keeps the tiles of its run.

    >>> work_folder("maps/field.tif").name
    'field.tif.terrashift-work'
    """
    target = Path(output)
    return target.with_name(f"{target.name}.terrashift-work")


def discard(folder: str | Path) -> None:
    """Delete the store that an earlier run left in `folder`, if there is one.

    Raises:
        OutputError: where a process is working on it, or the folder is something else.
    """
    place = Path(folder)
    if not place.exists():
        return
    if not place.is_dir() or (read_manifest(place / MANIFEST) is None and not _is_unborn(place)):
        raise OutputError(f"{place} is not the working folder of a run, so it was left alone: move it away")
    lock = FolderLock.acquire(place / LOCK)
    try:
        delete(place)
    finally:
        lock.release()


def begin(folder: Path, manifest: dict[str, Any], resume: bool) -> None:
    """Make an empty store in a folder that is locked, or get the one that is kept there ready to go on.

    Args:
        folder: one that exists.
        manifest: of the run: `shape` (rows, columns) and `tile` (side) in measurements, and whatever decides its
            result; JSON values.
        resume: go on with an unfinished run, which must have had the same manifest.

    Raises:
        OutputError: where an unfinished run is there and `resume` is off, it had another manifest, the folder holds
            something else, or the disk refuses.
    """
    kept = read_manifest(folder / MANIFEST)
    if kept is None:
        _create(folder, manifest)
    else:
        _refuse_other_run(folder, kept, manifest, resume)
        _retry_lost(folder)
    (folder / GUESTS).unlink(missing_ok=True)  # those of a run that was killed


def open_array(folder: Path, manifest: Mapping[str, Any]) -> Any:
    """The `zarr.Array` of (band, row, column) that `begin` made in the folder, to be read and written.

    Raises:
        OutputError: where it is damaged, or not of the shape, tiles and type that the manifest says.
    """
    import zarr

    try:
        # so that a tile of nothing but NaN is a file like others, and its absence a fault
        with zarr.config.set({"array.write_empty_chunks": True}):
            array: Any = zarr.open_array(str(folder / ARRAY), mode="r+")
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise OutputError(
            f"{folder / ARRAY} is damaged ({error}): pass --overwrite to start again, or delete {folder}"
        ) from error
    rows, columns = manifest["shape"]
    side, bands = manifest["tile"], manifest.get("bands", BANDS)
    plan = (bands, rows, columns), (bands, min(side, rows), min(side, columns)), np.dtype(np.float32)
    if (array.shape, array.chunks, array.dtype) != plan:
        raise OutputError(f"{folder / ARRAY} is not what {MANIFEST} says: pass --overwrite to start again")
    return array


def delete(folder: Path) -> None:
    """Delete a store with all its tiles, whoever writes there."""
    # guests first, so that none fills it again, then the manifest: what is left after a crash in between is no store
    for name in (GUESTS, MANIFEST):
        with suppress(FileNotFoundError):
            os.unlink(folder / name)
    shutil.rmtree(folder, ignore_errors=True)


def _create(folder: Path, manifest: dict[str, Any]) -> None:
    """Make an empty store; the manifest comes last, so that a store with a manifest is complete."""
    import zarr

    if not _is_unborn(folder):
        raise OutputError(f"{folder} holds files of something else: move them away, or choose another output")
    rows, columns = manifest["shape"]
    side, bands = manifest["tile"], manifest.get("bands", BANDS)
    with explaining(folder):
        for left in (DONE, NEXT, LOST):  # what a removal cut short may have left
            shutil.rmtree(folder / left, ignore_errors=True)
        (folder / DONE).mkdir()
        zarr.create_array(
            store=str(folder / ARRAY),
            shape=(bands, rows, columns),
            chunks=(bands, min(side, rows), min(side, columns)),
            dtype="float32",
            fill_value=float("nan"),
            dimension_names=("band", "row", "column"),
            overwrite=True,
        )
        atomic_write_text(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False))


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
    lost = folder / LOST
    if lost.is_dir():
        shutil.rmtree(folder / NEXT, ignore_errors=True)
        for tile in lost.iterdir():
            (folder / DONE / tile.name).unlink(missing_ok=True)
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
    known = (LOCK, ARRAY, DONE, NEXT, LOST)
    return all(item.name in known or item.name.startswith(".") for item in folder.iterdir())
