"""The Dashboards server: the calls of its API that look for saved objects, put them in and delete them, as one user.

Without the header `osd-xsrf`, or with a file that is not called `….ndjson`, the answer is 400. A tenant that the user
may not use is silently exchanged for another, so the one that was taken is asked for.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ...errors import OpenSearchError, OpenSearchUnavailable, SettingsError
from ...settings import Settings, check_url
from ..connection import authorization, cause, tls_context
from .answer import check_import, one_line, parsed, refusal, stored_objects
from .saved_object import SavedObject

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

__all__ = ["Dashboards"]

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
