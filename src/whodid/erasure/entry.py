"""One entry without personal values: the commitments stay where the values were, and the hash is the same."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import orjson

from ..entry import PERSONAL_FIELDS
from ..integrity import commitments, line_of, salts_of

__all__ = ["erased_entry", "erased_line", "is_of", "personal_values"]


def is_of(entry: Mapping[str, Any], principal: str) -> bool:
    """Whether the person did it, or it was done in their name."""
    return principal in (entry.get("principal"), entry.get("on_behalf_of"))


def personal_values(entry: Mapping[str, Any], fields: Collection[str] = PERSONAL_FIELDS) -> list[str]:
    """The names of the committed fields, among `fields`, whose values are still there."""
    names = entry.get("committed")
    return [name for name in names if name in entry and name in fields] if isinstance(names, list) else []


def erased_entry(entry: Mapping[str, Any], fields: Collection[str] = PERSONAL_FIELDS) -> dict[str, Any] | None:
    """The entry without the personal values of these fields, by default all; `None` where none is left to remove.

    Raises `ValueError` for an entry whose salts are malformed.
    """
    going = personal_values(entry, fields)
    if not going:
        return None
    kept = {name: value for name, value in entry.items() if name not in {"salt", "salts", "erased", *going}}
    left = {name: salt for name, salt in salts_of(entry).items() if name in kept}
    erased = {name: hidden for name, hidden in commitments(entry).items() if name not in kept}
    return {**kept, **({"salts": left} if left else {}), "erased": erased}


def erased_line(line: bytes) -> bytes | None:
    """The same for a journal line, without its newline."""
    entry = erased_entry(orjson.loads(line))
    return None if entry is None else line_of(entry)
