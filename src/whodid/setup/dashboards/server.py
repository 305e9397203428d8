"""A client for OpenSearch Dashboards: finds, imports and deletes saved objects, and explains the answers.

Facts, from a real Dashboards and from its source: without the header `osd-xsrf`, or with a file that is not named
`….ndjson`, the answer is 400. A tenant that the user may not use is silently replaced by another, so the client checks
which one was used. An import answers 200 whether it succeeded or not; `success` and `errors` say so. If it may not
overwrite an object, it succeeds under another id, the `destinationId`. If sign-in is required, the answer may be a
redirect, or a page with status 200.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ...cluster.connection import authorization, cause, tls_context
from ...errors import NotAuthenticated, NotAuthorized, OpenSearchError, OpenSearchUnavailable, SettingsError
from ...settings import Settings, check_url
from ...text import printable
from .saved_object import SavedObject

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

__all__ = ["Dashboards", "check_import", "one_line", "parsed", "refusal", "stored_objects"]

_BY_HAND = "or import the file by hand, under Dashboards Management, Saved objects"


def parsed(what: str, url: str, data: bytes) -> dict[str, Any]:
    """The JSON object of an answer with status 200."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise OpenSearchError(
            f"{what}: {url} answered with a page, not as the API of Dashboards; if a proxy or a sign-in page is before "
            f"it, give the address behind that, {_BY_HAND}"
        )
    return answer


