"""Everything that a run needs to go on as if it had never stopped."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError  # that of `torch.load` with `weights_only`, which unpickles numbers alone
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import InputError
from ..models.iterative import IterativeRefinement, for_passes
from ..models.sharp import MultiFrame

DAMAGE = (
    *(RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(MemoryError, struct.error, zipfile.BadZipFile, UnpicklingError),
)
"""What reading may raise on a file that is something else, or was cut or changed."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    torch.save(state, part)
    os.replace(part, path)


def load(path: Path, device: str) -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        InputError: where it is damaged.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except DAMAGE as error:
        said = str(error).strip().partition("\n")[0]
        raise InputError(f"{path} is no checkpoint, or a damaged one ({said}): remove it to start anew.") from error


def begin(net: nn.Module, path: Path) -> None:
    """Give a network the weights of a file.

    Passes with weights of their own may all begin as a single one, and one that all share as their mean.
    A network of several frames takes what parts the file has of it, and so goes on from the training of a part.

    Raises:
        InputError: where the file is missing or damaged, or belongs to another network.
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError, ValueError, RuntimeError, TypeError) as error:
        raise InputError(f"start_from: {path} is no weight file, or a damaged one ({error}).") from error
    if isinstance(net, IterativeRefinement):
        weights = for_passes(weights, len(net.networks))
    if isinstance(net, MultiFrame):
        own = net.state_dict()
        shared = {name: value for name, value in weights.items() if name in own}
        weights = own | shared if shared else weights
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"start_from: {path} belongs to a network of other options: {error}") from error


class Average:
    """Running average of a network's weights (Polyak & Juditsky 1992), quick to follow at first."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """Take in the weights after step number `step`."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - decay)
            else:  # counts
                self.weights[name].copy_(value)

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Go on from a stored average."""
        for name, value in weights.items():
            self.weights[name].copy_(value)
