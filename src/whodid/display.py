"""Display: what an entry holds as text that is safe to show, whatever an attacker put into it.

Control characters could steer a terminal, and bidirectional ones reorder what a person reads.
"""

from __future__ import annotations

import json
import re

__all__ = ["json_text", "one_line", "printable", "text_of"]

_MOST = 1000


def printable(value: object) -> str:
    """The value as text on one line; what can't be printed shows as U+FFFD."""
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def json_text(value: object, indent: int | None = None) -> str:
    """The value as JSON in which characters that can't be printed are escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == "\n" else json.dumps(character)[1:-1] for character in text
    )


def text_of(value: object, most: int = _MOST) -> str:
    """A text as valid Unicode of at most `most` characters; of anything else, which may hold a secret, its type."""
    text = str.__str__(value) if isinstance(value, str) else f"[{type(value).__name__}]"
    return (text if len(text) <= most else text[:most] + "…").encode(errors="backslashreplace").decode()


def one_line(value: object, *, quoted: bool = False) -> str:
    """The value as text for one line of a log: what can't be printed is escaped as in JSON.

    `quoted` puts it into quotes where it could pass for more than one value, as `x entry_id=y` could.
    """
    text = text_of(value)
    if text.isprintable() and not (quoted and _SEVERAL.search(text)):
        return text
    return json_text(text) if quoted else json_text(text)[1:-1]


_SEVERAL = re.compile(r'[\s"=]|^$')
