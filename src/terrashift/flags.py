"""Every setting of a recipe as a flag of the command line, without prefixes."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ValidationError

from .arguments import Argument, argument
from .arguments import parse as read
from .errors import OptionError
from .presets import DEFAULT, PRESETS, PresetName, preset, regulariser_named
from .recipe import METHODS, UNIONS, Recipe, explain

SHORT = {"window_px": "--window", "step_px": "--step"}
LONG = {flag: setting for setting, flag in SHORT.items()}
NAMES = {("regularise", "method"): "regularize"}
"""Flags that are not called like their setting."""
CHOICES = {"estimate": tuple(METHODS), "regularise": ("off", "quadratic", "tv", "log_tv")}
"""What the help says of the flags that decide which others there are."""
PARTS = tuple(Recipe.model_fields)


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """The recipe that the flags change, and where it comes from."""

    recipe: Recipe
    preset: str
    """Name of the preset, or empty where a file was given."""
    rest: tuple[str, ...]
    """The command line without --recipe, --preset, --method and --regularize."""


def take_start(words: Sequence[str]) -> Start:
    """Resolve --recipe, --preset, --method and --regularize, whose values are the defaults of all other flags.

    Another --method brings its own regulariser along, unless one was asked for: by its flag or in the recipe file.

    Raises:
        OptionError: unknown preset, method or regulariser, a recipe that cannot be read, or a recipe and a preset at
            once.
    """
    early = argparse.ArgumentParser(prog="terrashift", add_help=False, allow_abbrev=False)
    early.add_argument("--recipe")
    early.add_argument("--preset")
    early.add_argument("--method")
    early.add_argument("--regularize", "--regularise")
    found, rest = early.parse_known_args(list(words))
    if found.recipe and found.preset:
        raise OptionError("--recipe and --preset are two starting points: give one of them.")
    if not found.recipe:
        name = found.preset or DEFAULT
        return Start(preset(name).recipe(found.method, found.regularize), name, tuple(rest))
    recipe = Recipe.from_yaml(found.recipe)
    if found.method and found.method != recipe.estimate.method:
        own = preset(DEFAULT).recipe(found.method)
        parts = {"estimate"} if "regularise" in recipe.model_fields_set else {"estimate", "regularise"}
        recipe = recipe.model_copy(update={part: getattr(own, part) for part in parts})
    if found.regularize:
        chosen = regulariser_named(found.regularize)
        if chosen.method != recipe.regularise.method:
            recipe = recipe.model_copy(update={"regularise": chosen})
    return Start(recipe, "", tuple(rest))


def refuse_foreign(words: Sequence[str], recipe: Recipe, parts: Sequence[str]) -> None:
    """Name the method or regulariser that a flag belongs to, where it is not the one of `recipe`."""
    for part in UNIONS.keys() & parts:
        chosen = getattr(recipe, part)
        for word in words:
            name = word.split("=")[0]
            key = LONG.get(name, name.lstrip("-").replace("-", "_"))
            others = [other for other, model in UNIONS[part].items() if key in model.model_fields]
            if name.startswith("--") and others and key not in type(chosen).model_fields:
                flag, own = flag_of(part, "method"), _choice(part, chosen.method)
                raise OptionError(f"{name} is an option of {flag} {' or '.join(others)}; this run uses {flag} {own}.")


def _choice(part: str, method: str) -> str:
    """How the flag of a section's method calls it."""
    return method if method in CHOICES[part] else "off"


def flag_of(part: str, name: str) -> str:
    """The flag of a setting.

    >>> flag_of("regularise", "method"), flag_of("regularise", "edge_px")
    ('--regularize', '--edge-px')
    """
    return "--" + NAMES.get((part, name), name).replace("_", "-")


def parse(
    start: Start, verb: str, about: str, arguments: Sequence[Argument], parts: Sequence[str] = PARTS
) -> tuple[Any, Recipe]:
    """Read the rest of a command line.

    Args:
        start: the recipe whose values are the defaults.
        verb: `measure`, ... for the usage line.
        about: what the verb does, for its help.
        arguments: what is not in the recipe.
        parts: the recipe's sections that become flags.

    Returns:
        The arguments as attributes, and the recipe with the flags laid over it.
    """
    refuse_foreign(start.rest, start.recipe, parts)
    sections = [(part, _section(part, getattr(start.recipe, part))) for part in parts]
    more = [(part, section, dataclasses.field(default_factory=section)) for part, section in sections]
    found = read(start.rest, verb, about, [*arguments, *more])
    return found, _lay_over(start.recipe, {part: dataclasses.asdict(getattr(found, part)) for part in parts})


def start_arguments() -> list[Argument]:
    """The flags that `take_start` has already taken away, for the help."""
    ready = "Ready settings to start from: " + ", ".join(PRESETS) + "."
    return [
        argument("recipe", Path | None, None, "Recipe file to start from; flags change it.", metavar="FILE"),
        argument("preset", PresetName, DEFAULT, ready),
    ]


def _section(part: str, options: BaseModel) -> type:
    """A dataclass with the fields of one options model, its values as defaults and its descriptions as help."""
    import tyro

    fields = []
    for name, info in type(options).model_fields.items():
        kind: Any = info.annotation
        value = getattr(options, name)
        if name == "method" and part in CHOICES:
            kind = Literal[CHOICES[part]]
            value = _choice(part, value)
        aliases = [SHORT[name]] if name in SHORT else None
        note = tyro.conf.arg(name=NAMES.get((part, name)), help=info.description or "", aliases=aliases)
        fields.append((name, Annotated[kind, note], dataclasses.field(default=value)))
    section = dataclasses.make_dataclass(part, fields)
    section.__doc__ = Recipe.model_fields[part].description
    return section


def _lay_over(recipe: Recipe, changes: dict[str, dict[str, Any]]) -> Recipe:
    """The recipe with whole sections replaced; mistakes are named by their flags."""
    data = recipe.model_dump() | changes
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        as_flag = [re.sub(r"`(\w+)\.(\w+)`", lambda key: flag_of(key[1], key[2]), line) for line in explain(error)]
        raise OptionError("\n".join(as_flag)) from error
