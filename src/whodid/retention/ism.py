"""ISM (Index State Management): the text of the retention policy, the state of its jobs, and a small client.

Facts, each recorded from OpenSearch 3.4.0: PUT on an existing policy needs the sequence number and primary term that
GET returned; GET adds fields that PUT did not have; without the plugin every call is a 400 whose `error` is a plain
string.

An index is unmanaged, or its job has not run (no `policy_seq_no` yet), or it runs. A job follows its own copy of the
policy from before its first run until a `change_policy`, whatever happens to the policy itself. A failed action is
retried for a while (`step_status` failed, the job enabled); then the job has failed for good and stays disabled. A job
that is finished (`policy_completed`) is disabled too, which is no failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ..cluster.connection import is_missing_plugin, translated
from ..cluster.template import OWNER, changed_by_hand, index_pattern, with_fingerprint
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
    "same_behavior",
    "snapshot_repositories",
    "state_names",
]

_PARTITION_DAYS = {"month": 31, "week": 7, "day": 1}
CLOCK_SKEW_DAYS = 2
"""The allowed difference between the clocks of recording hosts and of the cluster."""
MARGINS = frozenset(days + CLOCK_SKEW_DAYS for days in _PARTITION_DAYS.values())
"""The days that a policy may add to the retention; it keeps the margin of longer partitions after their deletion."""

_FINGERPRINT_AT = ("description",)
"""Where the policy carries its fingerprint."""

_ADDED_BY_GET = {"policy_id", "last_updated_time", "schema_version", "error_notification", "user"}
_RETRY = {"count": 3, "backoff": "exponential", "delay": "1m"}
_AT_ONCE = 100
_ALREADY = "This index already has a policy"
_NONE = "This index does not have a policy"
_CLOSED = "This index is closed"
_AGE = re.compile(r"(\d+)(ms|s|m|h|d)")
_NEVER = timedelta(days=MOST_DAYS)
"""An age that no index reaches; added to a date it may be beyond the calendar."""
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def policy_name(settings: Settings) -> str:
    return f"{settings.index_prefix}-retention"


def margin_days(settings: Settings, partitions: Iterable[str] = ()) -> int:
    """The days to keep an index beyond the retention, so that its last entry is kept as long as promised.

    They are the length of the longest partition, by the setting and by the names of existing ones (the setting may have
    changed), and two days for clocks that differ.
    """
    spans = (
        (partition_start(settings.index_prefix, one), partition_end(settings.index_prefix, one)) for one in partitions
    )
    lengths = [31 if (end - start).days > 7 else (end - start).days for start, end in spans if start and end]
    return max([_PARTITION_DAYS[settings.partition], *lengths]) + CLOCK_SKEW_DAYS


def policy_body(settings: Settings, partitions: Iterable[str] = ()) -> dict[str, Any]:
    """The body of `PUT _plugins/_ism/policies/<policy_name>`, for a cluster with these partitions.

    ISM counts from the creation of the index, so it deletes a partition after the days of `retention` and the margin:
    then its youngest entry is as old as the retention.
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
    return {"policy": with_fingerprint(policy, *_FINGERPRINT_AT)}


def deletion_age(policy: Mapping[str, Any]) -> timedelta | None:
    """The minimum age of an index at which ISM deletes it by this policy; `None` for never.

    It works for any policy, since somebody may have edited it: an action deletes unless it is known not to, and a
    condition other than an age counts as met, since its time is unknown. Invalid states and transitions are ignored.
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
    """The minimum age at which ISM deletes an index by this policy, in whole days; `None` for never."""
    age = deletion_age(policy)
    return None if age is None else age.days


def state_names(policy: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(_states(policy))


def deletion_states(policy: Mapping[str, Any]) -> frozenset[str]:
    """The states in which a policy deletes the index."""
    return frozenset(name for name, state in _states(policy).items() if state.deletes)


def snapshot_repositories(policy: Mapping[str, Any]) -> list[str]:
    """The repositories in which a policy saves an index before it deletes it."""
    return [repository for state in _states(policy).values() for repository in state.repositories]


def same_behavior(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a job behaves the same under both policies, as the cluster shows them, even if other parts differ."""
    return all(one.get(key) == other.get(key) for key in ("default_state", "states"))


