"""The holds: partitions that nothing deletes for as long as someone needs them, whatever the retention is.

A hold stands in the ledger (who, why, which partitions or days) and as a mark in the `_meta` of each partition it
covers. The mark is what protects: deletion by whodid reads it with our own mark, in one request, and ISM no longer
manages what has it. It moves with the index, into snapshots too, and holds even where the ledger is lost.

Invariants:
- Protection comes first, the mark last: an index that is blocked (read-only, flood stage) refuses the mark alone.
- Once `set_hold` has returned without a problem, each covered partition has the mark, and ISM has no job for it.
- ISM gets a partition back only under a policy that keeps it as long as the settings want.
- A mark goes only when no hold that is in force covers the partition, and the ledger says that its hold was released.
- A hold over days reaches partitions that are made later each time `apply_holds` runs, as it does in the daily
  `whodid retention enforce`: long before their retention is over.
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
from ..entry import Stamp, partition_end, partition_start
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
    "freed_by",
    "held",
    "holds",
    "make_step",
    "new_hold",
    "release_hold",
    "set_hold",
    "steps",
]

_AUTO_MANAGE = "index.plugins.index_state_management.auto_manage"
"""An index without it, or with it true, is taken up by ISM again at the next sweep."""


@dataclass(frozen=True, slots=True)
class Hold:
    """`partitions` by name, or all that have a day in `since` (included) to `until` (not included).

    `released` is empty while it is in force, then the time (`YYYY-MM-DDTHH:MM:SSZ`); `why_released` and `released_by`
    go with it.
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
        """Whether it means that partition; released or not."""
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
        """In words, which entries it keeps."""
        days = [f"{word} {day}" for word, day in (("since", self.since), ("until", self.until)) if day]
        return ", ".join(self.partitions) or " ".join(days)


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done: partitions that are held since now, those released, and why others could not be."""

    held: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """How one partition's holds are (`marked`) and should be (`wanted`); `managed` is whether ISM has a job for it."""

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
    """A hold that is not in force yet. Raises `ValueError` where it would mean nothing."""
    if not reason.strip():
        raise ValueError("a hold needs a reason, for those who meet it years later")
    if bool(partitions) == bool(since or until):
        raise ValueError("name partitions, or the days since and until, and not both")
    if since and until and since >= until:
        raise ValueError("the hold would begin after it ends: since must be before until")
    span = {
        name: moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for name, moment in (("since", since), ("until", until))
        if moment
    }
    time = Stamp.now().creation_date
    return Hold(f"h-{secrets.token_hex(6)}", reason.strip(), by, time, tuple(sorted(set(partitions))), **span)


@translated("holds")
def holds(client: OpenSearch, settings: Settings) -> list[Hold]:
    """All holds, released ones too, in the order in which they were set. Raises `OpenSearchError`."""
    return sorted((_hold(page) for page in Ledger(client, settings).pages("hold")), key=lambda hold: hold.time)


def check_hold(client: OpenSearch, settings: Settings, hold: Hold) -> None:
    """Raises `OpenSearchError` for a partition that isn't there."""
    known = creation_dates(client, settings)
    if missing := [name for name in hold.partitions if name not in known]:
        raise OpenSearchError(
            f"there is no partition {', '.join(missing)}; `whodid retention show` lists them, and a hold --since and "
            "--until reaches those that are made later, too"
        )


def set_hold(client: OpenSearch, settings: Settings, hold: Hold) -> Applied:
    """Puts the hold in force. Raises `OpenSearchError` as `check_hold`.

    What the cluster refuses for single partitions is in the answer's `problems`; `apply_holds` tries it again.
    """
    check_hold(client, settings, hold)
    Ledger(client, settings).write(f"hold-{hold.id}", "hold", asdict(hold), known=None)
    return apply_holds(client, settings)


def find_hold(client: OpenSearch, settings: Settings, hold_id: str) -> Hold:
    """The hold of that ID, to be released. Raises `OpenSearchError` where nothing is held by it.

    One that only marks know, as the ledger was lost, is found as well.
    """
    page = Ledger(client, settings).page(f"hold-{hold_id}")
    marked = [name for name, ids in marks(client, settings).items() if hold_id in ids]
    if page is None and not marked:
        raise OpenSearchError(f"there is no hold {hold_id}; `whodid hold list --all` has them")
    if page is None:
        return Hold(hold_id, "not known: it is not in the ledger", "", "", tuple(sorted(marked)))
    hold = _hold(page)
    if not hold.in_force and not marked:
        raise OpenSearchError(f"the hold {hold_id} was released on {hold.released[:10]} by {hold.released_by}")
    return hold


