"""Write a file whole or not at all, and say what to do where it cannot be written."""

from __future__ import annotations

import errno
import glob
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..core.text import is_utf8
from ..errors import OptionError, OutputError

GEOTIFF_SUFFIXES = (".tif", ".tiff")
FULL_WORDS = ("space", "too large", "Write error")
"""What GDAL says of a disk that takes no more; it passes on no error number."""


def check_target(path: str | Path, overwrite: bool, needed_bytes: int = 0) -> None:
    """Make sure that `path` can be written, before any work is done.

    Raises:
        OutputError: where the folder is missing, may not be written or is too full, or the file exists already.
    """
    target = Path(path)
    with explaining(target):
        _refuse_place(target, overwrite)
        with scratch(target) as trial:
            trial.touch()
    check_space(target, needed_bytes)


def check_targets(paths: Iterable[Path], inputs: Iterable[str | Path], overwrite: bool) -> None:
    """Make sure before any work that all can be written, and that none is an input.

    Raises:
        OptionError: where a result would replace an input.
        OutputError: where a name is taken or the folder refuses.
    """
    targets, sources = list(paths), {Path(path).resolve() for path in inputs}
    for path in targets:
        if path.resolve() in sources:
            raise OptionError(f"{path} is an input: choose another name for the result")
    for path in targets:
        check_target(path, overwrite)


def _refuse_place(target: Path, overwrite: bool) -> None:
    folder = target.parent
    if "\0" in str(target) or not is_utf8(str(target)):
        raise OutputError(f"cannot write {str(target)!r}: it is no name. Choose another, with letters in UTF-8")
    if target.is_dir():
        raise OutputError(
            f"cannot write {target}: it is a folder. Give the name of a file, such as {target / 'result.tif'}"
        )
    if not folder.is_dir():
        if folder.exists():
            raise OutputError(f"cannot write {target}: {folder} is a file, not a folder. Choose another folder")
        raise OutputError(
            f"cannot write {target}: the folder {folder} does not exist. Make it with `mkdir -p {folder}`, or choose "
            "another"
        )
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists already: pass --overwrite to replace it, or choose another name")


def require_geotiff(output: Path) -> None:
    """Make sure that the name of a result says what it is.

    Raises:
        OptionError: where it does not end in .tif or .tiff.
    """
    if output.suffix.lower() not in GEOTIFF_SUFFIXES:
        raise OptionError(f"the result is a GeoTIFF, so call it {output.with_suffix('.tif')} instead of {output}")


def check_space(target: Path, needed_bytes: int) -> None:
    """Refuse to start a file that the disk cannot hold."""
    free = shutil.disk_usage(target.parent).free
    if needed_bytes > free:
        raise OutputError(
            f"not enough space for {target}: {megabytes(needed_bytes)} needed, {megabytes(free)} free. Free some, or "
            "write to another disk"
        )


@contextmanager
def scratch(target: Path) -> Iterator[Path]:
    """A name beside `target` for a temporary file, which is gone at the end whatever happens."""
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}.part{target.suffix}")
    try:
        yield temporary
    finally:
        # GDAL may leave companions such as .aux.xml or .ovr.tmp behind
        for left in glob.glob(f"{glob.escape(str(temporary))}*"):
            with suppress(OSError):
                os.unlink(left)


@contextmanager
def atomic_path(path: str | Path, needed_bytes: int = 0) -> Iterator[Path]:
    """Yield a temporary name to write to; at the end it becomes `path` in one step, unless an error came up.

    Raises:
        OutputError: where the disk is full or the folder may not be written.
    """
    target = Path(path)
    with explaining(target, needed_bytes), scratch(target) as temporary:
        yield temporary
        give_name(temporary, target)


def atomic_write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def check_folder(target: Path, names: Iterable[str], overwrite: bool) -> None:
    """Make sure that a folder of results can be written, before any work is done.

    Args:
        target: the folder.
        names: of all files that it may hold; one with others in it is never replaced.
        overwrite: replace a folder of that name.

    Raises:
        OutputError: where it cannot be written, or something is there already.
    """
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target} is a file: give the name of a folder, which will be made")
    if target.exists() and any(target.iterdir()):
        if not overwrite:
            raise OutputError(f"{target} exists already: pass --overwrite to replace it, or choose another name")
        if others := sorted(item.name for item in target.iterdir() if item.name not in set(names)):
            raise OutputError(
                f"{target} holds files of something else ({', '.join(others[:3])}): move them away, or choose another "
                "name"
            )
    _refuse_place(target / "file" if target.is_dir() else target, overwrite)
    with scratch(target) as trial, explaining(target):
        trial.touch()


def make_folder(folder: Path) -> None:
    """Make a folder that files are added to, with those above it; one that is there will do.

    Raises:
        OutputError: where it cannot be made.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file: give the name of a folder, which will be made")
    with explaining(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder to write to; at the end it becomes `target`, unless an error came up.

    A folder of that name is replaced: see `check_folder`.

    Raises:
        OutputError: where the disk is full or the place may not be written.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    replaced = temporary.with_name(temporary.name + ".replaced")
    try:
        with explaining(target):
            temporary.mkdir()
            yield temporary
            if target.exists():
                os.replace(target, replaced)
            os.replace(temporary, target)
    finally:
        if replaced.exists() and not target.exists():  # the second step failed
            os.replace(replaced, target)
        for left in (temporary, replaced):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def explaining(target: Path, needed_bytes: int = 0) -> Iterator[None]:
    """Turn what the system says against writing `target` into what a user can act on.

    Raises:
        OutputError: for any `OSError` within, see `explain`; one that is such an error already passes as it is.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise explain(target, error, needed_bytes) from error


def explain(target: Path, error: BaseException, needed_bytes: int = 0) -> OutputError:
    """The `OutputError` for something that went wrong while writing `target`."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    code = cause.errno if isinstance(cause, OSError) else None  # GDAL counts its own errors otherwise
    said = (getattr(cause, "errmsg", None) or str(cause)).strip().rstrip(".")
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(
            f"cannot write {target}: the folder {target.parent} may not be written to. Change its permissions, or "
            "choose another"
        )
    room = f" About {megabytes(needed_bytes)} are needed." if needed_bytes else ""
    with suppress(OSError):
        room += f" {megabytes(shutil.disk_usage(target.parent).free)} are free on this disk."
    if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or any(w in said for w in FULL_WORDS):
        return OutputError(
            f"cannot write {target}: the disk is full, or a limit of file size or quota is reached ({said}).{room} "
            "Free some space, or write to another disk"
        )
    if isinstance(error, gdal_errors()):
        return OutputError(
            f"cannot write {target}: {said}.{room} Most likely the disk is full, or a limit of file size or quota is "
            "reached. Free some space, or write to another disk"
        )
    return OutputError(f"cannot write {target}: {said}")


def gdal_errors() -> tuple[type[Exception], ...]:
    """What rasterio raises when GDAL fails: `rasterio.shutil` lets GDAL's own errors through as they are."""
    from rasterio._err import CPLE_BaseError  # not public, and its only root
    from rasterio.errors import RasterioError

    return RasterioError, CPLE_BaseError


def megabytes(count: int) -> str:
    """A number of bytes as people read it.

    >>> megabytes(2_500_000)
    '2.5 MB'
    """
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def give_name(temporary: Path, target: Path) -> None:
    """Give a finished file its final name, in one step."""
    _flush(temporary)
    os.replace(temporary, target)


def _flush(path: Path) -> None:
    """Bring a file to the disk before it takes its name, so that a power cut cannot leave an empty one."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
