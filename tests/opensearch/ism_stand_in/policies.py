"""Policies: stored with sequence numbers, checked as the plugin checks them, and completed with what it adds."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import Any

from .answers import Answer, error

__all__ = ["Policies"]

_FIELDS = {
    "policy_id",
    "description",
    "last_updated_time",
    "schema_version",
    "error_notification",
    "default_state",
    "states",
    "ism_template",
    "user",
}
_ACTIONS = {"delete", "read_only", "rollover", "snapshot", "force_merge", "close", "replica_count", "index_priority"}
_RETRY = {"count": 3, "backoff": "exponential", "delay": "1m"}
_AGE = re.compile(r"\d+(nanos|micros|ms|s|m|h|d)")
_SCHEMA_VERSION = 24
_CONFIG = ".opendistro-ism-config"


class Policies:
    """`stored` maps an ID to what GET answers. The plugin's own index is made by the first PUT."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, Any]] = {}
        self.touched = False
        self.seq_no = -1
        self.primary_term = 1

    def find(self, name: str) -> dict[str, Any]:
        if name not in self.stored:
            raise error(404, "status_exception", f"Could not find policy={name}")
        return self.stored[name]

    def get(self, name: str) -> Answer:
        self._must_exist()
        if name not in self.stored:
            raise error(404, "status_exception", "Policy not found")
        return 200, self.stored[name]

    def listed(self, query: dict[str, str]) -> Answer:
        first, size = int(query.get("from", 0)), int(query.get("size", 20))
        names = sorted(self.stored)[first : first + size]
        found = [{key: value for key, value in self.stored[name].items() if key != "_version"} for name in names]
        return 200, {"policies": found, "total_policies": len(self.stored)}

    def delete(self, name: str) -> Answer:
        self._must_exist()
        if name not in self.stored:
            raise error(404, "status_exception", f"Policy {name} is not found")
        version = self.stored.pop(name)["_version"] + 1
        self.seq_no += 1
        shards = {"total": 2, "successful": 1, "failed": 0}
        about = {"_index": _CONFIG, "_id": name, "_version": version, "result": "deleted", "forced_refresh": True}
        return 200, {**about, "_shards": shards, "_seq_no": self.seq_no, "_primary_term": self.primary_term}

    def put(self, name: str, query: dict[str, str], body: Any, now: int) -> Answer:
        policy = _checked(name, body)
        self._check_templates(name, policy.get("ism_template") or [])
        self._check_version(name, query)
        self.touched = True
        self.seq_no += 1
        version = self.stored[name]["_version"] + 1 if name in self.stored else 1
        complete = _completed(name, policy, now)
        about = {"_id": name, "_version": version, "_seq_no": self.seq_no, "_primary_term": self.primary_term}
        self.stored[name] = {**about, "policy": complete}
        said = {**complete, "schema_version": policy.get("schema_version", 1)}
        return 201 if version == 1 else 200, {**about, "policy": {"policy": said}}

    def _must_exist(self) -> None:
        if not self.touched:
            where: dict[str, Any] = {"index": _CONFIG, "resource.id": _CONFIG, "index_uuid": "_na_"}
            where["resource.type"] = "index_expression"
            raise error(404, "index_not_found_exception", f"no such index [{_CONFIG}]", **where)

    def _check_version(self, name: str, query: dict[str, str]) -> None:
        known = self.stored.get(name)
        where: dict[str, Any] = {"index": _CONFIG, "shard": "0", "index_uuid": "x"}
        if "if_seq_no" not in query:
            if known:
                reason = f"[{name}]: version conflict, document already exists (current version [{known['_version']}])"
                raise error(409, "version_conflict_engine_exception", reason, **where)
            return
        wanted = int(query["if_seq_no"]), int(query["if_primary_term"])
        there = (known["_seq_no"], known["_primary_term"]) if known else None
        if wanted != there:
            now = f"current document has seqNo [{there[0]}] and primary term [{there[1]}]" if there else "no document"
            reason = f"[{name}]: version conflict, required seqNo [{wanted[0]}], primary term [{wanted[1]}]. {now}"
            raise error(409, "version_conflict_engine_exception", reason, **where)

    def _check_templates(self, name: str, templates: list[dict[str, Any]]) -> None:
        for template in templates:
            if template.get("priority", 0) < 0:
                raise error(400, "illegal_argument_exception", "Requires priority to be >= 0")
            for pattern in template["index_patterns"]:
                _check_pattern(pattern)
            for other, about in self.stored.items():
                for theirs in about["policy"].get("ism_template") or []:
                    if other != name and _collide(template, theirs):
                        shown = ", ".join(template["index_patterns"])
                        reason = (
                            f"New policy {name} has an ISM template with index pattern [{shown}] matching existing "
                            f"policy templates, please use a different priority than {template['priority']}"
                        )
                        raise _management(reason, f"java.lang.IllegalArgumentException: {reason}")


