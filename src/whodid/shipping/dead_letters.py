"""Dead letters: entries that OpenSearch refused for good, kept with the reason until an operator decides.

`dead-letters.ndjson` holds one JSON object a line: `id`, `index`, `reason`, `time`, and `line`, the journal line as it
stands.

Invariants:
- A dead letter is durable before the acknowledged position moves past its entry. A crash in between writes it twice, so
  readers skip repeated IDs.
- A dead letter is removed only after its entry is stored, or after it was recorded who dropped it and why. A crash in
  between leaves it: a retry finds the entry under its own `_id`, and dropping it again is recorded twice.
- Dead letters are removed by replacing the file under a lock that writers hold too, so none is lost.
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
    """One entry that could not be stored: `line` is its journal line as text."""

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
    """Dead letters with the same reason: the times of the first and the last, and the ID of one as an example."""

    reason: str
    count: int
    first: str
    last: str
    example: str


def keep_dead_letters(directory: JournalDirectory, letters: Iterable[DeadLetter]) -> None:
    """Writes dead letters durably. Raises `OSError`, also if another process holds their lock for too long."""
    time = Stamp.now().creation_date
    lines = [_line(letter, time) for letter in letters]
    if lines:
        with _locked(directory):
            append_line(directory.dead_letters, *lines)


def replace_dead_letters(
    directory: JournalDirectory, gone: Collection[str], changed: Mapping[str, DeadLetter] = {}
) -> None:
    """Removes the dead letters whose IDs are in `gone`, and replaces those in `changed`.

    Lines that are no dead letters, and fields of newer versions, are kept. Raises as `keep_dead_letters`.
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
    """Reads dead letters one by one; of those with the same ID only the first is returned."""
    seen: set[str] = set()
    for line in read_raw(directory.dead_letters):
        letter = _letter(line)
        if letter is not None and letter.id not in seen and wanted(letter):
            seen.add(letter.id)
            yield letter


def find_dead_letters(
    directory: JournalDirectory, like: str | None = None, ids: Collection[str] = ()
) -> Iterator[DeadLetter]:
    """Dead letters with these IDs, or all, whose reason contains `like`, ignoring case.

    Raises `WhodidError` for an ID that no dead letter has.
    """
    if missing := set(ids) and set(ids) - {letter.id for letter in each_dead_letter(directory)}:
        where = f"{min(missing)} in {directory.path}"
        raise WhodidError(f"there is no dead letter {where}; `whodid dead-letters list --each` lists them all")

    def wanted(letter: DeadLetter) -> bool:
        return (not ids or letter.id in ids) and (like is None or like.lower() in letter.reason.lower())

    return each_dead_letter(directory, wanted)


def read_dead_letters(directory: JournalDirectory) -> dict[str, DeadLetter]:
    """All dead letters by document ID, in the order in which they were first written."""
    return {letter.id: letter for letter in each_dead_letter(directory)}


def count_dead_letters(directory: JournalDirectory) -> int:
    return sum(1 for _ in each_dead_letter(directory))


def grouped(letters: Iterable[DeadLetter]) -> list[Group]:
    """Dead letters grouped by reason, the most frequent first."""
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
    (re.compile(r" \((?!HTTP).*\)$", re.DOTALL), ""),  # the cause, which quotes the value
    (re.compile(r" in document with id '[^']*'"), ""),
    (re.compile(r"'[^']*'|\"[^\"]*\""), "…"),
    (re.compile(r"\bdated \S+,"), "dated …,"),
)


def without_values(reason: str) -> str:
    """A reason without values quoted from the entry, so that entries with the same fault have the same reason."""
    for pattern, instead in _VALUES:
        reason = pattern.sub(instead, reason)
    return reason[:300]


def _letter(line: bytes) -> DeadLetter | None:
    """The dead letter in a line; `None` for half a line after a crash, and for anything else."""
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
            raise OSError(errno.EBUSY, f"the dead letters are locked by {lock.holder()}") from error
        yield
    finally:
        lock.close()
