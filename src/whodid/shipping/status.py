"""The status of the journals of a directory, in numbers, without network access."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..files import is_there
from ..journal import Acknowledged, JournalDirectory, JournalReader, Line, Missing
from ..journal.damage import count_damaged, gaps, gone_journals, in_words, read_missing
from ..journal.directory import not_recorded, read_lines, segment_size, segments
from ..journal.segment import Broken, last_link
from ..proof.witness import Deliveries
from ..recording.own import levels_recorded
from ..text import printable
from .dead_letters import count_dead_letters

__all__ = ["DirectoryStatus", "JournalStatus", "directory_status", "last_seq", "missing_entries"]


@dataclass(frozen=True, slots=True)
class JournalStatus:
    """One journal: `last_seq` entries were journalled, `acknowledged` of them shipped, `backlog` are waiting."""

    journal: str
    current: bool
    last_seq: int
    acknowledged: int
    backlog: int
    segments: int
    bytes: int


@dataclass(frozen=True, slots=True)
class DirectoryStatus:
    """One journal directory; `problems` is empty when all is well."""

    journal_dir: str
    journals: tuple[JournalStatus, ...]
    dead_letters: int
    damaged: int
    missing: tuple[str, ...]
    """For each gap, which entries are missing, where they may be, and what to do."""
    rejected: int
    not_recorded: int
    alarms: tuple[dict[str, Any], ...]
    too_open: tuple[str, ...] = ()
    witnesses: tuple[str, ...] = ()
    """The destinations to which checkpoints can't be delivered, and why."""
    reduced: tuple[str, ...] = ()
    """The event types that an application does not record in full."""

    @property
    def backlog(self) -> int:
        return sum(journal.backlog for journal in self.journals)

    @property
    def not_stored(self) -> tuple[str, ...]:
        """The entries that shipping alone won't store, until an operator has dealt with them."""
        counts = {
            "dead letters: OpenSearch refused them for good; see `whodid dead-letters`": self.dead_letters,
            "damaged journal lines, kept in damaged.ndjson; move that file away once they are dealt with": self.damaged,
        }
        return (*(f"{count} {what}" for what, count in counts.items() if count), *self.missing)

    @property
    def problems(self) -> tuple[str, ...]:
        counts = {
            "calls that broke the catalog, kept in rejected.ndjson": self.rejected,
            "calls that could not be recorded (on_failure = warn)": self.not_recorded,
        }
        alarms = tuple(f"{alarm['time']} {alarm['alarm']}: {alarm['about']}" for alarm in self.alarms)
        open_to = (f"{path} is accessible to other users; run `chmod go= {path}`" for path in self.too_open)
        return (
            *self.not_stored,
            *(f"{count} {what}" for what, count in counts.items() if count),
            *open_to,
            *self.witnesses,
            *alarms,
        )

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "backlog": self.backlog, "problems": list(self.problems)}


def directory_status(journal_dir: str) -> DirectoryStatus:
    """The status of a journal directory, which need not exist yet. Raises `JournalDamaged`."""
    directory = JournalDirectory(journal_dir)
    return DirectoryStatus(
        journal_dir=str(directory.path),
        journals=tuple(_journal_status(directory, journal) for journal in directory.journals()),
        dead_letters=count_dead_letters(directory),
        damaged=count_damaged(directory),
        missing=tuple(in_words(directory, gap) for gap in missing_entries(directory)),
        rejected=sum(1 for _ in read_lines(directory.rejected)),
        not_recorded=not_recorded(directory.path),
        alarms=tuple(directory.alarms()),
        too_open=tuple(map(str, directory.too_open())) if is_there(directory.path) else (),
        witnesses=tuple(Deliveries(directory.path).problems()),
        reduced=tuple(_reduced(*one) for one in levels_recorded(directory.path).items()),
    )


def _reduced(service: str, levels: dict[str, str]) -> str:
    what = ", ".join(f"{name} = {level}" for name, level in levels.items())
    return f"{printable(service) or 'an application without a service'} does not record everything in full: {what}"


def missing_entries(directory: JournalDirectory) -> list[Missing]:
    """Entries recorded as missing when later ones were shipped, and those missing now after the position."""
    noted = read_missing(directory)
    found = []
    for journal in directory.journals():
        known = [one for one in noted if one.journal == journal]
        for gap in gaps(directory, journal, Acknowledged.read(directory.journal(journal)).seq):
            if not any(one.first <= gap.first and (gap.last <= one.last or one == gap) for one in known):
                found.append(gap)
    return [*noted, *found, *(gone for gone in gone_journals(directory) if gone not in noted)]


def _journal_status(directory: JournalDirectory, journal: str) -> JournalStatus:
    path = directory.journal(journal)
    found = segments(path)
    acknowledged = Acknowledged.read(path).seq
    last = max(last_seq(path), acknowledged)
    return JournalStatus(
        journal=journal,
        current=directory.current() == journal,
        last_seq=last,
        acknowledged=acknowledged,
        backlog=last - acknowledged,
        segments=len(found),
        bytes=sum(map(segment_size, found)),
    )


def last_seq(path: Path) -> int:
    """The number of the last entry in the directory of one journal; 0 for none."""
    for segment in reversed(segments(path)):
        try:
            link = last_link(segment)
        except Broken:  # its last line is damaged, but those before it are entries
            last = max((line.seq for line in _lines(path, int(segment.stem))), default=0)
        else:
            last = link.seq if link is not None else 0
        if last:
            return last
    return 0


def _lines(path: Path, first: int) -> Iterator[Line]:
    """The entries from number `first` on."""
    reader = JournalReader(path, first - 1)
    while lines := reader.read():
        yield from (line for line in lines if isinstance(line, Line))
