"""Retention: whether the policy is ours and in force, and whether each partition is deleted when it should be.

What can be fixed without losing an entry has a fix: a partition is put under the policy, moved to its version, or held.
A fix that would have ISM delete something at once is no fix, nor is one that leads to a policy that deletes earlier
than the settings want: the finding says which command asks first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any

from ..administration import set_hold
from ..cluster.clock import cluster_now
from ..cluster.connection import check_repository, translated
from ..cluster.partitions import is_immutable
from ..entry import partition_name
from ..errors import OpenSearchError, OpenSearchUnavailable
from ..retention.enforcement import RECORD_LEAD, record_upcoming
from ..retention.holds import make_step
from ..retention.ism import (
    Ism,
    deletion_age,
    deletion_days,
    keeps_as_long,
    policy_body,
    policy_name,
    snapshot_repositories,
)
from ..retention.moves import Move, make_move, moves
from ..retention.schedule import OVERDUE, floor_days
from ..retention.survey import Survey, Surveyed, survey
from .finding import Finding, Fix, Subject, ok, problem, warning

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from ..settings import Settings

__all__ = ["examine"]

_SLACK = timedelta(days=1)
"""An index is made as its first entry comes, which may have been recorded a while before."""
_SET = "`whodid retention set` asks first, then does it"
_POLICY = "`whodid setup --dry-run` shows how the policy differs, and --force puts the settings in force"


def examine(subject: Subject, client: OpenSearch) -> Iterator[Finding]:
    settings = subject.settings
    found = survey(client, settings)
    now = cluster_now(client)
    yield from _rule(settings, client, found)
    for one in found.partitions:
        if one.ours:  # the area `template` tells of the others
            told = list(_partition(settings, found, one, now))
            yield from told
            if all(each.severity == "ok" for each in told):
                yield ok(one.name, _in_order(one), about=one.as_json())
    yield from _immutable(client, found)


def _rule(settings: Settings, client: OpenSearch, found: Survey) -> Iterator[Finding]:
    name = policy_name(settings)
    if not found.ism:
        if settings.retention != "off":
            advice = "let `whodid ship` run as a user who may delete partitions, or `whodid retention enforce` daily"
            yield warning(
                name, "this cluster has no Index State Management: whodid itself deletes old partitions", advice
            )
        return
    if found.red:
        yield problem(
            "the cluster",
            "is red: while any index of it lacks a shard, ISM runs no job and deletes nothing",
            "see GET _cluster/allocation/explain; a snapshot may bring the index back, or delete it",
        )
    yield from _repositories(settings, client, found)
    if found.policy is None:
        yield from _without_policy(settings, found)
        return
    kept, wanted = found.policy.policy, _wanted(settings, found)
    days, promised = deletion_days(kept), deletion_days(wanted)
    if keeps_as_long(kept, wanted) and (days is None) == (promised is None) and _promises(found, days):
        if kept != wanted:
            yield warning(
                name, "the policy in the cluster differs from the settings", "`whodid setup --dry-run` shows how"
            )
        else:
            yield ok(name, f"the policy is ours, and deletes a partition {_days(days)} after it was made")
    else:
        what = f"the policy deletes {_days(days)}, the settings want it {_days(promised)} after a partition was made"
        advice = f"`whodid retention set {settings.retention}` puts the settings in force"
        early = not keeps_as_long(kept, wanted)
        yield (problem if early or promised is not None else warning)(name, what, advice)
    yield from _shadows(settings, client, kept)


def _repositories(settings: Settings, client: OpenSearch, found: Survey) -> Iterator[Finding]:
    """Those that the settings and the jobs' copies of policies name."""
    jobs = [one.job.policy for one in found.partitions if one.job and one.job.policy]
    names = {settings.snapshot_repository, *(name for policy in jobs for name in snapshot_repositories(policy))} - {""}
    for name in sorted(names):
        try:
            check_repository(client, name)
        except OpenSearchUnavailable:
            raise
        except OpenSearchError as error:
            yield problem(name, str(error), "register the repository, or change snapshot_repository and run setup")


def _without_policy(settings: Settings, found: Survey) -> Iterator[Finding]:
    name = policy_name(settings)
    copies = [one.name for one in found.partitions if one.goes is not None]
    severity = warning if settings.retention == "off" and not copies else problem
    what = "the cluster has no retention policy of ours: nothing deletes old entries"
    if copies:
        what = "the cluster has no retention policy of ours, and ISM still deletes by the copies that its jobs have"
        what += f": {', '.join(copies)}"
    yield severity(name, what, "run `whodid setup`")


def _wanted(settings: Settings, found: Survey) -> Mapping[str, Any]:
    policy: Mapping[str, Any] = policy_body(settings, [one.name for one in found.partitions])["policy"]
    return policy


def _promises(found: Survey, days: int | None) -> bool:
    """Whether the policy is of the retention in the settings, perhaps with the margin of longer partitions."""
    return days is None or floor_days(days, found.floor, found.margin) == found.floor


