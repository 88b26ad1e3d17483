"""The contenders: our methods by name with settings, those that others wrote, and stored results of programs."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from ..errors import OptionError
from ..estimators.base import Estimator
from ..estimators.blocks import measure_whole
from ..estimators.search import SearchOptions, choose_search, coarse_motion
from ..io.untrusted import Malformed, parse_yaml
from ..recipe import METHODS, Recipe, nearest, regulariser_name, usual_regulariser
from ..register.options import RegisterOptions
from ..regularise.base import Regulariser
from ..regularise.blocks import regularise_whole
from ..regularise.off import Off
from .case import Answer, Case, Entry, Method
from .registering import Registering
from .rivals import RIVALS

OFF = Off()
REGISTER = "register"


@dataclass(frozen=True, slots=True)
class Measuring:
    """An estimator, ours or another that keeps the promises of `Estimator`, and what its vectors are smoothed by."""

    name: str
    estimator: Estimator
    regulariser: Regulariser = OFF
    device: str = "cpu"

    def __call__(self, entry: Entry, case: Case) -> Answer:
        """Measure as `terrashift measure` does, all in memory."""
        search = case.search or choose_search(coarse_motion(case.source, self.device), SearchOptions())
        flow = measure_whole(self.estimator, case.source, search, self.device)
        if case.smooth:
            flow = regularise_whole(self.regulariser, flow, self.device)
        sigma = flow.sigma.numpy()
        return Answer(flow.xy.numpy(), sigma if np.isfinite(sigma).any() else None, self.estimator.step_px)


def methods_of(words: Sequence[str], device: str = "cpu") -> list[Method]:
    """Contenders from what a user writes, see `method_of`; the same one twice is one.

    Raises:
        OptionError: see `method_of`.
    """
    return list({one.name: one for one in (method_of(word, device) for word in words)}.values())


def method_of(word: str, device: str = "cpu") -> Method:
    """A contender from its name.

    `frequency`: a method with its usual settings and regulariser; `microflow+none`, `frequency+tv`: with another
    regulariser; `spatial:window_px=15,reg=0`: with other settings; `register:affine`, ...: the map of a registration;
    `opencv-dis`, ...: see `rivals`; `package.module:Name`: an estimator of one's own, an instance or a class without
    arguments.

    >>> method_of("spatial:window_px=15, reg=0").estimator.window_px
    15

    Raises:
        OptionError: no such method, setting or regulariser, or one's own that cannot be imported.
    """
    if word in RIVALS:
        return RIVALS[word]
    if word.partition(":")[0] == REGISTER:
        return _registering(word, device)
    head, _, regulariser = word.partition("+")
    method, _, settings = head.partition(":")
    if method not in METHODS:
        if settings.isidentifier():
            return Measuring(word, _own(method, settings), _regulariser(regulariser, None), device)
        raise OptionError(f"there is no method {method!r}. {nearest(method, [*METHODS, *RIVALS])}")
    estimate = {"method": method, **_settings(settings, word)}
    recipe = Recipe.parse(yaml.safe_dump({"estimate": estimate}), word)
    return Measuring(word, recipe.estimate, _regulariser(regulariser, method), device)


def _registering(word: str, device: str) -> Registering:
    """`register:affine`, `register:local,window_px=32`."""
    model, _, settings = word.partition(":")[2].partition(",")
    try:
        options = RegisterOptions.model_validate(({"model": model} if model else {}) | _settings(settings, word))
    except ValidationError as error:
        lines = [f"{word}: `{'.'.join(map(str, one['loc']))}`: {one['msg']}." for one in error.errors()]
        raise OptionError("\n".join(lines)) from error
    return Registering(word, options, device)


def _regulariser(text: str, method: str | None) -> Regulariser:
    if not text:
        return usual_regulariser(method)
    name, _, settings = text.partition(":")
    usual = usual_regulariser(method)
    if regulariser_name(name) == usual.method and not settings:
        return usual
    asked = {"method": name, **_settings(settings, text)}
    return Recipe.parse(yaml.safe_dump({"regularise": asked}), text).regularise


def _settings(text: str, word: str) -> dict[str, Any]:
    """`a=1, b=c` as plain values."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, sign, value = part.partition("=")
        if not sign:
            raise OptionError(f"{word!r}: {part!r} is no setting. Write them as in spatial:window_px=15,reg=0.")
        try:
            found[name.strip()] = parse_yaml(value)
        except Malformed as error:
            raise OptionError(f"{word!r}: {value!r} is no value ({error}).") from error
    return found


def _own(module: str, name: str) -> Estimator:
    """Import somebody's estimator."""
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise OptionError(f"{module}:{name} cannot be imported: {error}. Is its package installed?") from error
    found = found() if isinstance(found, type) else found
    if not isinstance(found, Estimator):
        raise OptionError(
            f"{module}:{name} is no estimator: it needs the members of terrashift.estimators.base.Estimator."
        )
    return found
