"""The changes: what differs between two states of a thing, as the `before` and `after` of an entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["changes"]

_MISSING: Any = object()


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`before` and `after` with nothing but what differs, as arguments of a call; `{}` where nothing does.

        log.audit("team_updated", target="9", **whodid.changes(old, new))

    Objects within objects are compared key by key, everything else (lists too) as a whole. `True` and `1` differ, and
    so do `1` and `1.0`, as they do in JSON.
    """
    old, new = _difference(before, after)
    return {name: part for name, part in (("before", old), ("after", new)) if part}


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}
    for key in [*before, *(key for key in after if key not in before)]:
        one, other = before.get(key, _MISSING), after.get(key, _MISSING)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            one, other = _difference(one, other)
            if not one and not other:
                continue
        elif _same(one, other):
            continue
        if one is not _MISSING:
            old[key] = one
        if other is not _MISSING:
            new[key] = other
    return old, new


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
