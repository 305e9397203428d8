"""The tail: the last entries of a journal directory, and new ones as they are written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ..settings import Settings
from .directory import JournalDirectory
from .reader import JournalReader, new_entries

__all__ = ["follow_journal"]


def follow_journal(settings: Settings, number: int, pause: Callable[[], None] | None) -> Iterator[list[dict[str, Any]]]:
    """The last `number` entries, oldest first; then, if there is a `pause` to make, each time the new ones."""
    directory = JournalDirectory(settings.journal_dir)
    readers: dict[str, JournalReader] = {}
    yield list(deque(new_entries(directory, readers), maxlen=number))
    while pause is not None:
        pause()
        yield list(new_entries(directory, readers))
