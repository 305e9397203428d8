"""A change: one thing the cluster must have, how what it has differs, and how to make it so."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Change", "compared"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing the cluster must have. `difference` is a unified diff; `note` says what a person should know.

    What `differs` is not for the setup to change: a person has to.
    """

    what: str
    kind: Literal["create", "update", "unchanged", "unavailable", "differs"]
    difference: str = ""
    note: str = ""
    loses: str = ""
    """Which entries the change would delete; a person is asked first."""
    by_hand: bool = False
    """Whether somebody changed it since `whodid setup` made it: it is overwritten only with `--force`."""
    make: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)


def compared(what: str, stored: Any, wanted: Any, make: Callable[[], None], *, by_hand: bool = False) -> Change:
    """The change that makes `stored` (`None`: nothing there) into `wanted`."""
    if stored == wanted:
        return Change(what, "unchanged")
    old, new = (_lines(value) if value is not None else [] for value in (stored, wanted))
    difference = "\n".join(difflib.unified_diff(old, new, "in the cluster", "wanted", lineterm="", n=2))
    return Change(what, "update" if stored is not None else "create", difference, by_hand=by_hand, make=make)


def _lines(value: Any) -> list[str]:
    return json.dumps(value, indent=2, sort_keys=True).splitlines()
