"""The difference between what was expected and what was recorded, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..entry import FIELDS
from ..errors import InvalidEntry
from ..integrity import canonical, plain

__all__ = ["differences", "distinctions", "entries_with", "nearest"]

Entry = Mapping[str, Any]

_SHOWN = 3
"""Nearest entries in a message."""

_ALWAYS_DIFFERENT = {"@timestamp", "committed", "creation_date", "hash", "prev", "salt", "seq"}


def differences(entry: Entry, expected: Entry) -> list[str]:
    """In which fields an entry is not as expected: one line each."""
    return [line for name, value in expected.items() for line in _difference(name, entry.get(name), value)]


def _difference(path: str, actual: Any, expected: Any) -> list[str]:
    if _as_expected(actual, expected):
        return []
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        keys = [*expected, *(key for key in actual if key not in expected)]
        below = [line for key in keys for line in _difference(f"{path}.{key}", actual.get(key), expected.get(key))]
        if below:  # none for a key that is there, and None
            return below
    return [f"{path}: expected {_shown(expected)}, was {_shown(actual)}"]


def _as_expected(actual: Any, expected: Any) -> bool:
    """What an entry can hold is compared as it would hold it; anything else, such as `ANY`, by `==`."""
    try:
        stored = plain(expected, "expected")
    except InvalidEntry:
        return bool(actual == expected)
    return canonical(actual) == canonical(stored)


def _shown(value: Any) -> str:
    return "absent" if value is None else repr(value)


def entries_with(count: int, expected: Entry) -> str:
    """`2 entries were recorded with type='team_deleted', target='9'`."""
    fields = ", ".join(f"{name}={value!r}" for name, value in expected.items())
    counted = {0: "no entry was", 1: "1 entry was"}.get(count, f"{count} entries were")
    return f"{counted} recorded" + (f" with {fields}" if fields else "")


def nearest(entries: Sequence[Entry], found: Sequence[int], expected: Entry) -> str:
    """The entries that were not found by `expected`, and what differs: those of the same type, then of fewer fields."""
    others = [(index, entry) for index, entry in enumerate(entries) if index not in found]
    if not others:
        return "" if entries else " Nothing was recorded at all."

    def distance(other: tuple[int, Entry]) -> tuple[bool, int]:
        _, entry = other
        others = sum(not _as_expected(entry.get(name), value) for name, value in expected.items())
        return entry["type"] != expected.get("type"), others

    shown = "".join(
        f"\n  {_named(index, entry)}" + "".join(f"\n    {line}" for line in differences(entry, expected))
        for index, entry in sorted(others, key=distance)[:_SHOWN]
    )
    more = len(others) - _SHOWN
    return f"\nNearest of {len(others)}:{shown}" + (f"\n  and {more} more" if more > 0 else "")


def distinctions(entries: Sequence[Entry], found: Sequence[int]) -> str:
    """The entries that were found, with the fields that tell them apart."""
    chosen = [entries[index] for index in found]
    telling = [
        name
        for name in FIELDS
        if name not in _ALWAYS_DIFFERENT and any(entry.get(name) != chosen[0].get(name) for entry in chosen)
    ]
    return "".join(
        f"\n  {_named(index, entries[index])}"
        + "".join(f"\n    {name}: {_shown(entries[index].get(name))}" for name in telling)
        for index in found
    )


def _named(index: int, entry: Entry) -> str:
    target = f" of {entry['target']}" if "target" in entry else ""
    return f"[{index}] {entry['type']}{target}"
