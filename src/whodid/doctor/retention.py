"""Checks of retention: whether the policy matches the settings, and whether each partition is deleted on its date.

A finding has a fix only if that loses no entry: the partition is put under the policy, moved to its version, or held.
If ISM would then delete entries immediately, or earlier than the settings allow, the finding instead names a command
that asks for confirmation.
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
from ..entry import END, later, parse_creation_date, partition_name
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
"""An index is created when its first entry is shipped, which may be some time after it was recorded."""
_SET = "`whodid retention set` asks for confirmation, then applies it"
_POLICY = "`whodid setup --dry-run` shows how the policy differs, and --force applies the settings"


def examine(subject: Subject, client: OpenSearch) -> Iterator[Finding]:
    settings = subject.settings
    found = survey(client, settings)
    now = cluster_now(client)
    yield from _rule(settings, client, found)
    for one in found.partitions:
        if one.ours:  # the area `template` reports the others
            findings = list(_partition(settings, found, one, now))
            yield from findings
            if all(each.severity == "ok" for each in findings):
                yield ok(one.name, _summary(one), about=one.as_json())
    yield from _immutable(client, found)


def _rule(settings: Settings, client: OpenSearch, found: Survey) -> Iterator[Finding]:
    name = policy_name(settings)
    if not found.ism:
        if settings.retention != "off":
            advice = "run `whodid ship` as a user who may delete partitions, or run `whodid retention enforce` daily"
            yield warning(
                name, "this cluster has no Index State Management: whodid deletes old partitions itself", advice
            )
        return
    if found.red:
        yield problem(
            "the cluster",
            "is red: while any index lacks a shard, ISM runs no job and deletes nothing",
            "see GET _cluster/allocation/explain; restore the index from a snapshot, or delete it",
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
            yield ok(name, f"the policy matches the settings, and deletes a partition {_days(days)} after its creation")
    else:
        what = f"the policy deletes a partition {_days(days)} after its creation; the settings say {_days(promised)}"
        advice = f"`whodid retention set {settings.retention}` applies the settings"
        early = not keeps_as_long(kept, wanted)
        yield (problem if early or promised is not None else warning)(name, what, advice)
    yield from _shadows(settings, client, kept)


def _repositories(settings: Settings, client: OpenSearch, found: Survey) -> Iterator[Finding]:
    """Check the snapshot repositories in the settings and in the copies of policies that ISM's jobs have."""
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
    what = "the cluster has no retention policy of whodid: "
    what += f"ISM still deletes by the copies in its jobs: {', '.join(copies)}" if copies else "old entries are kept"
    yield severity(name, what, "run `whodid setup`")


def _wanted(settings: Settings, found: Survey) -> Mapping[str, Any]:
    policy: Mapping[str, Any] = policy_body(settings, [one.name for one in found.partitions])["policy"]
    return policy


def _promises(found: Survey, days: int | None) -> bool:
    """Return whether the policy has the retention of the settings, possibly with the margin of longer partitions."""
    return days is None or floor_days(days, found.floor, found.margin) == found.floor


def _days(number: int | None) -> str:
    return "never" if number is None else f"{number} days"


def _shadows(settings: Settings, client: OpenSearch, kept: Mapping[str, object]) -> Iterator[Finding]:
    """Find policies of higher priority; a new partition gets the policy whose template has the highest priority."""
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
            what = f"overrides the policy {name} for new partitions: priority {priority} over {ours} for {next_one}"
            yield problem(
                other, what, "lower the priority of its ism_template below that of whodid, or narrow its patterns"
            )


def _priority(template: Mapping[str, Any]) -> int:
    found = template.get("priority")
    return found if isinstance(found, int) else 0


