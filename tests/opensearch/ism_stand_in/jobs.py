"""Jobs: what ISM does to an index over time, one run after the other, as it was recorded.

Unmanaged → job without a version → (run) initialised → (run) waiting for its transition → (run) transition → (run) in
the next state → its actions, each tried again until it gives up. A job keeps the copy of the policy that it was made
with, whatever is stored by then, until `change_policy` gives it another one: before its first run as well.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

__all__ = ["READ_ONLY", "Index", "Job"]

READ_ONLY = "index.blocks.read_only"

_SETTINGS = ("index.plugins.index_state_management.policy_id", "index.opendistro.index_state_management.policy_id")
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_FIRST_STEPS = {"transition": "attempt_transition_step", "snapshot": "attempt_snapshot", "delete": "attempt_delete"}


@dataclass
class Job:
    """`version` and what follows is known from the first run on; `pending` is a change of policy not yet applied."""

    policy_id: str
    policy: dict[str, Any]
    made_with: tuple[int, int]
    """The version that `policy` is of."""
    made: int = 0
    version: tuple[int, int] | None = None
    state: str | None = None
    started: int = 0
    transition_to: str | None = None
    position: int = 0
    """How many actions of the state are done."""
    action: dict[str, Any] | None = None
    step: dict[str, Any] | None = None
    failed: bool = False
    completed: bool = False
    enabled: bool = True
    message: str = ""
    cause: str = ""
    told: dict[str, str] = field(default_factory=dict)
    """What a step says besides its message."""
    pending: tuple[dict[str, Any], str | None] | None = None

    def state_named(self, name: str | None) -> dict[str, Any] | None:
        return next((state for state in self.policy["states"] if state["name"] == name), None)

    def forget(self) -> None:
        """As after its index was closed: the job begins with its first run again."""
        self.made_with, self.version = self.version or self.made_with, None
        self.state = self.transition_to = self.action = self.step = None

    def age(self, min_index_age: str) -> None:
        """Makes its copy an old version, by which it deletes at that age."""
        copy = deepcopy(self.policy)
        for transition in (each for state in copy["states"] for each in state["transitions"]):
            transition["conditions"] = {"min_index_age": min_index_age}
        self.policy, self.version = copy, (99, 1)

    def say(self, message: str, cause: str = "", **told: str) -> None:
        self.message, self.cause, self.told = message, cause, told


@dataclass
class Index:
    """An index: when it was made (ms), its `_meta`, its entries and their first and last date, and its job if any."""

    name: str
    created: int
    uuid: str
    mark: dict[str, Any] | None = None
    entries: int = 0
    job: Job | None = None
    gone: bool = field(default=False)
    dates: tuple[str, str] = ("", "")
    settings: dict[str, str] = field(default_factory=dict)
    open: bool = True
    health: str = "yellow"
    restored: bool = False
    immutable: bool = False

    def explained(self, show_policy: bool, job: Job | None) -> dict[str, Any]:
        """`job` is what `explain` sees of ours, which may be a second behind."""
        if job is None:
            return {**dict.fromkeys(_SETTINGS), "enabled": None}
        told: dict[str, Any] = {**dict.fromkeys(_SETTINGS, job.policy_id), "index": self.name, "index_uuid": self.uuid}
        told["policy_id"] = job.policy_id
        if job.version:
            told |= {"policy_seq_no": job.version[0], "policy_primary_term": job.version[1]}
            told["index_creation_date"] = self.created
            told |= self._progress(job)
        told["enabled"] = job.enabled
        if show_policy:
            told["policy"] = job.policy
        return told

    def _progress(self, job: Job) -> dict[str, Any]:
        if job.completed:
            return {"policy_completed": True}
        told: dict[str, Any] = {}
        if job.transition_to:
            told["transition_to"] = job.transition_to
        if job.state:
            told["state"] = {"name": job.state, "start_time": job.started}
        if job.action:
            told["action"] = job.action
        if job.step:
            told["step"] = job.step
        info = {"message": job.message, **({"cause": job.cause} if job.cause else {}), **job.told}
        return {**told, "retry_info": {"failed": job.failed, "consumed_retries": 0}, "info": info}

    def begin(self) -> None:
        """What `explain` shows while a run is under way."""
        job = self.job
        assert job
        kind = "transition"
        if job.transition_to:
            entered = job.state_named(job.transition_to)
            kind = _kind(entered["actions"][0]) if entered and entered["actions"] else kind
        elif job.step:
            job.step = {**job.step, "step_status": "starting"}
        job.say(f"Starting action {kind} and working on {_FIRST_STEPS[kind]}")

    def run(self, now: int, repositories: Collection[str] = ()) -> None:
        """One run of the job; `repositories` are those that snapshots can go to."""
        job = self.job
        if job is None or not job.enabled:
            return
        if job.version is None:
            self._initialise(job, job.pending[0] if job.pending else None, now)
            job.pending = None
        elif job.action and job.action["failed"]:
            job.enabled = False
        elif job.pending:
            self._change(job, now)
        elif job.transition_to:
            self._enter(job, now, repositories)
        else:
            self._work(job, now, repositories)

    def _initialise(self, job: Job, changed: dict[str, Any] | None, now: int) -> None:
        """With the policy of a change that was asked for before; else with the copy, whatever is stored by now."""
        job.version = job.made_with
        if changed:
            job.policy, job.version = changed["policy"], (changed["_seq_no"], changed["_primary_term"])
            job.policy_id = job.policy["policy_id"]
        job.state, job.started = job.policy["default_state"], now
        job.say(f"Successfully initialized policy: {job.policy_id}")

    def _change(self, job: Job, now: int) -> None:
        assert job.pending
        stored, state = job.pending
        job.pending = None
        name = stored["policy"]["policy_id"]
        job.policy_id, job.policy = name, stored["policy"]
        job.version = (stored["_seq_no"], stored["_primary_term"])
        job.action, job.step = _begun("transition", -1, now), None
        job.say(f"Attempting to change policy to {name}")
        if state:
            job.state, job.transition_to = None, state

    def _enter(self, job: Job, now: int, repositories: Collection[str]) -> None:
        if not job.state_named(job.transition_to):
            self._fail(job, f"Failed to find state={job.transition_to} in policy={job.policy_id}")
            job.action = job.step = None
            return
        job.state, job.started, job.transition_to, job.position = job.transition_to, now, None, 0
        self._work(job, now, repositories)

    def _work(self, job: Job, now: int, repositories: Collection[str]) -> None:
        state = job.state_named(job.state)
        if state is None:
            shown = f"StateMetaData(name={job.state}, startTime={job.started})"
            self._fail(job, f"Failed to find state={shown} in policy={job.policy_id}")
            job.step = None
        elif job.position < len(state["actions"]):
            self._act(job, state["actions"][job.position], now, repositories)
        elif not state["transitions"]:
            job.completed, job.enabled = True, False
        else:
            self._look(job, state["transitions"], now)

    def _look(self, job: Job, transitions: list[dict[str, Any]], now: int) -> None:
        """Whether a transition is due."""
        if not job.action or job.action["name"] != "transition":
            job.action = _begun("transition", -1, now)
        for transition in transitions:
            if now - self.created >= _milliseconds(transition.get("conditions") or {}):
                job.state, job.transition_to, job.action, job.step = None, transition["state_name"], None, None
                job.say(f"Transitioning to {transition['state_name']} [index={self.name}]")
                return
        job.step = {"name": "attempt_transition_step", "start_time": now, "step_status": "condition_not_met"}
        job.say(f"Evaluating transition conditions [index={self.name}]")

    def _act(self, job: Job, action: dict[str, Any], now: int, repositories: Collection[str]) -> None:
        """One attempt at the action that is next."""
        kind, retry = _kind(action), action["retry"]
        if not job.action or job.action["name"] != kind or job.action["start_time"] is None:
            job.action = _begun(kind, job.position, now)
        if now < _next_attempt(job.action, retry):
            return
        cause = self._refusal(kind, action[kind], repositories)
        if kind == "snapshot":
            job.action["action_properties"] = {} if cause.startswith("script_lang") else {
                "snapshot_name": f"{action[kind]['snapshot'].replace('{{ctx.index}}', self.name)}-{_moment(now)}"
            }  # fmt: skip
        if cause:
            self._failed_attempt(job, kind, retry, now)
            job.say(f"Failed to {_VERBS[kind]} [index={self.name}]", cause)
        elif kind == "delete":
            self.gone = True
        else:
            job.position += 1
            job.step = {"name": "wait_for_snapshot", "start_time": now, "step_status": "completed"}
            job.say(f"Successfully created snapshot [index={self.name}]", state="SUCCESS")

    def _refusal(self, kind: str, body: dict[str, Any], repositories: Collection[str]) -> str:
        """Why the cluster would not do it; empty where it does."""
        if kind == "snapshot" and body["repository"] not in repositories:
            return f"[{body['repository']}] missing"
        if kind == "delete" and self.immutable:
            return "Index is immutable"
        if kind == "delete" and self.settings.get(READ_ONLY) == "true":
            return f"index [{self.name}] blocked by: [FORBIDDEN/5/index read-only (api)];"
        return ""

    def _failed_attempt(self, job: Job, kind: str, retry: dict[str, Any], now: int) -> None:
        """Counted, until there were enough: then the action is failed, and the run after that disables the job."""
        assert job.action
        job.step = {"name": _FIRST_STEPS[kind], "start_time": job.action["start_time"], "step_status": "failed"}
        if job.action["consumed_retries"] >= retry["count"]:
            job.action["failed"] = True
        else:
            job.action |= {"consumed_retries": job.action["consumed_retries"] + 1, "last_retry_time": now}

    def _fail(self, job: Job, message: str) -> None:
        job.failed, job.enabled = True, False
        job.say(message)


_VERBS = {"snapshot": "create snapshot", "delete": "delete index"}


def _kind(action: dict[str, Any]) -> str:
    return next(name for name in action if name not in {"retry", "timeout"})


def _begun(kind: str, position: int, now: int) -> dict[str, Any]:
    counts = {"index": position, "failed": False, "consumed_retries": 0, "last_retry_time": 0}
    return {"name": kind, "start_time": now, **counts}


def _next_attempt(action: dict[str, Any], retry: dict[str, Any]) -> int:
    """When ISM tries again, by the back-off of the policy."""
    done: int = action["consumed_retries"]
    if not done:
        return 0
    growth = 2 ** (done - 1) if retry["backoff"] == "exponential" else 1
    last: int = action["last_retry_time"]
    return last + _duration(retry["delay"]) * growth


def _milliseconds(conditions: dict[str, Any]) -> int:
    age = conditions.get("min_index_age")
    return 0 if age is None else _duration(age)


def _duration(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(\w+)", text).groups()  # type: ignore[union-attr]
    return int(number) * _UNIT_MS[unit]


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y.%m.%d-%H:%M:%S.%f")[:-3]