def keeps_as_long(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an index may be put under the stored policy: it deletes none earlier than the wanted one would."""
    age, least = deletion_age(stored), deletion_age(wanted)
    return age is None or (least is not None and age >= least)


class _State(NamedTuple):
    """`transitions` are the names of following states, each with the minimum age of the index for it."""

    deletes: bool
    repositories: list[str]
    transitions: list[tuple[str, timedelta]]


def _states(policy: Mapping[str, Any]) -> dict[str, _State]:
    """The states by name of a policy, which anybody may have written; only this function parses one."""
    return {str(state["name"]): _state(state) for state in objects_in(policy.get("states")) if "name" in state}


def _state(state: Mapping[str, Any]) -> _State:
    actions = objects_in(state.get("actions"))
    repositories = [object_of(action.get("snapshot")).get("repository") for action in actions]
    transitions = objects_in(state.get("transitions"))
    return _State(
        any(map(_deletes, actions)),
        [name for name in repositories if isinstance(name, str)],
        [(str(one.get("state_name")), _least_age(object_of(one.get("conditions")))) for one in transitions],
    )


_KEEPING = frozenset(
    {"alias", "allocation", "close", "force_merge", "index_priority", "notification", "open", "read_only", "read_write"}
    | {"replica_count", "rollover", "rollup", "search_only", "shrink", "snapshot", "stop_replication", "transform"}
    | {"retry", "timeout"}
)
"""The actions of ISM after which the index still exists, and what may be said besides; `shrink` writes another one."""


_CONVERT = "convert_index_to_remote"


def _deletes(action: Mapping[str, Any]) -> bool:
    """Whether an action may delete the index, as one that this version of whodid does not know.

    Before OpenSearch 3.3, which says it each time, `convert_index_to_remote` has no `delete_original_index`.
    """
    unknown = action.keys() - _KEEPING
    if object_of(action.get(_CONVERT)).get("delete_original_index") is False:
        unknown -= {_CONVERT}
    return bool(unknown)


def _least_age(conditions: Mapping[str, Any]) -> timedelta:
    found = _AGE.fullmatch(str(conditions.get("min_index_age")))
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta(0)
    except (OverflowError, ValueError):  # the age has too many digits
        return timedelta.max


def policy_by_hand(stored: StoredPolicy | None) -> bool:
    """Whether somebody changed the policy since whodid made it."""
    if stored is None:
        return False
    ours = str(stored.policy.get("description")).startswith(OWNER)
    return changed_by_hand(stored.policy, *_FINGERPRINT_AT, ours=ours)


def _kept(settings: Settings) -> list[dict[str, Any]]:
    """The action that saves a partition in a snapshot, if a repository is set; ISM appends the time to its name."""
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
        """Whether the cluster has ISM; it also has if the plugin says that this user may not read policies."""
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
        """Creates the policy, or replaces exactly the version `known`; managed indices keep their version."""
        condition = f"?if_seq_no={known.seq_no}&if_primary_term={known.primary_term}" if known else ""
        with translated(f"the ISM policy {name}"):
            self._call("PUT", f"policies/{name}{condition}", body)

    def delete_policy(self, name: str) -> None:
        """Deletes the policy; indices under it keep the version they have."""
        with translated(f"the ISM policy {name}"):
            self._call("DELETE", f"policies/{name}")

    def templates(self) -> dict[str, list[dict[str, Any]]]:
        """The `ism_template`s of every policy, by its name."""
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
        """ISM's explanation of each index of the pattern, by index.

        One call returns all of them: `size` and `from` are only for `explain` without a pattern.
        """
        from opensearchpy import RequestError

        with translated(f"ISM on {pattern}"):
            try:
                answer = self._call("GET", f"explain/{pattern}?show_policy=true")
            except RequestError as error:
                if "no documents to get" in str(error.info):  # this means that no index matches
                    return {}
                raise
            return {name: about for name, about in answer.items() if isinstance(about, dict)}

    def add(self, index: str, name: str) -> None:
        """Puts an unmanaged index under the policy; it is no error if ISM has done so meanwhile."""
        reasons = self._refused(index, "add", {"policy_id": name})
        if reasons and not (all(reason.startswith(_ALREADY) for reason in reasons) and self._may_be_under(index, name)):
            raise OpenSearchError(f"{index} could not be put under the policy {name}: {', '.join(reasons)}")

    def change_policy(self, index: str, name: str) -> None:
        """Makes the index's job take the policy at its next run, as it is then.

        The policy must have the state of the job: without it ISM answers 200, and the job then fails for good.
        """
        if reasons := self._refused(index, "change_policy", {"policy_id": name}):
            raise OpenSearchError(f"{index} could not be moved to the policy {name}: {', '.join(reasons)}")

    def remove(self, index: str) -> None:
        """Removes the index from its policy, if it has one; ISM then does not delete it."""
        reasons = self._refused(index, "remove", None)
        if any(not reason.startswith(_NONE) for reason in reasons):
            raise OpenSearchError(f"{index} could not be removed from its policy: {', '.join(reasons)}")

    def _refused(self, index: str, call: str, body: Any) -> list[str]:
        """Why a call failed, by the reasons in the answer: its status is 200 also for failures."""
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
    """The ISM state of an index.

    `version` is the policy's sequence number and primary term in the job, `None` before its first run.
    """

    index: str
    policy_id: str | None = None
    version: tuple[int, int] | None = None
    state: str | None = None
    enabled: bool = False
    failed: bool = False
    retrying: bool = False
    """Whether its last attempt failed, and ISM retries it."""
    completed: bool = False
    leaving: bool = False
    """Whether its job is leaving its state, or about to delete: a change of policy no longer stops that."""
    deleting: bool = False
    """Whether it is in a state that deletes it, or entering one."""
    message: str = ""
    snapshot: str = ""
    """`repository/name` of the snapshot that ISM made of it."""
    policy: Mapping[str, Any] | None = None

    def follows(self, name: str, stored: StoredPolicy) -> bool:
        """Whether its job follows the stored policy, or will with its first run."""
        if self.policy_id != name or self.stuck:
            return False
        if self.policy is not None:
            return same_behavior(self.policy, stored.policy)
        return self.version == (stored.seq_no, stored.primary_term)

    def runs(self, name: str, stored: StoredPolicy) -> bool:
        """Whether its job has run and follows the stored policy."""
        return self.version is not None and self.follows(name, stored)

    @property
    def stuck(self) -> bool:
        """Whether its job will not run again by itself."""
        return self.failed or (self.policy_id is not None and not self.enabled and not self.completed)

    @property
    def deletion_age(self) -> timedelta | None:
        """The age at which ISM deletes the index, by its job's copy of the policy; `None` for never."""
        return None if self.policy_id is None or self.policy is None else deletion_age(self.policy)

    def problem(self, name: str, stored: StoredPolicy) -> str:
        """Why the retention in force may not apply to this index; empty if it does."""
        if self.policy_id is None:
            return "not under any policy: ISM will not delete it"
        if self.policy_id != name:
            return f"under another policy, {self.policy_id}"
        if self.stuck:
            return f"its ISM job has failed for good: {self.message or 'it is disabled'}"
        if not self.follows(name, stored):
            return f"{'runs' if self.version else 'will start with'} an old version of the policy"
        return f"ISM failed and is retrying: {self.message}" if self.retrying else ""


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
    """`repository/name` of the snapshot, once its action is done; a policy of whodid has one repository."""
    name = object_of(action.get("action_properties")).get("snapshot_name")
    done = action.get("name") == "snapshot" and step.get("step_status") == "completed"
    repositories = snapshot_repositories(policy)
    return f"{repositories[0]}/{name}" if done and name and repositories else ""
