"""What ISM says of an index: under which policy and version it is, and whether its job works.

Source: answers of `_plugins/_ism/explain`, recorded on OpenSearch 3.4.0. An index is unmanaged, or its job was made but
has not run (no `policy_seq_no` yet), or it runs a version of a policy that it keeps until `change_policy`; a failed job
is disabled and stays so; one without anything left to do (`policy_completed`) is disabled as well, and well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .ism import StoredPolicy

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
    completed: bool = False
    leaving: bool = False
    """Whether its job is on the way out of its state, or about to delete: no change of policy stops that any more."""
    message: str = ""
    policy: Mapping[str, Any] | None = None

    def runs(self, name: str, stored: StoredPolicy) -> bool:
        """Whether it is under exactly that version of the policy, and its job works."""
        return self.policy_id == name and self.version == (stored.seq_no, stored.primary_term) and not self.stuck

    @property
    def stuck(self) -> bool:
        """Whether its job will never run again by itself."""
        return self.failed or (self.policy_id is not None and not self.enabled and not self.completed)

    def problem(self, name: str, stored: StoredPolicy) -> str:
        """Why the retention in force may not hold for this index; empty when it does."""
        if self.policy_id is None:
            return "not under any policy: ISM will not delete it"
        if self.policy_id != name:
            return f"under another policy, {self.policy_id}"
        if self.stuck:
            return f"ISM has given up: {self.message or 'its job is disabled'}"
        if self.version is not None and not self.runs(name, stored):
            return "runs an old version of the policy"
        return ""


def managed(explained: Mapping[str, Mapping[str, Any]]) -> list[Managed]:
    """The indices of an answer of `explain`."""
    return [_of(name, about) for name, about in sorted(explained.items())]


def _of(name: str, about: Mapping[str, Any]) -> Managed:
    failed = bool((about.get("retry_info") or {}).get("failed")) or bool((about.get("action") or {}).get("failed"))
    info = about.get("info") or {}
    version = (about["policy_seq_no"], about["policy_primary_term"]) if "policy_seq_no" in about else None
    return Managed(
        index=name,
        policy_id=about.get("policy_id"),
        version=version,
        state=(about.get("state") or {}).get("name"),
        enabled=bool(about.get("enabled")),
        failed=failed,
        completed=bool(about.get("policy_completed")),
        leaving=bool(about.get("transition_to")) or (about.get("state") or {}).get("name") == "delete",
        message=": ".join(str(info[key]) for key in ("message", "cause") if key in info),
        policy=about.get("policy"),
    )
