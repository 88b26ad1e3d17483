"""Open a raster by any path or URL, and turn what GDAL says into what a user can act on."""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..core.text import is_utf8
from ..errors import InputError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

CACHE_BYTES = 64 << 20  # of decoded blocks; GDAL would take a twentieth of the machine's memory

_opening = threading.Lock()  # `warnings.catch_warnings` is not safe to enter from two threads at once


def open_dataset(path: str) -> DatasetReader:
    """Open a raster without the warning that it is not georeferenced: `Grid.crs` tells that."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    _refuse_unreadable(path)
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path)


@contextmanager
def bounded_cache() -> Iterator[None]:
    """GDAL with a small cache of decoded blocks."""
    import rasterio

    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
        yield


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn what GDAL says into what a user can act on."""
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.Env():  # sends GDAL's own warnings to the log, off the terminal
            yield
    except MemoryError as error:
        raise InputError(
            f"{path} does not fit into memory: crop it (gdal_translate -srcwin), or close others"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is damaged: it holds text that is not UTF-8 ({error.object[:40]!r})") from error
    except RasterioError as error:
        said = gdal_message(error)
        if "not recognized" in said and not _is_remote(path):
            raise InputError(f"{path} is not a raster that GDAL reads{_looks_like(path)}.") from error
        if _is_remote(path):
            raise InputError(
                f"{path} could not be read: {said}. Check the address and the connection; if other files of the same "
                "place open, this one is damaged or truncated there."
            ) from error
        raise InputError(
            f"{path} is damaged or truncated: {said}. Download or copy it again, and compare its size with the source."
        ) from error


def gdal_message(error: BaseException) -> str:
    """The innermost message of a chain of errors, which is GDAL's own."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = getattr(error, "errmsg", None) or str(error)
    return text.strip().rstrip(".")


def _is_remote(path: str) -> bool:
    return "://" in path or path.startswith("/vsi")


def is_plain(path: str) -> bool:
    """True for a path of the file system, not a URL nor a name that only a GDAL driver understands."""
    return not _is_remote(path) and not re.match(r"[A-Za-z0-9_]{2,}:", path)


def _refuse_unreadable(path: str) -> None:
    if "\0" in path or (not path.isprintable() and not is_utf8(path)):
        raise InputError(f"{path!r} is no name that GDAL takes: rename the file, with letters in UTF-8")
    if not is_plain(path):
        return
    if os.path.isdir(path):
        raise InputError(f"{path} is a folder: give the raster file inside it")
    if not os.path.exists(path):
        raise InputError(f"{path} does not exist; paths count from {os.getcwd()}")
    if os.path.getsize(path) == 0:
        raise InputError(f"{path} is empty (0 bytes): download or copy it again")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read: change its permissions (chmod +r)")


def _looks_like(path: str) -> str:
    """What a file that is no raster seems to be instead; downloads that failed are often web pages."""
    start = b""
    if os.path.isfile(path):
        with open(path, "rb") as file:
            start = file.read(200).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return ": it is a web page, so the download most likely needed a login"
    if start.startswith(b"version https://git-lfs"):
        return ": it is a Git LFS pointer; fetch the file itself with `git lfs pull`"
    if start.startswith((b"ii*\0", b"mm\0*")):
        return ": it starts as a TIFF but is damaged or truncated; download or copy it again"
    return "; convert it to GeoTIFF first"
