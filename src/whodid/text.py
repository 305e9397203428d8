"""Display: what an entry holds as text and JSON that is safe to show, whatever an attacker put into it.

Control characters could steer a terminal, and bidirectional ones reorder what a person reads. A document that something
else stored may hold what no entry does: lone surrogates, numbers beyond a float, hundreds of levels. None of it makes a
page, an export or a report fail: everything that becomes JSON goes through `json_bytes` or `json_text`.

Foreign content: what somebody else wrote, or another version, where whodid reads its own files and answers.

Each boundary reads in one `try`, and turns `FOREIGN` into what it says about such content: an error of whodid's own, or
that there is nothing. Behind it, types are what they say.

Spelling: which known name someone may have meant, for messages about one that isn't known.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import orjson

__all__ = [
    "FOREIGN",
    "did_you_mean",
    "json_bytes",
    "json_of",
    "json_text",
    "levels",
    "near",
    "object_of",
    "objects_in",
    "one_line",
    "printable",
    "text_of",
    "valid",
]

_MOST = 1000
_DEEP = 20
"""Levels up to which lines are indented; entries have fewer, and blanks beyond would grow with the square."""


def printable(value: object) -> str:
    """The value as text on one line; what can't be printed shows as U+FFFD."""
    text = "" if value is None else json_text(value) if isinstance(value, dict | list) else str(value)
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def valid(text: str) -> str:
    """The text with each lone surrogate, which UTF-8 can't hold, escaped as in JSON."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def json_bytes(value: object) -> bytes:
    """The value as compact JSON in UTF-8. It raises for nothing that an answer of OpenSearch can hold."""
    try:
        data = orjson.dumps(value)
    except TypeError:
        data = b""
    infinite = b"null" in data and any(isinstance(one, float) and not math.isfinite(one) for _, one in _walk(value))
    if data and not infinite:  # orjson writes null for such a number
        return data
    return _plain(value, None, ",", ":").encode(errors="backslashreplace")


def json_text(value: object, indent: int | None = None) -> str:
    """The value as JSON in which characters that can't be printed are escaped. It raises no more than `json_bytes`."""
    try:
        deep = indent is not None and levels(value) > _DEEP
        text = _plain(value, indent) if deep else json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    except (ValueError, RecursionError):
        text = _plain(value, indent)
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == "\n" else json.dumps(character)[1:-1] for character in text
    )


def levels(value: object) -> int:
    """How many levels of objects and lists there are in a value: 0 for a text, 1 for a list of texts."""
    return max(level for level, _ in _walk(value))


def _walk(value: object) -> Iterator[tuple[int, object]]:
    """The value and everything in it, each with its level."""
    left = [(0, value)]
    while left:
        level, one = left.pop()
        yield level, one
        if isinstance(one, dict | list):
            left.extend((level + 1, each) for each in (one.values() if isinstance(one, dict) else one))


def _plain(value: object, indent: int | None, comma: str = ", ", colon: str = ": ") -> str:
    """As `json.dumps`, for any number of levels; a number that JSON can't hold is a text, such as "Infinity"."""
    pieces: list[str] = []
    left: list[tuple[int, object]] = [(0, value)]  # what is to be written, the next one last; level -1: as it is
    while left:
        level, one = left.pop()
        if level < 0:
            pieces.append(str(one))
        elif isinstance(one, dict | list) and one:
            left += reversed(list(_parts(one, level, indent, comma, colon)))
        else:
            pieces.append(_leaf(one))
    return "".join(pieces)


def _parts(
    value: dict[object, object] | list[object], level: int, indent: int | None, comma: str, colon: str
) -> Iterator[tuple[int, object]]:
    inner, outer = ("" if indent is None else "\n" + " " * indent * min(depth, _DEEP) for depth in (level + 1, level))
    between = comma if indent is None else "," + inner
    named = isinstance(value, dict)
    yield -1, ("{" if named else "[") + inner
    for number, key in enumerate(value):
        if number:
            yield -1, between
        if isinstance(value, dict):
            yield -1, _leaf(str(key)) + colon
            yield level + 1, value[key]
        else:
            yield level + 1, key
    yield -1, outer + ("}" if named else "]")


def _leaf(value: object) -> str:
    odd = isinstance(value, float) and not math.isfinite(value)
    text = json.dumps(value, ensure_ascii=False)
    return f'"{text}"' if odd else text


def shown(value: object, most: int = _MOST) -> str:
    """A text as valid Unicode of at most `most` characters; of anything else, which may hold a secret, its type."""
    text = str.__str__(value) if isinstance(value, str) else f"[{type(value).__name__}]"
    return valid(text if len(text) <= most else text[:most] + "…")


def one_line(value: object, *, quoted: bool = False) -> str:
    """The value as text for one line of a log: what can't be printed is escaped as in JSON.

    `quoted` puts it into quotes where it could pass for more than one value, as `x entry_id=y` could.
    """
    if type(value) is str and len(value) <= _MOST and value.isprintable() and not quoted:  # as nearly every one
        return value
    text = shown(value)
    if text.isprintable() and not (quoted and _SEVERAL.search(text)):
        return text
    return json_text(text) if quoted else json_text(text)[1:-1]


_SEVERAL = re.compile(r'[\s"=]|^$')


FOREIGN = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""What code raises that takes content for another than it is."""


def json_of(data: bytes) -> Any:
    """JSON, parsed. Raises `ValueError`, also for a number that is none (1e400, NaN), and for a nesting without end."""
    try:
        return json.loads(data, parse_float=_finite, parse_constant=_refused)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def text_of(value: object) -> str:
    """A text that can be written somewhere. Raises `ValueError` for anything else."""
    if not isinstance(value, str):
        raise ValueError(f"not a text but {type(value).__name__}")
    value.encode()
    return value


def object_of(value: object) -> dict[str, Any]:
    """A JSON object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def objects_in(value: object) -> list[dict[str, Any]]:
    """The JSON objects in a list, without what else is in it; none for anything but a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number without bounds")
    return number


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def near(name: str, known: Iterable[str], at_most: int = 1) -> list[str]:
    """The known names that look like `name`, the likeliest first."""
    import difflib  # only wanted on the way to an error

    return difflib.get_close_matches(name, list(known), n=at_most)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the likeliest, or nothing."""
    found = near(name, known)
    return f" (did you mean {found[0]!r}?)" if found else ""
