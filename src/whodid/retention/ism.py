"""ISM (Index State Management): the retention policy, when a policy deletes, and a small client for the plugin.

Facts, each recorded from a real cluster: PUT on an existing policy needs the sequence number and primary term that GET
returned; GET adds fields that PUT did not have; without the plugin every call is a 400 whose `error` is a plain string;
a job keeps the copy of the policy that it was created with, before its first run too, until `change_policy`.

What ISM says of an index: under which policy it is, which copy of it its job has, and whether the job works.

Source: answers of `_plugins/_ism/explain?show_policy=true`, recorded on OpenSearch 3.4.0. An index is unmanaged, or its
job has not run (no `policy_seq_no` yet), or it runs. A job does what its copy of the policy says, from before its first
run until a `change_policy`, whatever becomes of the policy itself. An action that fails is tried again for a while
(`step_status` failed, the job enabled); a job that has given up is disabled and stays so; one without anything left to
do (`policy_completed`) is disabled as well, and in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ..cluster.connection import is_missing_plugin, translated
from ..cluster.template import OWNER, changed_by_hand, index_pattern, signed
from ..entry import partition_end, partition_start
from ..errors import OpenSearchError
from ..settings import MOST_DAYS, Settings, retention_days
from ..text import object_of, objects_in

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = [
    "CLOCK_SKEW_DAYS",
    "MARGINS",
    "Ism",
    "Managed",
    "StoredPolicy",
    "deletion_age",
    "deletion_days",
    "deletion_states",
    "keeps_as_long",
    "managed",
    "margin_days",
    "policy_body",
    "policy_by_hand",
    "policy_name",
    "same_deeds",
    "snapshot_repositories",
    "state_names",
]

_PARTITION_DAYS = {"month": 31, "week": 7, "day": 1}
CLOCK_SKEW_DAYS = 2
"""By how much the clocks of those who record and of the cluster may differ."""
MARGINS = frozenset(days + CLOCK_SKEW_DAYS for days in _PARTITION_DAYS.values())
"""What a policy may have on top of the retention: it keeps the margin of longer partitions when these are gone."""

_SIGNED_AT = ("description",)
"""Where the policy carries its fingerprint."""

_ADDED_BY_GET = {"policy_id", "last_updated_time", "schema_version", "error_notification", "user"}
_RETRY = {"count": 3, "backoff": "exponential", "delay": "1m"}
_AT_ONCE = 100
_ALREADY = "This index already has a policy"
_NONE = "This index does not have a policy"
_CLOSED = "This index is closed"
_AGE = re.compile(r"(\d+)(ms|s|m|h|d)")
_NEVER = timedelta(days=MOST_DAYS)
"""Nothing gets so old, and whoever adds it to a date may leave the calendar."""
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def policy_name(settings: Settings) -> str:
    return f"{settings.index_prefix}-retention"


def margin_days(settings: Settings, partitions: Iterable[str] = ()) -> int:
    """How much longer than the retention an index must live, so that its last entry lives as long as promised.

    The longest that a partition can be, by the setting and by the names of those that exist (the setting may have been
    another one), and two days for clocks that differ.
    """
    spans = (
        (partition_start(settings.index_prefix, one), partition_end(settings.index_prefix, one)) for one in partitions
    )
    lengths = [31 if (end - start).days > 7 else (end - start).days for start, end in spans if start and end]
    return max([_PARTITION_DAYS[settings.partition], *lengths]) + CLOCK_SKEW_DAYS


def policy_body(settings: Settings, partitions: Iterable[str] = ()) -> dict[str, Any]:
    """The body of `PUT _plugins/_ism/policies/<policy_name>`, for a cluster with these partitions.

    ISM counts from the creation of the index, so a partition goes once its youngest entry is as old as the retention:
    after the days of `retention` and the margin.
    """
    days = retention_days(settings.retention)
    transitions: list[dict[str, Any]] = []
    states: list[dict[str, Any]] = [{"name": "live", "actions": [], "transitions": transitions}]
    if days is not None:
        age = f"{days + margin_days(settings, partitions)}d"
        transitions.append({"state_name": "delete", "conditions": {"min_index_age": age}})
        states.append(
            {"name": "delete", "actions": [*_kept(settings), {"retry": _RETRY, "delete": {}}], "transitions": []}
        )
    policy = {
        "description": f"{OWNER}audit entries live {settings.retention}, counted from their partition's end",
        "default_state": "live",
        "states": states,
        "ism_template": [{"index_patterns": [index_pattern(settings)], "priority": settings.policy_priority}],
    }
    return {"policy": signed(policy, *_SIGNED_AT)}


def deletion_age(policy: Mapping[str, Any]) -> timedelta | None:
    """The age of an index at which ISM deletes it by this policy at the earliest; `None` for never.

    Any policy, also one that somebody edited: a state is known by its action `delete`, and a condition other than an
    age counts as met, since nobody can tell when it is. What is no state and no transition at all counts for nothing.
    """
    states = _states(policy)
    ages: dict[str, timedelta] = {}
    waiting = [(str(policy.get("default_state")), timedelta(0))]
    while waiting:
        name, age = waiting.pop()
        if name not in states or (name in ages and ages[name] <= age):
            continue
        ages[name] = age
        waiting += [(following, max(age, least)) for following, least in states[name].transitions]
    found = min((age for name, age in ages.items() if states[name].deletes), default=_NEVER)
    return found if found < _NEVER else None


def deletion_days(policy: Mapping[str, Any]) -> int | None:
    """The same in whole days."""
    age = deletion_age(policy)
    return None if age is None else age.days


def state_names(policy: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(_states(policy))


def deletion_states(policy: Mapping[str, Any]) -> frozenset[str]:
    """The states in which a policy deletes the index."""
    return frozenset(name for name, state in _states(policy).items() if state.deletes)


def snapshot_repositories(policy: Mapping[str, Any]) -> list[str]:
    """Where a policy keeps an index before it deletes it."""
    return [repository for state in _states(policy).values() for repository in state.repositories]


def same_deeds(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a job does the same by either policy, whatever else they say; both as the cluster shows them."""
    return all(one.get(key) == other.get(key) for key in ("default_state", "states"))


