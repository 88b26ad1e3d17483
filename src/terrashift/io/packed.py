"""What our own zip files have in common: members of bounded size, and clear words where one cannot be read."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError
from .arrays import DAMAGE
from .untrusted import Malformed

LARGEST_INDEX = 100_000_000
"""Bytes of an `index.json`."""


@contextmanager
def unpacking(path: str | Path, contents: str, other: str) -> Iterator[None]:
    """Tell a user what is the matter with a packed file, and what to do.

    Args:
        path: of the file.
        contents: what is to be packed, as in "pack `contents` first".
        other: what is said of a file that is something else, or cut: "is no ..., or a damaged one".

    Raises:
        InputError: where the file is missing, cannot be read, is damaged or something else.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(
            f"{path} does not exist: pack {contents} first, `terrashift pack FOLDER -o {path}`."
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): give the name of a file.") from error
    except DAMAGE as error:
        raise InputError(f"{path} {other} ({error}): pack or copy it anew.") from error


def read_member(file: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    """A member that claims no more than it may have, and holds no more than it claims.

    Raises:
        Malformed: where it claims more than `most_bytes`.
    """
    about = file.getinfo(name)
    if about.file_size > most_bytes:
        raise Malformed(f"{name} claims {about.file_size} bytes, {most_bytes} at most make sense")
    with file.open(about) as member:
        return member.read(most_bytes)