def _days(number: int | None) -> str:
    return "never" if number is None else f"{number} days"


def _shadows(settings: Settings, client: OpenSearch, kept: Mapping[str, object]) -> Iterator[Finding]:
    """A new partition takes the policy whose template has the highest priority."""
    name = policy_name(settings)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    next_one = partition_name(settings.index_prefix, settings.partition, stamp)
    priorities = {
        policy: max((_priority(each) for each in templates if _matches(each, next_one)), default=None)
        for policy, templates in Ism(client).templates().items()
    }
    ours = priorities.get(name)
    if ours is None:
        yield problem(
            name, f"its ism_template does not match {next_one}: new partitions get no policy", "run `whodid setup`"
        )
        return
    for other, priority in priorities.items():
        if other != name and priority is not None and priority > ours:
            what = f"takes new partitions before our policy {name}: priority {priority} over {ours} for {next_one}"
            yield problem(other, what, "lower the priority of its ism_template below ours, or narrow its patterns")


def _priority(template: Mapping[str, Any]) -> int:
    found = template.get("priority")
    return found if isinstance(found, int) else 0


def _matches(template: Mapping[str, Any], name: str) -> bool:
    """A pattern that begins with a minus leaves out what it matches."""
    found = template.get("index_patterns")
    patterns = [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
    left_out = any(fnmatchcase(name, pattern[1:]) for pattern in patterns if pattern.startswith("-"))
    return not left_out and any(fnmatchcase(name, pattern) for pattern in patterns)


def _partition(settings: Settings, found: Survey, one: Surveyed, now: datetime) -> Iterator[Finding]:
    about = one.as_json()
    if not one.open:
        what = "is closed: its entries are not found, and those that belong into it wait"
        fix = Fix(f"open {one.name}", lambda client: _open(client, one.name))
        yield problem(one.name, what, f"open it: POST /{one.name}/_open", about=about, fix=fix)
    elif one.health == "red":
        what = "is red: a shard is missing, and its entries are not found as a whole"
        yield problem(one.name, what, "see GET _cluster/allocation/explain; a snapshot may bring it back", about=about)
    if one.hold and not one.hold.done:
        unmarked = "has no mark yet" if one.hold.wanted else "is not"
        what = f"should be {one.hold}, and {'is not: ISM may delete it' if one.hold.managed else unmarked}"
        fix = Fix(f"{one.name} {one.hold}", lambda client: make_step(client, settings, one.hold))  # type: ignore[arg-type]
        yield problem(one.name, what, "`whodid doctor --fix`, or `whodid setup`", about=about, fix=fix)
    if one.held:
        return
    back = one.record is not None and one.record.state == "deleted" and one.record.uuid != one.uuid
    due = one.goes is not None and one.goes <= now
    if (one.restored or back) and due and not (one.job and one.job.stuck):
        what = "was restored from a snapshot and keeps its age: it is past its time, and deleted within minutes"
        yield problem(
            one.name, what, "hold it for as long as it is needed", about=about, fix=_hold(settings, one, "restored")
        )
        return
    yield from _job(settings, found, one, now)
    yield from _dates(settings, found, one, now)


def _job(settings: Settings, found: Survey, one: Surveyed, now: datetime) -> Iterator[Finding]:
    """What is wrong with ISM's job."""
    if one.job is None or found.policy is None:
        return
    name, about = policy_name(settings), one.as_json()
    move = next(iter(moves([one.job], name, found.policy, found.policy.policy)), None)
    if move is None:
        if one.job.retrying:
            yield warning(one.name, f"ISM failed and tries again: {one.job.message}", "see what it says", about=about)
        return
    if move.kind == "leave":
        advice = f"`whodid retention set {settings.retention} --take-over` moves it"
        yield problem(one.name, f"is {move.why}, which says when it is deleted", advice, about=about)
        return
    what = {
        "attach": "is under no policy: nothing deletes it",
        "restart": f"has a job that has given up: {move.why}",
        "change": "runs an old version of the policy"
        if one.job.version
        else "will begin with an old version of the policy",
    }[move.kind]
    wanted, age = _wanted(settings, found), deletion_age(found.policy.policy)
    if "immutable" in what.lower():
        yield problem(one.name, what, _IMMUTABLE, about=about)
    elif not keeps_as_long(found.policy.policy, wanted):
        yield problem(one.name, f"{what}; and the policy deletes too early", f"first: {_POLICY}", about=about)
    elif age is not None and now - one.created >= age:
        ended = f"; under it, its {one.entries:,} entries would be deleted within minutes"
        yield problem(one.name, what + ended, f"{_SET}: `whodid retention set {settings.retention}`", about=about)
    else:
        fix = Fix(
            f"asked ISM to put {one.name} under {name}: it does at the job's next run, in about five minutes",
            partial(_move, move=move, policy=name, wanted=wanted),
        )
        yield problem(one.name, what, "`whodid doctor --fix` has ISM put it right", about=about, fix=fix)


def _move(client: OpenSearch, *, move: Move, policy: str, wanted: Mapping[str, Any]) -> None:
    make_move(Ism(client), move, policy, wanted)


def _dates(settings: Settings, found: Survey, one: Surveyed, now: datetime) -> Iterator[Finding]:
    """Whether it goes too early, too late, or should be gone; and whether that will be on record."""
    if one.goes is None or found.floor is None:
        return
    about = one.as_json()
    last = datetime.fromisoformat(one.last) if one.last and now >= one.end + OVERDUE else one.end
    floor = last + timedelta(days=found.floor)
    if one.job and one.job.deleting and not one.job.stuck and now < floor:
        what = f"is about to be deleted by ISM, though it has entries that must live until {floor:%Y-%m-%d}"
        fix = _hold(settings, one, f"must live until {floor:%Y-%m-%d}")
        yield problem(one.name, what, "hold it at once", about=about, fix=fix)
    elif one.goes < floor:
        yield _too_early(settings, found, one, floor)
    elif now > one.goes + OVERDUE:
        why = (one.job.message if one.job else "") or "nobody has deleted it"
        advice = "see why ISM does not" if found.ism else "run `whodid retention enforce` as an administrator"
        yield problem(one.name, f"should be gone since {one.goes:%Y-%m-%d}: {why}", advice, about=about)
    elif one.first and one.goes > (ceiling := _ceiling(found, one)) + _SLACK:
        late = (one.goes - ceiling).days
        what = f"lives until {one.goes:%Y-%m-%d}, {late} days longer than promised: it was made late"
        advice = "nothing is lost; if it must go earlier, delete it yourself once it may"
        yield warning(one.name, what, advice, about=about)
    elif found.ism and one.goes - RECORD_LEAD <= now and not (one.record and one.record.uuid == one.uuid):
        what = f"is deleted on {one.goes:%Y-%m-%d}, and what it holds is not on record"
        fix = Fix(f"record what {one.name} holds", lambda client: _record(client, settings))
        yield warning(one.name, what, "run `whodid retention enforce` daily", about=about, fix=fix)


def _ceiling(found: Survey, one: Surveyed) -> datetime:
    return datetime.fromisoformat(one.first) + timedelta(days=(found.floor or 0) + found.margin)


def _too_early(settings: Settings, found: Survey, one: Surveyed, floor: datetime) -> Finding:
    what = f"would be deleted on {one.goes:%Y-%m-%d}, though it has entries that must live until {floor:%Y-%m-%d}"
    about = one.as_json()
    age = deletion_age(found.policy.policy) if found.policy else None
    if found.policy and not keeps_as_long(found.policy.policy, _wanted(settings, found)):
        advice = f"`whodid retention set {settings.retention}`, which is longer than the policy; or hold it"
        return problem(one.name, what, advice, about=about)
    moves_on = one.job is not None and one.job.policy_id == policy_name(settings)
    if found.policy and moves_on and (age is None or age >= floor - one.created):
        return problem(one.name, what, "the policy in force would keep it: move it to that version", about=about)
    fix = _hold(settings, one, f"must live until {floor:%Y-%m-%d}")
    return problem(one.name, what, "hold it until then", about=about, fix=fix)


def _hold(settings: Settings, one: Surveyed, why: str) -> Fix:
    def make(client: OpenSearch) -> None:
        set_hold(client, settings, f"whodid doctor: {why}", partitions=[one.name])

    return Fix(f"hold {one.name} ({why})", make)


def _open(client: OpenSearch, name: str) -> None:
    with translated(f"opening {name}"):
        client.indices.open(index=name)


def _record(client: OpenSearch, settings: Settings) -> None:
    record_upcoming(client, settings)


_IMMUTABLE = (
    "take the partitions out of plugins.security.compliance.immutable_indices in opensearch.yml: while they are in it, "
    "nothing can delete them, ISM neither"
)


def _immutable(client: OpenSearch, found: Survey) -> Iterator[Finding]:
    one = next((one for one in reversed(found.partitions) if one.ours and one.open and one.health != "red"), None)
    if one is not None and is_immutable(client, one.name):
        yield problem(one.name, "is immutable: retention can't delete it", _IMMUTABLE)


def _in_order(one: Surveyed) -> str:
    parts = [f"{one.entries:,} entries" + (f" of {one.first[:10]} to {one.last[:10]}" if one.first else "")]
    if one.job and one.job.policy_id:
        version = f" version {one.job.version[0]}" if one.job.version else ", not run yet"
        parts.append(f"under {one.job.policy_id}{version}" + (f", state {one.job.state}" if one.job.state else ""))
    if one.hold and one.hold.wanted:
        parts.append(f"held by {', '.join(one.hold.wanted)}")
    parts.append(f"is deleted on {one.goes:%Y-%m-%d}" if one.goes else "is kept")
    return "; ".join(parts)
