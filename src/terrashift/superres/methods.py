"""The methods by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from types import MappingProxyType

from ..errors import OptionError
from .average import Average
from .back_projection import BackProjection
from .base import Method
from .bicubic import Bicubic
from .shift_add import ShiftAndAdd

BASELINES: Mapping[str, Callable[[], Method]] = MappingProxyType(
    {
        "bicubic": Bicubic,
        "bicubic-mean": lambda: Average("mean"),
        "bicubic-median": lambda: Average("median"),
        "shift-and-add": ShiftAndAdd,
        "ibp": BackProjection,
    }
)
"""Those that need no training."""


def baseline(name: str) -> Method:
    """A method that needs no training, with its usual settings.

    Raises:
        OptionError: there is none of this name.
    """
    if name not in BASELINES:
        close = difflib.get_close_matches(name, BASELINES, 1, 0.4)
        raise OptionError(f"there is no method {name!r}. " + (f"Did you mean {close[0]}?" if close else "") + known())
    return BASELINES[name]()


def known() -> str:
    """All names, in words."""
    return f" Methods: {', '.join(BASELINES)}."
