"""Names from files as matplotlib draws them: as they are, never as formulas."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..core.text import printable
from ..errors import OptionError

NO_GLYPH = "\u25a1"
"""In place of what the font lacks; drawing would do the same, with a warning."""


def lettering(text: object) -> str:
    """Text for any label of a figure.

    >>> lettering("cost $x")
    'cost \\\\$x'
    """
    known = _characters()
    shown = " ".join(printable(str(text)).split(" "))
    return "".join(sign if sign.isspace() or ord(sign) in known else NO_GLYPH for sign in shown).replace("$", "\\$")


@lru_cache(maxsize=1)
def _characters() -> Any:
    """What the font in use has."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties())).get_charmap())


def refuse_broken_formula(text: str) -> None:
    """Make sure that a title which a user gave can be drawn, formulas and all.

    Raises:
        OptionError: a formula in it is broken.
    """
    from matplotlib.mathtext import MathTextParser

    try:
        MathTextParser("path").parse(text)
    except ValueError as error:
        reason = str(error).strip().splitlines()[-1]
        raise OptionError(
            f"{text!r} holds a formula that cannot be drawn ({reason}): write \\$ for a dollar."
        ) from error
