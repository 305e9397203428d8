"""A stand-in for a cluster with ISM: answers as a recorded OpenSearch 3.4.0 did, and keeps state.

Kept from the recordings: 409 for a PUT without the sequence number, what GET adds to a policy, 404 and 400 bodies, the
string error without the plugin, `explain` that shows a newly attached index as unmanaged until the next sweep, `add`
that answers 200 with `failures`. From the plugin's source: `explain` of a pattern answers with every index of it at
once; `size` is ignored there, and `from` skips managed ones, or fails beyond the result window.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["IsmStandIn"]

Answer = tuple[int, Any]

_NAMED = ("index.plugins.index_state_management.policy_id", "index.opendistro.index_state_management.policy_id")
_ALREADY = "This index already has a policy, use the update policy API to update index policies"
_RETRY = {"count": 3, "backoff": "exponential", "delay": "1m"}
_WINDOW = 10_000


def _error(status: int, kind: str, reason: str) -> Answer:
    cause = {"type": kind, "reason": reason}
    return status, {"error": {"root_cause": [cause], **cause}, "status": status}


class IsmStandIn:
    """`indices` maps each index to the policy it is under; `swept` says whether explain sees attachments already."""

    def __init__(self, *, plugin: bool = True) -> None:
        self.plugin = plugin
        self.policies: dict[str, dict[str, Any]] = {}
        self.templates: dict[str, Any] = {}
        self.mappings: dict[str, Any] = {}
        self.indices: dict[str, str | None] = {}
        self.swept = True
        self.refuse_add = ""
        self.writes: list[str] = []
        self._seq_no = -1
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                status, content = stand_in.answer(self.command, self.path, body)
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json; charset=UTF-8")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_HEAD = do_PUT = do_POST = _answer  # noqa: N815 (the base class looks for these names)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def create_index(self, name: str, *, policy: str | None = None, mark: dict[str, Any] | None = None) -> None:
        self.mappings[name] = {"mappings": {"_meta": mark} if mark else {}}
        self.indices[name] = policy

    def answer(self, method: str, target: str, body: Any) -> Answer:
        parts = urlsplit(target)
        path = [part for part in parts.path.split("/") if part]
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if method in {"PUT", "POST"}:
            self.writes.append(f"{method} {parts.path}")
        match path:
            case ["_cat", "plugins"]:
                return 200, []
            case ["_index_template", name]:
                return self._template(method, name, body)
            case [pattern, "_mapping"]:
                return 200, {name: about for name, about in self.mappings.items() if fnmatchcase(name, pattern)}
            case ["_plugins", "_ism", *call] if self.plugin:
                return self._ism(method, call, query, body)
        return 400, {"error": f"no handler found for uri [{target}] and method [{method}]"}

    def _template(self, method: str, name: str, body: Any) -> Answer:
        if method == "PUT":
            self.templates[name] = {**body, "composed_of": []}
            return 200, {"acknowledged": True}
        if name not in self.templates:
            return _error(404, "resource_not_found_exception", f"index template matching [{name}] not found")
        return 200, {"index_templates": [{"name": name, "index_template": self.templates[name]}]}

    def _ism(self, method: str, call: list[str], query: dict[str, str], body: Any) -> Answer:
        calls: dict[tuple[str, str], Callable[..., Answer]] = {
            ("GET", "policies"): self._get_policy,
            ("PUT", "policies"): self._put_policy,
            ("GET", "explain"): self._explain,
            ("POST", "add"): self._add,
        }
        return calls[method, call[0]](*call[1:], query=query, body=body)

    def _get_policy(self, name: str = "", **_: Any) -> Answer:
        if not name:
            found = [{"_id": id_, **about} for id_, about in self.policies.items()]
            return 200, {"policies": found, "total_policies": len(found)}
        if name not in self.policies:
            return _error(404, "status_exception", "Policy not found")
        return 200, {"_id": name, "_version": 1, **self.policies[name]}

    def _put_policy(self, name: str, query: dict[str, str], body: Any) -> Answer:
        stored = self.policies.get(name)
        if stored and "if_seq_no" not in query:
            reason = f"[{name}]: version conflict, document already exists (current version [1])"
            return _error(409, "version_conflict_engine_exception", reason)
        if "if_seq_no" in query and (not stored or int(query["if_seq_no"]) != stored["_seq_no"]):
            return _error(409, "version_conflict_engine_exception", f"[{name}]: version conflict, required seqNo")
        self._seq_no += 1
        policy = json.loads(json.dumps(body["policy"]))
        for state in policy["states"]:
            state["actions"] = [{"retry": _RETRY, **action} for action in state["actions"]]
        for template in policy.get("ism_template") or []:
            template["last_updated_time"] = 1795408991320
        added = {"policy_id": name, "last_updated_time": 1795408991320, "schema_version": 24}
        stored = {
            "_seq_no": self._seq_no,
            "_primary_term": 1,
            "policy": {**added, "error_notification": None, **policy},
        }
        created = name not in self.policies
        self.policies[name] = stored
        return 201 if created else 200, {"_id": name, "_version": 1, **stored, "policy": {"policy": stored["policy"]}}

    def _explain(self, pattern: str, query: dict[str, str], **_: Any) -> Answer:
        names = [name for name in self.indices if fnmatchcase(name, pattern)]
        if not names:
            reason = "Validation Failed: 1: no documents to get;"
            return _error(400, "action_request_validation_exception", reason)
        start = int(query.get("from", 0))
        if start + _WINDOW > _WINDOW:
            return _error(400, "search_phase_execution_exception", "Result window is too large")
        seen = {name: self.indices[name] for name in names if self.swept and self.indices[name]}
        found = {name: self._about(name, seen.get(name), "show_policy" in query) for name in names}
        return 200, {**found, "total_managed_indices": len(seen)}

    def _about(self, name: str, policy: str | None, show_policy: bool) -> dict[str, Any]:
        about: dict[str, Any] = dict.fromkeys(_NAMED, policy)
        if policy is None:
            return {**about, "enabled": None}
        shown = {"policy": self.policies[policy]["policy"]} if show_policy else {}
        return {**about, "index": name, "index_uuid": "u", "policy_id": policy, "enabled": True, **shown}

    def _add(self, index: str, body: Any, **_: Any) -> Answer:
        policy = body["policy_id"]
        if policy not in self.policies:
            return _error(404, "status_exception", f"Could not find policy={policy}")
        if index not in self.indices:
            return 200, {"updated_indices": 0, "failures": False, "failed_indices": []}
        reason = self.refuse_add or (_ALREADY if self.indices[index] else "")
        if reason:
            failed = [{"index_name": index, "index_uuid": "u", "reason": reason}]
            return 200, {"updated_indices": 0, "failures": True, "failed_indices": failed}
        self.indices[index] = policy
        return 200, {"updated_indices": 1, "failures": False, "failed_indices": []}
