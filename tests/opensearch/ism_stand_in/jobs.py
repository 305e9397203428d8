"""Jobs: what ISM does to an index over time, one run after the other, as it was recorded.

Unmanaged → (sweep) job without a version → (run) initialised → (run) waiting for its transition → (run) transition →
(run) in the next state → its action: delete. A job keeps the version of the policy that it began with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Index", "Job"]

_SETTINGS = ("index.plugins.index_state_management.policy_id", "index.opendistro.index_state_management.policy_id")
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass
class Job:
    """`version` and what follows is known from the first run on; `pending` is a change of policy not yet applied."""

    policy_id: str
    policy: dict[str, Any]
    made_with: tuple[int, int]
    """The version that `policy` is of; a policy that is deleted before the first run goes on to be run."""
    version: tuple[int, int] | None = None
    state: str | None = None
    started: int = 0
    transition_to: str | None = None
    action: dict[str, Any] | None = None
    step: dict[str, Any] | None = None
    failed: bool = False
    completed: bool = False
    enabled: bool = True
    message: str = ""
    cause: str = ""
    pending: tuple[dict[str, Any], str | None] | None = None

    def state_named(self, name: str | None) -> dict[str, Any] | None:
        return next((state for state in self.policy["states"] if state["name"] == name), None)


@dataclass
class Index:
    """An index: when it was made (ms), its `_meta`, its entries and their first and last date, and its job if any."""

    name: str
    created: int
    uuid: str
    mark: dict[str, Any] | None = None
    entries: int = 0
    attached: str | None = None
    """The policy it was put under; its job is made at the next sweep."""
    job: Job | None = None
    gone: bool = field(default=False)
    dates: tuple[str, str] = ("", "")
    settings: dict[str, str] = field(default_factory=dict)
    open: bool = True
    health: str = "yellow"
    restored: bool = False
    immutable: bool = False

    def explained(self, show_policy: bool) -> dict[str, Any]:
        job = self.job
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
        info = {"message": job.message, **({"cause": job.cause} if job.cause else {})}
        return {**told, "retry_info": {"failed": job.failed, "consumed_retries": 0}, "info": info}

    def run(self, stored: dict[str, Any] | None, now: int) -> None:
        """One run of the job; `stored` is the policy as the cluster has it."""
        job = self.job
        if job is None or not job.enabled:
            return
        if job.version is None:
            self._initialise(job, stored, now)
        elif job.pending:
            self._change(job, now)
        elif job.transition_to:
            self._enter(job, now)
        else:
            self._work(job, now)

    def _initialise(self, job: Job, stored: dict[str, Any] | None, now: int) -> None:
        if stored:
            job.policy, job.version = stored["policy"], (stored["_seq_no"], stored["_primary_term"])
        else:
            job.version = job.made_with
        job.state, job.started = job.policy["default_state"], now
        job.message = f"Successfully initialized policy: {job.policy_id}"

    def _change(self, job: Job, now: int) -> None:
        assert job.pending
        stored, state = job.pending
        job.pending = None
        name = stored["policy"]["policy_id"]
        job.policy_id, job.policy = name, stored["policy"]
        job.version = (stored["_seq_no"], stored["_primary_term"])
        job.action, job.step = _transition(now), None
        job.message = f"Attempting to change policy to {name}"
        if state:
            job.state, job.transition_to = None, state

    def _enter(self, job: Job, now: int) -> None:
        if not job.state_named(job.transition_to):
            self._fail(job, f"Failed to find state={job.transition_to} in policy={job.policy_id}")
            job.action = job.step = None
            return
        job.state, job.started, job.transition_to = job.transition_to, now, None
        self._work(job, now)

    def _work(self, job: Job, now: int) -> None:
        state = job.state_named(job.state)
        if state is None:
            shown = f"StateMetaData(name={job.state}, startTime={job.started})"
            self._fail(job, f"Failed to find state={shown} in policy={job.policy_id}")
            job.step = None
            return
        if any("delete" in action for action in state["actions"]):
            if self.immutable:
                self._fail(job, f"Failed to delete index [index={self.name}]")
                job.cause = "Index is immutable"
            else:
                self.gone = True
            return
        if not state["transitions"]:
            job.completed, job.enabled = True, False
            return
        job.action = job.action or _transition(now)
        for transition in state["transitions"]:
            if now - self.created >= _milliseconds(transition.get("conditions") or {}):
                job.state, job.transition_to, job.action, job.step = None, transition["state_name"], None, None
                job.message = f"Transitioning to {transition['state_name']} [index={self.name}]"
                return
        job.step = {"name": "attempt_transition_step", "start_time": now, "step_status": "condition_not_met"}
        job.message = f"Evaluating transition conditions [index={self.name}]"

    def _fail(self, job: Job, message: str) -> None:
        job.failed, job.enabled, job.message = True, False, message


def _transition(now: int) -> dict[str, Any]:
    counts = {"index": -1, "failed": False, "consumed_retries": 0, "last_retry_time": 0}
    return {"name": "transition", "start_time": now, **counts}


def _milliseconds(conditions: dict[str, Any]) -> int:
    age = conditions.get("min_index_age")
    if age is None:
        return 0
    number, unit = re.fullmatch(r"(\d+)(\w+)", age).groups()  # type: ignore[union-attr]
    return int(number) * _UNIT_MS[unit]
