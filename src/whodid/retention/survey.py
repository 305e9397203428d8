"""The survey of partitions: everything the cluster reports about each, with a fixed number of requests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..cluster.connection import translated
from ..cluster.template import index_pattern
from ..settings import Settings, retention_days
from .destruction import Destruction, destructions
from .holds import Step
from .ism import Managed, StoredPolicy
from .schedule import ScheduledPartition, deletion_schedule

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["Survey", "Surveyed", "survey"]


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One partition. `first` and `last` are `creation_date`s, empty if it has no entries or can't be read.

    `job` is its ISM job, `None` on a cluster without ISM. `goes` is when ISM by that job, or whodid, deletes it; `None`
    for never, and while it is held without a job. `hold` is the actual and the wanted state of its holds. `ours` is
    whether it carries our mark. `record` is the newest destruction record with its name, perhaps of an earlier index.
    """

    name: str
    uuid: str
    created: datetime
    end: datetime
    entries: int
    first: str
    last: str
    health: str
    open: bool
    ours: bool
    restored: bool
    goes: datetime | None
    hold: Step | None
    job: Managed | None
    record: Destruction | None

    @property
    def held(self) -> bool:
        return bool(self.hold and self.hold.wanted)

    def as_json(self) -> dict[str, Any]:
        """Dates as ISO 8601."""
        job = self.job
        return {
            "partition": self.name,
            "entries": self.entries,
            "first": self.first,
            "last": self.last,
            "policy": job.policy_id if job else None,
            "version": list(job.version) if job and job.version else None,
            "state": job.state if job else None,
            "made": self.created.isoformat(),
            "goes": self.goes.isoformat() if self.goes else None,
            "holds": list(self.hold.wanted) if self.hold else [],
            "health": self.health,
            "open": self.open,
        }


@dataclass(frozen=True, slots=True)
class Survey:
    """All partitions, and what applies to them.

    `policy` is the policy in force, `None` without one or without ISM (`ism` false); `margin` is in days. While the
    cluster is `red`, ISM runs no jobs.
    """

    ism: bool
    policy: StoredPolicy | None
    floor: int | None
    """The retention of the settings in days; `None` for ever."""
    margin: int
    red: bool
    partitions: tuple[Surveyed, ...]


def survey(client: OpenSearch, settings: Settings) -> Survey:
    """Reads the survey from the cluster. Raises `OpenSearchError`, also if this user may not read all of it."""
    pattern = index_pattern(settings)
    found = deletion_schedule(client, settings, strict=True)
    listed, dates, restored = _listed(client, pattern), _dates(client, pattern), _restored(client, pattern)
    records = {one.partition: one for one in sorted(destructions(client, settings), key=lambda one: one.time)}
    partitions = tuple(
        _surveyed(one, listed.get(one.name, {}), dates.get(one.name), one.name in restored, records.get(one.name))
        for one in found.partitions
    )
    return Survey(found.ism, found.policy, retention_days(settings.retention), found.margin, found.red, partitions)


def _surveyed(
    one: ScheduledPartition,
    row: dict[str, Any],
    dates: tuple[int, str, str] | None,
    restored: bool,
    record: Destruction | None,
) -> Surveyed:
    entries, first, last = dates or (int(row.get("docs.count") or 0), "", "")
    return Surveyed(
        name=one.name,
        uuid=row.get("uuid", ""),
        created=one.created,
        end=one.end,
        entries=entries,
        first=first,
        last=last,
        health=row.get("health") or "",
        open=row.get("status") != "close",
        ours=one.hold is not None,
        restored=restored,
        goes=one.due,
        hold=one.hold,
        job=one.job,
        record=record,
    )


def _listed(client: OpenSearch, pattern: str) -> dict[str, dict[str, Any]]:
    with translated(f"the indices {pattern}"):
        rows = client.cat.indices(
            index=pattern,
            params={"format": "json", "expand_wildcards": "all", "h": "index,uuid,health,status,docs.count"},
        )
    return {row["index"]: row for row in rows}


def _dates(client: OpenSearch, pattern: str) -> dict[str, tuple[int, str, str]]:
    """Number of entries, first and last `creation_date` by index, without closed and red indices."""
    ends = {end: {kind: {"field": "creation_date"}} for end, kind in (("first", "min"), ("last", "max"))}
    body = {"size": 0, "aggs": {"partitions": {"terms": {"field": "_index", "size": 10_000}, "aggs": ends}}}
    with translated(f"the entries of {pattern}"):
        answer = client.search(index=pattern, body=body, params={"ignore_unavailable": "true"})
    buckets = answer.get("aggregations", {}).get("partitions", {}).get("buckets", ())
    return {
        bucket["key"]: (bucket["doc_count"], *(bucket[end].get("value_as_string", "") for end in ("first", "last")))
        for bucket in buckets
    }


def _restored(client: OpenSearch, pattern: str) -> set[str]:
    """Indices with a shard restored from a snapshot; the cluster knows it only until its node restarts."""
    with translated(f"the recovery of {pattern}"):
        answer = client.indices.recovery(index=pattern)
    return {name for name, about in answer.items() if any(shard["type"] == "SNAPSHOT" for shard in about["shards"])}
