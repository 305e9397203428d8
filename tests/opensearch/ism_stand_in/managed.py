"""Managed indices: what ISM tells of them, and how they are put under a policy, moved, tried again and released."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .answers import Answer, error
from .indices import matching, must_exist
from .jobs import Index
from .policies import Policies

__all__ = ["AUTO_MANAGE", "Managed"]

AUTO_MANAGE = "index.plugins.index_state_management.auto_manage"
"""`remove` sets it to false (`TransportRemovePolicyAction`), and the sweep leaves such an index alone."""

_ALREADY = "This index already has a policy, use the update policy API to update index policies"


class Managed:
    def __init__(self, indices: dict[str, Index], policies: Policies) -> None:
        self.indices = indices
        self.policies = policies

    def explain(self, pattern: str, query: dict[str, str]) -> Answer:
        """Every index of the pattern at once; `size` and `from` are for a call without one."""
        if "sortField" in query:
            cause = {"type": "query_shard_exception", "index": ".opendistro-ism-config", "index_uuid": "x"}
            cause["reason"] = f"No mapping found for [{query['sortField']}] in order to sort on"
            shard = {"shard": 0, "index": ".opendistro-ism-config", "node": "x", "reason": cause}
            whole = {"type": "search_phase_execution_exception", "reason": "all shards failed", "phase": "query"}
            return 400, {
                "error": {"root_cause": [cause], **whole, "grouped": True, "failed_shards": [shard]},
                "status": 400,
            }
        found = matching(self.indices, pattern)
        if not found:
            raise error(400, "action_request_validation_exception", "Validation Failed: 1: no documents to get;")
        show = query.get("show_policy") == "true"
        told: dict[str, Any] = {one.name: one.explained(show) for one in found}
        if query.get("validate_action") == "true":
            for one in found:
                message = f"Transition action validation passed for [index={one.name}]"
                told[one.name]["validate"] = {"validation_message": message, "validation_status": "passed"}
        return 200, {**told, "total_managed_indices": sum(1 for one in found if one.job)}

    def add(self, pattern: str, body: Any, refused: str) -> Answer:
        if "policy_id" not in body:
            raise error(400, "illegal_argument_exception", "Missing policy_id")
        self.policies.find(body["policy_id"])

        def put_under(one: Index) -> str:
            if refused or one.job or one.attached:
                return refused or _ALREADY
            one.attached = body["policy_id"]
            return ""

        return _each(matching(self.indices, pattern), put_under)

    def change_policy(self, pattern: str, body: Any) -> Answer:
        stored = self.policies.find(body["policy_id"])
        must_exist(self.indices, pattern)
        included = {each["state"] for each in body.get("include", [])}
        chosen = [
            one for one in matching(self.indices, pattern) if not included or (one.job and one.job.state in included)
        ]

        def change(one: Index) -> str:
            if one.job is None:
                return "This index is not being managed"
            one.job.pending = stored, body.get("state")
            return ""

        return _each(chosen, change)

    def retry(self, pattern: str) -> Answer:
        def retry(one: Index) -> str:
            if one.job is None:
                return "This index is not being managed."
            if not (one.job.failed or (one.job.action or {}).get("failed")):
                return "This index is not in failed state."
            one.job.failed, one.job.enabled = False, True
            return ""

        return _each(matching(self.indices, pattern), retry)

    def remove(self, pattern: str) -> Answer:
        must_exist(self.indices, pattern)

        def remove(one: Index) -> str:
            if one.job is None and one.attached is None:
                return "This index does not have a policy to remove"
            one.job = one.attached = None
            one.settings[AUTO_MANAGE] = "false"
            return ""

        return _each(matching(self.indices, pattern), remove)


def _each(chosen: Iterable[Index], do: Callable[[Index], str]) -> Answer:
    done, failed = 0, []
    for one in chosen:
        reason = do(one)
        done += not reason
        if reason:
            failed.append({"index_name": one.name, "index_uuid": one.uuid, "reason": reason})
    return 200, {"updated_indices": done, "failures": bool(failed), "failed_indices": failed}
