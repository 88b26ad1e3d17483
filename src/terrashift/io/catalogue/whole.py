"""Download a whole file as it is: going on where a try ended, and checked against the catalogue's checksum."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ...errors import CatalogueError
from ..atomic import check_space, give_name
from ..scenes import sidecar_of
from .draft import working
from .sidecar import Record, check_multihash, sha256_of
from .web import PASSING, Answer, PassingError, Web, file_name, redact
from .window import SECONDS_BETWEEN_LINES, Fetched

PIECE = 1 << 16
"""Bytes that are written at once; a piece that breaks off is lost."""


def fetch_whole(target: Path, address: str, web: Web, answer: Answer, record: dict) -> Fetched:
    """Bring a file to `target`, and its record beside it.

    Args:
        target: file to write, with the ending of the source.
        address: unsigned.
        web: the way to the server.
        answer: what it says of the file.
        record: the fields of a `Record` that are known before.

    Raises:
        CatalogueError: the server fails.
        InputError: the checksum of the catalogue is another one.
        OutputError: the disk is full or the file cannot be written.
    """
    check_space(target, answer.size or 0)
    plan: dict[str, Any] = {"source": record["source"], "whole": True, "etag": answer.etag, "bytes": answer.size}
    with working(target, plan) as folder:
        part = folder / "whole.part"
        download(part, address, web, answer)
        expected = record.get("source_checksum")
        verified = bool(expected) and check_multihash(part, expected)
        done = Record(
            **record, file=target.name, sha256=sha256_of(part), bytes=part.stat().st_size, whole=True, verified=verified
        )
        beside = folder / "record.json"
        beside.write_text(done.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")
        give_name(beside, sidecar_of(target))
        give_name(part, target)
    return Fetched(target, done, False)


def download(part: Path, address: str, web: Web, answer: Answer) -> None:
    """Fill `part`, which may hold the beginning already, with the whole of a file.

    Raises:
        CatalogueError: the server fails too often.
    """
    had = part.stat().st_size if part.exists() else 0
    if had and answer.size:
        web.say(f"{100 * had / answer.size:.0f} % had come before")
    progress = _Progress(web, had)

    def go_on() -> None:
        try:
            _go_on(part, address, web, answer)
        finally:
            progress.note(part)

    progress.keep_trying(f"downloading {file_name(address)}", go_on)


class _Progress:
    """Tries start anew whenever something has come: a long file over a bad line needs many."""

    def __init__(self, web: Web, size: int) -> None:
        self.web, self.size, self.grew = web, size, False

    def note(self, part: Path) -> None:
        size = part.stat().st_size if part.exists() else 0
        self.grew, self.size = size > self.size, size

    def keep_trying(self, what: str, action: Any) -> None:
        while True:
            try:
                return self.web.keep_trying(what, self._unless_grown(action))
            except _CameFurther as error:
                self.web.say(f"{what}: {redact(str(error))}; going on from {self.size} bytes")

    def _unless_grown(self, action: Any) -> Any:
        def run() -> None:
            try:
                action()
            except PassingError as error:
                if self.grew and error.after_s is None:
                    raise _CameFurther(str(error)) from None
                raise

        return run


class _CameFurther(Exception):
    """A try failed, but brought a part of the file."""


def _go_on(part: Path, address: str, web: Web, answer: Answer) -> None:
    """One try: ask for what is missing and append it."""
    had = part.stat().st_size if part.exists() else 0
    if answer.size is not None and had == answer.size:
        return
    if had and (not answer.ranges or not answer.etag or (answer.size is not None and had > answer.size)):
        had = 0  # no way to ask for the rest of the same file
    headers = {**web.headers_for(address), "Accept-Encoding": "identity"}
    if had:
        headers |= {"Range": f"bytes={had}-", "If-Range": answer.etag}
    with web.request(web.reach(address), headers=headers) as response:
        code = response.status_code
        if code in PASSING or code not in (200, 206):
            web.probe(web.reach(address))  # says what is wrong, and waits as the server asks
            raise PassingError(f"{redact(address)} answers {code} {response.reason}")
        if code == 200:
            had = 0  # the whole again: the file was replaced, or the server gives no parts
        with open(part, "r+b" if had else "wb") as file:
            file.seek(had)
            said = time.monotonic()
            for piece in response.iter_content(PIECE):
                file.write(piece)
                if answer.size and time.monotonic() - said >= SECONDS_BETWEEN_LINES:
                    web.say(f"{100 * file.tell() / answer.size:.0f} % of {file_name(address)} has come")
                    said = time.monotonic()
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
            came = file.tell()
    length = response.headers.get("Content-Length")
    expected = answer.size if answer.size is not None else (had + int(length) if length else None)
    if expected is not None and came < expected:
        raise PassingError(f"{redact(address)} broke off after {came} of {expected} bytes")
    if expected is not None and came > expected:
        part.unlink()
        raise CatalogueError(
            f"{redact(address)} sent {came} bytes where it announced {expected}: it was replaced; again"
        )
