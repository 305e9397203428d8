"""The server: HTTP on loopback, what is stored, and the time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .answers import Answer, Refused, error
from .documents import Documents
from .indices import index_call, must_be_new, refuse_settings
from .jobs import Index, Job
from .managed import AUTO_MANAGE, Managed
from .policies import Policies

__all__ = ["IsmStandIn"]

_PLUGINS = [
    {"name": "n1", "component": component, "version": "3.4.0.0"}
    for component in ("opensearch-index-management", "opensearch-job-scheduler")
]


def _date(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_START = 1_795_408_989_000


class IsmStandIn:
    """Time is `now` (ms) and moves by `advance` alone; then ISM sweeps, and each job runs once.

    `lazy` leaves jobs as they are, so that a test can let them `run` one by one. `refuse_add` is the reason for which
    every `add` fails. `on_delete` is told of each index that ISM deletes. `writes` are the requests that
    would change something.
    """

    def __init__(self, *, plugin: bool = True) -> None:
        self.plugin = plugin
        self.now = _START
        self.lazy = False
        self._made = 0
        self.policies = Policies()
        self.templates: dict[str, Any] = {}
        self.indices: dict[str, Index] = {}
        self._managed = Managed(self.indices, self.policies)
        self._documents = Documents(self.indices)
        self.refuse_add = ""
        self.writes: list[str] = []
        self.on_delete: Callable[[Index], None] = lambda index: None
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

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 (looked for by the base class)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def create_index(
        self,
        name: str,
        *,
        policy: str | None = None,
        mark: dict[str, Any] | None = None,
        entries: int = 0,
        age: float = 0,
        dates: tuple[str, str] | None = None,
    ) -> Index:
        """An index made `age` days ago, with a job that runs already if `policy` is given; `dates` of its entries."""
        self._made += 1
        made = Index(name, self.now - round(age * 86_400_000), f"uuid-{self._made}", mark, entries)
        made.dates = dates or (_date(made.created), _date(made.created))
        self.indices[name] = made
        if policy:
            made.job = self._job(policy)
            self.run(name, 2)
        return made

    def managed(self) -> dict[str, str | None]:
        """The policy of each index."""
        return {name: index.job.policy_id if index.job else index.attached for name, index in self.indices.items()}

    def advance(self, seconds: float) -> None:
        """Time passes, and ISM looks once at the end of it."""
        self.now += round(seconds * 1000)
        self.sweep()
        for name in list(self.indices):
            self.run(name)

    def sweep(self) -> None:
        """Makes the jobs of indices that were put under a policy, or match a template that is older than they are."""
        for index in self.indices.values():
            name = index.attached or self._by_template(index)
            if (
                index.job is None
                and name in self.policies.stored
                and (index.attached or index.settings.get(AUTO_MANAGE) != "false")
            ):
                index.job = self._job(name)

    def run(self, name: str, times: int = 1) -> None:
        """Runs of one index's job."""
        for _ in range(times):
            if name not in self.indices:
                return
            index = self.indices[name]
            index.run(self.policies.stored.get(index.job.policy_id) if index.job else None, self.now)
            if index.gone:
                self.on_delete(index)
                del self.indices[name]

    def _job(self, name: str) -> Job:
        stored = self.policies.find(name)
        return Job(name, stored["policy"], (stored["_seq_no"], stored["_primary_term"]))

    def _by_template(self, index: Index) -> str | None:
        found: list[tuple[int, str]] = []
        for name, about in self.policies.stored.items():
            for template in about["policy"].get("ism_template") or []:
                old_enough = template["last_updated_time"] < index.created
                if old_enough and any(fnmatchcase(index.name, pattern) for pattern in template["index_patterns"]):
                    found.append((template.get("priority", 0), name))
        return max(found)[1] if found else None

    def answer(self, method: str, target: str, body: Any) -> Answer:
        if method in {"PUT", "POST", "DELETE"} and not target.split("?")[0].endswith(
            ("/_count", "/_search", "/_refresh")
        ):
            self.writes.append(f"{method} {urlsplit(target).path}")
        try:
            status, content = self._routed(method, target, body)
        except Refused as refused:
            status, content = refused.answer
        return status, None if method == "HEAD" else content

    def _routed(self, method: str, target: str, body: Any) -> Answer:
        parts = urlsplit(target)
        path = [unquote(part) for part in parts.path.split("/") if part]
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match path:
            case ["_cat", "plugins"]:
                return 200, _PLUGINS if self.plugin else []
            case ["_cat", "health"]:
                return 200, [{"epoch": str(self.now // 1000)}]
            case ["_index_template", name]:
                return self._template(method, name, body)
            case ["_plugins", "_ism", *call] if self.plugin:
                if not self.lazy and method == "GET" and call[0] == "explain":
                    self.sweep()
                return self._ism(method, call, query, body)
            case [index, "_doc", key]:
                return (
                    self._documents.put(index, key, query, body) if method == "PUT" else self._documents.get(index, key)
                )
            case [index, "_update", key]:
                return self._documents.update(index, key)
            case [index, "_search"]:
                return self._documents.search(index, query, body)
            case [index] if method == "PUT":
                return self._create(index, body or {})
            case (
                ["_cat", "indices", *_]
                | [_]
                | [_, "_mapping" | "_settings" | "_count" | "_refresh" | "_recovery" | "_open", *_]
            ):
                answered = index_call(self.indices, method, path, query, body)
                if answered:
                    return answered
        return 400, {"error": f"no handler found for uri [{target}] and method [{method}]"}

    def _create(self, name: str, body: dict[str, Any]) -> Answer:
        if not self.plugin:
            refuse_settings(body.get("settings", {}))
        must_be_new(self.indices, name)
        self.create_index(name, mark=body.get("mappings", {}).get("_meta"))
        return 200, {"acknowledged": True, "shards_acknowledged": True, "index": name}

    def _template(self, method: str, name: str, body: Any) -> Answer:
        if method == "PUT":
            self.templates[name] = {**body, "composed_of": []}
            return 200, {"acknowledged": True}
        if name not in self.templates:
            raise error(404, "resource_not_found_exception", f"index template matching [{name}] not found")
        if method == "DELETE":
            del self.templates[name]
            return 200, {"acknowledged": True}
        return 200, {"index_templates": [{"name": name, "index_template": self.templates[name]}]}

    def _ism(self, method: str, call: list[str], query: dict[str, str], body: Any) -> Answer:
        kind, name = call[0], "/".join(call[1:])
        match method, kind:
            case "GET", "policies":
                return self.policies.get(name) if name else self.policies.listed(query)
            case "PUT", "policies":
                return self.policies.put(name, query, body, self.now)
            case "DELETE", "policies":
                return self.policies.delete(name)
            case "GET", "explain":
                return self._managed.explain(name, query)
            case "POST", "add":
                return self._managed.add(name, body or {}, self.refuse_add)
            case "POST", "change_policy":
                return self._managed.change_policy(name, body or {})
            case "POST", "retry":
                return self._managed.retry(name)
            case "POST", "remove":
                return self._managed.remove(name)
        allowed = "[GET, HEAD, DELETE, PUT]"
        reason = (
            f"Incorrect HTTP method for uri [/_plugins/_ism/{kind}/{name}] and method [{method}], allowed: {allowed}"
        )
        return 405, {"error": reason, "status": 405}
