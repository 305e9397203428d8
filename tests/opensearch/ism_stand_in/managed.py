"""Managed indices: what ISM tells of them, and how they are put under a policy, moved, tried again and released."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

from .answers import Answer, error
from .indices import matching, must_exist
from .jobs import Index, Job
from .policies import Policies

__all__ = ["AUTO_MANAGE", "Managed"]

AUTO_MANAGE = "index.plugins.index_state_management.auto_manage"
"""`remove` sets it to false (`TransportRemovePolicyAction`), and the sweep leaves such an index alone."""

_ALREADY = "This index already has a policy, use the update policy API to update index policies"
_CLOSED = "This index is closed"


class Managed:
    """`lag` is by how many ms `explain` is behind: a job that was made in that time is not shown yet."""

    def __init__(self, indices: dict[str, Index], policies: Policies, clock: Callable[[], int]) -> None:
        self.indices = indices
        self.policies = policies
        self.lag = 0
        self._clock = clock

    def take(self, index: Index, name: str) -> None:
        """Makes the job of an index, with a copy of the policy as it now is."""
        stored = self.policies.find(name)
        index.job = Job(name, stored["policy"], (stored["_seq_no"], stored["_primary_term"]), self._clock())

    def take_by_template(self, index: Index) -> None:
        """If it has no job, nobody took it out, and a template that is older than it matches: as it is created, or at
        the next sweep."""
        if index.job is None and index.settings.get(AUTO_MANAGE) != "false" and (name := self._by_template(index)):
            self.take(index, name)

    def _by_template(self, index: Index) -> str | None:
        found: list[tuple[int, str]] = []
        for name, about in self.policies.stored.items():
            for template in about["policy"].get("ism_template") or []:
                if template["last_updated_time"] < index.created and _matches(template["index_patterns"], index.name):
                    found.append((template.get("priority", 0), name))
        return max(found)[1] if found else None

    def _seen(self, index: Index) -> Job | None:
        return index.job if index.job and self._clock() - index.job.made >= self.lag else None

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
        told: dict[str, Any] = {one.name: one.explained(show, self._seen(one)) for one in found}
        if query.get("validate_action") == "true":
            for one in found:
                message = f"Transition action validation passed for [index={one.name}]"
                told[one.name]["validate"] = {"validation_message": message, "validation_status": "passed"}
        return 200, {**told, "total_managed_indices": sum(1 for one in found if self._seen(one))}

    def add(self, pattern: str, body: Any, refused: str) -> Answer:
        if "policy_id" not in body:
            raise error(400, "illegal_argument_exception", "Missing policy_id")
        self.policies.find(body["policy_id"])

        def put_under(one: Index) -> str:
            if refused or one.job or not one.open:
                return refused or (_ALREADY if one.open else _CLOSED)
            self.take(one, body["policy_id"])
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
            if not one.open:
                return "This index has no metadata information"
            if not (one.job.failed or (one.job.action or {}).get("failed")):
                return "This index is not in failed state."
            one.job.failed, one.job.enabled, one.job.step = False, True, None
            if one.job.action:
                begins = {"start_time": None, "failed": False, "consumed_retries": 0, "last_retry_time": None}
                one.job.action = {**one.job.action, **begins}
            one.job.say("Pending retry of failed managed index", one.job.cause)
            return ""

        return _each(matching(self.indices, pattern), retry)

    def remove(self, pattern: str) -> Answer:
        must_exist(self.indices, pattern)

        def remove(one: Index) -> str:
            if not one.open:
                return _CLOSED
            if one.job is None:
                return "This index does not have a policy to remove"
            one.job = None
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


def _matches(patterns: list[str], name: str) -> bool:
    """A pattern that begins with a minus leaves out what it matches."""
    left_out = any(fnmatchcase(name, pattern[1:]) for pattern in patterns if pattern.startswith("-"))
    return not left_out and any(fnmatchcase(name, pattern) for pattern in patterns)
