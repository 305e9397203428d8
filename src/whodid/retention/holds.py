"""Holds: they protect partitions from deletion until they are released, whatever the retention is.

A hold is stored in the ledger (who, why, which partitions or days) and as a mark in the `_meta` of each partition that
it covers. The mark protects: whodid reads it before it deletes, and ISM does not manage marked partitions. The mark is
part of the index, also in snapshots, and works even if the ledger is lost.

Invariants:
- The partition is protected first and marked last: a blocked index (read-only, flood stage) refuses only the mark.
- Once `set_hold` has returned without a problem, each covered partition has the mark, and ISM has no job for it.
- A partition returns to ISM only under a policy that keeps it as long as the settings want.
- A mark is removed only when no hold in force covers the partition, and the ledger says that its hold was released.
- A hold over days covers partitions created later whenever `apply_holds` runs, as in the daily `whodid retention
  enforce`: long before their retention is over.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..cluster.connection import translated
from ..cluster.ledger import Ledger, Page
from ..cluster.partitions import creation_dates, marks, metas
from ..cluster.template import index_pattern
from ..entry import Stamp, parse_creation_date, partition_end, partition_start
from ..errors import OpenSearchError
from ..settings import Settings
from ..text import FOREIGN
from .ism import Ism, Managed, keeps_as_long, managed, policy_body, policy_name

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = [
    "Applied",
    "Hold",
    "Step",
    "all_steps",
    "apply_holds",
    "check_hold",
    "find_hold",
    "held",
    "held_only_by",
    "holds",
    "make_step",
    "new_hold",
    "release_hold",
    "set_hold",
    "steps",
]

_AUTO_MANAGE = "index.plugins.index_state_management.auto_manage"
"""ISM manages an index again at its next sweep if this setting is missing or true."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold on `partitions` by name, or on all with a day from `since` (included) to `until` (not included).

    `released` is empty while it is in force, then the time (`YYYY-MM-DDTHH:MM:SSZ`) of the release; `why_released` and
    `released_by` are set with it.
    """

    id: str
    reason: str
    by: str
    time: str
    partitions: tuple[str, ...] = ()
    since: str = ""
    until: str = ""
    released: str = ""
    released_by: str = ""
    why_released: str = ""

    @property
    def in_force(self) -> bool:
        return not self.released

    def covers(self, prefix: str, partition: str) -> bool:
        """Whether it covers that partition, released or not."""
        if partition in self.partitions:
            return True
        start, end = partition_start(prefix, partition), partition_end(prefix, partition)
        if not (self.since or self.until) or start is None or end is None:
            return False
        after_since = not self.since or datetime.fromisoformat(self.since) < end
        before_until = not self.until or start < datetime.fromisoformat(self.until)
        return after_since and before_until

    def covers_later(self, now: datetime) -> bool:
        """Whether it covers partitions that are created later than now."""
        return not self.partitions and (not self.until or datetime.fromisoformat(self.until) > now)

    def meant(self) -> str:
        """The partitions or days that it covers, in words."""
        days = [f"{word} {day}" for word, day in (("since", self.since), ("until", self.until)) if day]
        return ", ".join(self.partitions) or " ".join(days)


@dataclass(frozen=True, slots=True)
class Applied:
    """The result: partitions that were held, those released, and why others could not be."""

    held: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """The actual (`marked`) and the `wanted` holds of a partition; `managed` is whether ISM has a job for it."""

    partition: str
    meta: Mapping[str, Any] = field(repr=False)
    marked: tuple[str, ...]
    wanted: tuple[str, ...]
    ism: bool
    managed: bool

    @property
    def done(self) -> bool:
        return self.marked == self.wanted and not (self.wanted and self.managed)

    def __str__(self) -> str:
        return f"held by {', '.join(self.wanted)}" if self.wanted else f"no longer held by {', '.join(self.marked)}"


def new_hold(
    reason: str,
    by: str,
    *,
    partitions: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
) -> Hold:
    """A hold that is not in force yet. Raises `ValueError` without a reason, and for a range that covers nothing."""
    if not reason.strip():
        raise ValueError("the reason must not be empty; it is recorded in the audit log")
    if bool(partitions) == bool(since or until):
        raise ValueError("name either partitions or the days since and until, not both")
    if since and until and since >= until:
        raise ValueError("since must be before until")
    span = {
        name: moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        for name, moment in (("since", since), ("until", until))
        if moment
    }
    time = Stamp.now().creation_date
    return Hold(f"h-{secrets.token_hex(6)}", reason.strip(), by, time, tuple(sorted(set(partitions))), **span)


@translated("holds")
def holds(client: OpenSearch, settings: Settings) -> list[Hold]:
    """All holds, including released ones, in the order in which they were set. Raises `OpenSearchError`."""
    return sorted((_hold(page) for page in Ledger(client, settings).pages("hold")), key=lambda hold: hold.time)


def check_hold(client: OpenSearch, settings: Settings, hold: Hold) -> None:
    """Raises `OpenSearchError` if the hold names a partition that does not exist."""
    known = creation_dates(client, settings)
    if missing := [name for name in hold.partitions if name not in known]:
        raise OpenSearchError(
            f"there is no partition {', '.join(missing)}; `whodid retention show` lists them. A hold with --since and "
            "--until also covers partitions created later"
        )


def set_hold(client: OpenSearch, settings: Settings, hold: Hold) -> Applied:
    """Puts the hold in force. Raises `OpenSearchError` as `check_hold` does.

    `problems` in the result has the partitions that the cluster refused; `apply_holds` tries them again.
    """
    check_hold(client, settings, hold)
    Ledger(client, settings).write(f"hold-{hold.id}", "hold", asdict(hold), known=None)
    return apply_holds(client, settings)


def find_hold(client: OpenSearch, settings: Settings, hold_id: str) -> Hold:
    """The hold with that ID. Raises `OpenSearchError` if it doesn't exist, or is released and on no partition.

    A hold that is only in marks, since the ledger was lost, is found as well.
    """
    page = Ledger(client, settings).page(f"hold-{hold_id}")
    marked = [name for name, ids in marks(client, settings).items() if hold_id in ids]
    if page is None and not marked:
        raise OpenSearchError(f"there is no hold {hold_id}; `whodid hold list --all` lists them")
    if page is None:
        return Hold(hold_id, "unknown: it is not in the ledger", "", "", tuple(sorted(marked)))
    hold = _hold(page)
    if not hold.in_force and not marked:
        raise OpenSearchError(f"the hold {hold_id} was released on {hold.released[:10]} by {hold.released_by}")
    return hold


def release_hold(client: OpenSearch, settings: Settings, hold_id: str, *, by: str, reason: str) -> Applied:
    """Releases a hold: retention applies to its partitions again, unless another hold covers them.

    Raises as `find_hold`, and `ValueError` without a reason.
    """
    if not reason.strip():
        raise ValueError("the reason must not be empty; it is recorded in the audit log")
    hold = find_hold(client, settings, hold_id)
    if hold.in_force:
        ledger, key = Ledger(client, settings), f"hold-{hold_id}"
        ended = replace(hold, released=Stamp.now().creation_date, released_by=by, why_released=reason)
        ledger.write(key, "hold", asdict(ended), known=ledger.page(key))
    return apply_holds(client, settings)


@translated("holds")
def held(client: OpenSearch, settings: Settings) -> dict[str, tuple[str, ...]]:
    """The IDs of the holds on each held partition, by their marks and by the ledger. Raises `OpenSearchError`."""
    return {step.partition: step.wanted for step in all_steps(client, settings, None) if step.wanted}


def held_only_by(client: OpenSearch, settings: Settings, hold_id: str) -> list[str]:
    """Partitions that only this hold protects. Raises `OpenSearchError`."""
    return [name for name, ids in held(client, settings).items() if ids == (hold_id,)]


def all_steps(client: OpenSearch, settings: Settings, jobs: Mapping[str, Managed] | None) -> Iterator[Step]:
    """The step of each partition of ours, done or not.

    `jobs` are the ISM jobs by partition, `None` if there is no ISM or jobs don't matter.
    """
    every = {hold.id: hold for hold in holds(client, settings)}
    for name, meta in metas(client, settings).items():
        marked = tuple(sorted(meta.get("holds", ())))
        wanted = _wanted(every, settings.index_prefix, name, marked)
        has_job = bool((jobs or {}).get(name, Managed(name)).policy_id)
        yield Step(name, meta, marked, wanted, jobs is not None, has_job)


def steps(client: OpenSearch, settings: Settings) -> list[Step]:
    """The steps after which every partition is held or released as the holds say. Raises `OpenSearchError`."""
    ism = Ism(client)
    jobs = {one.index: one for one in managed(ism.explain(index_pattern(settings)))} if ism.available() else None
    return [step for step in all_steps(client, settings, jobs) if not step.done]


def make_step(client: OpenSearch, settings: Settings, step: Step) -> None:
    """Makes one step. Raises `OpenSearchError`, which says whether ISM may still delete the partition."""
    if not step.wanted:
        _mark(client, step)
        if step.ism:
            _give_back(client, settings, step.partition)
        return
    if step.ism:
        _protect(client, step.partition)
    try:
        _mark(client, step)
    except OpenSearchError as error:
        raise type(error)(f"it is protected, but could not be marked yet: {error}") from error


def _protect(client: OpenSearch, partition: str) -> None:
    """Removes the partition from ISM, even if the index refuses the setting that keeps ISM from managing it again.

    ISM sets it itself at the removal. A partition can have a job that `explain` does not show yet.
    """
    refused: OpenSearchError | None = None
    try:
        _set_auto_manage(client, partition, "false")
    except OpenSearchError as error:
        refused = error
    try:
        Ism(client).remove(partition)
    except OpenSearchError as error:
        raise type(error)(f"ISM MAY STILL DELETE IT: {error}") from error
    if refused and not _is_left_alone(client, partition):
        raise type(refused)(f"ISM may manage it again: {refused}") from refused


def _is_left_alone(client: OpenSearch, partition: str) -> bool:
    with translated(f"the settings of {partition}"):
        answer = client.indices.get_settings(index=partition, name=_AUTO_MANAGE, params={"flat_settings": "true"})
    return bool(answer.get(partition, {}).get("settings", {}).get(_AUTO_MANAGE) == "false")


def _give_back(client: OpenSearch, settings: Settings, partition: str) -> None:
    """Under a policy that keeps it as long as the settings want: one that somebody changed may delete it at once.

    ISM may manage it again only after that: before, it would take it under any policy whose template matches.
    """
    ism, name = Ism(client), policy_name(settings)
    stored = ism.policy(name)
    if stored is None:
        raise OpenSearchError(
            f"it is released and under no policy, since {name} does not exist; `whodid setup` creates it"
        )
    if not keeps_as_long(stored.policy, policy_body(settings, creation_dates(client, settings))["policy"]):
        raise OpenSearchError(
            f"it is released and under no policy, since {name} deletes earlier than the settings want; `whodid setup "
            "--dry-run` shows how it differs"
        )
    ism.add(partition, name)
    _set_auto_manage(client, partition, None)


@translated("holds")
def apply_holds(client: OpenSearch, settings: Settings) -> Applied:
    """Makes all steps; safe to repeat at any time. Raises `OpenSearchError` if holds or partitions can't be read."""
    kept: list[str] = []
    released: list[str] = []
    problems: dict[str, str] = {}
    for step in steps(client, settings):
        try:
            make_step(client, settings, step)
        except OpenSearchError as error:
            problems[step.partition] = str(error)
        else:
            (kept if step.wanted else released).append(step.partition)
    return Applied(tuple(kept), tuple(released), problems)


