"""The report: everything that an auditor needs to know about the log in a period, as one value and as JSON.

docs/reference/format.md describes the JSON, format 1. A later version may only add to it, or has another number.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from ..proof.keys import PublicKey
from ..recording.context import operator
from ..resources import __version__
from ..search import AuditClient, Stats
from ..search.stats import interval_of
from ..settings import Settings
from ..verify import Finding, LocalJournal, Source, Verification, verify_stored
from .parts import RETENTION_SET, AdminActions, JournalPart, RetentionPart, admin_actions, parts_of, retention_part
from .period import Period, moment_text
from .statement import FORMAT

__all__ = ["TYPES", "Made", "Report", "ReportFinding", "make_report"]

TYPES = 1000
"""Maximum number of event types that are counted by name."""

Progress = Callable[[int, int], None]
"""Called with how many entries were verified, and how many there are."""


@dataclass(frozen=True, slots=True)
class Made:
    """Who made the report (user of the operating system), when and where, and of which log.

    `user` is the cluster's user, or empty. `signed_by` is the ID of the signing key, or empty.
    """

    at: str
    by: str
    host: str
    whodid: str
    index_prefix: str
    hosts: tuple[str, ...]
    user: str
    reads_recorded: bool
    signed_by: str = ""

    @classmethod
    def now(cls, settings: Settings, at: datetime, signed_by: str) -> Made:
        return cls(
            at=moment_text(at),
            by=operator(),
            host=settings.host,
            whodid=__version__,
            index_prefix=settings.index_prefix,
            hosts=settings.opensearch_hosts,
            user=settings.opensearch_user,
            reads_recorded=settings.audit_reads,
            signed_by=signed_by,
        )


@dataclass(frozen=True, slots=True)
class ReportFinding:
    """A problem in the `area` `integrity` or `retention`; the other fields are those of `verify.Finding`."""

    area: str
    kind: str
    about: str
    journal: str = ""
    first: int = 0
    last: int = 0
    entries: tuple[str, ...] = ()
    proven: str = ""

    @classmethod
    def of(cls, found: Finding) -> ReportFinding:
        return cls(
            "integrity", found.kind, found.about, found.journal, found.seq, found.last, found.entries, found.proven
        )


@dataclass(frozen=True, slots=True)
class Report:
    """The whole report. `outside` are the sources of checkpoints that neither host nor cluster can change.

    Entries up to `verified_until` were verified, so that the checkpoint over the last entries of the period counts.
    """

    period: Period
    verified_until: datetime
    made: Made
    verification: Verification
    outside: tuple[str, ...]
    retention: RetentionPart
    actions: AdminActions
    numbers: Stats
    journals: tuple[JournalPart, ...]

    @property
    def findings(self) -> tuple[ReportFinding, ...]:
        found = [ReportFinding.of(one) for one in self.verification.findings]
        return (*found, *(ReportFinding("retention", "retention", text) for text in self.retention.view.problems))

    @property
    def checkpoints(self) -> int:
        return sum(part.checkpoints for part in self.journals)

    @property
    def complete(self) -> bool:
        return all(part.complete for part in self.journals)

    @property
    def verdict(self) -> str:
        """The conclusion in a few words."""
        if count := len(self.findings):
            return f"{count:,} {'finding' if count == 1 else 'findings'}"
        if not any(part.recorded for part in self.journals):
            return "nothing was recorded"
        if not self.checkpoints:
            return "consistent, but no checkpoint vouches for it"
        return "intact and complete" if self.proven else "intact and complete, but signatures were not checked"

    @property
    def proven(self) -> bool:
        """Whether there are no findings, and a trusted key vouches for that."""
        found = not self.findings and any(part.recorded for part in self.journals)
        return found and bool(self.checkpoints and self.verification.keys)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the report does not cover, and why."""
        return (*self._notes(), *dict.fromkeys((*self.verification.notes, *self.retention.notes)))

    def _notes(self) -> Iterator[str]:
        if not self.period.over:
            yield "the period was not over when this report was made: later entries are not in it"
        if not self.checkpoints:
            yield "no checkpoint was found: anyone who may write to the cluster could have rebuilt the whole log"
        elif not self.verification.keys:
            yield "signatures of checkpoints were not checked: no public key was given"
        if not self.made.reads_recorded:
            yield (
                "the setting audit_reads was off when this report was made: reads by the command line and by programs "
                "with these settings are not recorded"
            )

    def summary(self) -> dict[str, Any]:
        """Returns the numbers that answer most questions."""
        retention = self.retention
        return {
            "intact": self.verification.intact,
            "complete": self.complete,
            "findings": len(self.findings),
            "entries": self.numbers.total,
            "journals": len(self.journals),
            "recorded": sum(part.recorded for part in self.journals),
            "stored": sum(part.stored for part in self.journals),
            "missing": sum(part.missing for part in self.journals),
            "checkpoints": self.checkpoints,
            "keys": list(self.verification.keys),
            "holds": None if retention.holds is None else len(retention.holds),
            "destructions": None if retention.destroyed is None else len(retention.destroyed),
            "erasures": None if retention.erased is None else len(retention.erased),
        }

    def as_json(self) -> dict[str, Any]:
        """Returns format 1 of docs/reference/format.md without `digest` and `html`, which the pack adds."""
        made, retention = self.made, self.retention
        return {
            "format": FORMAT,
            "period": self.period.as_json(),
            "made": {**asdict(made), "hosts": list(made.hosts)},
            "summary": self.summary(),
            "findings": [{**asdict(one), "entries": list(one.entries)} for one in self.findings],
            "notes": list(self.notes),
            "basis": {
                "sources": list(self.verification.sources),
                "outside": list(self.outside),
                "checkpoints": self.checkpoints,
                "keys": list(self.verification.keys),
                "verified_until": moment_text(self.verified_until),
            },
            "completeness": [part.numbers() for part in self.journals],
            "integrity": [
                {"journal": part.journal, "stretches": [asdict(one) for one in part.stretches]}
                for part in self.journals
            ],
            "retention": {
                **retention.view.as_json(),
                "changes": [asdict(action) for action in self.actions.of(RETENTION_SET)],
            },
            "holds": None if retention.holds is None else [one.as_json() for one in retention.holds],
            "destructions": None if retention.destroyed is None else [one.as_json() for one in retention.destroyed],
            "erasures": None if retention.erased is None else [one.as_json() for one in retention.erased],
            "done": self.actions.as_json(),
            "readers": [asdict(one) for one in self.actions.readers],
            "numbers": _numbers(self.numbers),
        }