def _matches(template: Mapping[str, Any], name: str) -> bool:
    """Return whether a template matches the name; a pattern that starts with a minus excludes names."""
    found = template.get("index_patterns")
    patterns = [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
    left_out = any(fnmatchcase(name, pattern[1:]) for pattern in patterns if pattern.startswith("-"))
    return not left_out and any(fnmatchcase(name, pattern) for pattern in patterns)


def _partition(settings: Settings, found: Survey, one: Surveyed, now: datetime) -> Iterator[Finding]:
    about = one.as_json()
    if not one.open:
        what = "is closed: its entries can't be searched; new ones are waiting"
        fix = Fix(f"open {one.name}", lambda client: _open(client, one.name))
        yield problem(one.name, what, f"open it: POST /{one.name}/_open", about=about, fix=fix)
    elif one.health == "red":
        what = "is red: a shard is missing, so some of its entries can't be searched"
        yield problem(one.name, what, "see GET _cluster/allocation/explain; restore it from a snapshot", about=about)
    if one.hold and not one.hold.done:
        unmarked = "is not marked yet" if one.hold.wanted else "is not"
        what = f"should be {one.hold}, but {'is not: ISM may delete it' if one.hold.managed else unmarked}"
        fix = Fix(f"{one.name} {one.hold}", lambda client: make_step(client, settings, one.hold))  # type: ignore[arg-type]
        yield problem(one.name, what, "`whodid doctor --fix`, or `whodid setup`", about=about, fix=fix)
    if one.held:
        return
    back = one.record is not None and one.record.state == "deleted" and one.record.uuid != one.uuid
    due = one.goes is not None and one.goes <= now
    if (one.restored or back) and due and not (one.job and one.job.stuck):
        what = "was restored from a snapshot and is past its retention: it will be deleted within minutes"
        yield problem(
            one.name, what, "set a hold for as long as it is needed", about=about, fix=_hold(settings, one, "restored")
        )
        return
    yield from _job(settings, found, one, now)
    yield from _dates(settings, found, one, now)


def _job(settings: Settings, found: Survey, one: Surveyed, now: datetime) -> Iterator[Finding]:
    """Report problems of the job of ISM."""
    if one.job is None or found.policy is None:
        return
    name, about = policy_name(settings), one.as_json()
    move = next(iter(moves([one.job], name, found.policy, found.policy.policy)), None)
    if move is None:
        if one.job.retrying:
            yield warning(one.name, f"ISM failed and retries: {one.job.message}", "see the message of ISM", about=about)
        return
    if move.kind == "leave":
        advice = f"`whodid retention set {settings.retention} --take-over` moves it"
        yield problem(one.name, f"is {move.why}, which decides when it is deleted", advice, about=about)
        return
    what = {
        "attach": "has no policy: nothing deletes it",
        "restart": f"has a job that has given up: {move.why}",
        "change": "uses an old version of the policy"
        if one.job.version
        else "will start with an old version of the policy",
    }[move.kind]
    wanted, age = _wanted(settings, found), deletion_age(found.policy.policy)
    if "immutable" in what.lower():
        yield problem(one.name, what, _IMMUTABLE, about=about)
    elif not keeps_as_long(found.policy.policy, wanted):
        yield problem(one.name, f"{what}; the policy deletes too early", f"first: {_POLICY}", about=about)
    elif age is not None and now - one.created >= age:
        ended = f"; under it, its {one.entries:,} entries would be deleted within minutes"
        yield problem(one.name, what + ended, f"{_SET}: `whodid retention set {settings.retention}`", about=about)
    else:
        fix = Fix(
            f"asked ISM to apply {name} to {one.name} at the next run of its job, in about five minutes",
            partial(_move, move=move, policy=name, wanted=wanted),
        )
        yield problem(one.name, what, "`whodid doctor --fix` fixes it", about=about, fix=fix)


def _move(client: OpenSearch, *, move: Move, policy: str, wanted: Mapping[str, Any]) -> None:
    make_move(Ism(client), move, policy, wanted)


def _dates(settings: Settings, found: Survey, one: Surveyed, now: datetime) -> Iterator[Finding]:
    """Report if a partition is deleted too early or too late, is overdue, or has no record of its deletion."""
    if one.goes is None or found.floor is None:
        return
    about = one.as_json()
    last = _moment(one.last) if one.last and now - OVERDUE >= one.end else one.end
    floor = later(last, timedelta(days=found.floor))
    if one.job and one.job.deleting and not one.job.stuck and now < floor:
        what = f"is about to be deleted by ISM, but has entries that must be kept until {floor:%Y-%m-%d}"
        fix = _hold(settings, one, f"must be kept until {floor:%Y-%m-%d}")
        yield problem(one.name, what, "set a hold immediately", about=about, fix=fix)
    elif one.goes < floor:
        yield _too_early(settings, found, one, floor)
    elif now - OVERDUE > one.goes:
        why = (one.job.message if one.job else "") or "it still exists"
        advice = "find out why ISM failed" if found.ism else "run `whodid retention enforce` as an administrator"
        yield problem(one.name, f"should have been deleted on {one.goes:%Y-%m-%d}: {why}", advice, about=about)
    elif one.first and one.goes - _SLACK > (ceiling := _ceiling(found, one)):
        late = (one.goes - ceiling).days
        what = f"is kept until {one.goes:%Y-%m-%d}, {late} days longer than promised: it was created late"
        advice = "no entry is lost; if necessary, delete it yourself after its retention"
        yield warning(one.name, what, advice, about=about)
    elif found.ism and one.goes - RECORD_LEAD <= now and not (one.record and one.record.uuid == one.uuid):
        what = f"is deleted on {one.goes:%Y-%m-%d}, but its content is not recorded in the ledger"
        fix = Fix(f"record the content of {one.name}", lambda client: _record(client, settings))
        yield warning(one.name, what, "run `whodid retention enforce` daily", about=about, fix=fix)


def _ceiling(found: Survey, one: Surveyed) -> datetime:
    return later(_moment(one.first), timedelta(days=(found.floor or 0) + found.margin))


def _moment(creation_date: str) -> datetime:
    """The date of an entry, which another program may have written: beyond the calendar, it is the end of that."""
    return parse_creation_date(creation_date) or END


def _too_early(settings: Settings, found: Survey, one: Surveyed, floor: datetime) -> Finding:
    what = f"would be deleted on {one.goes:%Y-%m-%d}, but has entries that must be kept until {floor:%Y-%m-%d}"
    about = one.as_json()
    age = deletion_age(found.policy.policy) if found.policy else None
    if found.policy and not keeps_as_long(found.policy.policy, _wanted(settings, found)):
        advice = f"`whodid retention set {settings.retention}`, which is longer than the policy; or set a hold"
        return problem(one.name, what, advice, about=about)
    moves_on = one.job is not None and one.job.policy_id == policy_name(settings)
    if found.policy and moves_on and (age is None or age >= floor - one.created):
        return problem(one.name, what, "the current policy would keep it: move it to that version", about=about)
    fix = _hold(settings, one, f"must be kept until {floor:%Y-%m-%d}")
    return problem(one.name, what, "set a hold until then", about=about, fix=fix)


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
    "remove the partitions from plugins.security.compliance.immutable_indices in opensearch.yml: nothing, including "
    "ISM, can delete immutable indices"
)


def _immutable(client: OpenSearch, found: Survey) -> Iterator[Finding]:
    one = next((one for one in reversed(found.partitions) if one.ours and one.open and one.health != "red"), None)
    if one is not None and is_immutable(client, one.name):
        yield problem(one.name, "is immutable: retention can't delete it", _IMMUTABLE)


def _summary(one: Surveyed) -> str:
    parts = [f"{one.entries:,} entries" + (f" of {one.first[:10]} to {one.last[:10]}" if one.first else "")]
    if one.job and one.job.policy_id:
        version = f" version {one.job.version[0]}" if one.job.version else ", not run yet"
        parts.append(f"under {one.job.policy_id}{version}" + (f", state {one.job.state}" if one.job.state else ""))
    if one.hold and one.hold.wanted:
        parts.append(f"held by {', '.join(one.hold.wanted)}")
    parts.append(f"is deleted on {one.goes:%Y-%m-%d}" if one.goes else "is kept")
    return "; ".join(parts)
