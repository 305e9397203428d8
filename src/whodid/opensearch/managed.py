"""What ISM says of an index: under which policy it is, which copy of it its job has, and whether the job works.

Source: answers of `_plugins/_ism/explain?show_policy=true`, recorded on OpenSearch 3.4.0. An index is unmanaged, or its
job has not run (no `policy_seq_no` yet), or it runs. A job does what its copy of the policy says, from before its first
run until a `change_policy`, whatever becomes of the policy itself. An action that fails is tried again for a while
(`step_status` failed, the job enabled); a job that has given up is disabled and stays so; one without anything left to
do (`policy_completed`) is disabled as well, and in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..text import object_of
from .ism import StoredPolicy, deletion_age, deletion_states, same_deeds, snapshot_repositories

__all__ = ["Managed", "managed"]


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
