"""Arguments of verbs: one value each, with its help; mistakes are named by their flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

from .errors import OptionError

REQUIRED: Any = object()
"""Default of an argument that must be given."""
NO_SHORT: Mapping[str, str] = MappingProxyType({})

Argument = tuple[str, Any, Any]
"""Name, annotation and default."""


def parse(words: Sequence[str], verb: str, about: str, arguments: Sequence[Argument]) -> Any:
    """Read the rest of a command line.

    Args:
        words: what follows the verb.
        verb: `measure`, ... for the usage line.
        about: what the verb does, for its help.
        arguments: what it takes.

    Returns:
        The arguments as attributes.
    """
    import tyro

    fields = [(name, kind, _field(default)) for name, kind, default in arguments]
    form = dataclasses.make_dataclass(verb, fields, kw_only=True)
    return tyro.cli(
        form,
        prog=f"terrashift {verb}",
        description=about,
        args=list(words),
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.HelptextFromCommentsOff),
    )


def _field(default: Any) -> Any:
    if default is REQUIRED or isinstance(default, dataclasses.Field):
        return dataclasses.field() if default is REQUIRED else default
    return dataclasses.field(default=default)


def argument(name: str, kind: Any, default: Any, text: str, /, **more: Any) -> Argument:
    """One flag; `more` goes to tyro, such as `aliases` and `metavar`."""
    import tyro

    return name, Annotated[kind, tyro.conf.arg(help=text, **more)], default


def positional(name: str, kind: Any, default: Any, text: str, **more: Any) -> Argument:
    """One value without a flag."""
    import tyro

    return name, tyro.conf.Positional[Annotated[kind, tyro.conf.arg(help=text, **more)]], default


def switch(name: str, text: str) -> Argument:
    """A flag without a value, off unless given."""
    import tyro

    return name, tyro.conf.FlagCreatePairsOff[Annotated[bool, tyro.conf.arg(help=text)]], False


def images(default: Any = REQUIRED) -> list[Argument]:
    """The two images that many verbs take."""
    kind = str if default is REQUIRED else str | None
    return [
        positional(name, kind, default, f"Image {name} the motion: path or URL.", metavar=name.upper())
        for name in ("before", "after")
    ]


def settings(model: Any, short: Mapping[str, str] = NO_SHORT) -> list[Argument]:
    """One flag for each field of an options model; `short` holds further flags of some."""
    return [
        argument(
            name,
            info.annotation,
            info.default,
            info.description or "",
            aliases=[short[name]] if name in short else None,
        )
        for name, info in model.model_fields.items()
    ]


def model_of(model: Any, found: Any, short: Mapping[str, str] = NO_SHORT, usual: Sequence[str] = ()) -> Any:
    """An options model from parsed arguments; those of its fields that a verb has no flag for are `usual`.

    Raises:
        OptionError: a value that the model refuses, named by its flag.
    """
    from pydantic import ValidationError

    try:
        return model(**{name: getattr(found, name) for name in model.model_fields if name not in usual})
    except ValidationError as error:
        lines = [f"{flag_of(str(e['loc'][0]), short)} is {e['input']}: {_advice(e)}." for e in error.errors()]
        raise OptionError("\n".join(lines)) from error


def flag_of(name: str, short: Mapping[str, str] = NO_SHORT) -> str:
    """The flag of a setting.

    >>> flag_of("min_score")
    '--min-score'
    """
    return short.get(name, "--" + name.replace("_", "-"))


def _advice(error: Any) -> str:
    """What to give instead of a value that does not do."""
    limits = {"ge": "{} or more", "gt": "more than {}", "le": "{} or less", "lt": "less than {}"}
    told = [text.format(limit) for key, text in limits.items() if (limit := error.get("ctx", {}).get(key)) is not None]
    return f"give {told[0]}" if told else str(error["msg"]).rstrip(".")
