"""Trained weights by name: files of the package, or any file."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import InputError
from .untrusted import expect_object, parse_json

FOLDER = Path(__file__).parent.parent / "weights"
CHECKSUMS = "SHA256SUMS"
"""Made in that folder by `sha256sum *.safetensors > SHA256SUMS`."""
LARGEST_BYTES = 2_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """What a weight file holds."""

    tensors: Mapping[str, Tensor]
    network: str
    """Which network: see `models.catalogue`."""
    options: dict[str, Any]
    """The network's options."""
    calibration: dict[str, float]
    """Numbers that belong to the trained network beside its weights."""


def available() -> list[str]:
    """Names of the weights that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def load_weights(name: str) -> Weights:
    """Read weights of the package by name, or a file by its path.

    Raises:
        InputError: where there are none of this name, or the file is damaged or holds something else.
    """
    from safetensors import SafetensorError, safe_open

    path = _path_of(name)
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 not a dict
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError) as error:
        raise InputError(f"{path} is no weight file, or a damaged one ({error}): install or copy it again.") from error
    if "options" not in facts:
        raise InputError(f"{path} does not say what network it belongs to: it was not written by TerraShift.")
    try:
        options = dict(expect_object(parse_json(facts["options"])))
        numbers = expect_object(parse_json(facts.get("calibration", "{}")))
        calibration = {key: float(value) for key, value in numbers.items()}
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged: what it says of its network cannot be read ({error}).") from error
    if not all(map(math.isfinite, calibration.values())):
        raise InputError(f"{path} is damaged: its calibration is {calibration}.")
    return Weights(tensors, facts.get("network", "microflow"), options, calibration)


def _path_of(name: str) -> Path:
    """The file that is meant, in one piece.

    Raises:
        InputError: there is none, it is too large, or it is one of the package's and not as it was published.
    """
    own = not name.endswith(".safetensors")
    path = FOLDER / f"{name}.safetensors" if own else Path(name)
    if (own and name not in available()) or not path.is_file():
        known = ", ".join(available()) or "none"
        raise InputError(f"there are no weights {name!r}: the package holds {known}; or give a .safetensors file.")
    if path.stat().st_size > LARGEST_BYTES:
        raise InputError(f"{path} is larger than {LARGEST_BYTES / 1e9:g} GB: no network here has such weights.")
    if own and (found := _sha256(path)) != published().get(path.name):
        raise InputError(f"{path} is not as it was published (its sha256 is {found}): install TerraShift again.")
    return path


def published() -> dict[str, str]:
    """sha256 of each weight file of the package by its name, as `sha256sum` wrote them down."""
    lines = (FOLDER / CHECKSUMS).read_text(encoding="ascii").splitlines()
    return {name.lstrip("*"): digest for digest, name in (line.split() for line in lines)}


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
