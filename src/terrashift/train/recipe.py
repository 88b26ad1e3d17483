"""One page of settings for a training run: plain values, read from YAML, unknown keys refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ..core.settings import build
from ..errors import InputError
from ..models.microflow import MicroFlowOptions
from ..simulate.stream import StreamOptions
from .losses import LossOptions


@dataclass(frozen=True, slots=True)
class TrainRecipe:
    """How a network is trained."""

    name: str = "microflow"
    """Of the weights."""
    model: MicroFlowOptions = field(default_factory=MicroFlowOptions)
    stream: StreamOptions = field(default_factory=StreamOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    imagery: str = "train.tsi"
    """Archive to learn from; see `terrashift pack`."""
    validation: str = "validation.tsi"
    """Archive to validate on, of other places; empty for none."""
    start_from: str = ""
    """Weights to start from; empty for random ones."""
    seed: int = 1
    steps: int = 10_000
    warm_up: int = 200
    """Steps over which the learning rate rises."""
    cool_down: float = 0.3
    """Last share of the steps, over which the learning rate falls to nothing (as a cosine)."""
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    clip: float = 1.0
    """Largest norm of the gradient."""
    average: float = 0.999
    """Decay of the running average of the weights, which is what is kept."""
    grow: int = 1500
    """Steps over which the largest motion grows from 1 px to that of the stream."""
    bfloat16: bool = True
    save_seconds: float = 180.0
    validate_every: int = 500
    validation_pairs: int = 32
    """Of each class of magnitude."""


def load_recipe(path: str | Path) -> TrainRecipe:
    """Read a recipe; what it does not name keeps its default.

    Raises:
        InputError: no such file, or no YAML mapping.
        OptionError: an unknown key, or a value of the wrong kind.
    """
    try:
        found = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: recipes for training are in recipes/train.") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} holds no settings: give it lines such as `steps: 10000`.")
    return build(TrainRecipe, found, "")
