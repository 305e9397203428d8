"""The retention in force, and the arithmetic of it: when each partition is deleted, by whom, and how long entries stay.

ISM deletes whole indices by their age. So an entry is kept at least for the `floor` (the retention) and at most for the
`ceiling`: the retention, the longest partition, and two days of margin for clocks. A partition follows the copy of the
policy in its ISM job; the policy itself applies to future partitions.

`deletion_schedule` is the one place that computes when a partition is deleted: `survey` adds the contents of the
partitions for the doctor, and `retention_in_force` returns a view for people.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from ..cluster.clock import cluster_now
from ..cluster.connection import translated
from ..cluster.partitions import creation_dates
from ..cluster.template import index_pattern
from ..entry import later, partition_end, partition_start
from ..errors import NotAuthorized
from ..settings import Settings, retention_days
from .holds import Step, all_steps
from .ism import CLOCK_SKEW_DAYS, MARGINS, Ism, Managed, StoredPolicy, deletion_days, managed, margin_days, policy_name

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = [
    "OVERDUE",
    "DeletionSchedule",
    "Partition",
    "RetentionView",
    "ScheduledPartition",
    "deletion_date",
    "deletion_schedule",
    "floor_days",
    "is_red",
    "retention_in_force",
]

OVERDUE = timedelta(days=2)
"""How late a deletion may be without a warning: ISM runs every few minutes, and retries for a while."""


@dataclass(frozen=True, slots=True)
class ScheduledPartition:
    """One partition, and when it is deleted.

    `job` is its ISM job, `None` on a cluster without ISM. `due` is when that job, or whodid, deletes it; `None` for
    never, and while it is held without a job. A job that has failed for good keeps it beyond `due`. `days` is how long
    each of its entries is kept at least, `None` if `due` is. `hold` is the actual and the wanted state of its holds,
    `None` if it has no mark of ours or this user may not read it.
    """

    name: str
    created: datetime
    start: datetime
    end: datetime
    job: Managed | None
    hold: Step | None
    due: datetime | None
    days: int | None

    @property
    def holds(self) -> tuple[str, ...]:
        return self.hold.wanted if self.hold else ()

    def is_being_deleted(self, now: datetime) -> bool:
        """Whether ISM is about to delete it."""
        due = self.due is not None and self.due <= now
        return self.job is not None and not self.job.stuck and (due or self.job.deleting)


@dataclass(frozen=True, slots=True)
class DeletionSchedule:
    """When all partitions are deleted.

    `policy` is the one for new partitions, `None` without one or without ISM (`ism` false). `margin` is in days. While
    the cluster is `red`, ISM runs no jobs; false if this user may not read it.
    """

    ism: bool
    policy: StoredPolicy | None
    margin: int
    red: bool
    partitions: tuple[ScheduledPartition, ...]


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: its first entries are kept until at least `floor`, and it is deleted at `ceiling`.

    `days` is how long each of its entries is kept at least. Dates and `days` are `None` if nothing is deleted. `holds`
    are the IDs of holds on it. `problem` says why the dates may be wrong; empty when all is well.
    """

    name: str
    created: datetime
    floor: datetime | None
    ceiling: datetime | None
    problem: str = ""
    holds: tuple[str, ...] = ()
    days: int | None = None


