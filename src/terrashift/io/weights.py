"""Trained weights by name: files of the package, or any file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import InputError

FOLDER = Path(__file__).parent.parent / "weights"


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

    path = Path(name) if name.endswith(".safetensors") else FOLDER / f"{name}.safetensors"
    if not path.is_file():
        known = ", ".join(available()) or "none"
        raise InputError(f"there are no weights {name!r}: the package holds {known}; or give a .safetensors file.")
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 not a dict
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is no weight file, or a damaged one ({error}): install or copy it again.") from error
    if "options" not in facts:
        raise InputError(f"{path} does not say what network it belongs to: it was not written by TerraShift.")
    calibration = json.loads(facts.get("calibration", "{}"))
    return Weights(tensors, facts.get("network", "microflow"), json.loads(facts["options"]), calibration)
