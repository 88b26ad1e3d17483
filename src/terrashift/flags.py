"""Every setting of a recipe as a flag of the command line, without prefixes."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ValidationError

from .errors import OptionError
from .presets import DEFAULT, PRESETS, PresetName, preset
from .recipe import METHODS, Recipe, explain

SHORT = {"window_px": "--window", "step_px": "--step"}
PARTS = tuple(Recipe.model_fields)
REQUIRED: Any = object()
"""Default of an argument that must be given."""


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """The recipe that the flags change, and where it comes from."""

    recipe: Recipe
    preset: str
    """Name of the preset, or empty where a file was given."""
    rest: tuple[str, ...]
    """The command line without --recipe, --preset and --method."""


def take_start(words: Sequence[str]) -> Start:
    """Resolve --recipe, --preset and --method, whose values are the defaults of all other flags.

    Raises:
        OptionError: unknown preset or method, a recipe that cannot be read, or a recipe and a preset at once.
    """
    early = argparse.ArgumentParser(prog="terrashift", add_help=False, allow_abbrev=False)
    early.add_argument("--recipe")
    early.add_argument("--preset")
    early.add_argument("--method")
    found, rest = early.parse_known_args(list(words))
    if found.recipe and found.preset:
        raise OptionError("--recipe and --preset are two starting points: give one of them.")
    if not found.recipe:
        name = found.preset or DEFAULT
        return Start(preset(name).recipe(found.method), name, tuple(rest))
    recipe = Recipe.from_yaml(found.recipe)
    if found.method and found.method != recipe.estimate.method:
        estimate = preset(DEFAULT).recipe(found.method).estimate
        recipe = recipe.model_copy(update={"estimate": estimate})
    return Start(recipe, "", tuple(rest))


def refuse_foreign(words: Sequence[str], method: str) -> None:
    """Name the method that a flag belongs to, where it is not `method`'s."""
    own = set(METHODS[method].model_fields)
    for word in words:
        name = word.split("=")[0]
        key = name.lstrip("-").replace("-", "_")
        others = [other for other, model in METHODS.items() if key in model.model_fields and other != method]
        if name.startswith("--") and others and key not in own:
            raise OptionError(f"{name} is an option of --method {others[0]}; this run uses --method {method}.")


def parse(
    start: Start, verb: str, about: str, arguments: Sequence[tuple[str, Any, Any]], parts: Sequence[str] = PARTS
) -> tuple[Any, Recipe]:
    """Read the rest of a command line.

    Args:
        start: the recipe whose values are the defaults.
        verb: `measure`, ... for the usage line.
        about: what the verb does, for its help.
        arguments: (name, annotation, default) of what is not in the recipe.
        parts: the recipe's sections that become flags.

    Returns:
        The arguments as attributes, and the recipe with the flags laid over it.
    """
    import tyro

    refuse_foreign(start.rest, start.recipe.estimate.method)
    fields = [(name, kind, _field(default)) for name, kind, default in arguments]
    for part in parts:
        section = _section(part, getattr(start.recipe, part))
        fields.append((part, section, dataclasses.field(default_factory=section)))
    form = dataclasses.make_dataclass(verb, fields, kw_only=True)
    found = tyro.cli(
        form,
        prog=f"terrashift {verb}",
        description=about,
        args=list(start.rest),
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.HelptextFromCommentsOff),
    )
    return found, _lay_over(start.recipe, {part: dataclasses.asdict(getattr(found, part)) for part in parts})


def _field(default: Any) -> Any:
    return dataclasses.field() if default is REQUIRED else dataclasses.field(default=default)


def start_arguments() -> list[tuple[str, Any, Any]]:
    """The flags that `take_start` has already taken away, for the help."""
    import tyro

    recipe = tyro.conf.arg(help="Recipe file to start from; flags change it.", metavar="FILE")
    names = tyro.conf.arg(help="Ready settings to start from: " + ", ".join(PRESETS) + ".")
    return [
        ("recipe", Annotated[Path | None, recipe], None),
        ("preset", Annotated[PresetName, names], DEFAULT),
    ]


def _section(part: str, options: BaseModel) -> type:
    """A dataclass with the fields of one options model, its values as defaults and its descriptions as help."""
    import tyro

    fields = []
    for name, info in type(options).model_fields.items():
        kind: Any = info.annotation
        if (part, name) == ("estimate", "method"):
            kind = Literal[tuple(METHODS)]
        aliases = [SHORT[name]] if name in SHORT else None
        note = tyro.conf.arg(help=info.description or "", aliases=aliases)
        fields.append((name, Annotated[kind, note], dataclasses.field(default=getattr(options, name))))
    section = dataclasses.make_dataclass(part, fields)
    section.__doc__ = Recipe.model_fields[part].description
    return section


def _lay_over(recipe: Recipe, changes: dict[str, dict[str, Any]]) -> Recipe:
    """The recipe with whole sections replaced; mistakes are named by their flags."""
    data = recipe.model_dump() | changes
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        as_flag = [
            re.sub(r"`\w+\.(\w+)`", lambda key: "--" + key[1].replace("_", "-"), line) for line in explain(error)
        ]
        raise OptionError("\n".join(as_flag)) from error
