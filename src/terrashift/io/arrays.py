"""Read arrays from .npz files that strangers may have written: no pickles, and no sizes that the file does not hold."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .untrusted import Malformed, require_room

DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError, SyntaxError),
    *(EOFError, LookupError, TypeError, ValueError, ArithmeticError, MemoryError),
    RuntimeError,  # of zipfile: a password, an unknown compression
)
"""What reading a zip file may raise that is something else, or was cut or changed."""
KINDS = "biufSU"
LONGEST_HEADER = 10_000


def read_arrays(path: str | Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays of an .npz file by name.

    Raises:
        Malformed: the file lacks one, is damaged or something else, or claims more than it holds.
        OSError: there is none, or it cannot be read.
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as members:
                return {name: _array(members, f"{name}.npy") for name in names}
        except KeyError as error:
            raise Malformed(str(error.args[0])) from error
        except DAMAGE as error:
            raise Malformed(str(error) or type(error).__name__) from error
        except OSError as error:  # places beyond the end
            raise Malformed(f"it is damaged: {error.strerror}") from error


def _array(members: zipfile.ZipFile, name: str) -> np.ndarray:
    about = members.getinfo(name)
    require_room(about.file_size, name)
    with members.open(about) as member:
        shape, column_major, dtype = _header(member)
        if dtype.kind not in KINDS:
            raise Malformed(f"{name} holds {dtype}, not numbers")
        count = int(np.prod(shape, dtype=object))
        data = member.read(count * dtype.itemsize) if count * dtype.itemsize <= about.file_size else b""
    if len(data) != count * dtype.itemsize:
        raise Malformed(f"{name} claims {' x '.join(map(str, shape))} numbers, more than it holds")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if column_major else "C").copy()


def _header(member: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(member)
    if version not in read:
        raise Malformed(f"its arrays are of version {version}")
    return read[version](member, max_header_size=LONGEST_HEADER)