def _wanted(every: Mapping[str, Hold], prefix: str, name: str, marked: Collection[str]) -> tuple[str, ...]:
    """Marks that are not in the ledger are kept: the ledger may be lost, or the index come from another cluster."""
    covering = {hold.id for hold in every.values() if hold.in_force and hold.covers(prefix, name)}
    return tuple(sorted(covering.union(each for each in marked if each not in every)))


def _mark(client: OpenSearch, step: Step) -> None:
    """Writes the wanted holds into `_meta`, which OpenSearch replaces as a whole."""
    if step.marked == step.wanted:
        return
    rest = {key: value for key, value in step.meta.items() if key != "holds"}
    meta = rest | ({"holds": list(step.wanted)} if step.wanted else {})
    with translated(f"marking {step.partition}"):
        client.indices.put_mapping(index=step.partition, body={"_meta": meta})


def _set_auto_manage(client: OpenSearch, name: str, value: str | None) -> None:
    with translated(f"the settings of {name}"):
        client.indices.put_settings(index=name, body={_AUTO_MANAGE: value})


def _hold(page: Page) -> Hold:
    """The hold in a page. Raises `OpenSearchError` for an invalid one, since it might protect anything."""
    try:
        return _read(page)
    except FOREIGN as error:
        raise OpenSearchError(
            f"the page {page.key} of the ledger is no valid hold: a newer whodid wrote it (upgrade this one), or "
            "somebody else (delete the page)"
        ) from error


def _read(page: Page) -> Hold:
    """Raises one of `FOREIGN` for an invalid page."""
    body = dict(page.body)
    hold = Hold(**{**body, "partitions": tuple(body.get("partitions", ()))})
    if any(day and parse_creation_date(day) is None for day in (hold.since, hold.until)):
        raise ValueError(f"{page.key} is not a hold")
    return hold
