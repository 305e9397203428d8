"""The survey: everything the cluster says of each partition, in a handful of requests however many there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..entry import partition_end
from ..settings import Settings, parse_age, retention_days
from .connection import translated
from .destruction import Destruction, destructions
from .holds import Step, all_steps
from .ism import Ism, StoredPolicy, margin_days, policy_name
from .managed import Managed, managed
from .partitions import creation_dates
from .retention import deletion_date
from .template import index_pattern

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["Survey", "Surveyed", "survey"]


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One partition. `first` and `last` are `creation_date`s, empty where it has no entries or can't be read.

    `job` is what ISM does with it, `None` on a cluster without; `goes` is when it is deleted, by ISM as its job stands
    or by whodid, `None` for never. `hold` is how its holds are and should be. `ours` is whether it carries our mark.
    `record` is the newest destruction record of its name, perhaps of an index before it.
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
    """`policy` is the policy in force, `None` without one or without ISM (`ism` false); `margin` is in days."""

    ism: bool
    policy: StoredPolicy | None
    floor: int | None
    """Days that the settings promise; `None` is for ever."""
    margin: int
    partitions: tuple[Surveyed, ...]


def survey(client: OpenSearch, settings: Settings) -> Survey:
    """Asks the cluster. Raises `OpenSearchError`."""
    ism = Ism(client)
    available = ism.available()
    pattern = index_pattern(settings)
    explained = ism.explain(pattern) if available else {}
    jobs = {one.index: one for one in managed(explained)}
    policy = ism.policy(policy_name(settings)) if available else None
    made = creation_dates(client, settings)
    listed, dates, restored = _listed(client, pattern), _dates(client, pattern), _restored(client, pattern)
    holds = {step.partition: step for step in all_steps(client, settings, explained if available else None)}
    records = {one.partition: one for one in sorted(destructions(client, settings), key=lambda one: one.time)}
    margin = margin_days(settings, made)
    found = []
    for name, created in made.items():
        row, hold = listed.get(name, {}), holds.get(name)
        job = jobs.get(name, Managed(name)) if available else None
        end = partition_end(settings.index_prefix, name) or created  # partitions all have an end
        entries, first, last = dates.get(name, (int(row.get("docs.count") or 0), "", ""))
        goes = None if hold and hold.wanted else _goes(settings, name, created, job, policy)
        found.append(
            Surveyed(
                name,
                row.get("uuid", ""),
                created,
                end,
                entries,
                first,
                last,
                row.get("health") or "",
                row.get("status") != "close",
                hold is not None,
                name in restored,
                goes,
                hold,
                job,
                records.get(name),
            )
        )
    return Survey(available, policy, retention_days(settings.retention), margin, tuple(found))


def deletion_days(policy: Mapping[str, Any]) -> int | None:
    """After how many days a policy deletes an index; `None` for never."""
    for state in policy["states"]:
        for transition in state["transitions"]:
            age = (transition.get("conditions") or {}).get("min_index_age")
            if transition["state_name"] == "delete" and age:
                return parse_age(age) // 86400
    return None


def _goes(
    settings: Settings, name: str, created: datetime, job: Managed | None, policy: StoredPolicy | None
) -> datetime | None:
    if job is None:
        return None if retention_days(settings.retention) is None else deletion_date(settings, name, created)
    if job.policy_id is None:
        return None
    runs = job.policy or (policy.policy if policy and job.policy_id == policy_name(settings) else None)
    days = deletion_days(runs) if runs else None
    return None if days is None else created + timedelta(days=days)


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
