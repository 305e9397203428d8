"""The server: HTTP on loopback, what is stored, and the time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .answers import Answer, Refused, error
from .documents import Documents
from .indices import index_call, must_be_new, refuse_settings
from .jobs import Index
from .managed import Managed
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

    `lazy` leaves unmanaged indices as they are when a test looks. `lag` is by how many ms `explain` is behind.
    `refuse_add` is the reason for which every `add` fails. `repositories` are those of snapshots. `on_delete` is told
    of each index that ISM deletes. `writes` are the requests that would change something.
    """

    def __init__(self, *, plugin: bool = True) -> None:
        self.plugin = plugin
        self.now = _START
        self.lazy = False
        self._made = 0
        self.policies = Policies()
        self.templates: dict[str, Any] = {}
        self.indices: dict[str, Index] = {}
        self._managed = Managed(self.indices, self.policies, lambda: self.now)
        self._documents = Documents(self.indices)
        self.refuse_add = ""
        self.repositories: dict[str, Any] = {}
        self.snapshots: dict[tuple[str, str], Index] = {}
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
        settings: dict[str, str] | None = None,
    ) -> Index:
        """An index made `age` days ago; `dates` of its entries.

        With a job that runs already if `policy` is given, with none if that is empty, else as the templates say.
        """
        self._made += 1
        made = Index(name, self.now - round(age * 86_400_000), f"uuid-{self._made}", mark, entries)
        made.dates = dates or (_date(made.created), _date(made.created))
        made.settings = dict(settings or {})
        self.indices[name] = made
        if policy is None:
            self._managed.take_by_template(made)
        elif policy:
            self._managed.take(made, policy)
            for _ in range(2):
                self._run_once(made)
        return made

    @property
    def lag(self) -> int:
        return self._managed.lag

    @lag.setter
    def lag(self, ms: int) -> None:
        self._managed.lag = ms

    def managed(self) -> dict[str, str | None]:
        """The policy of each index."""
        return {name: index.job.policy_id if index.job else None for name, index in self.indices.items()}

    def advance(self, seconds: float) -> None:
        """Time passes, and ISM looks once at the end of it."""
        self.now += round(seconds * 1000)
        self.sweep()
        for name in list(self.indices):
            self.run(name)

    def sweep(self) -> None:
        """Makes the jobs of indices that match a template that is older than they are."""
        for index in self.indices.values():
            self._managed.take_by_template(index)

    @property
    def red(self) -> bool:
        return any(index.health == "red" for index in self.indices.values())

    def run(self, name: str, times: int = 1) -> None:
        """Runs of one index's job; none while any index is red."""
        for _ in range(times):
            if name in self.indices and not self.red:
                self._run_once(self.indices[name])

    def _run_once(self, index: Index) -> None:
        """A change of policy takes it as it is by now."""
        job = index.job
        if job and job.pending:
            known = job.pending[0]
            job.pending = self.policies.stored.get(known["policy"]["policy_id"], known), job.pending[1]
        index.run(self.now, self.repositories)
        self._keep(index)
        if index.gone:
            self.on_delete(index)
            del self.indices[index.name]

    def _keep(self, index: Index) -> None:
        """The snapshot that a run made."""
        job = index.job
        made = (job.action or {}).get("action_properties", {}).get("snapshot_name") if job else None
        if job and made and job.step and job.step["step_status"] == "completed":
            state = job.state_named(job.state) or {"actions": []}
            for action in (action["snapshot"] for action in state["actions"] if "snapshot" in action):
                self.snapshots[action["repository"], made] = replace(index, job=None)

    def answer(self, method: str, target: str, body: Any) -> Answer:
        asks = "/_simulate_index/" in target or target.split("?")[0].endswith(("/_count", "/_search", "/_refresh"))
        if method in {"PUT", "POST", "DELETE"} and not asks:
            self.writes.append(f"{method} {urlsplit(target).path}")
        try:
            status, content = self._routed(method, target, body)
        except Refused as refused:
            status, content = refused.answer
        return status, None if method == "HEAD" else content

    def _routed(self, method: str, target: str, body: Any) -> Answer:
        parts = urlsplit(target)
        path = [unquote(part) for part in parts.path.split("/") if part]
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        match path:
            case ["_cat", "plugins" | "health"] | ["_cluster" | "_snapshot" | "_nodes", *_]:
                return self._of_the_cluster(method, path, query, body)
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
                | [_, "_mapping" | "_settings" | "_count" | "_refresh" | "_recovery" | "_open" | "_close", *_]
            ):
                answered = index_call(self.indices, method, path, query, body)
                if answered:
                    return answered
        return 400, {"error": f"no handler found for uri [{target}] and method [{method}]"}

    def _create(self, name: str, body: dict[str, Any]) -> Answer:
        if not self.plugin:
            refuse_settings(body.get("settings", {}))
        must_be_new(self.indices, name)
        settings = {key: str(value).lower() for key, value in body.get("settings", {}).items() if "." in key}
        self.create_index(name, mark=body.get("mappings", {}).get("_meta"), settings=settings)
        return 200, {"acknowledged": True, "shards_acknowledged": True, "index": name}

    def _of_the_cluster(self, method: str, path: list[str], query: dict[str, str], body: Any) -> Answer:
        match path:
            case ["_cat", "plugins"]:
                return 200, _PLUGINS if self.plugin else []
            case ["_cat", _]:
                row = {"epoch": str(self.now // 1000), "status": self._health()}
                return 200, [{name: row[name] for name in query["h"].split(",")}]
            case ["_nodes"]:
                return 200, {"nodes": {"p9JijHPgTsu-Gq1JzB2ciA": {"version": "3.4.0"}}}
            case ["_snapshot", *call]:
                return self._snapshot(method, call, body)
        return 200, self._cluster_health()

    def _health(self) -> str:
        return "red" if self.red else "yellow" if self.indices else "green"

    def _cluster_health(self) -> dict[str, Any]:
        open_ones = [index for index in self.indices.values() if index.open]
        red = sum(index.health == "red" for index in open_ones)
        counts = {"number_of_nodes": 1, "number_of_data_nodes": 1, "active_primary_shards": len(open_ones) - red}
        fixed = dict.fromkeys(
            ("relocating_shards", "initializing_shards", "delayed_unassigned_shards", "number_of_pending_tasks"), 0
        )
        later = dict.fromkeys(("number_of_in_flight_fetch", "task_max_waiting_in_queue_millis"), 0)
        about = {"cluster_name": "whodid-dev", "status": self._health(), "timed_out": False, **counts}
        about |= {"discovered_master": True, "discovered_cluster_manager": True, **fixed, **later}
        about |= {"active_shards": len(open_ones) - red, "unassigned_shards": red}
        return about | {"active_shards_percent_as_number": 100.0 - 25.0 * bool(red)}

    def _snapshot(self, method: str, call: list[str], body: Any) -> Answer:
        """A repository made, looked at, its snapshots listed, and one of them restored."""
        repository = call[0]
        if method == "PUT" and len(call) == 1:
            self.repositories[repository] = body
            return 200, {"acknowledged": True}
        if repository not in self.repositories:
            raise error(404, "repository_missing_exception", f"[{repository}] missing")
        match method, call[1:]:
            case "GET", []:
                return 200, {repository: self.repositories[repository]}
            case "GET", [pattern]:
                found = [name for where, name in self.snapshots if where == repository and fnmatchcase(name, pattern)]
                return 200, {"snapshots": [self._shown(repository, name) for name in sorted(found)]}
            case "POST", [name, "_restore"]:
                return self._restore(self.snapshots[repository, name], name)
        raise error(405, "illegal_argument_exception", "no such call")

    def _shown(self, repository: str, name: str) -> dict[str, Any]:
        return {"snapshot": name, "indices": [self.snapshots[repository, name].name], "state": "SUCCESS"}

    def _restore(self, kept: Index, snapshot: str) -> Answer:
        """It keeps its age, and a template that is older than that takes it at once."""
        self._made += 1
        index = replace(kept, uuid=f"uuid-{self._made}", restored=True, gone=False)
        self.indices[kept.name] = index
        self._managed.take_by_template(index)
        shards = {"total": 1, "failed": 0, "successful": 1}
        return 200, {"snapshot": {"snapshot": snapshot, "indices": [kept.name], "shards": shards}}

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
