"""Dead letters: entries that OpenSearch refuses for good, kept with the reason until an operator decides.

One JSON object a line: `id`, `index`, `reason`, `time`, and `line`, the journal line as it stands. They are durable
before the acknowledged position moves past them. A crash in between writes one twice, so readers take one of each ID.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from .entry import Stamp
from .journal import JournalDirectory
from .journal.directory import append_line, read_lines

__all__ = ["DeadLetter", "keep_dead_letters", "read_dead_letters"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One entry that could not be stored: `line` are its journal line's bytes as text."""

    id: str
    index: str
    reason: str
    line: str
    time: str = ""


def keep_dead_letters(directory: JournalDirectory, letters: Iterable[DeadLetter]) -> None:
    """Keeps them, durable on return. Raises `OSError`."""
    time = Stamp.now().creation_date
    for letter in letters:
        append_line(directory.dead_letters, json.dumps({**asdict(letter), "time": time}).encode())


def read_dead_letters(directory: JournalDirectory) -> dict[str, DeadLetter]:
    """All dead letters by document ID, in the order in which they first came."""
    found = {}
    for line in read_lines(directory.dead_letters):
        letter = DeadLetter(**json.loads(line))
        found[letter.id] = letter
    return found