def keeps_as_long(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an index may be put under the stored policy: it deletes none earlier than the wanted one would."""
    age, least = deletion_age(stored), deletion_age(wanted)
    return age is None or (least is not None and age >= least)


class _State(NamedTuple):
    """`transitions` are the names of following states, each with the least age of the index for it."""

    deletes: bool
    repositories: list[str]
    transitions: list[tuple[str, timedelta]]


def _states(policy: Mapping[str, Any]) -> dict[str, _State]:
    """The states by name, of a policy that anybody may have written: the one place that looks into one."""
    return {str(state["name"]): _state(state) for state in objects_in(policy.get("states")) if "name" in state}


def _state(state: Mapping[str, Any]) -> _State:
    actions = objects_in(state.get("actions"))
    repositories = [object_of(action.get("snapshot")).get("repository") for action in actions]
    transitions = objects_in(state.get("transitions"))
    return _State(
        any("delete" in action for action in actions),
        [name for name in repositories if isinstance(name, str)],
        [(str(one.get("state_name")), _least_age(object_of(one.get("conditions")))) for one in transitions],
    )


def _least_age(conditions: Mapping[str, Any]) -> timedelta:
    found = _AGE.fullmatch(str(conditions.get("min_index_age")))
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta(0)
    except (OverflowError, ValueError):  # an age of more digits than there is time
        return timedelta.max


def policy_by_hand(stored: StoredPolicy | None) -> bool:
    """Whether somebody changed the policy since whodid made it."""
    if stored is None:
        return False
    ours = str(stored.policy.get("description")).startswith(OWNER)
    return changed_by_hand(stored.policy, *_SIGNED_AT, ours=ours)


def _kept(settings: Settings) -> list[dict[str, Any]]:
    """The action that keeps a partition in a snapshot first, if a repository is set; ISM adds the time to its name."""
    if not settings.snapshot_repository:
        return []
    snapshot = {"repository": settings.snapshot_repository, "snapshot": "{{ctx.index}}"}
    return [{"retry": _RETRY, "snapshot": snapshot}]


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy as the cluster has it, without what GET adds."""

    policy: dict[str, Any]
    seq_no: int
    primary_term: int


class Ism:
    """The calls of the ISM plugin that whodid makes. Every method raises `OpenSearchError`."""

    def __init__(self, client: OpenSearch) -> None:
        self._client = client

    def available(self) -> bool:
        """Whether the cluster has ISM: a user who may not ask is told so by the plugin itself."""
        from opensearchpy import AuthorizationException, RequestError

        with translated("Index State Management"):
            try:
                self._call("GET", "policies?size=1")
            except RequestError as error:
                if is_missing_plugin(error):
                    return False
                raise
            except AuthorizationException:
                return True
        return True

    def policy(self, name: str) -> StoredPolicy | None:
        """The policy of that name, or `None`."""
        from opensearchpy import NotFoundError

        with translated(f"the ISM policy {name}"):
            try:
                answer = self._call("GET", f"policies/{name}")
            except NotFoundError:
                return None
            return StoredPolicy(_stripped(answer["policy"]), answer["_seq_no"], answer["_primary_term"])

    def put_policy(self, name: str, body: dict[str, Any], known: StoredPolicy | None) -> None:
        """Makes the policy, or replaces exactly the version `known`; managed indices keep the version they have."""
        condition = f"?if_seq_no={known.seq_no}&if_primary_term={known.primary_term}" if known else ""
        with translated(f"the ISM policy {name}"):
            self._call("PUT", f"policies/{name}{condition}", body)

    def delete_policy(self, name: str) -> None:
        """Indices under it go on with the version they have."""
        with translated(f"the ISM policy {name}"):
            self._call("DELETE", f"policies/{name}")

    def templates(self) -> dict[str, list[dict[str, Any]]]:
        """The `ism_template`s of every policy, by its name. ISM lists 20 policies a page unless told otherwise."""
        found: dict[str, list[dict[str, Any]]] = {}
        with translated("the ISM policies"):
            while True:
                answer = self._call("GET", f"policies?size={_AT_ONCE}&from={len(found)}")
                page = {
                    str(one["_id"]): objects_in(object_of(one["policy"]).get("ism_template"))
                    for one in answer["policies"]
                }
                if not page.keys() - found.keys():
                    return found
                found |= page

    def explain(self, pattern: str) -> dict[str, dict[str, Any]]:
        """What ISM says of each index of the pattern, by index.

        One call tells of all of them: `size` and `from` are for `explain` without a pattern. With one, `from` fails.
        """
        from opensearchpy import RequestError

        with translated(f"ISM on {pattern}"):
            try:
                answer = self._call("GET", f"explain/{pattern}?show_policy=true")
            except RequestError as error:
                if "no documents to get" in str(error.info):  # its way to say that no index matches
                    return {}
                raise
            return {name: about for name, about in answer.items() if isinstance(about, dict)}

    def add(self, index: str, name: str) -> None:
        """Puts an unmanaged index under the policy. An index that ISM took meanwhile is no error."""
        reasons = self._refused(index, "add", {"policy_id": name})
        if reasons and not (all(reason.startswith(_ALREADY) for reason in reasons) and self._may_be_under(index, name)):
            raise OpenSearchError(f"{index} could not be put under the policy {name}: {', '.join(reasons)}")

    def change_policy(self, index: str, name: str) -> None:
        """Has the index's job take the policy as it is by then, at its next or first run. Its state must be in it.

        ISM accepts a policy without that state as well, with 200, and then fails for good: the caller sees to it.
        """
        if reasons := self._refused(index, "change_policy", {"policy_id": name}):
            raise OpenSearchError(f"{index} could not be moved to the policy {name}: {', '.join(reasons)}")

    def remove(self, index: str) -> None:
        """Takes the index from under its policy, if it has one; nothing deletes it then."""
        reasons = self._refused(index, "remove", None)
        if any(not reason.startswith(_NONE) for reason in reasons):
            raise OpenSearchError(f"{index} could not be taken from its policy: {', '.join(reasons)}")

    def _refused(self, index: str, call: str, body: Any) -> list[str]:
        """Why a call did not do what it should. 200 is not success: the answer's own words are read."""
        with translated(f"ISM on {index}"):
            answer = self._call("POST", f"{call}/{index}", body)
            if not answer.get("failures") and answer.get("updated_indices"):
                return []
            reasons = [str(failed.get("reason")) for failed in answer.get("failed_indices", [])]
        return [f"{each}; open it first" if each == _CLOSED else each for each in reasons] or ["no index matched"]

    def _may_be_under(self, index: str, name: str) -> bool:
        """False when another policy has it; `explain` shows an index as unmanaged until ISM's next sweep."""
        return self.explain(index).get(index, {}).get("policy_id") in {None, name}

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        return self._client.transport.perform_request(method, f"/_plugins/_ism/{path}", body=body)


def _stripped(policy: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in policy.items() if name not in _ADDED_BY_GET}
    templates = objects_in(kept.get("ism_template"))
    kept["ism_template"] = [{k: v for k, v in template.items() if k != "last_updated_time"} for template in templates]
    return kept


@dataclass(frozen=True, slots=True)
class Managed:
    """`version` is the policy's sequence number and primary term as the job has them, `None` before its first run."""

    index: str
    policy_id: str | None = None
    version: tuple[int, int] | None = None
    state: str | None = None
    enabled: bool = False
    failed: bool = False
    retrying: bool = False
    """Whether its last attempt failed, and ISM tries again."""
    completed: bool = False
    leaving: bool = False
    """Whether its job is on the way out of its state, or about to delete: no change of policy stops that any more."""
    deleting: bool = False
    """Whether it is in a state that deletes it, or on the way into one."""
    message: str = ""
    snapshot: str = ""
    """`repository/name` of the snapshot that ISM made of it."""
    policy: Mapping[str, Any] | None = None

    def follows(self, name: str, stored: StoredPolicy) -> bool:
        """Whether its job does what the stored policy says, or will from its first run on."""
        if self.policy_id != name or self.stuck:
            return False
        if self.policy is not None:
            return same_deeds(self.policy, stored.policy)
        return self.version == (stored.seq_no, stored.primary_term)

    def runs(self, name: str, stored: StoredPolicy) -> bool:
        """Whether its job has begun to do what the stored policy says."""
        return self.version is not None and self.follows(name, stored)

    @property
    def stuck(self) -> bool:
        """Whether its job will never run again by itself."""
        return self.failed or (self.policy_id is not None and not self.enabled and not self.completed)

    @property
    def deletion_age(self) -> timedelta | None:
        """The age at which ISM deletes the index, by its job's copy of the policy; `None` for never."""
        return None if self.policy_id is None or self.policy is None else deletion_age(self.policy)

    def problem(self, name: str, stored: StoredPolicy) -> str:
        """Why the retention in force may not hold for this index; empty when it does."""
        if self.policy_id is None:
            return "not under any policy: ISM will not delete it"
        if self.policy_id != name:
            return f"under another policy, {self.policy_id}"
        if self.stuck:
            return f"ISM has given up: {self.message or 'its job is disabled'}"
        if not self.follows(name, stored):
            return (
                "runs an old version of the policy" if self.version else "will begin with an old version of the policy"
            )
        return f"ISM failed and tries again: {self.message}" if self.retrying else ""


def managed(explained: Mapping[str, Mapping[str, Any]]) -> list[Managed]:
    """The indices of an answer of `explain`."""
    return [_of(name, about) for name, about in sorted(explained.items())]


def _of(name: str, about: Mapping[str, Any]) -> Managed:
    action, info, policy = (object_of(about.get(key)) for key in ("action", "info", "policy"))
    failed = bool(object_of(about.get("retry_info")).get("failed")) or bool(action.get("failed"))
    state, next_one = _text(object_of(about.get("state")).get("name")), _text(about.get("transition_to"))
    deleting = deletion_states(policy) if policy else {"delete"}
    return Managed(
        index=name,
        policy_id=_text(about.get("policy_id")),
        version=(about["policy_seq_no"], about["policy_primary_term"]) if "policy_seq_no" in about else None,
        state=state,
        enabled=bool(about.get("enabled")),
        failed=failed,
        retrying=not failed and object_of(about.get("step")).get("step_status") == "failed",
        completed=bool(about.get("policy_completed")),
        leaving=bool(next_one) or state in deleting,
        deleting=next_one in deleting or state in deleting,
        message=": ".join(str(info[key]) for key in ("message", "cause") if key in info),
        snapshot=_snapshot(action, object_of(about.get("step")), policy),
        policy=policy or None,
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _snapshot(action: Mapping[str, Any], step: Mapping[str, Any], policy: Mapping[str, Any]) -> str:
    """Once its action is done; a policy of whodid's has one."""
    name = object_of(action.get("action_properties")).get("snapshot_name")
    done = action.get("name") == "snapshot" and step.get("step_status") == "completed"
    repositories = snapshot_repositories(policy)
    return f"{repositories[0]}/{name}" if done and name and repositories else ""
