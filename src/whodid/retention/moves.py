"""The change of retention: a new version of the policy, and every partition moved to it.

An update of a policy does not reach the indices it manages (recorded), nor a job that has not run yet: each is moved
by `change_policy`. What that would break for good is never asked for: a job that has given up, or whose state the
policy lacks, is replaced by a new one, by `remove` and `add`, which for these two states loses nothing; an index under
somebody else's policy is left alone unless told otherwise. 200 is never taken for success: `explain` is asked until
each index runs the new version, and what has not arrived is asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from ..cluster.connection import check_repository
from ..cluster.partitions import creation_dates, entry_count
from ..cluster.template import index_pattern
from ..errors import OpenSearchError
from ..settings import Settings
from .holds import apply_holds, held
from .ism import (
    Ism,
    Managed,
    StoredPolicy,
    deletion_age,
    keeps_as_long,
    managed,
    policy_body,
    policy_by_hand,
    policy_name,
    state_names,
)
from .outlook import Outlook, deletion_date, is_red, outlook

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = [
    "Doomed",
    "Move",
    "Report",
    "doomed",
    "doomed_by",
    "doomed_by_release",
    "in_words",
    "make_move",
    "moves",
    "set_retention",
]


@dataclass(frozen=True, slots=True)
class Move:
    """What one index needs: `attach` (it has no policy), `change`, `restart`, or `leave` (somebody else's policy)."""

    index: str
    kind: Literal["attach", "change", "restart", "leave"]
    why: str


@dataclass(slots=True)
class Report:
    """Indices that run the new version, and why the others do not."""

    running: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Doomed:
    """A partition that a retention would delete at once, with the number of its entries."""

    index: str
    entries: int


def moves(
    indices: Sequence[Managed],
    name: str,
    stored: StoredPolicy | None,
    wanted: Mapping[str, Any],
    *,
    take_over: bool = False,
) -> list[Move]:
    """What must be done so that all run the policy: `stored` is the version in force, `None` for one yet to be made.

    A job that has not run yet counts by the copy that it has.
    """
    states = state_names(wanted)
    found = (_move(one, name, stored, states, take_over) for one in indices)
    return [move for move in found if move]


def _move(
    one: Managed, name: str, stored: StoredPolicy | None, states: Collection[str], take_over: bool
) -> Move | None:
    if one.policy_id is None:
        return Move(one.index, "attach", "under no policy")
    if one.policy_id != name:
        return Move(one.index, "restart" if take_over else "leave", f"under another policy, {one.policy_id}")
    follows = stored is not None and one.follows(name, stored)
    if one.stuck or one.completed:
        return None if one.completed and follows else Move(one.index, "restart", one.message or "its job has ended")
    if follows:
        return None
    if one.state is not None and one.state not in states:
        return Move(one.index, "restart", f"in the state {one.state}, which the policy lacks")
    if one.leaving:
        return Move(one.index, "restart", "about to be deleted by an old version")
    return Move(one.index, "change", "runs an old version" if one.version else "has not run yet, with an old version")


def make_move(ism: Ism, move: Move, name: str, wanted: Mapping[str, Any]) -> None:
    """Raises `OpenSearchError` for what ISM refuses, for a `leave`, and where the policy deletes earlier than `wanted`.

    The cluster is asked each time: ISM takes the policy as it is by then, whoever changed it since.
    """
    if move.kind == "leave":
        raise OpenSearchError(f"{move.why}, and left there; --take-over moves it to {name}")
    stored = ism.policy(name)
    if stored is None or not keeps_as_long(stored.policy, wanted):
        raise OpenSearchError(f"{move.index} is left as it is: the policy {name} was changed, and deletes too early")
    if move.kind == "change":
        ism.change_policy(move.index, name)
        return
    if move.kind == "restart":
        ism.remove(move.index)
    ism.add(move.index, name)


def doomed(client: OpenSearch, settings: Settings, now: datetime, *, take_over: bool = False) -> list[Doomed]:
    """What `set_retention` with these settings would have ISM delete at once, and is not being deleted already."""
    found = outlook(client, settings)
    wanted = policy_body(settings, [fate.name for fate in found.fates])["policy"]
    stored = found.policy if found.policy and found.policy.policy == wanted else None
    jobs = [fate.job for fate in found.fates if fate.job and not fate.holds]
    needed = moves(jobs, policy_name(settings), stored, wanted, take_over=take_over)
    return doomed_by(client, found, needed, wanted, now)


def doomed_by(
    client: OpenSearch, found: Outlook, needed: Sequence[Move], policy: Mapping[str, Any], now: datetime
) -> list[Doomed]:
    """Those that the moves would have deleted at once, judged by the age in the policy that they lead to."""
    age, moved = deletion_age(policy), {move.index for move in needed if move.kind != "leave"}
    if age is None:
        return []
    due = [
        fate.name for fate in found.fates if fate.name in moved and now - fate.created >= age and not fate.going(now)
    ]
    return [Doomed(name, entry_count(client, name)) for name in due]


def doomed_by_release(
    client: OpenSearch, settings: Settings, partitions: Collection[str], now: datetime
) -> list[Doomed]:
    """Those of the held partitions that would be deleted at once if no hold kept them."""
    found = outlook(client, settings)
    if found.ism:
        released = [Move(name, "attach", "released") for name in partitions]
        return doomed_by(client, found, released, found.policy.policy, now) if found.policy else []
    dates = {one.name: deletion_date(settings, one.name, one.created) for one in found.fates if one.name in partitions}
    return [Doomed(name, entry_count(client, name)) for name, date in dates.items() if date and date <= now]


def in_words(going: Sequence[Doomed]) -> str:
    """What would be deleted; empty for nothing."""
    if not going:
        return ""
    entries = sum(one.entries for one in going)
    return f"{', '.join(one.index for one in going)} with {entries:,} entries would be deleted within minutes"


def set_retention(
    client: OpenSearch,
    settings: Settings,
    *,
    take_over: bool = False,
    force: bool = False,
    tries: int,
    pause: Callable[[], None],
    on_progress: Callable[[int, int], None] = lambda running, total: None,
) -> Report:
    """Puts the retention of the settings in force, and follows until each partition runs it.

    `explain` is asked `tries` times at most, with a `pause` in between; `on_progress` gets how many run it, and of how
    many. Raises `OpenSearchError` where the cluster has no ISM, or the policy can't be stored; unless `force`, also
    when somebody changed the policy by hand.
    """
    ism, name = Ism(client), policy_name(settings)
    if not ism.available():
        raise OpenSearchError(
            "this cluster has no Index State Management, so there is no policy to set: `whodid ship` and `whodid "
            f'retention enforce` delete by the setting itself; set retention = "{settings.retention}" there'
        )
    check_repository(client, settings.snapshot_repository)
    wanted = policy_body(settings, creation_dates(client, settings))
    applied = apply_holds(client, settings)  # first: what is held must not be moved
    report = Report(problems={index: f"held, but {why}" for index, why in applied.problems.items()})
    on_hold = held(client, settings)
    stored = _store(ism, name, wanted, force)
    _Following(client, ism, settings, stored, report, on_hold, take_over).until_done(tries, pause, on_progress)
    return report


def _store(ism: Ism, name: str, wanted: dict[str, Any], force: bool) -> StoredPolicy:
    """The policy as the cluster has it then; one that somebody else changes meanwhile is replaced once more."""
    for last in (False, True):
        stored = ism.policy(name)
        if stored is not None and stored.policy == wanted["policy"]:
            return stored
        if policy_by_hand(stored) and not force:
            raise OpenSearchError(
                f"the policy {name} was changed by hand since whodid made it: `whodid setup --dry-run` shows how, and "
                "--force overwrites it"
            )
        try:
            ism.put_policy(name, wanted, stored)
        except OpenSearchError as error:
            if last or getattr(error.__cause__, "status_code", None) != 409:
                raise
    found = ism.policy(name)
    if found is None:
        raise OpenSearchError(f"the ISM policy {name} was stored and is gone again: somebody else deletes it")
    return found


@dataclass(slots=True)
class _Following:
    """Moves each partition, and asks until it runs the stored version.

    `asked` has what was asked for, and what ISM said of the job then: once that has changed, and is not as it should
    be, it is asked for again. A policy that somebody else replaces meanwhile ends it.
    """

    client: OpenSearch
    ism: Ism
    settings: Settings
    stored: StoredPolicy
    report: Report
    on_hold: Collection[str]
    take_over: bool
    asked: dict[str, tuple[Move, Managed]] = field(default_factory=dict)

    def until_done(self, tries: int, pause: Callable[[], None], on_progress: Callable[[int, int], None]) -> None:
        for last in [False] * (tries - 1) + [True]:
            indices = self._indices()
            self._ask(indices)
            followed = [one for one in indices if one.index not in self.report.problems]
            self.report.running = [one.index for one in followed if one.runs(self._name, self.stored)]
            waiting = [one for one in followed if one.index not in self.report.running]
            on_progress(len(self.report.running), len(followed))
            if not waiting:
                return
            if last or self._replaced():
                self._give_up(waiting, "not within the time" if last else "not followed any further")
                return
            pause()

    @property
    def _name(self) -> str:
        return policy_name(self.settings)

    def _indices(self) -> list[Managed]:
        found = managed(self.ism.explain(index_pattern(self.settings)))
        return [one for one in found if one.index not in self.on_hold]

    def _ask(self, indices: Sequence[Managed]) -> None:
        jobs = {one.index: one for one in indices}
        for move in moves(indices, self._name, self.stored, self.stored.policy, take_over=self.take_over):
            job = jobs[move.index]
            if move.index in self.report.problems or self.asked.get(move.index) == (move, job):
                continue
            self.asked[move.index] = move, job
            try:
                make_move(self.ism, move, self._name, self.stored.policy)
            except OpenSearchError as error:
                self.report.problems[move.index] = str(error)

    def _replaced(self) -> bool:
        """Whether the policy is another one by now: what is moved then would be moved to that."""
        found = self.ism.policy(self._name)
        if found is not None and (found.seq_no, found.primary_term) == (self.stored.seq_no, self.stored.primary_term):
            return False
        self.report.problems[self._name] = (
            "somebody else replaced or deleted the policy meanwhile: look, and set it again"
        )
        return True

    def _give_up(self, waiting: Sequence[Managed], when: str) -> None:
        red = "; the cluster is red, and ISM runs no job until no index is" if is_red(self.client) else ""
        for one in waiting:
            why = one.problem(self._name, self.stored) or "its job has not run yet"
            self.report.problems[one.index] = f"{when}: {why}{red}"
