"""The retention in force: when each partition is deleted, by whom, and what that means for its entries.

ISM counts from the creation of an index and deletes it whole. So an entry lives at least the `floor` (the retention)
and at most the `ceiling`: the retention, and the longest partition, and two days of margin for clocks. What counts is
what each job will do, by its own copy of a policy; the policy itself says what becomes of partitions that are to come.
Whoever asks when a partition is deleted asks `outlook`: `survey` adds what the partitions hold, for the doctor, and
`retention_in_force` says it in words and dates. Of this view the client keeps the one copy, for a minute.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from ..cluster.clock import cluster_now
from ..cluster.connection import translated
from ..cluster.partitions import creation_dates
from ..cluster.template import index_pattern
from ..entry import partition_end, partition_start
from ..errors import NotAuthorized
from ..settings import Settings, retention_days
from .holds import Step, all_steps
from .ism import CLOCK_SKEW_DAYS, MARGINS, Ism, Managed, StoredPolicy, deletion_days, managed, margin_days, policy_name

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = [
    "OVERDUE",
    "Fate",
    "Outlook",
    "Partition",
    "RetentionView",
    "deletion_date",
    "floor_days",
    "is_red",
    "outlook",
    "retention_in_force",
]

OVERDUE = timedelta(days=2)
"""So long a partition may outlive its date: ISM looks every few minutes, and retries for a while."""


@dataclass(frozen=True, slots=True)
class Fate:
    """One partition, and when it is deleted.

    `job` is what ISM does with it, `None` on a cluster without. `due` is when its job deletes it, or whodid; `None`
    for never, also where a hold keeps it and no job of ISM's has it. `days` is how long each of its entries lives at
    least, `None` as `due` is. `hold` is how its holds are and should be, `None` where it has no mark of ours or this
    user may not know. A job that has given up keeps it beyond `due`.
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

    def going(self, now: datetime) -> bool:
        """Whether ISM is about to delete it, unless somebody stops that."""
        due = self.due is not None and self.due <= now
        return self.job is not None and not self.job.stuck and (due or self.job.deleting)


@dataclass(frozen=True, slots=True)
class Outlook:
    """`policy` is the one that new partitions get, `None` without one or without ISM (`ism` false).

    `margin` is in days. While the cluster is `red` no job of ISM runs; false where this user may not know.
    """

    ism: bool
    policy: StoredPolicy | None
    margin: int
    red: bool
    fates: tuple[Fate, ...]


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: its first entries may go from `floor` on, and all of it goes at `ceiling`.

    `holds` are the IDs of those that keep it. `problem` says why something may not be so; empty when all is well. Dates
    are `None` where nothing is deleted, and so are `days`, which each of its entries lives at least.
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
    """`floor_days`: each entry lives at least so long; `ceiling_days`: at most. `None` means for ever.

    Both are of new entries. `asked_days` is the setting; `enforced_by` is who deletes: ISM with our policy; `whodid
    ship` where the cluster has no ISM; or nothing, as there is no policy: ISM then still deletes those of the
    `partitions` whose jobs have a copy of one. They are in the order of their dates. While the cluster is `red`, ISM
    deletes nothing.
    """

    asked_days: int | None
    floor_days: int | None
    ceiling_days: int | None
    enforced_by: Literal["ism", "whodid", "nothing"]
    partitions: tuple[Partition, ...] = ()
    red: bool = False

    @property
    def problems(self) -> tuple[str, ...]:
        """What is not as it should be, in words."""
        found = []
        if self.enforced_by == "ism" and self.asked_days != self.floor_days:
            found.append(f"the setting asks for {_days(self.asked_days)}, the policy keeps {_days(self.floor_days)}")
        if self.red:
            found.append(
                "the cluster is red: ISM deletes nothing until no index of it is; see GET _cluster/allocation/explain"
            )
        return (*found, *(f"{one.name}: {one.problem}" for one in self.partitions if one.problem))

    @property
    def still_deleted(self) -> int:
        """How many partitions ISM deletes without a policy of ours, by the copies that their jobs have."""
        return sum(one.ceiling is not None for one in self.partitions) if self.enforced_by == "nothing" else 0

    def kept_until(self, creation_date: str, partition: str) -> tuple[datetime, datetime] | None:
        """From when on an entry may be deleted, and when its partition is at the latest; `None` for never."""
        recorded = datetime.fromisoformat(creation_date)
        known = next((one for one in self.partitions if one.name == partition), None)
        if known is not None:
            if known.ceiling is None or known.days is None:
                return None
            floor = recorded + timedelta(days=known.days)
            return floor, max(floor, known.ceiling)
        if self.floor_days is None or self.ceiling_days is None:
            return None
        return recorded + timedelta(days=self.floor_days), recorded + timedelta(days=self.ceiling_days)

    def holds_on(self, partition: str) -> tuple[str, ...]:
        """The IDs of the holds that keep a partition, as far as this user may know."""
        return next((one.holds for one in self.partitions if one.name == partition), ())

    def __str__(self) -> str:
        return "; ".join((f"retention: {self._rule()}", *self.problems))

    def _rule(self) -> str:
        if self.enforced_by == "nothing" and self.still_deleted:
            return (
                "this cluster has no retention policy of whodid: ISM still deletes partitions "
                f"({self.still_deleted}) by the copies that its jobs have, and no new ones: run `whodid setup`"
            )
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
def outlook(client: OpenSearch, settings: Settings, *, strict: bool = False) -> Outlook:
    """Asks the cluster, read rights being enough. Raises `OpenSearchError`; if `strict`, also where this user may not
    see the holds: who changes something must know them."""
    created = creation_dates(client, settings)
    ism, pattern = Ism(client), index_pattern(settings)
    available = ism.available()
    margin = margin_days(settings, created)
    jobs = {one.index: one for one in managed(ism.explain(pattern))} if available else {}
    holds = {step.partition: step for step in _steps(client, settings, jobs if available else None, strict)}
    found = (
        _fate(settings, name, at, jobs.get(name, Managed(name)) if available else None, holds.get(name), margin)
        for name, at in created.items()
    )
    return Outlook(
        ism=available,
        policy=ism.policy(policy_name(settings)) if available else None,
        margin=margin,
        red=available and is_red(client),
        fates=tuple(found),
    )


