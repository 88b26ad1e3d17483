"""Read text, JSON and YAML that strangers may have written: bounded, plain data only, every mistake told as one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError

LARGEST_SETTINGS = 1_000_000
"""Bytes of a file of settings."""
LARGEST_VECTORS = 100_000_000
"""Bytes of a file of lines, outlines or arrows."""


class Malformed(ValueError):
    """A text is not what it should be; the message says how, for another message to hold."""


def read_text(path: str | Path, most_bytes: int = LARGEST_SETTINGS) -> str:
    """The content of a UTF-8 file.

    Raises:
        Malformed: it is larger than `most_bytes`, or not UTF-8, or `path` can be no name.
        OSError: there is none, or it cannot be read.
    """
    with _opened(path) as file:
        found = file.read(most_bytes + 1)
    if len(found) > most_bytes:
        raise Malformed(f"it is larger than {most_bytes / 1e6:.3g} MB")
    try:
        return found.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"it is not text in UTF-8 (byte {error.start})") from error


def _opened(path: str | Path) -> Any:
    try:
        return open(path, "rb")
    except ValueError as error:  # a zero byte, or half a character
        raise Malformed(f"no file can be called {str(path)!r}") from error


def parse_json(text: str) -> Any:
    """JSON.

    Raises:
        Malformed: it is none, or nested deeper than any real file.
    """
    try:
        found = json.loads(text)
        return _whole(found) if "\\u" in text else found
    except RecursionError as error:
        raise Malformed("it is nested too deeply") from error
    except ValueError as error:
        raise Malformed(str(error)) from error


def parse_yaml(text: str) -> Any:
    """YAML as plain data: no tag makes an object, and no alias repeats a list or mapping.

    Aliases of mappings are what small texts grow beyond any memory by ("billion laughs"); those of plain values stay.

    Raises:
        Malformed: it is none, nested deeper than any real file, or repeats lists or mappings.
    """
    try:
        return _whole(_Loader(text).get_single_data())
    except RecursionError as error:
        raise Malformed("it is nested too deeply") from error
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, LookupError) as error:
        raise Malformed(str(error)) from error


def _whole(found: Any) -> Any:
    """What was found, if all its texts can be written: an escape may stand for half a character."""
    json.dumps(found, ensure_ascii=False, default=str, skipkeys=True).encode()
    return found


def expect_object(found: Any) -> Mapping[str, Any]:
    """What JSON or YAML held, where it is an object.

    Raises:
        Malformed: it is something else.
    """
    if not isinstance(found, dict):
        raise Malformed(f"it holds a {type(found).__name__}, not an object")
    if strange := [key for key in found if not isinstance(key, str)]:
        raise Malformed(f"it calls something {strange[0]!r}, which is no name")
    return found


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with aliases of plain values only."""

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            if event.anchor in self.anchors and not isinstance(self.anchors[event.anchor], yaml.ScalarNode):
                raise ComposerError(
                    None, None, f"*{event.anchor} repeats a list or mapping: write it out", event.start_mark
                )
        return super().compose_node(parent, index)


def require_room(needed_bytes: int, what: str) -> None:
    """Make sure that something fits into this machine, before any memory is asked for.

    Raises:
        Malformed: it does not.
    """
    most = memory_bytes()
    if needed_bytes > most:
        raise Malformed(f"{what} takes {needed_bytes / 1e9:.3g} GB, this machine has {most / 1e9:.3g} GB of memory")


def memory_bytes() -> int:
    """Memory of this machine; 16 GB where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 16_000_000_000
