"""One page of settings for a training run: plain values, read from YAML, unknown keys refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ..core.settings import build
from ..errors import InputError, OptionError
from ..io.probav import SCALE
from ..io.untrusted import Malformed, expect_object, parse_yaml, read_text
from ..models.catalogue import SHARPEN, Kind, Options, options_of
from ..models.microflow import MicroFlowOptions
from ..simulate.burst import BurstOptions
from ..simulate.stream import StreamOptions
from .losses import LossOptions
from .scenes import SceneOptions


@dataclass(frozen=True, slots=True)
class TrainRecipe:
    """How a network is trained."""

    name: str = "microflow"
    """Of the weights."""
    network: Kind = "microflow"
    """GeoFlowNet is `iterative` with a single pass."""
    model: Options = field(default_factory=MicroFlowOptions)
    """Of that network."""
    stream: StreamOptions = field(default_factory=StreamOptions)
    """Of networks that measure motion."""
    bursts: BurstOptions = field(default_factory=BurstOptions)
    """Of networks that make one sharp image of several frames."""
    data: Literal["imagery", "probav"] = "imagery"
    """What such networks learn from: bursts made of `imagery`, or the scenes of the PROBA-V challenge in it."""
    probav: SceneOptions = field(default_factory=SceneOptions)
    """Of those scenes; the ones that are held out are validated on."""
    loss: LossOptions = field(default_factory=LossOptions)
    imagery: str = "train.tsi"
    """Archive to learn from; see `terrashift pack`. Of PROBA-V also the challenge's folder."""
    scenes: str = ""
    """Archive of made-up landscapes to learn from too; see `terrashift pack --scenes`. Empty for none."""
    validation: str = "validation.tsi"
    """Archive to validate on, of other places; empty for none."""
    start_from: str = ""
    """Weights to start from; empty for random ones."""
    seed: int = 1
    steps: int = 10_000
    warm_up: int = 200
    """Steps over which the learning rate rises."""
    cool_down: float = 0.3
    """Last share of the steps, over which the learning rate falls to nothing (as a cosine); 0: it does not."""
    drop_every: int = 0
    """Steps after which the learning rate is multiplied by `drop`, again and again; 0: never."""
    drop: float = 0.8
    learning_rate: float = 1e-3
    optimiser: Literal["adamw", "adam"] = "adamw"
    """adamw: weights (not biases) shrink by themselves; adam: through the gradient, as published."""
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
    """Of each class of magnitude; scenes of each band of PROBA-V; 0 for no validation."""
    validation_px: int = 128
    """Their side."""
    calibration_pairs: int = 64
    """Of each class, drawn by themselves: those on which the sigma is calibrated at the end."""
    calibration_px: int = 192
    calibrate_on: tuple[str, ...] = ()
    """Classes that calibrate the sigma; empty for all: fewer for networks that do not see far."""

    @property
    def sharpens(self) -> bool:
        """Whether the network makes one sharp image of several frames."""
        return self.network in SHARPEN

    @property
    def batch(self) -> int:
        """Pairs or bursts of a step."""
        if self.real:
            return self.probav.batch
        return self.bursts.batch if self.sharpens else self.stream.batch

    @property
    def real(self) -> bool:
        """Whether it is learned from the scenes of the PROBA-V challenge."""
        return self.data == "probav"


def load_recipe(path: str | Path) -> TrainRecipe:
    """Read a recipe; what it does not name keeps its default.

    Raises:
        InputError: no such file, or no YAML mapping.
        OptionError: an unknown key, or a value of the wrong kind.
    """
    try:
        found = expect_object(parse_yaml(read_text(path)))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: recipes for training are in recipes/train.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except Malformed as error:
        raise InputError(f"{path} holds no settings ({error}): give it lines such as `steps: 10000`.") from error
    return recipe_of(found)


def recipe_of(found: Mapping[str, Any]) -> TrainRecipe:
    """A recipe from plain values; the options of its network are read as that network's.

    Raises:
        OptionError: an unknown key, or a value of the wrong kind.
    """
    recipe: TrainRecipe = build(TrainRecipe, {key: value for key, value in found.items() if key != "model"}, "")
    if not re.fullmatch(r"[\w.+-]*\w", recipe.name, re.ASCII):
        raise OptionError(f"name is {recipe.name!r}: files are called so; take letters, digits, dots and hyphens.")
    recipe = replace(recipe, model=options_of(recipe.network, found.get("model", {})))
    if recipe.loss.closer and recipe.network != "microflow":
        raise OptionError(f"loss.closer is {recipe.loss.closer}, but only microflow looks closer: leave it 0.")
    if recipe.real:
        _refuse_other_scenes(recipe)
    return recipe


def _refuse_other_scenes(recipe: TrainRecipe) -> None:
    """Make sure that a network can learn from PROBA-V's scenes, whose truth lies and shines a little otherwise.

    Raises:
        OptionError: it cannot.
    """
    model: Any = recipe.model
    if not recipe.sharpens or (model.scale, model.bands) != (SCALE, 1):
        raise OptionError(
            f"data: probav is for networks that make one sharp image of several frames, at scale {SCALE} and of one "
            f"band; {recipe.network} with {model} is none: {', '.join(sorted(SHARPEN))} are."
        )
    sharp = recipe.loss.sharp
    if not (sharp.border and sharp.bias) or sharp.consistency:
        raise OptionError(
            "the truth of PROBA-V's scenes lies up to 3 px beside the frames, is brighter or darker, and nobody knows "
            "the camera's blur: give loss: {sharp: {border: 3, bias: true}}, and no consistency."
        )