def release_hold(client: OpenSearch, settings: Settings, hold_id: str, *, by: str, reason: str) -> Applied:
    """Ends a hold: its partitions are under retention again, unless another one covers them.

    Raises as `find_hold`, and `ValueError` without a reason.
    """
    if not reason.strip():
        raise ValueError("the release of a hold needs a reason, for those who read the log later")
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


def freed_by(client: OpenSearch, settings: Settings, hold_id: str) -> list[str]:
    """Partitions that are held by this one alone. Raises `OpenSearchError`."""
    return [name for name, ids in held(client, settings).items() if ids == (hold_id,)]


def all_steps(client: OpenSearch, settings: Settings, jobs: Mapping[str, Managed] | None) -> Iterator[Step]:
    """As `steps`, for each partition of ours, done or not.

    `jobs` is what ISM says of them, `None` where there is no ISM or it doesn't matter.
    """
    every = {hold.id: hold for hold in holds(client, settings)}
    for name, meta in metas(client, settings).items():
        marked = tuple(sorted(meta.get("holds", ())))
        wanted = _wanted(every, settings.index_prefix, name, marked)
        has_job = bool((jobs or {}).get(name, Managed(name)).policy_id)
        yield Step(name, meta, marked, wanted, jobs is not None, has_job)


def steps(client: OpenSearch, settings: Settings) -> list[Step]:
    """What must be done so that every partition is in line with the holds. Raises `OpenSearchError`."""
    ism = Ism(client)
    jobs = {one.index: one for one in managed(ism.explain(index_pattern(settings)))} if ism.available() else None
    return [step for step in all_steps(client, settings, jobs) if not step.done]


def make_step(client: OpenSearch, settings: Settings, step: Step) -> None:
    """Raises `OpenSearchError`, which says whether ISM may still delete what should be held."""
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
        raise type(error)(f"nothing deletes it, but it has no mark yet: {error}") from error


def _protect(client: OpenSearch, partition: str) -> None:
    """Takes the partition from ISM, also where the index refuses the setting that keeps ISM from taking it again.

    ISM itself sets it as it lets go; where `explain` does not show the job yet, it has one all the same.
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
        raise type(refused)(f"ISM may take it up again: {refused}") from refused


def _is_left_alone(client: OpenSearch, partition: str) -> bool:
    with translated(f"the settings of {partition}"):
        answer = client.indices.get_settings(index=partition, name=_AUTO_MANAGE, params={"flat_settings": "true"})
    return bool(answer.get(partition, {}).get("settings", {}).get(_AUTO_MANAGE) == "false")


def _give_back(client: OpenSearch, settings: Settings, partition: str) -> None:
    """Under a policy that keeps it as long as the settings want: one that somebody changed may delete it at once."""
    _set_auto_manage(client, partition, None)
    ism, name = Ism(client), policy_name(settings)
    stored = ism.policy(name)
    if stored is None:
        return
    if not keeps_as_long(stored.policy, policy_body(settings, creation_dates(client, settings))["policy"]):
        raise OpenSearchError(
            f"it is released, and under no policy: {name} deletes earlier than the settings want; `whodid setup "
            "--dry-run` shows how it differs"
        )
    ism.add(partition, name)


@translated("holds")
def apply_holds(client: OpenSearch, settings: Settings) -> Applied:
    """Makes all steps; may be done at any time, and changes nothing the second time.

    Raises `OpenSearchError` where holds or partitions can't be read: what is held isn't known then.
    """
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
    """A mark that the ledger does not know stays: the ledger may have been lost, or the index come from elsewhere."""
    covering = {hold.id for hold in every.values() if hold.in_force and hold.covers(prefix, name)}
    return tuple(sorted(covering.union(each for each in marked if each not in every)))


def _mark(client: OpenSearch, step: Step) -> None:
    """`_meta` is replaced as a whole."""
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
    """Raises `OpenSearchError` for what is none: nothing may be deleted by a hold that can't be read."""
    try:
        body = dict(page.body)
        return Hold(**{**body, "partitions": tuple(body.get("partitions", ()))})
    except FOREIGN as error:
        raise OpenSearchError(
            f"the page {page.key} of the ledger is no hold that can be read here: a newer whodid wrote it (upgrade "
            "this one), or somebody else (delete the page)"
        ) from error
