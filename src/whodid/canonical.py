"""Canonical JSON: which values an entry may hold, and the one byte sequence (RFC 8785) that is hashed for it.

Values are strings (valid Unicode without surrogates or NUL), booleans, null, integers within ±(2^53 − 1), finite
floats, lists and objects with ASCII keys. Sorted compact JSON is RFC 8785 wherever no float occurs, so floats alone
take the slower road through the `rfc8785` library. tests/test_canonical.py proves both against that library.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

import orjson
import rfc8785

from .errors import InvalidEntry

__all__ = ["MAX_DEPTH", "MAX_KEY", "canonical", "is_key", "plain"]

MAX_DEPTH = 12
"""Levels of nesting in `details`, `before` and `after`."""

MAX_KEY = 512
"""Characters of a key. OpenSearch refuses a path beyond 32,766 bytes, and shortening cuts only values."""

_SAFE_INTEGER = 2**53 - 1
_EXPONENT_FROM = 1e21
"""From here on RFC 8785 writes an exponent; below, a float beyond the safe integers would read back as an integer."""


def canonical(value: Any) -> bytes:
    """The RFC 8785 bytes of a value that `plain` returned."""
    return rfc8785.dumps(value) if _holds_float(value) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def plain(value: object, path: str, depth: int = 0) -> Any:
    """A copy of `value` made of plain JSON types only.

    Raises `InvalidEntry` naming the path and the type (never the value) of what an entry can't hold.
    """
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return _plain_string(value, path)
    if isinstance(value, int):
        if not -_SAFE_INTEGER <= value <= _SAFE_INTEGER:
            raise InvalidEntry(f"{path} is an integer beyond ±(2^53 - 1), which JSON readers round; pass a string")
        return int(value)
    if isinstance(value, float):
        return _plain_float(value, path)
    if depth >= MAX_DEPTH:
        raise InvalidEntry(f"{path} is nested more than {MAX_DEPTH} levels deep (or contains itself); flatten it")
    if isinstance(value, Mapping):
        return {_plain_key(key, path): plain(item, f"{path}.{key}", depth + 1) for key, item in tuple(value.items())}
    if isinstance(value, list | tuple):
        return [plain(item, f"{path}[{number}]", depth + 1) for number, item in enumerate(tuple(value))]
    raise InvalidEntry(
        f"{path} is of type {type(value).__name__}, which is not JSON; pass a string, number, boolean, list or dict"
    )


def _plain_string(value: str, path: str) -> str:
    text = value if type(value) is str else str.__str__(value)
    if "\x00" in text:
        raise InvalidEntry(f"{path} contains a NUL character; remove it")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidEntry(
            f"{path} contains a lone surrogate, which is not valid Unicode; "
            "decode the original bytes with errors='replace'"
        ) from None
    return text


def _plain_float(value: float, path: str) -> float | int:
    if not math.isfinite(value):
        raise InvalidEntry(f"{path} is NaN or infinite, which JSON can't hold; pass None or a string")
    if _SAFE_INTEGER < abs(value) < _EXPONENT_FROM:
        raise InvalidEntry(f"{path} is a number beyond ±(2^53 - 1), which JSON readers round; pass a string")
    # RFC 8785 writes 1.0 as 1, so that is what a reader gets back.
    return int(value) if value.is_integer() and abs(value) < _EXPONENT_FROM else float(value)


def is_key(key: object) -> TypeGuard[str]:
    """Whether an object of an entry may have such a key, if it isn't too long."""
    return isinstance(key, str) and key != "" and key.isascii() and key.isprintable()


def _plain_key(key: object, path: str) -> str:
    if is_key(key):
        if len(key) > MAX_KEY:
            raise InvalidEntry(f"a key in {path[:MAX_KEY]} is longer than {MAX_KEY} characters; make it a value")
        return str.__str__(key)
    raise InvalidEntry(f"a key in {path} is not a string of printable ASCII characters; rename it")


def _holds_float(value: Any) -> bool:
    if type(value) is dict:
        value = value.values()
    elif type(value) is not list:
        return type(value) is float
    return not _LEAVES.issuperset(map(type, value)) and any(map(_holds_float, [v for v in value if type(v) is not str]))


_LEAVES = frozenset({str, int, bool, type(None)})
