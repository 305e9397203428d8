"""The shipping: whether a shipper runs, what waits for it and for how long, and what was refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from ..journal import Acknowledged, JournalDirectory, JournalReader, Line
from ..locks import holders, is_held
from ..shipping.status import JournalStatus, directory_status
from .finding import Finding, ok, problem, warning
from .moment import moment
from .subject import Subject

__all__ = ["examine"]

_LATE = timedelta(minutes=5)
_VERY_LATE = timedelta(hours=1)


def examine(subject: Subject) -> Iterator[Finding]:
    path = subject.journal_dir
    if not path.is_dir():
        return  # the area `journal` says so
    status = directory_status(str(path))
    if status.journals:
        yield _shipper(subject, status.backlog)
    for journal in status.journals:
        if journal.backlog:
            yield _waiting(subject, journal)
    if status.dead_letters:
        yield problem(
            path / "dead-letters.ndjson",
            f"{status.dead_letters:,} dead letters: OpenSearch refused them for good",
            "`whodid dead-letters list` shows the reasons; retry or drop them",
        )


def _shipper(subject: Subject, backlog: int) -> Finding:
    lock = JournalDirectory(subject.journal_dir).ship_lock
    shown = holders(lock)
    if shown or is_held(lock):
        by = " and ".join(map(str, shown)) or "a process that can't be seen from here"
        return ok(lock, f"{by} ships, and {backlog:,} entries wait")
    found = problem if backlog else warning
    waiting = f"{backlog:,} entries wait" if backlog else "new entries will wait"
    return found(lock, f"no shipper runs: {waiting}", "start `whodid ship` as a service, or configure(ship=True)")


def _waiting(subject: Subject, journal: JournalStatus) -> Finding:
    oldest = _oldest(subject, journal.journal)
    age = datetime.now(UTC) - oldest if oldest else timedelta(0)
    since = f", the oldest for {age.total_seconds():,.0f} s" if oldest else ""
    on, what = subject.journal_dir / journal.journal, f"{journal.backlog:,} entries wait to be shipped{since}"
    if age < _LATE:
        return ok(on, what)
    advice = "see that `whodid ship` runs, and what it says; the area connection may say why"
    return problem(on, what, advice) if age > _VERY_LATE else warning(on, what, advice)


def _oldest(subject: Subject, journal: str) -> datetime | None:
    place = JournalDirectory(subject.journal_dir).journal(journal)
    lines = JournalReader(place, Acknowledged.read(place).seq).read(1 << 16)
    return next((moment(line.raw) for line in lines if isinstance(line, Line)), None)