def stored_objects(what: str, answer: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The objects that were found by `_bulk_get`, by type and id."""
    there: dict[tuple[str, str], Mapping[str, Any]] = {}
    with _form(what):
        for one in answer["saved_objects"]:
            error = one.get("error")
            if not error:
                there[str(one["type"]), str(one["id"])] = {
                    "attributes": dict(one["attributes"]),
                    "references": list(one.get("references") or []),
                }
            elif error["statusCode"] != 404:
                raise OpenSearchError(f"the {one['type']} {one['id']}: {_import_error(error)}")
    return there


def check_import(what: str, answer: Mapping[str, Any]) -> None:
    """Returns only if the answer says that exactly one object was imported, under its own id."""
    with _form(what):
        for failed in answer.get("errors") or []:
            raise OpenSearchError(f"{what}: {_import_error(failed['error'])}")
        if answer["success"] is not True or answer["successCount"] != 1:
            raise OpenSearchError(f"{what}: Dashboards does not say that it was imported; run setup again, {_BY_HAND}")
        for result in answer.get("successResults") or []:
            if other := result.get("destinationId"):
                raise OpenSearchError(
                    f"{what}: Dashboards may not overwrite what has this id, and imported it as {one_line(other)}; "
                    "delete both there, and run setup again"
                )


@contextmanager
def _form(what: str) -> Iterator[None]:
    """JSON of another form is an answer, but not one of Dashboards."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise OpenSearchError(f"{what}: the answer is not one of OpenSearch Dashboards; check --dashboards") from error


def _import_error(error: Mapping[str, Any]) -> str:
    """What the error of one object means, and what to do."""
    match error.get("type"):
        case "conflict" | "ambiguous_conflict":
            return "it is there and Dashboards did not overwrite it; delete it there, and run setup again"
        case "missing_references":
            missing = ", ".join(f"{one['type']} {one['id']}" for one in error["references"])
            return f"it needs what is not there ({one_line(missing)}); run setup again, which installs that first"
        case "unsupported_type":
            return "this Dashboards does not know such objects; is the plugin for them switched off?"
    return (
        f"Dashboards refused it ({one_line(error.get('message') or error.get('type'))}); "
        "whodid's objects are for OpenSearch Dashboards 1.0 and newer"
    )


def refusal(what: str, url: str, response: BaseHTTPResponse, *, anonymous: bool) -> OpenSearchError:
    """The error for an answer whose status is not 200."""
    status, said = response.status, _message(response.data)
    if 300 <= status < 400:
        target = urlsplit(response.headers.get("location", ""))._replace(query="", fragment="").geturl()
        return OpenSearchError(
            f"{what}: {url} redirects to {one_line(target)}; if that is a page to sign in at, give the address of "
            f"Dashboards behind it, {_BY_HAND}"
        )
    if status == 401 and anonymous:
        return NotAuthenticated(f"{what}: Dashboards wants a user; set opensearch_user and opensearch_password_file")
    if status == 401:
        return NotAuthenticated(
            f"{what}: Dashboards does not accept this user and password; check opensearch_user and its password"
        )
    if status == 403:
        return NotAuthorized(
            f"{what}: this user may not do that in Dashboards ({said}); ask an administrator for the role, and for "
            "write access to the tenant"
        )
    if status == 404:
        return OpenSearchError(
            f"{what}: there is no API of Dashboards at {url}; give its address with the base path and without /app/…"
        )
    if status == 422:
        return OpenSearchError(f"{what}: this Dashboards is older than whodid's objects ({said}); upgrade it")
    if status in {429, 502, 503, 504}:
        return OpenSearchUnavailable(f"{what}: Dashboards is busy or starting (HTTP {status}: {said}); try again")
    return OpenSearchError(f"{what}: Dashboards answered HTTP {status}: {said}")


def _message(data: bytes) -> str:
    """Dashboards' own words."""
    try:
        body = json.loads(data)
        return one_line(body.get("message") or body.get("error"))
    except (ValueError, RecursionError, AttributeError):
        text = data.decode(errors="replace").strip()
        return "a page" if text.startswith("<") else one_line(text)


def one_line(text: object) -> str:
    """What a server said, safe to show."""
    return printable(" ".join(str(text or "").split()))[:300]


_TENANTS = {"global": "", "private": "__user__"}
"""How a session of Dashboards calls the two tenants that need no making."""


class Dashboards:
    """One Dashboards, as the user in the settings. Methods raise `OpenSearchError`."""

    def __init__(self, url: str, settings: Settings, tenant: str = "") -> None:
        """Nothing is sent yet. Raises `SettingsError`."""
        from urllib3 import PoolManager

        self.url = _base(url)
        self._tenant = tenant
        self._headers = {"osd-xsrf": "true"}
        if header := authorization(settings):
            self._headers["authorization"] = header
        if tenant:
            if not (tenant.isascii() and tenant.isprintable()):
                raise SettingsError(f"--dashboards-tenant must be a name in ASCII characters, not {tenant!r}")
            self._headers["securitytenant"] = tenant
        tls: dict[str, Any] = {"ssl_context": tls_context(settings)} if self.url.startswith("https:") else {}
        self._pool = PoolManager(timeout=settings.opensearch_timeout, retries=False, **tls)

    def close(self) -> None:
        self._pool.clear()

    def stored(self, objects: Iterable[SavedObject]) -> dict[tuple[str, str], Mapping[str, Any]]:
        """Those that it has, as it keeps them, by type and id."""
        what = "the saved objects"
        asked = json.dumps([{"type": one.type, "id": one.id} for one in objects])
        headers = {"content-type": "application/json"}
        response = self._answer(what, "POST", "saved_objects/_bulk_get", body=asked, headers=headers)
        found = stored_objects(what, parsed(what, self.url, response.data))
        if self._tenant:
            self._confirm_tenant(response)
        return found

    def put(self, wanted: SavedObject) -> None:
        """Makes the object, or replaces what has its id."""
        what = f"the {wanted.type} {wanted.id}"
        file = ("whodid.ndjson", wanted.line.encode(), "application/x-ndjson")
        response = self._answer(what, "POST", "saved_objects/_import?overwrite=true", fields={"file": file})
        check_import(what, parsed(what, self.url, response.data))

    def delete(self, one: SavedObject) -> None:
        """Deletes the object; one that is no longer there is fine."""
        self._answer(f"the {one.type} {one.id}", "DELETE", f"saved_objects/{one.type}/{one.id}", fine=(200, 404))

    def _confirm_tenant(self, first: BaseHTTPResponse) -> None:
        """The session that the first answer began knows which tenant was taken."""
        what = f"the tenant {self._tenant}"
        cookies = "; ".join(cookie.partition(";")[0] for cookie in first.headers.getlist("set-cookie"))
        response = self._request(what, "GET", "v1/multitenancy/tenant", headers={"cookie": cookies} if cookies else {})
        if response.status == 404:
            raise OpenSearchError(f"{what}: this Dashboards has no tenants; leave --dashboards-tenant out")
        if response.status != 200:
            raise OpenSearchError(
                f"{what}: Dashboards does not say whether it takes this one (HTTP {response.status}); give its own "
                "address, without a proxy that drops cookies, or leave --dashboards-tenant out"
            )
        taken = html.unescape(response.data.decode(errors="replace"))
        if taken != _TENANTS.get(self._tenant.lower(), self._tenant):
            raise OpenSearchError(
                f"{what}: Dashboards takes the tenant {one_line(taken) or 'global'} instead; this one does not exist, "
                "this user may not use it, or tenants are off. Ask an administrator for it"
            )

    def _answer(
        self, what: str, method: str, path: str, *, fine: tuple[int, ...] = (200,), **content: Any
    ) -> BaseHTTPResponse:
        """The answer to a call that was taken."""
        response = self._request(what, method, path, **content)
        if response.status not in fine:
            raise refusal(what, self.url, response, anonymous="authorization" not in self._headers)
        return response

    def _request(
        self, what: str, method: str, path: str, *, headers: Mapping[str, str] | None = None, **content: Any
    ) -> BaseHTTPResponse:
        from urllib3.exceptions import HTTPError, NewConnectionError, SSLError, TimeoutError

        where = f"{what}: Dashboards at {self.url}"
        url = f"{self.url}/api/{path}"
        try:
            return self._pool.request(
                method, url, headers={**self._headers, **(headers or {})}, redirect=False, **content
            )
        except SSLError as error:
            raise OpenSearchUnavailable(
                f"{what}: the certificate of Dashboards at {self.url} was not accepted ({cause(error)}); "
                "name its authority in opensearch_ca"
            ) from error
        except HTTPError as error:
            if isinstance(error, TimeoutError) and not isinstance(error, NewConnectionError):
                raise OpenSearchUnavailable(f"{where} gave no answer in time; raise opensearch_timeout") from error
            raise OpenSearchUnavailable(
                f"{where} can't be reached ({cause(error)}); check --dashboards, and that it runs"
            ) from error


def _base(url: str) -> str:
    """The address without a slash at its end."""
    check_url("--dashboards", url, "https://dashboards.example:5601")
    parts = urlsplit(url)
    if parts.query or parts.fragment or "/app/" in f"{parts.path}/":
        raise SettingsError(f"--dashboards must be the address before /app/…, not {url!r}")
    return url.rstrip("/?#")