def _collide(one: dict[str, Any], other: dict[str, Any]) -> bool:
    pairs = ((mine, theirs) for mine in one["index_patterns"] for theirs in other["index_patterns"])
    meet = any(fnmatchcase(mine, theirs) or fnmatchcase(theirs, mine) for mine, theirs in pairs)
    return meet and one.get("priority", 0) == other.get("priority", 0)


def _check_pattern(pattern: str) -> None:
    wrong = []
    if "#" in pattern:
        wrong.append(f"index_pattern [{pattern}] must not contain a '#'")
    if set(pattern) & set(' "\\<|,>/?'):
        characters = '[ , ", *, \\, <, |, ,, >, /, ?]'
        wrong.append(f"index_pattern [{pattern}] must not contain the following characters {characters}")
    if wrong:
        reason = "Validation Failed: " + "".join(f"{number}: {each};" for number, each in enumerate(wrong, 1))
        raise _management(reason, f"org.opensearch.common.ValidationException: {reason}")


def _management(reason: str, cause: str) -> Exception:
    return error(400, "index_management_exception", reason, {"type": "exception", "reason": cause})


def _checked(name: str, body: Any) -> dict[str, Any]:
    if body is None:
        raise error(400, "parse_exception", "request body is required")
    if isinstance(body, str):
        reason = (
            "Unexpected end-of-input within/between Object entries\n at [Source: REDACTED "
            f"(`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: {len(body) + 1}]"
        )
        raise error(400, "json_e_o_f_exception", reason)
    if not name:
        raise _wrong("Missing policy ID")
    if not isinstance(body.get("policy"), dict):
        reason = "Failed to parse object: expecting token of type [START_OBJECT] but found [VALUE_STRING]"
        raise error(400, "parsing_exception", reason, line=1, col=17)
    policy: dict[str, Any] = body["policy"]
    for field in policy:
        if field not in _FIELDS:
            raise _wrong(f"Invalid field: [{field}] found in Policy.")
    _check_states(policy)
    return policy


def _check_states(policy: dict[str, Any]) -> None:
    states = policy.get("states", [])
    for state in states:
        for action in state["actions"]:
            for kind in action:
                if kind not in _ACTIONS | {"retry", "timeout"}:
                    raise _wrong(f"Invalid field: [{kind}] found in Actions.")
        for transition in state["transitions"]:
            _check_conditions(transition.get("conditions") or {})
    if policy.get("default_state") is None:
        raise _wrong("default_state is null")
    if not states:
        raise _wrong("Policy must contain at least one State")
    names = {state["name"] for state in states}
    for state in states:
        for transition in state["transitions"]:
            if transition["state_name"] not in names:
                raise _wrong(
                    f"Policy contains a transition in state={state['name']} pointing to a nonexistent "
                    f"state={transition['state_name']}"
                )
    if policy["default_state"] not in names:
        raise _wrong("Policy must have a valid default state")


def _check_conditions(conditions: dict[str, Any]) -> None:
    age = conditions.get("min_index_age")
    if age is not None and not _AGE.fullmatch(age):
        cause = {"type": "number_format_exception", "reason": f'For input string: "{age[:-1]}"'}
        raise error(400, "illegal_argument_exception", f"failed to parse [{age}]", cause)
    if len(conditions) > 1:
        raise _wrong("Cannot provide more than one Transition condition")


def _wrong(reason: str) -> Exception:
    return error(400, "illegal_argument_exception", reason)


def _completed(name: str, policy: dict[str, Any], now: int) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(policy))
    for state in copy["states"]:
        state["actions"] = [{**action, "retry": {**_RETRY, **action.get("retry", {})}} for action in state["actions"]]
        for action in state["actions"]:
            if "rollover" in action:
                action["rollover"].setdefault("copy_alias", False)
    for template in copy.get("ism_template") or []:
        template.setdefault("last_updated_time", now)
    added = {"policy_id": name, "description": copy["description"], "last_updated_time": now}
    fixed = {"schema_version": _SCHEMA_VERSION, "error_notification": None}
    rest = {key: copy.get(key) for key in ("default_state", "states", "ism_template")}
    return {**added, **fixed, **rest}