@dataclass(frozen=True, slots=True)
class RetentionView:
    """A new entry is kept at least `floor_days` and at most `ceiling_days`; `None` means for ever.

    `asked_days` is the setting. `enforced_by` is what deletes: ISM by our policy, `whodid ship` on a cluster without
    ISM, or nothing without a policy; ISM then still deletes those of the `partitions` whose jobs have a copy of one.
    `partitions` are in the order of their dates. While the cluster is `red`, ISM deletes nothing.
    """

    asked_days: int | None
    floor_days: int | None
    ceiling_days: int | None
    enforced_by: Literal["ism", "whodid", "nothing"]
    partitions: tuple[Partition, ...] = ()
    red: bool = False

    @property
    def problems(self) -> tuple[str, ...]:
        """The problems of retention, in words."""
        found = []
        if self.enforced_by == "ism" and self.asked_days != self.floor_days:
            found.append(f"the setting asks for {_days(self.asked_days)}, the policy keeps {_days(self.floor_days)}")
        if self.red:
            found.append(
                "the cluster is red, and ISM deletes nothing until it recovers; see GET _cluster/allocation/explain"
            )
        return (*found, *(f"{one.name}: {one.problem}" for one in self.partitions if one.problem))

    @property
    def still_deleted(self) -> int:
        """How many partitions ISM deletes without a policy of ours, by the copies in their jobs."""
        return sum(one.ceiling is not None for one in self.partitions) if self.enforced_by == "nothing" else 0

    def kept_until(self, creation_date: str, partition: str) -> tuple[datetime, datetime] | None:
        """When an entry may be deleted at the earliest, and when its partition is deleted; `None` for never."""
        recorded = datetime.fromisoformat(creation_date)
        known = next((one for one in self.partitions if one.name == partition), None)
        if known is not None:
            if known.ceiling is None or known.days is None:
                return None
            floor = later(recorded, timedelta(days=known.days))
            return floor, max(floor, known.ceiling)
        if self.floor_days is None or self.ceiling_days is None:
            return None
        return (
            later(recorded, timedelta(days=self.floor_days)),
            later(recorded, timedelta(days=self.ceiling_days)),
        )

    def holds_on(self, partition: str) -> tuple[str, ...]:
        """The IDs of the holds on a partition, as far as this user may read them."""
        return next((one.holds for one in self.partitions if one.name == partition), ())

    def __str__(self) -> str:
        return "; ".join((f"retention: {self._rule()}", *self.problems))

    def _rule(self) -> str:
        if self.enforced_by == "nothing" and self.still_deleted:
            return (
                "this cluster has no retention policy of whodid: ISM still deletes partitions "
                f"({self.still_deleted}) by the copies in its jobs, but no new ones: run `whodid setup`"
            )
        if self.enforced_by == "nothing":
            return "this cluster has no retention policy yet, and nothing deletes old entries: run `whodid setup`"
        if self.floor_days is None:
            return "off; entries are kept until someone deletes them"
        by = "ISM" if self.enforced_by == "ism" else "`whodid ship`, as this cluster has no Index State Management"
        return f"entries are kept {self.floor_days} to {self.ceiling_days} days, and deleted by {by}"

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
def deletion_schedule(client: OpenSearch, settings: Settings, *, strict: bool = False) -> DeletionSchedule:
    """Reads the schedule from the cluster, for which read rights are enough. Raises `OpenSearchError`.

    With `strict` it is also raised if this user may not read the holds, which every change must respect.
    """
    created = creation_dates(client, settings)
    ism, pattern = Ism(client), index_pattern(settings)
    available = ism.available()
    margin = margin_days(settings, created)
    jobs = {one.index: one for one in managed(ism.explain(pattern))} if available else {}
    holds = {step.partition: step for step in _steps(client, settings, jobs if available else None, strict)}
    found = (
        _scheduled(settings, name, at, jobs.get(name, Managed(name)) if available else None, holds.get(name), margin)
        for name, at in created.items()
    )
    return DeletionSchedule(
        ism=available,
        policy=ism.policy(policy_name(settings)) if available else None,
        margin=margin,
        red=available and is_red(client),
        partitions=tuple(found),
    )


def _steps(client: OpenSearch, settings: Settings, jobs: dict[str, Managed] | None, strict: bool) -> list[Step]:
    try:
        return list(all_steps(client, settings, jobs))
    except NotAuthorized:
        if strict:
            raise
        return []


def is_red(client: OpenSearch) -> bool:
    """Whether any index of the cluster lacks a shard; false if this user may not read it."""
    try:
        with translated("the health of the cluster"):
            return str(client.cluster.health()["status"]) == "red"
    except NotAuthorized:
        return False