def make_report(
    client: AuditClient,
    period: Period,
    *,
    sources: Sequence[Source] = (),
    keys: Collection[PublicKey] = (),
    local: Sequence[LocalJournal] = (),
    workers: int = 1,
    signed_by: str = "",
    on_progress: Progress = lambda done, total: None,
) -> Report:
    """Verifies the period and gathers the rest; `sources`, `keys`, `local` and `workers` are as for `verify_stored`.

    With the setting `audit_reads`, it is recorded as an export in the format `report`. Read rights are enough. Raises
    `OpenSearchError`, and `NotRecorded` if the export can't be recorded.
    """
    made = Made.now(client.settings, period.made, signed_by)
    client.note_export(period.of(), form="report")
    quiet = AuditClient(replace(client.settings, audit_reads=False), client=client.connection)
    until = period.sealed_by(client.settings.checkpoint_interval)
    verification = verify_stored(
        quiet,
        since=period.since,
        until=until,
        sources=sources,
        keys=keys,
        local=local,
        workers=workers,
        on_progress=on_progress,
    )
    interval = interval_of("auto", period.window)
    return Report(
        period=period,
        verified_until=until,
        made=made,
        verification=verification,
        outside=tuple(source.name for source in sources if source.outside),
        retention=retention_part(quiet, period),
        actions=admin_actions(quiet, period),
        numbers=quiet.stats(period.of(), group_by=("type",), top=TYPES, interval=interval, expired=True),
        journals=parts_of(verification.journals),
    )


def _numbers(stats: Stats) -> dict[str, Any]:
    found = stats.as_json()
    return {
        "entries": found["total"],
        "first": found["first"],
        "last": found["last"],
        "principals": found["principals"],
        "interval": found["interval"],
        "histogram": found["histogram"],
        "types": dict(stats.top["type"]),
    }
