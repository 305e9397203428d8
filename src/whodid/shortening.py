"""Shortening: what happens to an entry that is larger than it should be, and how the entry says so.

Long strings that may be cut are cut at their field's length. Above the soft limit, the largest values of `details`,
`before` and `after` give way first. `shortened` then maps each path to the original bytes and, unless the field is
personal, the SHA-256 of the original canonical value. Above the hard limit the call is refused.
"""

from __future__ import annotations

import hashlib
from typing import Any

from .canonical import canonical
from .entry import FIELDS, HARD_LIMIT, SOFT_LIMIT
from .errors import EntryTooLarge

__all__ = ["shorten"]

_LONG_STRINGS = tuple((name, field.max_length) for name, field in FIELDS.items() if field.shortenable)
_FREE = ("details", "before", "after")
_KEPT = 256
"""Characters kept of a string that was cut, and of the JSON of any other value."""


def shorten(entry: dict[str, Any], size: int, personal: frozenset[str]) -> None:
    """Brings `entry` below the limits, in place. `size`: its bytes. Raises `EntryTooLarge`."""
    if size > HARD_LIMIT:
        largest = max(entry, key=lambda name: len(canonical(entry[name])))
        raise EntryTooLarge(
            f"the entry has {size} bytes, the limit is {HARD_LIMIT}; the largest field is {largest}. "
            "Keep big things elsewhere and put their name or checksum into details"
        )
    cuts: dict[str, dict[str, object]] = {}
    for name, length in _LONG_STRINGS:
        value = entry.get(name)
        if isinstance(value, str) and len(value) > length:
            cuts[name] = {"bytes": len(value.encode())} if name in personal else _original(value)
            entry[name] = value[: length - 1] + "…"
    excess = size - SOFT_LIMIT
    for path, holder, key in _by_size(entry) if excess > 0 else ():
        cuts[path] = _original(holder[key])
        before = len(canonical(holder[key]))
        holder[key] = _stump(holder[key])
        excess -= before - len(canonical(holder[key]))
        if excess <= 0:
            break
    if cuts:
        entry["shortened"] = cuts


def _by_size(entry: dict[str, Any]) -> list[tuple[str, dict[str, Any], str]]:
    """The values of the free fields as (path, holder, key), largest first."""
    found = [
        (f"{name}.{key}", entry[name], key)
        for name in _FREE
        if isinstance(entry.get(name), dict)
        for key in entry[name]
    ]
    return sorted(found, key=lambda item: -len(canonical(item[1][item[2]])))


def _original(value: object) -> dict[str, object]:
    data = canonical(value)
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _stump(value: object) -> str:
    text = value if isinstance(value, str) else canonical(value).decode()
    return text[:_KEPT] + "…"
