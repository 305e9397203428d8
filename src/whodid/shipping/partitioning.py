"""The partitioning: the length of the partition for each entry of a journal, and which dates are accepted.

The index of an entry must be the same at each try, or a retry stores it twice. So a changed setting applies from the
first entry that is journalled after the shipper noticed the change; earlier entries, which may have been sent already,
keep the previous setting.

Format: `partitioning` in the journal's directory, a JSON list of `[first seq, "month" | "week" | "day"]`, ascending.
Entries before the first `seq` belong to the first pair. A pair is removed once all entries before its successor are
acknowledged.

Invariant: a change is durable before an entry is sent under it. If it can't be written since the disk is full, entries
are shipped under the recorded setting, or under the present one if none is recorded yet, since shipping frees space.

Crash behaviour: the file is replaced whole. The caller holds the lock of the one active shipper.

An entry dated in the future is refused: it would create its partition too early, and retention, which counts from the
creation, would delete it too early. An entry older than the retention would recreate a deleted partition.
"""

from __future__ import annotations

import errno
import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..entry import Partitioning as Length
from ..entry import parse_creation_date
from ..errors import JournalDamaged
from ..files import read_file, write_file
from ..journal import Acknowledged, JournalReader, Line
from ..text import FOREIGN, json_of

__all__ = ["Dates", "Length", "Partitioning"]

_NAME = "partitioning"
_LENGTHS = ("month", "week", "day")


@dataclass(frozen=True, slots=True)
class Partitioning:
    """`firsts` are the sequence numbers from which the `lengths` at the same positions apply."""

    firsts: tuple[int, ...]
    lengths: tuple[Length, ...]

    @classmethod
    def of(cls, journal: Path, wanted: Length) -> Partitioning:
        """The partitioning of a journal now that the setting is `wanted`. Raises `OSError` and `JournalDamaged`."""
        noted = _read(journal)
        if noted is None:
            now = cls((1,), (wanted,))
        elif noted.lengths[-1] == wanted:
            return noted
        else:
            acknowledged = Acknowledged.read(journal).seq
            now = noted._changed(wanted, _last_seq(journal, acknowledged) + 1)._without(acknowledged)
        try:
            now._write(journal)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            return noted or now
        return now

    def stretches(self, lines: Sequence[Line]) -> Iterator[tuple[Length, Sequence[Line]]]:
        """Splits lines, which are in the order of their sequence numbers, by the length of their partition."""
        start = 0
        for length, until in zip(self.lengths, (*self.firsts[1:], None), strict=True):
            end = len(lines) if until is None else bisect_left(lines, until, start, key=lambda line: line.seq)
            if end > start:
                yield length, lines[start:end]
            start = end

    def _changed(self, wanted: Length, first: int) -> Partitioning:
        kept = [pair for pair in zip(self.firsts, self.lengths, strict=True) if pair[0] < first]
        return _of_pairs([*kept, (first, wanted)])

    def _without(self, acknowledged: int) -> Partitioning:
        """Removes pairs that apply to no unacknowledged entry."""
        pairs = list(zip(self.firsts, self.lengths, strict=True))
        while len(pairs) > 1 and pairs[1][0] <= acknowledged + 1:
            del pairs[0]
        return _of_pairs(pairs)

    def _write(self, journal: Path) -> None:
        pairs = list(zip(self.firsts, self.lengths, strict=True))
        write_file(journal / _NAME, json.dumps(pairs).encode() + b"\n")


def _of_pairs(pairs: list[tuple[int, Length]]) -> Partitioning:
    return Partitioning(tuple(first for first, _ in pairs), tuple(length for _, length in pairs))


def _read(journal: Path) -> Partitioning | None:
    path = journal / _NAME
    try:
        pairs = [(first, length) for first, length in json_of(read_file(path))]
        firsts = [first for first, _ in pairs]
        fits = all(type(first) is int and 0 < first < 1 << 63 for first in firsts) and firsts == sorted(set(firsts))
    except FileNotFoundError:
        return None
    except FOREIGN as error:
        raise _damaged(path) from error
    if not (pairs and fits and all(length in _LENGTHS for _, length in pairs)):
        raise _damaged(path)
    return _of_pairs(pairs)


def _damaged(path: Path) -> JournalDamaged:
    return JournalDamaged(
        f"{path} is damaged, so it is unknown to which partitions unacknowledged entries were sent. If `partition` was "
        "not changed while entries were waiting, remove the file: they are shipped under the present setting"
    )


def _last_seq(journal: Path, acknowledged: int) -> int:
    """The number of the last complete entry; no later entry can have been sent."""
    reader = JournalReader(journal, acknowledged)
    last = acknowledged
    while lines := reader.read():
        last = max([last, *(line.seq for line in lines if isinstance(line, Line))])
    return last


_AHEAD = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Dates:
    """The range of accepted dates: `now` is the cluster's clock; `retention_days` is `None` if nothing expires."""

    retention_days: int | None
    now: Callable[[], datetime]

    @classmethod
    def unlimited(cls) -> Dates:
        return cls(None, lambda: datetime.max.replace(tzinfo=UTC) - _AHEAD)

    def why_refused(self, creation_date: object) -> str | None:
        """Why an entry with that date becomes a dead letter; `None` if it does not."""
        date = parse_creation_date(str(creation_date))
        if date is None:
            return "creation_date is missing or malformed"
        now = self.now()
        if date > now + _AHEAD:
            return f"from the future: dated {creation_date}, more than a day ahead of the cluster's clock"
        if self.retention_days is not None and date < now - timedelta(days=self.retention_days):
            return f"expired on arrival: dated {creation_date}, older than the retention of {self.retention_days} days"
        return None