def _scheduled(
    settings: Settings, name: str, created: datetime, job: Managed | None, hold: Step | None, margin: int
) -> ScheduledPartition:
    start, end = (edge(settings.index_prefix, name) or created for edge in (partition_start, partition_end))
    asked, due, days = retention_days(settings.retention), None, None
    if hold and hold.wanted and (job is None or job.policy_id is None):
        pass
    elif job is not None:
        due = None if (age := job.deletion_age) is None else _at_age(created, age)
        days = None if due is None else floor_days((due - created).days, asked, margin)
    else:
        due = deletion_date(settings, name, created)
        days = None if due is None else asked
    return ScheduledPartition(name, created, start, end, job, hold, due, days)


def _at_age(created: datetime, age: timedelta) -> datetime | None:
    """The date at which an index created then has that age; `None` if it is beyond the calendar."""
    try:
        return created + age
    except OverflowError:
        return None


def deletion_date(settings: Settings, name: str, created: datetime) -> datetime | None:
    """When whodid deletes a partition without holds on a cluster without ISM; `None` for never.

    It is the date when ISM would, but never before the floor of its last entry.
    """
    days = retention_days(settings.retention)
    end = partition_end(settings.index_prefix, name)
    if days is None or end is None:
        return None
    by_age = _at_age(created, timedelta(days=days + margin_days(settings, [name])))
    by_name = _at_age(end, timedelta(days=days + CLOCK_SKEW_DAYS))
    return max(by_age, by_name) if by_age and by_name else None


def retention_in_force(client: OpenSearch, settings: Settings, now: datetime | None = None) -> RetentionView:
    """Reads the retention from the cluster; `now` is by its clock. Raises `OpenSearchError`."""
    asked = retention_days(settings.retention)
    found = deletion_schedule(client, settings)
    now = now or cluster_now(client)
    partitions = tuple(_partition(settings, found, one, now) for one in found.partitions)
    if not found.ism:
        ceiling = None if asked is None else asked + found.margin
        return RetentionView(asked, asked, ceiling, "whodid", partitions)
    if found.policy is None:
        return RetentionView(asked, None, None, "nothing", partitions, found.red)
    ceiling = deletion_days(found.policy.policy)
    floor = None if ceiling is None else floor_days(ceiling, asked, found.margin)
    return RetentionView(asked, floor, ceiling, "ism", partitions, found.red)


def floor_days(ceiling: int, asked: int | None, margin: int) -> int:
    """The days that a policy keeps entries; its margin may be that of longer partitions, all deleted since."""
    if asked is not None and ceiling - asked in MARGINS and ceiling - asked >= margin:
        return asked
    return max(0, ceiling - margin)


def _partition(settings: Settings, found: DeletionSchedule, one: ScheduledPartition, now: datetime) -> Partition:
    floor = None if one.days is None else later(one.start, timedelta(days=one.days))
    problem = _why_not(settings, found, one, now)
    return Partition(one.name, one.created, floor, one.due, problem, one.holds, one.days)


def _why_not(settings: Settings, found: DeletionSchedule, one: ScheduledPartition, now: datetime) -> str:
    """Why a partition may not be deleted when it should be; empty when all is well."""
    job, due, days = one.job, one.due, one.days
    if one.holds and (job is None or job.policy_id is None):
        return ""
    late = due is not None and now - OVERDUE > due
    if job is None:
        how = "run `whodid ship` or `whodid retention enforce` as a user who may delete it"
        return f"should have been deleted: {how}" if late else ""
    if one.holds:
        return f"held, but still under the policy {job.policy_id}, which may delete it"
    if found.policy is None:
        return ""
    if problem := job.problem(policy_name(settings), found.policy):
        return problem
    if due is not None and job.deleting and now < due:
        return f"ISM is about to delete it, though it is due on {due:%Y-%m-%d}; `whodid doctor --fix` holds it"
    if due is not None and late:
        return f"should have been deleted on {due:%Y-%m-%d}: {job.message or 'ISM has not deleted it'}"
    if due is not None and days is not None and due < later(one.end, timedelta(days=days)):
        return "created too early: deleted before its last entries expire; `whodid doctor --fix` holds it"
    return ""
