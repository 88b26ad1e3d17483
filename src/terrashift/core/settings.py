"""Settings as frozen dataclasses, from the plain values that files hold; unknown names and wrong kinds are refused."""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Union, get_args, get_origin, get_type_hints

from ..errors import OptionError


def build(kind: Any, value: Any, where: str) -> Any:
    """A frozen dataclass (or plain value) of type `kind` from what YAML or JSON holds.

    Args:
        where: how the value is called, for messages.

    Raises:
        OptionError: an unknown name, or a value of the wrong kind.
    """
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise OptionError(f"{where or 'the recipe'} holds {value!r}: it takes settings by name.")
        hints = get_type_hints(kind)
        unknown = set(value) - set(hints)
        if unknown:
            raise OptionError(
                f"unknown {where or 'setting'} {sorted(map(str, unknown))}: {', '.join(sorted(hints))} are known."
            )
        return kind(
            **{  # pyright: ignore[reportCallIssue]
                key: build(hints[key], one, f"{where}.{key}".lstrip(".")) for key, one in value.items()
            }
        )
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        parts = get_args(kind)
        if Ellipsis in parts:
            parts = (parts[0],) * len(value)
        if len(parts) != len(value):
            raise OptionError(f"{where} holds {len(value)} values: it takes {len(parts)}.")
        return tuple(build(part, one, where) for part, one in zip(parts, value, strict=True))
    return _plain(kind, value, where)


def _as_float(value: int, where: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise OptionError(f"{where} has {len(str(value))} digits: no number here is so large.") from error


def _plain(kind: Any, value: Any, where: str) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        kinds = get_args(kind)
    elif get_origin(kind) is not None:  # Literal
        if value not in get_args(kind):
            raise OptionError(f"{where} is {value!r}: it takes one of {', '.join(map(str, get_args(kind)))}.")
        return value
    else:
        kinds = (kind,)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return _as_float(value, where)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise OptionError(f"{where} is {value!r}: it takes {' or '.join(k.__name__ for k in kinds)}.")
    return value
