"""Erasing a person: the plan, and the erasure with its records before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..cluster.ledger import ERASED, write_erasure
from ..cluster.partitions import is_immutable, marks
from ..errors import OpenSearchError, QueryError, WhodidError
from ..journal import Journal, JournalDirectory
from ..recording.context import check_reason, who
from ..recording.own import record_operation
from ..retention.holds import held
from ..search import AuditClient
from ..settings import Settings
from .erase_cluster import IMMUTABLE, Erased, Left, erase_stored, exported_since, snapshots_with
from .erase_journal import HostErased, erase_on_host, what_else_holds
from .host import without_shipper

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["ErasurePlan", "ErasureReport", "erase", "plan_erasure"]


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """What `erase` would do: `spare` has the partitions that it skips, with reasons; `found` is the rest."""

    principal: str
    spare: Mapping[str, str]
    found: Erased


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What was or would be erased, and what still contains the values."""

    principal: str
    stored: Mapping[str, int]
    """Entries by partition."""
    fields: tuple[str, ...]
    """The names of the fields whose values were removed."""
    on_host: int
    """Lines of this host's journals."""
    dead_letters: int
    left: tuple[Left, ...]
    still_open: tuple[str, ...]
    """Segments of this host with entries of the person that are being written to: erase again."""
    snapshots: tuple[str, ...]
    exports: tuple[dict[str, Any], ...]
    files: tuple[str, ...]
    """Files of the journal directory that may hold more of it."""
    partitions: frozenset[str] = field(default=frozenset(), repr=False)
    """Whose files in OpenSearch still hold the old values, until `whodid.administration.remove_from_files` has run."""

    @classmethod
    def of(
        cls, client: OpenSearch, settings: Settings, principal: str, done: Erased, here: HostErased | None = None
    ) -> ErasureReport:
        """Looks for what still holds the values. Raises `OpenSearchError`."""
        touched = {*done.entries, *(left.partition for left in done.left)}
        return cls(
            principal=principal,
            stored=dict(sorted(done.entries.items())),
            fields=tuple(sorted(done.fields)),
            on_host=len(here.entries) if here else 0,
            dead_letters=here.letters if here else 0,
            left=tuple(done.left),
            still_open=here.open if here else (),
            snapshots=tuple(snapshots_with(client, touched) if touched else ()),
            exports=tuple(exported_since(_reader(client, settings), done.first) if done.first else ()),
            files=tuple(what_else_holds(JournalDirectory(settings.journal_dir), principal)),
            partitions=frozenset({*done.entries, *done.before}),
        )


def plan_erasure(client: OpenSearch, settings: Settings, principal: str, *, despite_holds: bool = False) -> ErasurePlan:
    """Looks for the entries of a person, and changes nothing.

    Parameters
    ----------
    principal
        The person's ID: entries by them, and entries in their name (`on_behalf_of`).
    despite_holds
        Also erase in partitions that a hold keeps.

    Raises
    ------
    QueryError
        The principal is empty.
    OpenSearchError
        The cluster can't answer.
    """
    if not principal.strip():
        raise QueryError("--principal must not be empty")
    spare: dict[str, str] = {}
    if not despite_holds and (on_hold := held(client, settings)):
        names = marks(client, settings)
        spare = {name: f"a hold keeps it ({', '.join(names.get(name, ()))}): --despite-holds" for name in on_hold}
    reader = _reader(client, settings)
    found = erase_stored(reader, principal, spare=spare, dry_run=True)
    if fixed := {name: IMMUTABLE for name in found.entries if is_immutable(client, name)}:
        spare |= fixed
        found = erase_stored(reader, principal, spare=spare, dry_run=True)
    return ErasurePlan(principal, spare, found)


def erase(
    client: OpenSearch,
    settings: Settings,
    plan: ErasurePlan,
    reason: str,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> ErasureReport:
    """Removes a person's personal values from OpenSearch and from this host; the log verifies as before.

    It is recorded before and after, as `audit_log_person_erased`. No shipper may run on this host meanwhile. OpenSearch
    keeps the old values in its files until `remove_from_files` has run on the report's `partitions`.

    Parameters
    ----------
    plan
        What `plan_erasure` returned.
    reason
        Why; it is recorded.
    on_progress
        Called with the number of stored entries that were looked at, and of all.

    Raises
    ------
    InvalidEntry
        The reason is empty.
    NotRecorded, JournalDamaged
        It can't be recorded. Before the erasure, nothing was erased.
    WhodidError
        A shipper runs, or OpenSearch failed amid the erasure: the same call again does the rest.

    Example
    -------
    >>> plan = plan_erasure(client, settings, "42")
    >>> report = erase(client, settings, plan, "request 4711")
    >>> remove_from_files(client, report.partitions)
    """
    principal = plan.principal
    check_reason(reason)
    with without_shipper(settings, "or it would send values that are being erased") as directory:
        record_operation(settings, ERASED, principal, {"reason": reason, "step": "begun"})
        with closing(Journal(settings.journal_dir, lock_timeout=settings.lock_timeout)) as journal:
            journal.close_segment()  # only closed ones can be erased in
        here = erase_on_host(directory, principal)
        try:
            done = erase_stored(_reader(client, settings), principal, spare=plan.spare, on_progress=on_progress)
        except OpenSearchError as error:
            raise WhodidError(f"the erasure was interrupted: {error}. Run the same command again to resume") from error
        for name, seq in here.entries:
            done.places.add(name, seq)
        details: dict[str, Any] = {"reason": reason, "step": "done", "stored": done.count, "on_host": len(here.entries)}
        if len(done.places):
            where = done.places.written()
            page = write_erasure(client, settings, principal, reason, str(who()["principal"]), done.fields, where)
            details |= {"ledger": f"erasure-{page.id}", "digest": page.digest}
        record_operation(settings, ERASED, principal, details | {"letters": here.letters, "left": len(done.left)})
    return ErasureReport.of(client, settings, principal, done, here)


def _reader(client: OpenSearch, settings: Settings) -> AuditClient:
    """Whose questions are not recorded: what is done is recorded anyway."""
    return AuditClient(replace(settings, audit_reads=False), client=client)
