"""Read what a run wrote of itself into its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import OutputError
from .untrusted import LARGEST_VECTORS, expect_object, parse_json, read_text


def read_manifest(path: Path) -> dict[str, Any] | None:
    """What the run in the folder of this file was begun with; None where none was, or it had no time to get so far.

    Raises:
        OutputError: where the file is damaged.
    """
    try:
        return dict(expect_object(parse_json(read_text(path, LARGEST_VECTORS))))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be read ({error}): delete {path.parent} and start again") from error
