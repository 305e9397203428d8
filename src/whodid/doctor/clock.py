"""The clock: ours beside the cluster's, and entries that claim to be of a later time than now."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ..cluster.clock import clock_ahead
from ..errors import NotAuthorized
from ..journal import JournalDirectory
from ..journal.directory import segments
from .finding import Finding, ok, problem, warning
from .moment import last_moment
from .subject import Subject

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["examine", "examine_cluster"]

_NOTABLE = timedelta(seconds=10)
_WRONG = timedelta(hours=1)
_REFUSED = timedelta(days=1)
_ADVICE = "set this host's clock, and have a time service such as chrony keep it"


def examine(subject: Subject) -> Iterator[Finding]:
    directory = JournalDirectory(subject.journal_dir)
    for journal in directory.journals():
        for segment in segments(directory.journal(journal)):
            last = last_moment(segment)
            ahead = last - datetime.now(UTC) if last else timedelta(0)
            if ahead > _REFUSED:
                what = f"has entries of {last}, more than a day from now: they become dead letters"
                yield problem(segment, what, _ADVICE)
            elif ahead > _NOTABLE:
                yield warning(segment, f"has entries of {last}, later than now: the clock was set back", _ADVICE)


def examine_cluster(subject: Subject, client: OpenSearch) -> Iterator[Finding]:
    try:
        ahead = clock_ahead(client)
    except NotAuthorized:
        yield ok("this host", "the cluster does not tell this user its time")
        return
    off = abs(ahead)
    side = "behind" if ahead > timedelta(0) else "ahead of"
    here = f"its clock is {off.total_seconds():,.0f} s {side} the cluster's"
    if off > _WRONG:
        yield problem("this host", here, _ADVICE)
    elif off > _NOTABLE:
        yield warning("this host", here, _ADVICE)
    else:
        yield ok("this host", here)
