"""A change of retention: a new version of the ISM policy, and every partition moved to it.

An update of a policy does not affect the indices it manages (recorded), nor jobs that have not run yet: each index is
moved by `change_policy`. That call breaks a job that has failed for good, or whose state the policy lacks, so such a
job is replaced by `remove` and `add`, which loses nothing in these two cases. An index under somebody else's policy is
left alone unless `take_over` is set. 200 does not mean success: `explain` is polled until each index runs the new
version, and moves that had no effect are repeated.
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
from .schedule import DeletionSchedule, deletion_date, deletion_schedule, is_red

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = [
    "ImmediateDeletion",
    "Move",
    "Report",
    "deletions_by_moves",
    "deletions_by_release",
    "immediate_deletions",
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
class ImmediateDeletion:
    """A partition that a retention would delete immediately, with the number of its entries."""

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
    """The moves after which all indices run the policy: `stored` is the version in force, `None` if there is none yet.

    A job that has not run yet is judged by its copy of the policy.
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
    """Makes one move. Raises `OpenSearchError` if ISM refuses it, for a `leave`, and if the stored policy deletes
    earlier than `wanted`.

    The policy is read each time, since ISM takes it as it is then, and somebody may have changed it.
    """
    if move.kind == "leave":
        raise OpenSearchError(f"{move.why}; it stays there unless --take-over moves it to {name}")
    stored = ism.policy(name)
    if stored is None or not keeps_as_long(stored.policy, wanted):
        raise OpenSearchError(f"{move.index} was not moved: the policy {name} was changed and deletes too early")
    if move.kind == "change":
        ism.change_policy(move.index, name)
        return
    if move.kind == "restart":
        ism.remove(move.index)
    ism.add(move.index, name)


def immediate_deletions(
    client: OpenSearch, settings: Settings, now: datetime, *, take_over: bool = False
) -> list[ImmediateDeletion]:
    """The partitions that ISM would delete immediately after `set_retention`, without those being deleted already."""
    found = deletion_schedule(client, settings)
    wanted = policy_body(settings, [one.name for one in found.partitions])["policy"]
    stored = found.policy if found.policy and found.policy.policy == wanted else None
    jobs = [one.job for one in found.partitions if one.job and not one.holds]
    needed = moves(jobs, policy_name(settings), stored, wanted, take_over=take_over)
    return deletions_by_moves(client, found, needed, wanted, now)


def deletions_by_moves(
    client: OpenSearch, found: DeletionSchedule, needed: Sequence[Move], policy: Mapping[str, Any], now: datetime
) -> list[ImmediateDeletion]:
    """The partitions that ISM would delete immediately after the moves, judged by the age in `policy`."""
    age, moved = deletion_age(policy), {move.index for move in needed if move.kind != "leave"}
    if age is None:
        return []
    due = [
        one.name
        for one in found.partitions
        if one.name in moved and now - one.created >= age and not one.is_being_deleted(now)
    ]
    return [ImmediateDeletion(name, entry_count(client, name)) for name in due]


def deletions_by_release(
    client: OpenSearch, settings: Settings, partitions: Collection[str], now: datetime
) -> list[ImmediateDeletion]:
    """The held partitions that would be deleted immediately without their holds."""
    found = deletion_schedule(client, settings)
    if found.ism:
        released = [Move(name, "attach", "released") for name in partitions]
        return deletions_by_moves(client, found, released, found.policy.policy, now) if found.policy else []
    dates = {
        one.name: deletion_date(settings, one.name, one.created) for one in found.partitions if one.name in partitions
    }
    return [ImmediateDeletion(name, entry_count(client, name)) for name, date in dates.items() if date and date <= now]


