"""The change of retention: a new version of the policy, and every partition moved to it.

An update of a policy does not reach the indices it manages (recorded): each is moved by `change_policy`. What that
would break for good is never asked for: a job that has given up, or whose state the policy lacks, begins anew by
`remove` and `add`, which for these two states loses nothing; an index under somebody else's policy is left alone unless
told otherwise. 200 is never taken for success: `explain` is asked until each index runs the new version.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from ..errors import OpenSearchError
from ..settings import Settings, retention_days
from .holds import apply_holds, held
from .ism import Ism, StoredPolicy, margin_days, policy_body, policy_by_hand, policy_name
from .managed import Managed, managed
from .partitions import creation_dates, entry_count
from .retention import retention_in_force
from .template import index_pattern

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["Doomed", "Move", "Report", "doomed", "in_words", "make_move", "moves", "overdue", "set_retention"]


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
    wanted: Any,
    *,
    take_over: bool = False,
) -> list[Move]:
    """What must be done so that all run the policy: `stored` is the version in force, `None` for one yet to be made."""
    states = {state["name"] for state in wanted["states"]}
    found = (_move(one, name, stored, states, take_over) for one in indices)
    return [move for move in found if move]


def _move(one: Managed, name: str, stored: StoredPolicy | None, states: set[str], take_over: bool) -> Move | None:
    if one.policy_id is None:
        return Move(one.index, "attach", "under no policy")
    if one.policy_id != name:
        return Move(one.index, "restart" if take_over else "leave", f"under another policy, {one.policy_id}")
    if one.stuck or one.completed:
        settled = one.completed and stored is not None and one.runs(name, stored)
        return None if settled else Move(one.index, "restart", one.message or "its job has ended")
    if stored is not None and one.runs(name, stored):
        return None
    if one.state is not None and one.state not in states:
        return Move(one.index, "restart", f"in the state {one.state}, which the policy lacks")
    if one.leaving:
        return Move(one.index, "restart", "about to be deleted by an old version")
    if one.version is None:
        return None  # its job has not run yet, and takes the policy as it is then
    return Move(one.index, "change", "runs an old version")


def make_move(ism: Ism, move: Move, name: str) -> None:
    """Raises `OpenSearchError` for what ISM refuses, also for a `leave`."""
    if move.kind == "attach":
        ism.add(move.index, name)
    elif move.kind == "change":
        ism.change_policy(move.index, name)
    elif move.kind == "restart":
        ism.remove(move.index)
        ism.add(move.index, name)
    else:
        raise OpenSearchError(f"{move.why}, and left there; --take-over moves it to {name}")


def doomed(client: OpenSearch, settings: Settings, now: datetime) -> list[Doomed]:
    """Partitions past the ceiling of the retention in the settings that are not past the one in force."""
    partitions = [one for one in retention_in_force(client, settings, now).partitions if not one.holds]
    spared = [one.name for one in partitions if not (one.ceiling and one.ceiling <= now)]
    return overdue(client, settings, spared, now)


def overdue(client: OpenSearch, settings: Settings, partitions: Collection[str], now: datetime) -> list[Doomed]:
    """Those of the partitions that are past the ceiling of the retention in the settings."""
    days = retention_days(settings.retention)
    if days is None:
        return []
    created = creation_dates(client, settings)
    ceiling = timedelta(days=days + margin_days(settings, created))
    going = [name for name, at in created.items() if name in partitions and at + ceiling <= now]
    return [Doomed(name, entry_count(client, name)) for name in going]


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
    wanted = policy_body(settings, creation_dates(client, settings))
    applied = apply_holds(client, settings)  # first: what is held must not be moved
    report = Report(problems={index: f"held, but {why}" for index, why in applied.problems.items()})
    on_hold = held(client, settings)
    stored = _store(ism, name, wanted, force)
    found = moves(_indices(ism, settings, on_hold), name, stored, wanted["policy"], take_over=take_over)
    for move in found:
        try:
            make_move(ism, move, name)
        except OpenSearchError as error:
            report.problems[move.index] = str(error)
    _follow(ism, settings, stored, report, on_hold, tries, pause, on_progress)
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


def _follow(
    ism: Ism,
    settings: Settings,
    stored: StoredPolicy,
    report: Report,
    on_hold: Collection[str],
    tries: int,
    pause: Callable[[], None],
    on_progress: Callable[[int, int], None],
) -> None:
    name = policy_name(settings)
    for last in [False] * (tries - 1) + [True]:
        indices = [one for one in _indices(ism, settings, on_hold) if one.index not in report.problems]
        report.running = [one.index for one in indices if one.runs(name, stored)]
        waiting = [one for one in indices if not one.runs(name, stored)]
        for one in waiting:
            if one.policy_id == name and one.stuck:
                report.problems[one.index] = one.problem(name, stored)
        waiting = [one for one in waiting if one.index not in report.problems]
        on_progress(len(report.running), len(indices))
        if not waiting:
            return
        if last:
            late = {one.index: one.problem(name, stored) or "its job has not run yet" for one in waiting}
            report.problems |= {index: f"not within the time: {why}" for index, why in late.items()}
            return
        pause()


def _indices(ism: Ism, settings: Settings, on_hold: Collection[str]) -> list[Managed]:
    return [one for one in managed(ism.explain(index_pattern(settings))) if one.index not in on_hold]
