"""Keep two processes from working in one folder at the same time."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from ..errors import OutputError


class FolderLock:
    """An exclusive lock that the system itself releases when the process ends, however it ends."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, path: Path) -> FolderLock:
        """Lock `path`, a small file that is made for it and holds the number of the process.

        Raises:
            OutputError: where another process, or this one, holds it.
        """
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            if not _try_lock(descriptor):
                pid = _holder(path)
                os.close(descriptor)
                raise OutputError(
                    f"process {pid} is working on {path.parent} at this moment: wait for it to end, stop it, or write "
                    "to another output"
                )
            if _is_current(path, descriptor):
                break
            os.close(descriptor)  # the last holder removed the file between our opening and locking it
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return cls(path, descriptor)

    def release(self) -> None:
        """Let others in; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def here() -> str:
    """This process, in words."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def _is_current(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        return path.read_text().strip() or "unknown"
    except OSError:  # Windows lets nobody read what is locked
        return "unknown"


def _try_lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:
        return _try_lock_windows(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _try_lock_windows(descriptor: int) -> bool:
    import msvcrt

    try:
        # a byte far behind the number of the process, so that others can read that
        os.lseek(descriptor, 1024, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
    return True
