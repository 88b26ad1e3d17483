"""Text that came from a file, made safe to show and to write."""

from __future__ import annotations

import re
from html import escape

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, such as the escape that begins a terminal's commands
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks that turn the direction in which text is read
    "\u2028\u2029\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"  # more line ends, no characters, halves of characters
)
_MARKDOWN = re.compile(r"([\\`|\[\]])")


def printable(text: str) -> str:
    r"""`text` with every character that a reader cannot see as its code; line ends and tabs stay.

    Nothing in the result can move a terminal's cursor, turn the direction of reading (Boucher & Anderson 2023), break
    XML, or fail to be written as UTF-8.

    >>> printable("B4\x1b[2J\n")
    'B4\\x1b[2J\n'
    """
    return _UNSEEN.sub(lambda found: _code(ord(found[0])), text)


def markup(text: object) -> str:
    """Text for HTML and XML, between tags and inside quoted attributes.

    >>> markup("<b>")
    '&lt;b&gt;'
    """
    return escape(printable(str(text)))


def markdown(text: object) -> str:
    r"""Text for one line or cell of Markdown: no HTML, code, link, or further cell begins in it.

    >>> markdown("a|b <i>")
    'a\\|b &lt;i&gt;'
    """
    return _MARKDOWN.sub(r"\\\1", escape(" ".join(printable(str(text)).split()), quote=False))


def is_utf8(name: str) -> bool:
    r"""False for an empty name, and for one that holds bytes of another alphabet, as the file system has them.

    >>> is_utf8("M\u00fcnchen.tif"), is_utf8("M\udcfcnchen.tif")
    (True, False)
    """
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _code(number: int) -> str:
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
