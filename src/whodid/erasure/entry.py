"""One entry without its personal values: the commitments stay where the values were, and the hash is the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ..canonical import canonical
from ..integrity import commitment

__all__ = ["erased_entry", "erased_line", "is_of"]


def is_of(entry: Mapping[str, Any], principal: str) -> bool:
    """Whether the person did it, or it was done in their name."""
    return principal in (entry.get("principal"), entry.get("on_behalf_of"))


def erased_entry(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """The entry without the fields that have a salt; `None` where there is none. Raises `ValueError` for a bad salt."""
    salts = entry.get("salts")
    if not isinstance(salts, Mapping) or not salts:
        return None
    kept = {name: value for name, value in entry.items() if name != "salts" and name not in salts}
    hidden = {name: commitment(bytes.fromhex(salt), entry[name]) for name, salt in salts.items() if name in entry}
    return {**kept, "erased": {**(entry.get("erased") or {}), **hidden}}


def erased_line(line: bytes) -> bytes | None:
    """The same for a journal line, without its newline; its hash stays in front."""
    entry = erased_entry(orjson.loads(line))
    if entry is None:
        return None
    hash_ = entry.pop("hash")
    return b'{"hash":"%b",%b' % (hash_.encode(), canonical(entry)[1:])
