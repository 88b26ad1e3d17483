"""The record beside a fetched file: what it is, where it came from, and the checksum that tells whether it is whole."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ValidationError

from ...errors import InputError
from ..scenes import Sun, sidecar_of
from .assets import Chosen
from .items import Scene

_MULTIHASHES = {0x11: "sha1", 0x12: "sha256", 0x13: "sha512", 0x14: "sha3_512", 0x16: "sha3_256", 0xD5: "md5"}
"""Codes of https://github.com/multiformats/multicodec that Python knows."""


class Record(BaseModel, frozen=True):
    """What stands in the sidecar."""

    terrashift_fetch: Literal[1] = 1
    """Version of this format."""
    file: str
    sha256: str
    bytes: int
    scene: str
    collection: str
    endpoint: str
    date: datetime
    platform: str
    orbit: str | None = None
    sun: Sun | None = None
    cloud: float | None = None
    baseline: str | None = None
    licence: str
    item: str
    """Address of the scene's item."""
    source: str
    """Address of the file it was read from, unsigned."""
    source_bytes: int | None = None
    source_etag: str = ""
    source_checksum: str | None = None
    """`file:checksum` of the catalogue."""
    verified: bool = False
    """True where that was compared with what came."""
    asset: str
    band: str
    band_number: int
    whole: bool = False
    box: tuple[float, float, float, float] | None = None
    window: tuple[int, int, int, int] | None = None
    """Row, column, height, width in the source."""
    crs: str | None = None
    transform: tuple[float, ...] | None = None
    """From pixel corners, as in GDAL."""
    source_pixels: str = ""
    """`Area` or `Point`: how the source counts; this file always counts from corners."""
    note: str = ""
    fetched: datetime
    version: str

    def tags(self) -> dict[str, str]:
        """The same as GeoTIFF tags, under the names that `io.scenes` reads."""
        told: dict[str, Any] = {
            "ACQUISITION_DATETIME": self.date.isoformat() + "Z",
            "PLATFORM": self.platform,
            "BAND": self.band,
            "RELATIVE_ORBIT": self.orbit,
            "SUN_ELEVATION": self.sun.elevation if self.sun else None,
            "SUN_AZIMUTH": self.sun.azimuth if self.sun else None,
            "CLOUD_COVER": self.cloud,
            "PROCESSING_BASELINE": self.baseline,
            "SCENE_ID": self.scene,
            "COLLECTION": self.collection,
            "SOURCE": self.source,
            "LICENCE": self.licence,
            "SOURCE_AREA_OR_POINT": self.source_pixels,
        }
        if self.window is not None:
            told["SOURCE_WINDOW"] = " ".join(map(str, self.window))
        return {key: str(value) for key, value in told.items() if value not in (None, "")}


class Wanted(NamedTuple):
    """What tells whether a file that is there is the one asked for."""

    source: str
    band_number: int
    box: tuple[float, float, float, float] | None
    """None for a whole file."""


def described(scene: Scene, chosen: Chosen, endpoint: str) -> dict[str, Any]:
    """The fields of a record that the catalogue tells."""
    return {
        **{name: getattr(scene, name) for name in ("collection", "date", "platform", "orbit", "sun", "cloud")},
        **{name: getattr(scene, name) for name in ("baseline", "licence")},
        "scene": scene.id,
        "item": scene.source,
        "endpoint": endpoint,
        "asset": chosen.asset.key,
        "band": chosen.name,
        "band_number": chosen.number,
        "source_checksum": chosen.asset.checksum,
    }


def read_record(target: Path) -> Record | None:
    """The record beside a file; None where there is none.

    Raises:
        InputError: it is there and is no record.
    """
    path = sidecar_of(target)
    try:
        return Record.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValidationError, UnicodeDecodeError, OSError) as error:
        raise InputError(
            f"{path} is no record of `terrashift fetch`: pass --overwrite to replace it, or choose another folder"
        ) from error


def is_complete(target: Path, wanted: Wanted) -> bool:
    """True where the file is there, is the one asked for, and is whole; False where it is not there.

    Raises:
        InputError: a file of that name is something else, or was changed since it was fetched.
    """
    if not target.exists():
        return False
    record = read_record(target)
    again = "pass --overwrite to fetch it again, or choose another folder"
    if record is None:
        raise InputError(f"{target} is there already, without the record of `terrashift fetch` beside it: {again}")
    if (record.source, record.band_number, record.box) != wanted:
        raise InputError(f"{target} is there already and holds another band, box or source: {again}")
    if target.stat().st_size != record.bytes or sha256_of(target) != record.sha256:
        raise InputError(
            f"{target} was changed since it was fetched: its checksum is not that in {sidecar_of(target).name}; {again}"
        )
    return True


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_multihash(path: Path, checksum: str) -> bool:
    """Compare a file with `file:checksum`; False where it is of a kind that cannot be computed here.

    Raises:
        InputError: they differ.
    """
    code, digest = _multihash(checksum)
    if code not in _MULTIHASHES or not digest:
        return False
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, _MULTIHASHES[code]).digest()
    if found[: len(digest)] != digest:
        raise InputError(
            f"what came is not what the catalogue describes: its {_MULTIHASHES[code]} is {found.hex()[:16]}..., it "
            f"should be {digest.hex()[:16]}.... The file was damaged on the way, or replaced there: fetch again, or "
            "search again"
        )
    return True


def _multihash(text: str) -> tuple[int, bytes]:
    """Code and digest of a multihash in hexadecimal; (-1, b"") where it is none.

    >>> _multihash("1203abcdef")[0] == 0x12, _multihash("1203abcdef")[1].hex()
    (True, 'abcdef')
    """
    with suppress(ValueError, IndexError):
        data = bytes.fromhex(text)
        code, rest = _varint(data)
        length, digest = _varint(rest)
        if length == len(digest):
            return code, digest
    return -1, b""


def _varint(data: bytes) -> tuple[int, bytes]:
    value = shift = 0
    for index, byte in enumerate(data):
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, data[index + 1 :]
        shift += 7
    raise IndexError(data)
