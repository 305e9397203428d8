"""Setting and releasing holds, and changing and enforcing retention, with their records."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from ..cluster.clock import cluster_now
from ..cluster.ledger import ledger_name
from ..errors import OpenSearchError, QueryError
from ..recording.context import check_reason, who
from ..recording.own import record_operation
from ..retention import holds, moves
from ..retention.destruction import DESTROYED, Destruction
from ..retention.enforcement import Expired, destroy, expired, record_release, record_upcoming
from ..retention.holds import Applied, Hold
from ..retention.ism import Ism, policy_name
from ..retention.moves import Report, deletions_by_release, immediate_deletions, in_words
from ..search import check_order, moment
from ..settings import Settings

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = [
    "Enforced",
    "HoldChange",
    "enforce_retention",
    "loss_of_release",
    "loss_of_retention",
    "release_hold",
    "set_hold",
    "set_retention",
]

_PAUSE = 2.0
_RECORDED = {"reason", "partitions", "since", "until"}


@dataclass(frozen=True, slots=True)
class HoldChange:
    """A hold that was set or released, and what became of partitions by it; `applied.problems` is empty on success."""

    hold: Hold
    applied: Applied


def set_hold(
    client: OpenSearch,
    settings: Settings,
    reason: str,
    *,
    partitions: Sequence[str] = (),
    since: object = None,
    until: object = None,
) -> HoldChange:
    """Keeps partitions from being deleted until the hold is released; recorded before, as `audit_log_hold_set`.

    Parameters
    ----------
    reason
        Why; it is recorded, and kept with the hold.
    partitions
        Their names; or else
    since, until
        all partitions with entries of that time, those created later as well. Datetimes, or texts as in a search;
        `until` is not included.

    Raises
    ------
    QueryError
        A time can't be read, or neither partitions nor times were given, or both.
    OpenSearchError
        A partition does not exist, or the cluster can't answer. What it refuses for single partitions is in the
        answer's `problems`; the next `enforce_retention` tries it again.
    InvalidEntry, NotRecorded, JournalDamaged
        It can't be recorded, and nothing was done.

    Example
    -------
    >>> set_hold(client, settings, "case 4711", since="2026-03-01", until="2026-06-01").hold.id
    'h-3f9c21d07b55'
    """
    check_reason(reason)
    check_order(since, until)
    times = {"since": moment(since, "since"), "until": moment(until, "until")}
    try:
        new = holds.new_hold(reason, str(who()["principal"]), partitions=partitions, **times)
    except ValueError as error:
        raise QueryError(str(error)) from error
    holds.check_hold(client, settings, new)
    about = {name: value for name, value in asdict(new).items() if value and name in _RECORDED}
    where = {"index_prefix": settings.index_prefix}
    record_operation(settings, "audit_log_hold_set", new.id, {**about, **where})
    try:
        return HoldChange(new, holds.set_hold(client, settings, new))
    except OpenSearchError:
        if not any(one.id == new.id for one in holds.holds(client, settings)):
            record_operation(settings, "audit_log_hold_released", new.id, {"reason": "it could not be set", **where})
        raise


def loss_of_release(client: OpenSearch, settings: Settings, hold_id: str) -> str:
    """What would be deleted at once if that hold were released, in words; empty for nothing.

    Raises `OpenSearchError`.
    """
    freed = holds.held_only_by(client, settings, hold_id)
    return in_words(deletions_by_release(client, settings, freed, cluster_now(client)))


def release_hold(client: OpenSearch, settings: Settings, hold_id: str, reason: str) -> HoldChange:
    """Ends a hold: its partitions are under retention again, unless another hold covers them.

    Recorded before, as `audit_log_hold_released`.

    Raises
    ------
    OpenSearchError
        There is no such hold, it was released before, or the cluster can't answer.
    InvalidEntry, NotRecorded, JournalDamaged
        It can't be recorded, and nothing was done.

    Example
    -------
    >>> release_hold(client, settings, "h-3f9c21d07b55", "case 4711 is closed").applied.released
    ('whodid-audit-2026.03', 'whodid-audit-2026.04', 'whodid-audit-2026.05')
    """
    check_reason(reason)
    holds.find_hold(client, settings, hold_id)
    record_operation(
        settings, "audit_log_hold_released", hold_id, {"reason": reason, "index_prefix": settings.index_prefix}
    )
    applied = holds.release_hold(client, settings, hold_id, by=str(who()["principal"]), reason=reason)
    record_release(client, settings, applied.released)
    return HoldChange(next(one for one in holds.holds(client, settings) if one.id == hold_id), applied)


def loss_of_retention(client: OpenSearch, settings: Settings, age: str, *, take_over: bool = False) -> str:
    """What would be deleted at once under that retention, in words; empty for nothing.

    Raises `SettingsError` for what is no age, and `OpenSearchError`.
    """
    wanted = replace(settings, retention=age)
    return in_words(immediate_deletions(client, wanted, cluster_now(client), take_over=take_over))


def set_retention(
    client: OpenSearch,
    settings: Settings,
    age: str,
    *,
    take_over: bool = False,
    force: bool = False,
    timeout: float = 1200.0,
    on_progress: Callable[[int, int], None] = lambda running, total: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Changes how long the cluster keeps entries; recorded before, as `audit_log_retention_set`.

    The policy is replaced, and each partition is moved to its new version and followed until it runs it. What is then
    due within two weeks is recorded in the ledger. Put the age into the setting `retention` as well, or the next
    `whodid setup` sets it back.

    Parameters
    ----------
    age
        Such as `400d`, or `off`.
    take_over
        Also move partitions that are under another policy.
    force
        Overwrite the policy although somebody changed it by hand.
    timeout
        Seconds to follow the partitions; ISM looks every five minutes.
    on_progress
        Called with how many partitions run the new version, and of how many.

    Returns
    -------
    Report
        The partitions under the new version, and why others are not, or could not be recorded.

    Raises
    ------
    SettingsError
        The age can't be read.
    OpenSearchError
        The policy can't be replaced, or the cluster has no Index State Management.
    NotRecorded, JournalDamaged
        It can't be recorded, and nothing was done.

    Example
    -------
    >>> set_retention(client, settings, "400d").problems
    {}
    """
    wanted = replace(settings, retention=age)
    about = {"retention": age, "was": settings.retention, "policy": policy_name(wanted)}
    moved = {"take_over": True} if take_over else {}
    record_operation(settings, "audit_log_retention_set", policy_name(wanted), {**about, **moved})
    report = moves.set_retention(
        client,
        wanted,
        take_over=take_over,
        force=force,
        tries=int(timeout / _PAUSE) + 1,
        pause=lambda: sleep(_PAUSE),
        on_progress=on_progress,
    )
    try:
        record_upcoming(client, wanted)  # before ISM deletes what a shorter retention no longer keeps
    except OpenSearchError as error:
        report.problems[ledger_name(wanted)] = str(error)
    return report


