"""The survey: everything the cluster says of each partition, in a handful of requests however many there are."""

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
from .outlook import Fate, outlook

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["Survey", "Surveyed", "survey"]


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One partition. `first` and `last` are `creation_date`s, empty where it has no entries or can't be read.

    `job` is what ISM does with it, `None` on a cluster without; `goes` is when it is deleted, by ISM as its job stands
    or by whodid, `None` for never: where it is held, and ISM has no job for it. `hold` is how its holds are and should
    be. `ours` is whether it carries our mark. `record` is the newest destruction record of its name, perhaps of an
    index before it.
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
    """`policy` is the policy in force, `None` without one or without ISM (`ism` false); `margin` is in days.

    While the cluster is `red`, no job of ISM runs.
    """

    ism: bool
    policy: StoredPolicy | None
    floor: int | None
    """Days that the settings promise; `None` is for ever."""
    margin: int
    red: bool
    partitions: tuple[Surveyed, ...]


def survey(client: OpenSearch, settings: Settings) -> Survey:
    """Asks the cluster. Raises `OpenSearchError`, also for a user who may not know all of it."""
    pattern = index_pattern(settings)
    found = outlook(client, settings, strict=True)
    listed, dates, restored = _listed(client, pattern), _dates(client, pattern), _restored(client, pattern)
    records = {one.partition: one for one in sorted(destructions(client, settings), key=lambda one: one.time)}
    partitions = tuple(
        _surveyed(fate, listed.get(fate.name, {}), dates.get(fate.name), fate.name in restored, records.get(fate.name))
        for fate in found.fates
    )
    return Survey(found.ism, found.policy, retention_days(settings.retention), found.margin, found.red, partitions)


def _surveyed(
    fate: Fate,
    row: dict[str, Any],
    dates: tuple[int, str, str] | None,
    restored: bool,
    record: Destruction | None,
) -> Surveyed:
    entries, first, last = dates or (int(row.get("docs.count") or 0), "", "")
    return Surveyed(
        name=fate.name,
        uuid=row.get("uuid", ""),
        created=fate.created,
        end=fate.end,
        entries=entries,
        first=first,
        last=last,
        health=row.get("health") or "",
        open=row.get("status") != "close",
        ours=fate.hold is not None,
        restored=restored,
        goes=fate.due,
        hold=fate.hold,
        job=fate.job,
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
    """Number of entries, first and last `creation_date` by index; closed and red ones are missing."""
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
    """Indices of which a shard came from a snapshot. The cluster forgets that when its node starts anew."""
    with translated(f"how {pattern} came to be"):
        answer = client.indices.recovery(index=pattern)
    return {name for name, about in answer.items() if any(shard["type"] == "SNAPSHOT" for shard in about["shards"])}