def in_words(deletions: Sequence[ImmediateDeletion]) -> str:
    """The deletions in words; empty for none."""
    if not deletions:
        return ""
    entries = sum(one.entries for one in deletions)
    return f"{', '.join(one.index for one in deletions)} with {entries:,} entries would be deleted within minutes"


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
    """Puts the retention of the settings in force, and waits until each partition runs it.

    `explain` is called at most `tries` times, with a `pause` in between; `on_progress` gets how many partitions run it,
    and the total. Raises `OpenSearchError` if the cluster has no ISM or the policy can't be stored, and unless `force`,
    if somebody changed the policy by hand.
    """
    ism, name = Ism(client), policy_name(settings)
    if not ism.available():
        raise OpenSearchError(
            "this cluster has no Index State Management, so there is no policy to set: `whodid ship` and `whodid "
            f'retention enforce` delete by the setting itself; set retention = "{settings.retention}" there'
        )
    check_repository(client, settings.snapshot_repository)
    wanted = policy_body(settings, creation_dates(client, settings))
    applied = apply_holds(client, settings)  # first, since held partitions must not be moved
    on_hold = held(client, settings)
    report = Report(problems={name: f"held, but {why}" for name, why in applied.problems.items() if name in on_hold})
    stored = _store(ism, name, wanted, force)
    _Rollout(client, ism, settings, stored, report, on_hold, take_over).until_done(tries, pause, on_progress)
    return report


def _store(ism: Ism, name: str, wanted: dict[str, Any], force: bool) -> StoredPolicy:
    """Stores the policy and returns it as the cluster has it; tries once more if somebody changed it meanwhile."""
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
        raise OpenSearchError(f"the ISM policy {name} was stored, but somebody else deleted it")
    return found


@dataclass(slots=True)
class _Rollout:
    """Moves each partition, and polls until it runs the stored version or somebody else replaces the policy.

    `requested` has each index's move and its job at that time: once the job has changed and is still not as it should
    be, the move is requested again.
    """

    client: OpenSearch
    ism: Ism
    settings: Settings
    stored: StoredPolicy
    report: Report
    on_hold: Collection[str]
    take_over: bool
    requested: dict[str, tuple[Move, Managed]] = field(default_factory=dict)

    def until_done(self, tries: int, pause: Callable[[], None], on_progress: Callable[[int, int], None]) -> None:
        for last in [False] * (tries - 1) + [True]:
            indices = self._indices()
            self._request(indices)
            followed = [one for one in indices if one.index not in self.report.problems]
            self.report.running = [one.index for one in followed if one.runs(self._name, self.stored)]
            waiting = [one for one in followed if one.index not in self.report.running]
            on_progress(len(self.report.running), len(followed))
            if not waiting:
                return
            if last or self._replaced():
                self._give_up(waiting, "timed out" if last else "no longer waited for")
                return
            pause()

    @property
    def _name(self) -> str:
        return policy_name(self.settings)

    def _indices(self) -> list[Managed]:
        found = managed(self.ism.explain(index_pattern(self.settings)))
        return [one for one in found if one.index not in self.on_hold]

    def _request(self, indices: Sequence[Managed]) -> None:
        jobs = {one.index: one for one in indices}
        for move in moves(indices, self._name, self.stored, self.stored.policy, take_over=self.take_over):
            job = jobs[move.index]
            if move.index in self.report.problems or self.requested.get(move.index) == (move, job):
                continue
            self.requested[move.index] = move, job
            try:
                make_move(self.ism, move, self._name, self.stored.policy)
            except OpenSearchError as error:
                self.report.problems[move.index] = str(error)

    def _replaced(self) -> bool:
        """Whether somebody replaced the policy: further moves would lead to theirs."""
        found = self.ism.policy(self._name)
        if found is not None and (found.seq_no, found.primary_term) == (self.stored.seq_no, self.stored.primary_term):
            return False
        self.report.problems[self._name] = "somebody else replaced or deleted the policy; check it and set it again"
        return True

    def _give_up(self, waiting: Sequence[Managed], when: str) -> None:
        red = "; ISM runs no jobs while the cluster is red" if is_red(self.client) else ""
        for one in waiting:
            why = one.problem(self._name, self.stored) or "its job has not run yet"
            self.report.problems[one.index] = f"{when}: {why}{red}"
