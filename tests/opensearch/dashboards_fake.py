"""A stand-in for Dashboards: answers the calls of `whodid setup --dashboards` as a Dashboards 3.3 did, and keeps state.

Kept from the real one: 400 without `osd-xsrf` or for a file that is not called `….ndjson`, 422 for a newer
`migrationVersion`, and 200 with `errors` for a reference to an absent object, an unknown attribute, an object where a
string is wanted, an unknown type, and an object that is there. From its source: only references to index patterns and
searches are checked; a resolvable error of one object keeps all others out; a tenant that may not be used is exchanged.
`refresh_fields` changes the list of an index pattern as a browser did: another order, and fields of its own.
"""

from __future__ import annotations

import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["ATTRIBUTES", "NEWEST", "DashboardsFake", "Reply", "dashboards_fake"]

NEWEST = {"index-pattern": (7, 6, 0), "search": (7, 9, 3), "visualization": (7, 10, 0), "dashboard": (7, 9, 3)}
_SOURCE = {"kibanaSavedObjectMeta": {"searchSourceJSON": str}}
ATTRIBUTES: Mapping[str, Mapping[str, Any] | None] = {
    "index-pattern": None,
    "search": {
        "columns": list,
        "description": str,
        "hits": int,
        "sort": list,
        "title": str,
        "version": int,
        **_SOURCE,
    },
    "visualization": {
        "description": str,
        "savedSearchRefName": str,
        "title": str,
        "uiStateJSON": str,
        "version": int,
        "visState": str,
        **_SOURCE,
    },
    "dashboard": {
        "description": str,
        "hits": int,
        "optionsJSON": str,
        "panelsJSON": str,
        "refreshInterval": {"display": str, "pause": bool, "section": int, "value": int},
        "timeFrom": str,
        "timeRestore": bool,
        "timeTo": str,
        "title": str,
        "version": int,
        **_SOURCE,
    },
}
"""The attributes of each type that is known, and what they hold; `None` means any."""

_CHECKED_REFERENCES = {"index-pattern", "search"}
_RESOLVABLE = {"conflict", "missing_references"}

Key = tuple[str, str]


