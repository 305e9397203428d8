"""Dead letters: entries that OpenSearch refuses for good, kept with the reason until an operator decides.

`dead-letters.ndjson` holds one JSON object a line: `id`, `index`, `reason`, `time`, and `line`, the journal line as it
stands.

Invariants:
- A letter is durable before the acknowledged position moves past its entry. A crash in between writes it twice, so
  readers take one of each ID.
- A letter goes only after its entry is stored, or after it was recorded who dropped it and why. A crash in between
  leaves the letter: retried it meets its own `_id`, dropped it is recorded twice.
- Letters are taken out by replacing the file, under a lock that who adds some holds too: none is lost on the way.
"""

from __future__ import annotations

import errno
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from ..entry import Stamp
from ..errors import JournalLocked, WhodidError
from ..files import append_line, read_raw, write_parts
from ..journal import JournalDirectory
from ..journal.lock import FileLock
from ..text import FOREIGN, json_of, text_of

__all__ = [
    "DeadLetter",
    "Group",
    "count_dead_letters",
    "each_dead_letter",
    "find_dead_letters",
    "grouped",
    "keep_dead_letters",
    "read_dead_letters",
    "replace_dead_letters",
    "without_values",
]

_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One entry that could not be stored: `line` are its journal line's bytes as text."""

    id: str
    index: str
    reason: str
    line: str
    time: str = ""

    @property
    def entry(self) -> dict[str, Any]:
        """The entry in its line."""
        entry: dict[str, Any] = orjson.loads(self.line)
        return entry


@dataclass(frozen=True, slots=True)
class Group:
    """Letters that were refused for the same reason; times of the first and the last, the ID of one of them."""

    reason: str
    count: int
    first: str
    last: str
    example: str


def keep_dead_letters(directory: JournalDirectory, letters: Iterable[DeadLetter]) -> None:
    """Keeps them, durable on return. Raises `OSError`, also when somebody else rewrites them for very long."""
    time = Stamp.now().creation_date
    lines = [_line(letter, time) for letter in letters]
    if lines:
        with _locked(directory):
            append_line(directory.dead_letters, *lines)


def replace_dead_letters(
    directory: JournalDirectory, gone: Collection[str], changed: Mapping[str, DeadLetter] = {}
) -> None:
    """Takes letters out by their IDs, and puts others in their own place. Raises as `keep_dead_letters`.

    What is no letter stays as it stands, and so does what a newer version says besides of one.
    """

    def kept() -> Iterator[bytes]:
        for line in read_raw(directory.dead_letters):
            letter = _letter(line)
            if letter is not None and letter.id in changed:
                yield json.dumps({**json_of(line), **asdict(changed[letter.id])}).encode() + b"\n"
            elif letter is None or letter.id not in gone:
                yield line + b"\n"

    if gone or changed:
        with _locked(directory):
            write_parts(directory.dead_letters, kept())


def each_dead_letter(
    directory: JournalDirectory, wanted: Callable[[DeadLetter], bool] = lambda letter: True
) -> Iterator[DeadLetter]:
    """Letters one by one, without holding them all; one that a crash wrote twice comes once, as it was first."""
    seen: set[str] = set()
    for line in read_raw(directory.dead_letters):
        letter = _letter(line)
        if letter is not None and letter.id not in seen and wanted(letter):
            seen.add(letter.id)
            yield letter


def find_dead_letters(
    directory: JournalDirectory, like: str | None = None, ids: Collection[str] = ()
) -> Iterator[DeadLetter]:
    """Letters with these IDs, or all; only those whose reason contains `like`, in any case.

    Raises `WhodidError` for an ID that no letter has.
    """
    if missing := set(ids) and set(ids) - {letter.id for letter in each_dead_letter(directory)}:
        where = f"{min(missing)} in {directory.path}"
        raise WhodidError(f"there is no dead letter {where}; `whodid dead-letters list --each` has them all")

    def wanted(letter: DeadLetter) -> bool:
        return (not ids or letter.id in ids) and (like is None or like.lower() in letter.reason.lower())

    return each_dead_letter(directory, wanted)


def read_dead_letters(directory: JournalDirectory) -> dict[str, DeadLetter]:
    """All dead letters by document ID, in the order in which they first came."""
    return {letter.id: letter for letter in each_dead_letter(directory)}


def count_dead_letters(directory: JournalDirectory) -> int:
    return sum(1 for _ in each_dead_letter(directory))


def grouped(letters: Iterable[DeadLetter]) -> list[Group]:
    """By reason, the most frequent first."""
    counts: Counter[str] = Counter()
    first: dict[str, DeadLetter] = {}
    last: dict[str, DeadLetter] = {}
    for letter in letters:
        reason = without_values(letter.reason)
        counts[reason] += 1
        first.setdefault(reason, letter)
        last[reason] = letter
    return [
        Group(reason, count, first[reason].time, last[reason].time, first[reason].id)
        for reason, count in counts.most_common()
    ]


_VALUES = (
    (re.compile(r"\.? Preview of field's value:.*", re.DOTALL), ""),
    (re.compile(r" \((?!HTTP).*\)$", re.DOTALL), ""),  # the cause, which quotes what it could not read
    (re.compile(r" in document with id '[^']*'"), ""),
    (re.compile(r"'[^']*'|\"[^\"]*\""), "…"),
    (re.compile(r"\bdated \S+,"), "dated …,"),
)


def without_values(reason: str) -> str:
    """A reason without what it quotes from the entry: the same for all entries that have the same fault."""
    for pattern, instead in _VALUES:
        reason = pattern.sub(instead, reason)
    return reason[:300]


def _letter(line: bytes) -> DeadLetter | None:
    """The letter in a line; `None` for what is none: half a line of a crash, or what somebody else wrote."""
    try:
        content = json_of(line)
        texts = {name: text_of(content[name]) for name in ("id", "index", "reason", "line")}
        letter = DeadLetter(**texts, time=text_of(content.get("time", "")))
        return letter if isinstance(letter.entry, dict) else None
    except FOREIGN:
        return None


def _line(letter: DeadLetter, time: str) -> bytes:
    return json.dumps({**asdict(letter), "time": time}).encode()


@contextmanager
def _locked(directory: JournalDirectory) -> Iterator[None]:
    lock = FileLock(directory.path / "dead-letters.lock")
    try:
        try:
            lock.acquire(_PATIENCE)
        except JournalLocked as error:
            raise OSError(errno.EBUSY, f"the dead letters are being rewritten by {lock.holder()}") from error
        yield
    finally:
        lock.close()
