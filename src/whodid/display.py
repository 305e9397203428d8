"""Display: what an entry holds as text that is safe to show, whatever an attacker put into it.

Control characters could steer a terminal, and bidirectional ones reorder what a person reads.
"""

from __future__ import annotations

import json

__all__ = ["json_text", "printable"]


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