class Reply:
    """One HTTP answer."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        kind = "text/html; charset=utf-8" if isinstance(body, str) else "application/json; charset=utf-8"
        self.headers = {"Content-Type": kind, "Content-Length": str(len(self.body)), **(headers or {})}


def _error(status: int, name: str, message: str) -> Reply:
    return Reply(status, {"statusCode": status, "error": name, "message": message})


class DashboardsFake:
    """`tenants` says whether the user may write to each; without it there is no Security plugin, and one tenant."""

    def __init__(
        self,
        *,
        base_path: str = "",
        users: Mapping[str, str] | None = None,
        tenants: Mapping[str, bool] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.base_path = base_path
        self.objects: dict[str, dict[Key, dict[str, Any]]] = {}
        self.imports: list[str] = []
        self.known_types = set(ATTRIBUTES)
        self.instead: Callable[[str, str], Reply | None] = lambda method, path: None
        self._logins = {
            "Basic " + b64encode(f"{user}:{word}".encode()).decode() for user, word in (users or {}).items()
        }
        self._tenants = tenants
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                reply = fake.answer(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)

            do_GET = do_POST = do_DELETE = _answer  # noqa: N815 (the base class looks for these names)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
            self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # a refused handshake is the test
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}{base_path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def stored(self, tenant: str = "") -> dict[Key, dict[str, Any]]:
        return self.objects.setdefault(tenant, {})

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        parts = urlsplit(target)
        path = parts.path.removeprefix(self.base_path + "/api/")
        if replaced := self.instead(method, path):
            return replaced
        if not parts.path.startswith(self.base_path + "/api/"):
            return _error(404, "Not Found", "Not Found")
        if self._logins and headers.get("authorization") not in self._logins:
            return _error(401, "Unauthorized", "Authentication Exception")
        if method in {"POST", "DELETE"} and "osd-xsrf" not in headers:
            return _error(400, "Bad Request", "Request must contain a osd-xsrf header.")
        tenant = self._tenant(headers)
        match method, path:
            case "GET", "v1/multitenancy/tenant" if self._tenants is not None:
                return self._session(headers)
            case "POST", "saved_objects/_bulk_get":
                reply = self._bulk_get(tenant, json.loads(body))
            case "POST", "saved_objects/_import":
                overwrite = parse_qs(parts.query).get("overwrite") == ["true"]
                reply = self._import(tenant, headers["content-type"], body, overwrite)
            case "DELETE", _ if path.startswith("saved_objects/"):
                reply = self._delete(tenant, *path.split("/")[1:])
            case _:
                return _error(404, "Not Found", "Not Found")
        if self._tenants is not None:
            reply.headers["Set-Cookie"] = f"security_authentication=Fe26.2**{tenant or '-'}; HttpOnly; Path=/"
        return reply

    def _tenant(self, headers: Mapping[str, str]) -> str:
        """The one that is asked for if it may be used, else the user's own."""
        asked = headers.get("securitytenant")
        if self._tenants is None:
            return ""
        if asked in self._tenants:
            return str(asked)
        return "" if asked in {"global", "Global"} else "__user__"

    def _session(self, headers: Mapping[str, str]) -> Reply:
        if "security_authentication=" not in headers.get("cookie", ""):
            return _error(400, "Bad Request", "Invalid cookie.")
        tenant = headers["cookie"].rpartition("**")[2]
        return Reply(200, "" if tenant == "-" else tenant.replace("&", "&amp;"))

    def _bulk_get(self, tenant: str, asked: list[dict[str, str]]) -> Reply:
        return Reply(200, {"saved_objects": [self._get(tenant, one["type"], one["id"]) for one in asked]})

    def _get(self, tenant: str, kind: str, name: str) -> dict[str, Any]:
        if found := self.stored(tenant).get((kind, name)):
            return {**found, "updated_at": "2026-11-23T12:00:00.000Z", "version": "WzEsMV0=", "namespaces": ["default"]}
        error = {"statusCode": 404, "error": "Not Found", "message": f"Saved object [{kind}/{name}] not found"}
        return {"id": name, "type": kind, "error": error}

    def _delete(self, tenant: str, kind: str, name: str) -> Reply:
        if self._tenants is not None and self._tenants.get(tenant) is False:
            return _error(403, "Forbidden", "no permissions for [indices:data/write/delete]")
        if self.stored(tenant).pop((kind, name), None) is None:
            return _error(404, "Not Found", f"Saved object [{kind}/{name}] not found")
        return Reply(200, {})

    def refresh_fields(self, name: str) -> None:
        attributes = self.stored()["index-pattern", name]["attributes"]
        own = {"type": "string", "count": 0, "scripted": False, "searchable": False, "aggregatable": False}
        fields = [{**own, "name": name} for name in ("_score", "_type")]
        fields += [{**one, "count": 3} for one in reversed(json.loads(attributes["fields"]))]
        attributes |= {"fields": json.dumps(fields, indent=1), "typeMeta": "{}"}

    def _import(self, tenant: str, content_type: str, body: bytes, overwrite: bool) -> Reply:
        message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
        [file] = [
            part for part in message.iter_parts() if part.get_param("name", header="content-disposition") == "file"
        ]
        name = str(file.get_filename())
        extension = name[name.rindex(".") :].lower() if "." in name else ""
        if extension != ".ndjson":
            return _error(400, "Bad Request", f"Invalid file extension {extension}")
        content = file.get_payload(decode=True)
        assert isinstance(content, bytes)
        given = [json.loads(line) for line in content.splitlines() if line]
        self.imports += [one["id"] for one in given]
        if self._tenants is not None and self._tenants.get(tenant) is False:
            return _error(403, "Forbidden", "no permissions for [indices:data/write/bulk]")
        if newer := [one for one in given if _version(one) > NEWEST.get(one["type"], (99,))]:
            kind = newer[0]["type"]
            known = ".".join(map(str, NEWEST[kind]))
            text = f'Document "{newer[0]["id"]}" has property "{kind}" which belongs to a more recent version of '
            return _error(
                422, "Unprocessable Entity", f"{text}OpenSearch Dashboards. The last known version is [{known}]"
            )
        return self._create(tenant, given, overwrite)

    def _create(self, tenant: str, given: list[dict[str, Any]], overwrite: bool) -> Reply:
        there = self.stored(tenant)
        errors = {}
        for one in given:
            if error := self._problem(one, given, there, overwrite):
                errors[one["type"], one["id"]] = error
        created = [one for one in given if (one["type"], one["id"]) not in errors]
        if not _RESOLVABLE & {error["type"] for error in errors.values()}:
            there |= {(one["type"], one["id"]): one for one in created}
        answer: dict[str, Any] = {"successCount": len(created), "success": not errors}
        if created:
            answer["successResults"] = [{"type": one["type"], "id": one["id"], "meta": _title(one)} for one in created]
        if errors:
            answer["errors"] = [
                {"type": kind, "id": name, "meta": {}, "error": error} for (kind, name), error in errors.items()
            ]
        return Reply(200, answer)

    def _problem(
        self, one: dict[str, Any], given: list[dict[str, Any]], there: Mapping[Key, Any], overwrite: bool
    ) -> dict[str, Any] | None:
        if one["type"] not in self.known_types:
            return {"type": "unsupported_type"}
        known = {(other["type"], other["id"]) for other in given} | set(there)
        missing = [
            {"type": reference["type"], "id": reference["id"]}
            for reference in one.get("references", ())
            if reference["type"] in _CHECKED_REFERENCES and (reference["type"], reference["id"]) not in known
        ]
        if missing:
            return {"type": "missing_references", "references": missing}
        if not overwrite and (one["type"], one["id"]) in there:
            return {"type": "conflict"}
        if refused := next(_refused(one["attributes"], ATTRIBUTES[one["type"]], one["type"]), None):
            return {"type": "unknown", "message": refused, "statusCode": 400}
        return None


def _refused(attributes: Mapping[str, Any], known: Mapping[str, Any] | None, within: str) -> Iterator[str]:
    """What the strict mapping of the index behind says."""
    for name, value in attributes.items() if known is not None else ():
        kind = known.get(name) if known else None
        if kind is None:
            yield (
                f"mapping set to strict, dynamic introduction of [{name}] within [{within}] is not allowed: "
                "strict_dynamic_mapping_exception"
            )
        elif isinstance(kind, Mapping):
            yield from _refused(value, kind, f"{within}.{name}")
        elif not isinstance(value, kind):
            yield f"failed to parse field [{within}.{name}]: mapper_parsing_exception"


def _version(one: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(int(part) for part in one.get("migrationVersion", {}).get(one["type"], "0").split("."))


def _title(one: Mapping[str, Any]) -> dict[str, str]:
    return {"title": one["attributes"]["title"]}


@contextmanager
def dashboards_fake(**options: Any) -> Iterator[DashboardsFake]:
    fake = DashboardsFake(**options)
    try:
        yield fake
    finally:
        fake.close()
