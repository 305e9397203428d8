"""The keeping: what the pages say of the retention in force; `None` stands for one that this user may not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..retention.outlook import RetentionView

__all__ = ["rule", "until"]


def rule(view: RetentionView | None) -> str:
    """How long entries are kept, on one line; empty where this user may not know."""
    if view is None:
        return ""
    rule = "for ever" if view.floor_days is None else f"{view.floor_days} to {view.ceiling_days} days"
    if view.still_deleted:
        rule = "as long as ISM's copies of an old policy say"
    return f"kept {rule}" + (", but see `whodid retention show`" if view.problems else "")


def until(view: RetentionView | None, entry: Mapping[str, Any], partition: str, *, of_all: bool) -> str:
    """Until when an entry is kept. Only who sees the entries `of_all` organizations is told of holds: a hold may be
    for one of them, and keeps partitions of each."""
    if view is None:
        return "not shown to this user"
    if of_all and (holds := view.holds_on(partition)):
        return f"as long as it is held ({', '.join(holds)})"
    try:
        dates = view.kept_until(str(entry.get("creation_date")), partition if of_all else "")
    except (ValueError, OverflowError):
        return "not known: its creation date is none"
    if dates is not None and not of_all:
        return f"{dates[0]:%Y-%m-%d} at least"
    if dates is None:
        return "for ever" if view.enforced_by != "nothing" else "for ever: there is no retention policy yet"
    floor, ceiling = dates
    return f"{floor:%Y-%m-%d} at least; its partition goes on {ceiling:%Y-%m-%d}"
