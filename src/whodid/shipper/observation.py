"""Observations: what the shipper tells of its own work, for whoever shows it: a log, metrics, a line on a terminal.

They are told from the shipper's threads, several at once; who observes must be quick and raise nothing.
No observation holds a value of an entry but `Waiting.reason`, in which OpenSearch may quote one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..cluster.bulk import Cause

__all__ = ["Alive", "Answered", "Moved", "Observation", "Observe", "Progress", "Synced", "Waiting"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a shipper is: entries since it started. `waiting` says why it can't go on, in words."""

    shipped: int = 0
    dead_letters: int = 0
    damaged: int = 0
    missing: int = 0
    waiting: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """Entries were acknowledged, or something is waited for: where the shipper is now."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Answered:
    """A request was answered, after `seconds`: so many entries in it, and bytes of them."""

    seconds: float
    entries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Entries that have to be sent again; the reason in words, as for a person."""

    cause: Cause
    reason: str
    entries: int


@dataclass(frozen=True, slots=True)
class Synced:
    """A segment was put on disk before its entries were sent."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Alive:
    """The loop made a step. `idle`: there was nothing to ship."""

    idle: bool = False


Observation = Moved | Answered | Waiting | Synced | Alive
Observe = Callable[[Observation], None]
