"""A folder that grows beside its final name, so that a run cut short can go on, and appears under it when complete."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import OutputError
from .atomic import atomic_write_text
from .lock import FolderLock
from .manifest import read_manifest
from .untrusted import LARGEST_VECTORS, Malformed, parse_json, read_text

PARTS = ("content", "done", "shown", "arrays")
LOCK, MANIFEST, REPLACED = "lock", "manifest.json", "replaced"


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """What is finished of a folder of results, in chunks. Locked while open."""

    target: Path
    """The final name."""
    folder: Path
    """Where it grows."""
    lock: FolderLock

    @property
    def content(self) -> Path:
        """Becomes `target`."""
        return self.folder / "content"

    @classmethod
    def open(cls, target: Path, key: dict[str, Any], overwrite: bool) -> Draft:
        """Begin, or go on with what a run that was cut short has left.

        Args:
            target: the final name.
            key: whatever decides the content, as JSON values; a draft goes on only under the same key.
            overwrite: discard an unfinished draft of another key.

        Raises:
            OutputError: a draft of another key with finished chunks is there, another process is working on it, or
                files of something else have its name.
        """
        folder = target.with_name(f"{target.name}.terrashift-work")
        folder.mkdir(exist_ok=True)
        lock = FolderLock.acquire(folder / LOCK)
        try:
            kept = read_manifest(folder / MANIFEST)
            if kept != key:
                _refuse(folder, kept, overwrite)
                (folder / MANIFEST).unlink(missing_ok=True)  # first: what a crash leaves then goes on with nothing
                for part in (*PARTS, REPLACED):
                    shutil.rmtree(folder / part, ignore_errors=True)
                for part in PARTS:
                    (folder / part).mkdir()
                atomic_write_text(folder / MANIFEST, json.dumps(key, indent=1))
            _sweep(folder)
            return cls(target, folder, lock)
        except BaseException:
            lock.release()
            raise

    def done(self, number: int) -> bool:
        """True where a chunk is complete."""
        return self._mark(number).exists()

    def mark(self, number: int, records: list[dict[str, Any]]) -> None:
        """A chunk is complete; `records` is what is to be known of it in the end."""
        atomic_write_text(self._mark(number), json.dumps(records))

    def records(self, chunks: int) -> list[dict[str, Any]]:
        """What is known of all chunks, in their order."""
        found: list[dict[str, Any]] = []
        for number in range(chunks):
            try:
                found += parse_json(read_text(self._mark(number), LARGEST_VECTORS))
            except (OSError, Malformed, TypeError) as error:
                raise OutputError(
                    f"{self._mark(number)} is damaged ({error}): delete it, and the same command makes its part anew"
                ) from error
        return found

    def publish(self) -> None:
        """Give the content its name, in one step where nothing of that name is there, and remove the rest."""
        if self.target.exists():
            shutil.rmtree(self.folder / REPLACED, ignore_errors=True)
            os.replace(self.target, self.folder / REPLACED)
        os.replace(self.content, self.target)
        (self.folder / MANIFEST).unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Let others in, and remove a draft that nothing is finished of; a second call does nothing."""
        done = self.folder / "done"
        if _holder(self.folder) == os.getpid() and done.is_dir() and not any(done.iterdir()):
            shutil.rmtree(self.folder, ignore_errors=True)
        self.lock.release()

    def _mark(self, number: int) -> Path:
        return self.folder / "done" / f"{number}.json"


def _holder(folder: Path) -> int | None:
    """The process that a draft's lock names; once ours is published or closed, another may begin one there."""
    try:
        return int((folder / LOCK).read_text())
    except (OSError, ValueError):
        return None


def _sweep(folder: Path) -> None:
    """Remove what a kill left half-written: all that is written under a name that begins with a dot."""
    for part in PARTS:
        for left in (folder / part).glob(".*"):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()


def _refuse(folder: Path, kept: dict[str, Any] | None, overwrite: bool) -> None:
    ours = (LOCK, MANIFEST, REPLACED, *PARTS)
    if kept is None and any(item.name not in ours and not item.name.startswith(".") for item in folder.iterdir()):
        raise OutputError(f"{folder} holds files of something else: move them away, or choose another name")
    done = folder / "done"
    if kept is not None and not overwrite and done.is_dir() and any(done.iterdir()):
        raise OutputError(
            f"{folder} keeps an unfinished data set of other options, images or version: pass --overwrite to start "
            "again, or go on with it by the command that began it"
        )