def _steps(client: OpenSearch, settings: Settings, jobs: dict[str, Managed] | None, strict: bool) -> list[Step]:
    try:
        return list(all_steps(client, settings, jobs))
    except NotAuthorized:
        if strict:
            raise
        return []


def is_red(client: OpenSearch) -> bool:
    """Whether any index of the cluster lacks a shard; false where this user may not ask."""
    try:
        with translated("the health of the cluster"):
            return str(client.cluster.health()["status"]) == "red"
    except NotAuthorized:
        return False


def _fate(
    settings: Settings, name: str, created: datetime, job: Managed | None, hold: Step | None, margin: int
) -> Fate:
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
    return Fate(name, created, start, end, job, hold, due, days)


def _at_age(created: datetime, age: timedelta) -> datetime | None:
    """`None` where the calendar ends before."""
    try:
        return created + age
    except OverflowError:
        return None


def deletion_date(settings: Settings, name: str, created: datetime) -> datetime | None:
    """When whodid deletes a partition that no hold keeps, on a cluster without ISM; `None` for never.

    That is when ISM would, but never before the floor of its last entry.
    """
    days = retention_days(settings.retention)
    end = partition_end(settings.index_prefix, name)
    if days is None or end is None:
        return None
    by_age = created + timedelta(days=days + margin_days(settings, [name]))
    return max(by_age, end + timedelta(days=days + CLOCK_SKEW_DAYS))


def retention_in_force(client: OpenSearch, settings: Settings, now: datetime | None = None) -> RetentionView:
    """Asks the cluster, by whose clock it is `now`. Raises `OpenSearchError`."""
    asked = retention_days(settings.retention)
    found = outlook(client, settings)
    now = now or cluster_now(client)
    partitions = tuple(_partition(settings, found, fate, now) for fate in found.fates)
    if not found.ism:
        ceiling = None if asked is None else asked + found.margin
        return RetentionView(asked, asked, ceiling, "whodid", partitions)
    if found.policy is None:
        return RetentionView(asked, None, None, "nothing", partitions, found.red)
    ceiling = deletion_days(found.policy.policy)
    floor = None if ceiling is None else floor_days(ceiling, asked, found.margin)
    return RetentionView(asked, floor, ceiling, "ism", partitions, found.red)


def floor_days(ceiling: int, asked: int | None, margin: int) -> int:
    """What a policy promises; the margin may be that of longer partitions, which are all gone since."""
    if asked is not None and ceiling - asked in MARGINS and ceiling - asked >= margin:
        return asked
    return max(0, ceiling - margin)


def _partition(settings: Settings, found: Outlook, fate: Fate, now: datetime) -> Partition:
    floor = None if fate.days is None else fate.start + timedelta(days=fate.days)
    problem = _why_not(settings, found, fate, now)
    return Partition(fate.name, fate.created, floor, fate.due, problem, fate.holds, fate.days)


def _why_not(settings: Settings, found: Outlook, fate: Fate, now: datetime) -> str:
    """Why a partition may not be deleted as promised; empty when all is well."""
    job, due, days = fate.job, fate.due, fate.days
    if fate.holds and (job is None or job.policy_id is None):
        return ""
    late = due is not None and now > due + OVERDUE
    if job is None:
        who = "no `whodid ship` of a user who may delete it, and no `retention enforce`, runs"
        return f"should be gone: {who}" if late else ""
    if fate.holds:
        return f"under the policy {job.policy_id} all the same, which may delete it"
    if found.policy is None:
        return ""
    if problem := job.problem(policy_name(settings), found.policy):
        return problem
    if due is not None and job.deleting and now < due:
        return f"ISM is about to delete it, though it is due on {due:%Y-%m-%d}; `whodid doctor --fix` holds it"
    if due is not None and late:
        return f"should be gone since {due:%Y-%m-%d}: {job.message or 'ISM has not deleted it'}"
    if due is not None and days is not None and due < fate.end + timedelta(days=days):
        return "made too early: goes before its last entries may; `whodid doctor --fix` holds it"
    return ""
