"""Enforcement of retention by whodid: it deletes expired partitions without ISM, and keeps records with ISM.

It deletes only whole partitions that are past their ceiling by the cluster's clock, are named as partitions, carry our
mark in their mapping, and are not held. A partition created late is kept longer, a restored one not shorter, and the
present one is never deleted. Before its deletion a partition is counted, recorded in the ledger and, if a repository is
set, saved in a snapshot; if any of that fails, it is not deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..cluster.clock import cluster_now, deletion_time
from ..cluster.connection import translated
from ..cluster.partitions import entry_count
from ..entry import Stamp
from ..errors import OpenSearchError, OpenSearchUnavailable
from ..settings import Settings, retention_days
from .destruction import NEVER, Destruction, count_contents, destructions, moment_text, write_destruction
from .holds import held
from .schedule import ScheduledPartition, deletion_schedule

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["RECORD_LEAD", "Expired", "destroy", "expired", "record_release", "record_upcoming"]

RECORD_LEAD = timedelta(days=14)
"""How long before ISM deletes a partition its record is written."""


@dataclass(frozen=True, slots=True)
class Expired:
    """A partition past its ceiling since `due`."""

    index: str
    due: datetime
    entries: int


@translated("retention")
def expired(client: OpenSearch, settings: Settings, now: datetime | None = None) -> list[Expired]:
    """The partitions that whodid must delete now. Raises `OpenSearchError`, also if ISM deletes them."""
    found = deletion_schedule(client, settings, strict=True)
    if found.ism:
        raise OpenSearchError(
            "this cluster has Index State Management, which deletes by its policy; `whodid retention set` changes that"
        )
    now = now or deletion_time(client)
    due = {one.name: one.due for one in found.partitions if one.hold and one.due and one.due <= now}
    return [Expired(name, at, entry_count(client, name)) for name, at in due.items()]


@translated("deleting a partition")
def destroy(client: OpenSearch, settings: Settings, partition: Expired) -> Destruction | None:
    """Writes the record of a partition, deletes the partition with all its entries, and returns the record.

    Returns `None` if it is deleted already. Raises `OpenSearchError`; the partition is then unchanged.
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
            count_contents(client, name),
            snapshot=_snapshot(client, settings, name, uuid),
        )
        record = write_destruction(client, settings, record)
        if name in held(client, settings):
            raise OpenSearchError(f"{name} is not deleted: it was put on hold meanwhile")
        with translated(f"deleting {name}"):
            client.indices.delete(index=name)
    except BaseException:
        _block_writing(client, name, before)
        raise
    return write_destruction(client, settings, replace(record, state="deleted", deleted=Stamp.now().creation_date))


@translated("the records of what ISM deletes")
def record_upcoming(client: OpenSearch, settings: Settings, now: datetime | None = None) -> list[Destruction]:
    """Writes the records of partitions that ISM deletes within `RECORD_LEAD`, completes those of deleted ones, notes in
    a record that its partition disappeared before it was due, and returns all of them.

    A record follows the partition's job, even if the policy has changed since, and holds: only what was due then was
    deleted by ISM. Raises `OpenSearchError`, after all others are written, for partitions that can't be counted.
    """
    now = now or cluster_now(client)
    found = deletion_schedule(client, settings, strict=True)
    if not found.ism:
        return []
    before = {record.key: record for record in destructions(client, settings)}
    written = [_without_partition(client, settings, one, now) for one in before.values() if _is_gone(client, one)]
    problems = []
    for one in found.partitions:
        job, due = one.job, one.due
        if not (job and due and due - RECORD_LEAD <= now):
            _postpone(client, settings, one, [record for record in before.values() if record.partition == one.name])
        elif identity := _identity(client, one.name):
            rule = {"retention_days": one.days, "policy": job.policy_id, "version": list(job.version or ())}
            try:
                account = count_contents(client, one.name)
            except OpenSearchUnavailable:
                raise
            except OpenSearchError as error:  # the others are recorded all the same
                problems.append(str(error))
                continue
            record = Destruction(one.name, identity[0], "ahead", moment_text(due), rule, account)
            known = before.get(record.key, record).snapshot  # `explain` shows it only until the next action
            written.append(write_destruction(client, settings, replace(record, snapshot=job.snapshot or known)))
    if problems:
        raise OpenSearchError(f"could not be recorded yet: {'; '.join(problems)}")
    return written


def _postpone(client: OpenSearch, settings: Settings, one: ScheduledPartition, records: Sequence[Destruction]) -> None:
    """Writes into the record of an existing partition that it is due later than recorded, or never."""
    for record in records:
        if record.state == "ahead" and (identity := _identity(client, one.name)) and identity[0] == record.uuid:
            due = moment_text(one.due) if one.due else NEVER
            write_destruction(client, settings, replace(record, due=due, missing=""))


@translated("the records of what ISM deletes")
def record_release(client: OpenSearch, settings: Settings, partitions: Collection[str]) -> None:
    """Writes into the records of partitions whose hold was released that they are due: ISM may delete them at once."""
    for record in destructions(client, settings):
        if record.state == "ahead" and record.due == NEVER and record.partition in partitions:
            write_destruction(client, settings, replace(record, due=moment_text(cluster_now(client))))


def _is_gone(client: OpenSearch, record: Destruction) -> bool:
    """Whether the index of a record no longer exists, and the record does not say so yet."""
    if record.state != "ahead" or record.missing:
        return False
    identity = _identity(client, record.partition)
    return identity is None or identity[0] != record.uuid


def _without_partition(client: OpenSearch, settings: Settings, record: Destruction, now: datetime) -> Destruction:
    """Completes the record of a partition that was due: ISM has deleted it. If it was not due, somebody else has."""
    found, snapshot = Stamp.now().creation_date, record.snapshot or _snapshot_by_ism(client, settings, record)
    if datetime.fromisoformat(record.due) > now:
        return write_destruction(client, settings, replace(record, missing=found, snapshot=snapshot))
    return write_destruction(client, settings, replace(record, state="deleted", deleted=found, snapshot=snapshot))


def _snapshot_by_ism(client: OpenSearch, settings: Settings, record: Destruction) -> str:
    """The newest snapshot that ISM named after the partition, with the time appended; empty for none."""
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
    """The index's UUID, and whether writing to it is blocked already (`true`); `None` if it no longer exists."""
    with translated(f"the settings of {partition}"):
        names = "index.uuid,index.blocks.write"
        params = {"flat_settings": "true", "ignore_unavailable": "true"}
        answer = client.indices.get_settings(index=partition, name=names, params=params)
    if partition not in answer:
        return None
    found = answer[partition]["settings"]
    return found["index.uuid"], found.get("index.blocks.write")


def _snapshot(client: OpenSearch, settings: Settings, partition: str, uuid: str) -> str:
    """Saves the partition in the repository of the settings, and returns `repository/name`, empty without one."""
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
            f"the snapshot {name} in {repository} is {found['state']}, so {partition} is not deleted. Fix the cause, "
            "delete that snapshot, and run this again"
        )
    return f"{repository}/{name}"


def _block_writing(client: OpenSearch, partition: str, value: str | None) -> None:
    with translated(f"the settings of {partition}"):
        client.indices.put_settings(
            index=partition, body={"index.blocks.write": value}, params={"ignore_unavailable": "true"}
        )
