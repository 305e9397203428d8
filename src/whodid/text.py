"""Text and JSON from untrusted content: safe to display, strictly parsed, with suggestions for misspelt names.

- Control characters could drive a terminal, and bidirectional ones reorder what a person reads, so they are replaced or
  escaped.
- A document that another program stored may hold lone surrogates, numbers beyond a float or hundreds of levels. They
  must not make a page, an export or a report fail, so all output in JSON uses `json_bytes` or `json_text`.
- Files and responses may have been written by another program or version. Each reader catches `FOREIGN` once, at the
  boundary, and raises an error of whodid or returns nothing; code behind it relies on the types.
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
    "RawAnswer",
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
    "shown",
    "text_of",
    "texts_of",
    "toml_of",
    "valid",
]

_MOST = 1000
_DEEP = 20
"""The deepest level of indentation. Entries are shallower; beyond it, the blanks would grow quadratically."""


def printable(value: object) -> str:
    """The value as text on one line; characters that can't be printed become U+FFFD."""
    text = "" if value is None else json_text(value) if isinstance(value, dict | list) else str(value)
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def valid(text: str) -> str:
    """The text with each lone surrogate escaped as in JSON, because UTF-8 can't encode it."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def json_bytes(value: object) -> bytes:
    """The value as compact JSON in UTF-8. Never raises for a value from a response of OpenSearch."""
    try:
        data = orjson.dumps(value)
    except TypeError:
        data = b""
    infinite = b"null" in data and any(isinstance(one, float) and not math.isfinite(one) for _, one in _walk(value))
    if data and not infinite:  # orjson writes null for such a number
        return data
    return _plain(value, None, ",", ":").encode(errors="backslashreplace")


def json_text(value: object, indent: int | None = None) -> str:
    """The value as JSON, with characters that can't be printed escaped. Never raises if `json_bytes` does not."""
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
    """The number of nested levels of objects and lists in a value: 0 for a string, 1 for a list of strings."""
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
    """As `json.dumps`, for any depth; a number that JSON can't represent becomes a string such as "Infinity"."""
    pieces: list[str] = []
    left: list[tuple[int, object]] = [(0, value)]  # a stack of what is to be written; level -1 marks literal text
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
    """A string as valid Unicode, cut to `most` characters; for any other value, which may hold a secret, its type."""
    text = str.__str__(value) if isinstance(value, str) else f"[{type(value).__name__}]"
    return valid(text if len(text) <= most else text[:most] + "…")


def one_line(value: object, *, quoted: bool = False) -> str:
    """The value as text for one line of a log, with characters that can't be printed escaped as in JSON.

    `quoted` puts it into quotes if it could be read as more than one value, as `x entry_id=y` could.
    """
    if type(value) is str and len(value) <= _MOST and value.isprintable() and not quoted:  # as nearly every one
        return value
    text = shown(value)
    if text.isprintable() and not (quoted and _SEVERAL.search(text)):
        return text
    return json_text(text) if quoted else json_text(text)[1:-1]


_SEVERAL = re.compile(r'[\s"=]|^$')


FOREIGN = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""Errors raised by code that expects content of another form."""


class RawAnswer(str):
    """The unparsed answer of OpenSearch to a bulk request in which nothing failed: comparing it is faster."""

    __slots__ = ()


def json_of(data: bytes) -> Any:
    """Parses JSON. Raises `ValueError`, also for infinite numbers (1e400), NaN and excessive nesting."""
    try:
        return json.loads(data, parse_float=_finite, parse_constant=_refused)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def toml_of(data: bytes) -> dict[str, Any]:
    """Parses TOML in UTF-8, with or without a byte order mark. Raises `ValueError`, also for excessive nesting."""
    import tomllib  # only if there is a file

    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def text_of(value: object) -> str:
    """The value if it is a string that UTF-8 can encode. Raises `ValueError` for anything else."""
    if not isinstance(value, str):
        raise ValueError(f"not a string but {type(value).__name__}")
    value.encode()
    return value


def object_of(value: object) -> dict[str, Any]:
    """The value if it is a JSON object; else an empty one."""
    return value if isinstance(value, dict) else {}


def objects_in(value: object) -> list[dict[str, Any]]:
    """The JSON objects in a list, without its other values; none if the value is not a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def texts_of(value: object) -> list[str]:
    """The texts of a field that holds one text or a list of texts, without empty ones and other values."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str) and one]


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("an infinite number")
    return number


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def near(name: str, known: Iterable[str], at_most: int = 1) -> list[str]:
    """The known names that are similar to `name`, the most similar first."""
    try:
        import difflib  # imported only for an error message
    except (ImportError, OSError):  # the process has changed its user or its root, and can't reach the file
        return []
    return difflib.get_close_matches(name, list(known), n=at_most)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the most similar name, or an empty string."""
    found = near(name, known)
    return f" (did you mean {found[0]!r}?)" if found else ""