@dataclass(frozen=True, slots=True)
class Enforced:
    """What `enforce_retention` did. With Index State Management, `recorded`; without it, `expired`."""

    ism: bool
    """Whether the cluster deletes by itself."""
    recorded: tuple[Destruction, ...] = ()
    """What ISM is about to delete, or has deleted, and what disappeared (`missing`) before it was due."""
    expired: tuple[Expired, ...] = ()
    """Partitions past their time, deleted but for those in `problems`."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Why a partition could not be held, released or deleted."""


def enforce_retention(
    client: OpenSearch,
    settings: Settings,
    *,
    dry_run: bool = False,
    on_expired: Callable[[Expired], None] = lambda partition: None,
) -> Enforced:
    """Does whodid's part of retention: applies holds, then deletes what is past its time, or records what ISM deletes.

    Each deletion is in the ledger before, and recorded after, as `audit_log_partition_destroyed`.

    Parameters
    ----------
    dry_run
        Only look for what is past its time.
    on_expired
        Called with each partition past its time, once it is deleted.

    Raises
    ------
    OpenSearchError
        The cluster can't answer, or entries can't be counted. What it refuses for single partitions is in the answer.
    NotRecorded, JournalDamaged
        A deletion can't be recorded; the ledger has it, and no more is deleted.

    Example
    -------
    >>> [one.index for one in enforce_retention(client, settings, dry_run=True).expired]
    ['whodid-audit-2025.10']
    """
    problems = {} if dry_run else dict(holds.apply_holds(client, settings).problems)
    if Ism(client).available():
        recorded = [] if dry_run else record_upcoming(client, settings)
        return Enforced(True, recorded=tuple(recorded), problems=problems)
    found = expired(client, settings)
    for partition in found:
        if not dry_run:
            try:
                record = destroy(client, settings, partition)
            except OpenSearchError as error:
                problems[partition.index] = str(error)
                continue
            if record:
                record_operation(settings, DESTROYED, record.partition, record.brief())
        on_expired(partition)
    return Enforced(False, expired=tuple(found), problems=problems)
