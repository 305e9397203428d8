"""The answers of Dashboards' API: what each one says, in our words.

Facts, from a real Dashboards and from its source: an import answers 200 whether it succeeded or not; `success` and
`errors` tell. One that meets an object which it may not overwrite succeeds under another id, told as `destinationId`.
Where sign-in is wanted there may be a redirect, or a page with status 200.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ...errors import NotAuthenticated, NotAuthorized, OpenSearchError, OpenSearchUnavailable
from ...text import printable

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

__all__ = ["check_import", "one_line", "parsed", "refusal", "stored_objects"]

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
