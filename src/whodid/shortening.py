"""Shortening: what happens to an entry that is larger than it should be, and how the entry says so.

Strings that may be cut are cut at their field's length. Above the soft limit, large values of `details`, `before` and
`after` give way to their beginnings, the largest first; where that isn't enough, the largest of these fields keeps its
smallest values only. `shortened` maps each path that was cut to the original's bytes and, unless the field is personal,
the SHA-256 of its canonical form. Above the hard limit the call is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

from .entry import FIELDS, FREE_FIELDS, HARD_LIMIT, SOFT_LIMIT
from .errors import EntryTooLarge
from .integrity import canonical

__all__ = ["shorten"]

_LONG_STRINGS = tuple((name, field.max_length) for name, field in FIELDS.items() if field.shortenable)
_KEPT = 256
"""Characters kept of a string that was cut, and of the JSON of any other value."""
_WORTH_CUTTING = 1024
"""Bytes of a value from which on cutting it saves more than saying so costs."""


def shorten(entry: dict[str, Any], size: int, personal: frozenset[str], required: Collection[str] = ()) -> None:
    """Brings `entry`, of `size` bytes, below the limits, in place; `required` keys of `details` stay.

    Raises `EntryTooLarge`.
    """
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
    if size > SOFT_LIMIT:
        cuts |= _cut_values(entry, size - SOFT_LIMIT)
        if _size(entry) + _size(cuts) + _RESERVE > SOFT_LIMIT:
            cuts |= _drop_values(entry, _size(cuts), required)
    if cuts:
        entry["shortened"] = cuts


def _cut_values(entry: dict[str, Any], excess: int) -> dict[str, dict[str, object]]:
    """Cuts large values, the largest first, until `excess` bytes are saved."""
    cuts = {}
    large = [
        (len(data), name, key, data)
        for name in FREE_FIELDS
        if isinstance(entry.get(name), dict)
        for key, value in entry[name].items()
        if len(data := canonical(value)) >= _WORTH_CUTTING
    ]
    for length, name, key, data in sorted(large, reverse=True):
        if excess <= 0:
            break
        value = entry[name][key]
        text = value if isinstance(value, str) else data.decode()
        cuts[f"{name}.{key}"] = _original(value)
        entry[name][key] = text[:_KEPT] + "…"
        excess -= length - len(canonical(entry[name][key])) - len(canonical(cuts[f"{name}.{key}"]))
    return cuts


def _drop_values(entry: dict[str, Any], said: int, required: Collection[str]) -> dict[str, dict[str, object]]:
    """Keeps the smallest values of the largest free fields; `said` bytes are taken by what was cut before."""
    cuts = {}
    for name in sorted(FREE_FIELDS, key=lambda name: -len(canonical(entry.get(name)))):
        room = SOFT_LIMIT - _RESERVE - said - (_size(entry) - len(canonical(entry.get(name))))
        if isinstance(entry.get(name), dict) and len(canonical(entry[name])) > room:
            cuts[name] = _original(entry[name])
            entry[name] = _smallest(entry[name], room, required if name == "details" else ())
    return cuts


_RESERVE = 1024
"""Bytes left for the chain's fields, salts, and for saying what was dropped."""


def _smallest(values: dict[str, Any], room: int, required: Collection[str]) -> dict[str, Any]:
    kept = set()
    for key in sorted(values, key=lambda key: (key not in required, len(canonical(values[key])))):
        room -= len(canonical({key: values[key]}))
        if room < 0:
            break
        kept.add(key)
    return {key: value for key, value in values.items() if key in kept}


def _size(entry: dict[str, Any]) -> int:
    return len(canonical(entry))


def _original(value: object) -> dict[str, object]:
    data = canonical(value)
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
