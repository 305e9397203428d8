"""The enforcement: whodid's part in retention. Without ISM, it deletes by the same rule; with ISM, it keeps records.

Only whole partitions go, past their ceiling by the cluster's clock, whose name is a partition's, whose mapping carries
our mark, and which no hold covers. A partition made late lives longer, one that was restored not shorter; the present
one never goes. What goes is counted and written into the ledger first, and, where a repository is set, kept in a
snapshot; what can't be counted or kept does not go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..cluster.clock import cluster_now, deletion_time
from ..cluster.connection import translated
from ..cluster.partitions import entry_count
from ..entry import Stamp
from ..errors import OpenSearchError, OpenSearchUnavailable
from ..settings import Settings, retention_days
from .destruction import Destruction, destructions, moment_text, take_account, write_destruction
from .holds import held
from .outlook import outlook

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["AHEAD", "Expired", "destroy", "expired", "record_ahead"]

AHEAD = timedelta(days=14)
"""So long before ISM deletes a partition its record is written."""


@dataclass(frozen=True, slots=True)
class Expired:
    """A partition past its ceiling since `due`."""

    index: str
    due: datetime
    entries: int


@translated("retention")
def expired(client: OpenSearch, settings: Settings, now: datetime | None = None) -> list[Expired]:
    """What retention says must go now. Raises `OpenSearchError`, also where ISM sees to it."""
    found = outlook(client, settings, strict=True)
    if found.ism:
        raise OpenSearchError(
            "this cluster has Index State Management, which deletes by its policy; `whodid retention set` changes that"
        )
    now = now or deletion_time(client)
    due = {one.name: one.due for one in found.fates if one.hold and one.due and one.due <= now}
    return [Expired(name, at, entry_count(client, name)) for name, at in due.items()]


@translated("deleting a partition")
def destroy(client: OpenSearch, settings: Settings, partition: Expired) -> Destruction | None:
    """Deletes the partition with all its entries, after its record was written; returns that.

    `None` when it is gone already. Raises `OpenSearchError`: then the partition is there as before.
    """
    name = partition.index
    identity = _identity(client, name)
    if identity is None:
        return None
    uuid, before = identity
    _block_writing(client, name, "true")
    try:
        record = Destruction(
            name,
            uuid,
            "deleting",
            moment_text(partition.due),
            {"retention_days": retention_days(settings.retention)},
            take_account(client, name),
            snapshot=_snapshot(client, settings, name, uuid),
        )
        record = write_destruction(client, settings, record)
        if name in held(client, settings):
            raise OpenSearchError(f"{name} was put on hold meanwhile")
        with translated(f"deleting {name}"):
            client.indices.delete(index=name)
    except BaseException:
        _block_writing(client, name, before)
        raise
    return write_destruction(client, settings, replace(record, state="deleted", deleted=Stamp.now().creation_date))


@translated("the records of what ISM deletes")
def record_ahead(client: OpenSearch, settings: Settings, now: datetime | None = None) -> list[Destruction]:
    """Writes the records of what ISM will delete within `AHEAD`, closes those of what it has deleted, returns both.

    They say what each partition's job does, whatever the policy says by now.

    Raises `OpenSearchError`, at last, for those that can't be counted.
    """
    now = now or cluster_now(client)
    found = outlook(client, settings, strict=True)
    if not found.ism:
        return []
    before = {record.key: record for record in destructions(client, settings)}
    written = [_closed(client, settings, record) for record in before.values() if _is_gone(client, record, now)]
    problems = []
    for fate in found.fates:
        job, due = fate.job, fate.due
        if job and due and due - AHEAD <= now and (identity := _identity(client, fate.name)):
            rule = {"retention_days": fate.days, "policy": job.policy_id, "version": list(job.version or ())}
            try:
                account = take_account(client, fate.name)
            except OpenSearchUnavailable:
                raise
            except OpenSearchError as error:  # which keeps the others from nothing
                problems.append(str(error))
                continue
            record = Destruction(fate.name, identity[0], "ahead", moment_text(due), rule, account)
            known = before.get(record.key, record).snapshot  # `explain` shows it only until the next action
            written.append(write_destruction(client, settings, replace(record, snapshot=job.snapshot or known)))
    if problems:
        raise OpenSearchError(f"not on record yet: {'; '.join(problems)}")
    return written


def _is_gone(client: OpenSearch, record: Destruction, now: datetime) -> bool:
    """Whether ISM has deleted what the record announced: it was due, and its index is there no longer."""
    if record.state != "ahead" or datetime.fromisoformat(record.due) > now:
        return False
    identity = _identity(client, record.partition)
    return identity is None or identity[0] != record.uuid


def _closed(client: OpenSearch, settings: Settings, record: Destruction) -> Destruction:
    snapshot = record.snapshot or _snapshot_by_ism(client, settings, record)
    done = replace(record, state="deleted", deleted=Stamp.now().creation_date, snapshot=snapshot)
    return write_destruction(client, settings, done)


def _snapshot_by_ism(client: OpenSearch, settings: Settings, record: Destruction) -> str:
    """The newest in the repository that has the name of the partition, to which ISM adds the time; empty for none."""
    from opensearchpy import NotFoundError

    repository, wanted = settings.snapshot_repository, f"{record.partition}-*"
    if not repository:
        return ""
    with translated(f"the snapshots in {repository}"):
        try:
            answer = client.snapshot.get(repository=repository, snapshot=wanted, params={"ignore_unavailable": "true"})
        except NotFoundError:
            return ""
    done = [one["snapshot"] for one in answer["snapshots"] if one["state"] == "SUCCESS"]
    return f"{repository}/{max(done)}" if done else ""


def _identity(client: OpenSearch, partition: str) -> tuple[str, str | None] | None:
    """The index's own ID, and whether writing into it is blocked already (`true`); `None` when it is gone."""
    with translated(f"the settings of {partition}"):
        names = "index.uuid,index.blocks.write"
        params = {"flat_settings": "true", "ignore_unavailable": "true"}
        answer = client.indices.get_settings(index=partition, name=names, params=params)
    if partition not in answer:
        return None
    found = answer[partition]["settings"]
    return found["index.uuid"], found.get("index.blocks.write")


def _snapshot(client: OpenSearch, settings: Settings, partition: str, uuid: str) -> str:
    """Keeps the partition in the repository of the settings; `repository/name`, empty without one."""
    repository = settings.snapshot_repository
    if not repository:
        return ""
    name = f"{partition}-{uuid.lower()}"
    body = {"indices": partition, "include_global_state": False, "partial": False}
    with translated(f"the snapshot {name} into {repository}"):
        known = client.snapshot.get(repository=repository, snapshot=name, params={"ignore_unavailable": "true"})
        [found] = known["snapshots"] or [
            client.snapshot.create(
                repository=repository, snapshot=name, body=body, params={"wait_for_completion": "true"}
            )["snapshot"]
        ]
    if found["state"] != "SUCCESS":
        raise OpenSearchError(
            f"the snapshot {name} in {repository} is {found['state']}, so {partition} is not deleted. Delete that "
            "snapshot, mend what it failed at, and run this again"
        )
    return f"{repository}/{name}"


def _block_writing(client: OpenSearch, partition: str, value: str | None) -> None:
    with translated(f"the settings of {partition}"):
        client.indices.put_settings(
            index=partition, body={"index.blocks.write": value}, params={"ignore_unavailable": "true"}
        )
