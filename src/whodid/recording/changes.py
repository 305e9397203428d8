"""Differences between two states of an object, as the `before` and `after` of an entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import InvalidEntry
from ..process import pass_on

if TYPE_CHECKING:
    from ..typing import Changes

__all__ = ["changes", "same"]

_MISSING: Any = object()
_DEPTH = 12
"""Levels of nesting that an entry holds; what lies deeper, such as a cycle, is compared as a whole."""


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    """Computes what differs between two states of an object, as the arguments `before` and `after` of a call.

    Nested objects are compared key by key, other values (also lists) as a whole. Values are compared as an entry holds
    them: an enum equals its value, a tuple equals a list, and `1` equals `1.0`; `True` and `1` differ.

    Args:
        before: The state before the change: names and values.
        after: The state after the change.

    Returns:
        A dict with `before` and `after`, each with the differing values only; either is absent if it would be empty.

    Raises:
        InvalidEntry: A state is not a mapping, or raised an error when it was read.

    Example:
        >>> whodid.changes({"name": "Ada", "role": "member"}, {"name": "Ada", "role": "owner"})
        {'before': {'role': 'member'}, 'after': {'role': 'owner'}}
        >>> log.audit("team_updated", target="9", **whodid.changes(old, new))
    """
    try:
        old, new = _difference(before, after)
    except Exception as error:
        pass_on(error)
        raise InvalidEntry(f"a state can't be read ({type(error).__name__}); pass mappings of plain values") from error
    found: Changes = {}
    if old:
        found["before"] = old
    if new:
        found["after"] = new
    return found


def _difference(
    before: Mapping[str, Any], after: Mapping[str, Any], depth: int = 1
) -> tuple[dict[str, Any], dict[str, Any]]:
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}
    for key in [*before, *(key for key in after if key not in before)]:
        one, other = before.get(key, _MISSING), after.get(key, _MISSING)
        if isinstance(one, Mapping) and isinstance(other, Mapping) and depth < _DEPTH:
            one, other = _difference(one, other, depth + 1)
            if not one and not other:
                continue
        elif one is not _MISSING and other is not _MISSING and same(one, other):
            continue
        if one is not _MISSING:
            old[key] = one
        if other is not _MISSING:
            new[key] = other
    return old, new


def same(one: Any, other: Any) -> bool:
    """Whether an entry would hold both values alike; values that no entry can hold are compared by type and value."""
    from ..integrity import canonical, plain  # imported here so that `import whodid` stays fast

    try:
        return canonical(plain(one, "before")) == canonical(plain(other, "after"))
    except Exception as error:  # noqa: BLE001 (an object of the application may raise anything)
        pass_on(error)
    try:
        return one is other or (type(one) is type(other) and bool(one == other))
    except Exception as error:  # noqa: BLE001 (as above)
        pass_on(error)
        return False
