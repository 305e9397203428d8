"""The retention in force: how long entries live, who sees to it, and what that means for each partition in dates.

ISM counts from the creation of an index and deletes it whole. So an entry lives at least the `floor` (the retention)
and at most the `ceiling`: the retention, and the longest partition, and two days of margin for clocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from ..entry import partition_end, partition_start
from ..errors import NotAuthorized
from ..settings import Settings, parse_age, retention_days
from .connection import translated
from .holds import held
from .ism import CLOCK_SKEW_DAYS, Ism, StoredPolicy, margin_days, policy_name
from .managed import Managed, managed
from .partitions import creation_dates
from .template import index_pattern

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["Partition", "RetentionView", "deletion_date", "retention_in_force"]

_OVERDUE = timedelta(days=2)
"""So long a partition may outlive its date: ISM looks every few minutes, and retries for a while."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: its first entries may go from `floor` on, and all of it goes at `ceiling`.

    `holds` are the IDs of those that keep it. `problem` says why something may not be so; empty when all is well. Dates
    are `None` where nothing is deleted.
    """

    name: str
    created: datetime
    floor: datetime | None
    ceiling: datetime | None
    problem: str = ""
    holds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RetentionView:
    """`floor_days`: each entry lives at least so long; `ceiling_days`: at most. `None` means for ever.

    `asked_days` is the setting; `enforced_by` is who deletes: ISM with our policy; `whodid ship` where the cluster has
    no ISM; or nothing, as it has no policy yet. `partitions` are in the order of their dates.
    """

    asked_days: int | None
    floor_days: int | None
    ceiling_days: int | None
    enforced_by: Literal["ism", "whodid", "nothing"]
    partitions: tuple[Partition, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """What is not as it should be, in words."""
        found = []
        if self.enforced_by == "ism" and self.asked_days != self.floor_days:
            found.append(f"the setting asks for {_days(self.asked_days)}, the policy keeps {_days(self.floor_days)}")
        return (*found, *(f"{one.name}: {one.problem}" for one in self.partitions if one.problem))

    def kept_until(self, creation_date: str, partition: str) -> tuple[datetime, datetime] | None:
        """From when on an entry may go, and when its partition goes at the latest; `None` for never."""
        if self.floor_days is None or self.ceiling_days is None:
            return None
        floor = datetime.fromisoformat(creation_date) + timedelta(days=self.floor_days)
        if self.holds_on(partition):
            return None
        known = next((one.ceiling for one in self.partitions if one.name == partition), None)
        return floor, max(floor, known or floor + timedelta(days=self.ceiling_days - self.floor_days))

    def holds_on(self, partition: str) -> tuple[str, ...]:
        """The IDs of the holds that keep a partition, as far as this user may know."""
        return next((one.holds for one in self.partitions if one.name == partition), ())

    def __str__(self) -> str:
        return "; ".join((f"retention: {self._rule()}", *self.problems))

    def _rule(self) -> str:
        if self.enforced_by == "nothing":
            return "this cluster has no retention policy yet, and nothing deletes old entries: run `whodid setup`"
        if self.floor_days is None:
            return "off; entries are kept until someone deletes them"
        by = "ISM" if self.enforced_by == "ism" else "`whodid ship`, as this cluster has no Index State Management"
        return f"entries live {self.floor_days} to {self.ceiling_days} days, deleted by {by}"

    def as_json(self) -> dict[str, Any]:
        """Dates as ISO 8601."""
        found = asdict(self)
        found["partitions"] = [
            {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(one).items()}
            for one in self.partitions
        ]
        return {**found, "problems": list(self.problems)}


def _days(number: int | None) -> str:
    return "for ever" if number is None else f"{number} days"


@translated("retention")
def retention_in_force(client: OpenSearch, settings: Settings, now: datetime | None = None) -> RetentionView:
    """Asks the cluster. Raises `OpenSearchError`."""
    now = now or datetime.now(UTC)
    asked = retention_days(settings.retention)
    created = creation_dates(client, settings)
    margin = margin_days(settings, created)
    on_hold = _held(client, settings)
    ism = Ism(client)
    if not ism.available():
        ceiling = None if asked is None else asked + margin
        found = [
            Partition(name, at, None, None, holds=on_hold[name])
            if name in on_hold
            else _by_whodid(settings, name, at, asked, ceiling, now)
            for name, at in created.items()
        ]
        return RetentionView(asked, asked, ceiling, "whodid", tuple(found))
    stored = ism.policy(policy_name(settings))
    if stored is None:
        return RetentionView(
            asked,
            None,
            None,
            "nothing",
            tuple(Partition(*each, None, None, holds=on_hold.get(each[0], ())) for each in created.items()),
        )
    ceiling = _deletion_days(stored.policy)
    states = {one.index: one for one in managed(ism.explain(index_pattern(settings)))}
    kept = timedelta(days=margin)
    found = [
        _by_ism(
            settings,
            Partition(name, at, None, None, holds=on_hold.get(name, ())),
            states.get(name, Managed(name)),
            stored,
            kept,
            now,
        )
        for name, at in created.items()
    ]
    return RetentionView(asked, None if ceiling is None else ceiling - margin, ceiling, "ism", tuple(found))


def _held(client: OpenSearch, settings: Settings) -> dict[str, tuple[str, ...]]:
    """The holds on each partition; none where this user may not know."""
    try:
        return held(client, settings)
    except NotAuthorized:
        return {}


def _by_whodid(
    settings: Settings, name: str, created: datetime, floor: int | None, ceiling: int | None, now: datetime
) -> Partition:
    if floor is None or ceiling is None:
        return Partition(name, created, None, None)
    goes = deletion_date(settings, name, created)
    late = now > goes + _OVERDUE
    problem = (
        "should be gone: no `whodid ship` of a user who may delete it, and no `retention enforce`, runs" if late else ""
    )
    return Partition(name, created, _first(settings, name) + timedelta(days=floor), goes, problem)


def deletion_date(settings: Settings, name: str, created: datetime) -> datetime:
    """When a partition goes where whodid deletes it: as ISM would, but never before the floor of its last entry."""
    days = retention_days(settings.retention)
    end = partition_end(settings.index_prefix, name)
    if days is None or end is None:
        raise ValueError(f"{name} is never deleted")
    by_age = created + timedelta(days=days + margin_days(settings, [name]))
    return max(by_age, end + timedelta(days=days + CLOCK_SKEW_DAYS))


def _by_ism(
    settings: Settings, one: Partition, about: Managed, stored: StoredPolicy, margin: timedelta, now: datetime
) -> Partition:
    days = _deletion_days(about.policy or stored.policy)
    if one.holds and about.policy_id is None:
        return one
    if one.holds:
        return replace(one, problem=f"under the policy {about.policy_id} all the same, which may delete it")
    problem = about.problem(policy_name(settings), stored)
    if days is None or about.policy_id is None:
        return replace(one, problem=problem)
    goes = one.created + timedelta(days=days)
    if not problem and now > goes + _OVERDUE:
        problem = f"should be gone since {goes:%Y-%m-%d}: {about.message or 'ISM has not deleted it'}"
    floor = _first(settings, one.name) + timedelta(days=days) - margin
    end = partition_end(settings.index_prefix, one.name) or one.created
    if not problem and goes < end + timedelta(days=days) - margin:
        problem = "made too early: goes before its last entries may; `whodid doctor --fix` holds it"
    return replace(one, floor=floor, ceiling=goes, problem=problem)


def _first(settings: Settings, name: str) -> datetime:
    start = partition_start(settings.index_prefix, name)
    if start is None:
        raise ValueError(f"{name} is no partition")
    return start


def _deletion_days(policy: Mapping[str, Any]) -> int | None:
    for state in policy["states"]:
        for transition in state["transitions"]:
            age = transition.get("conditions", {}).get("min_index_age")
            if transition["state_name"] == "delete" and age:
                return parse_age(age) // 86400
    return None
