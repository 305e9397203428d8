"""Context fields of an HTTP request for all web integrations, and audit calls that are recorded after a commit.

A prepared call takes its context and is checked when it is created. Fields bound before it is recorded, such as another
principal, do not change it.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Iterable, Mapping

from ..recording.client_ip import ForwardedHeader, Proxies, client_ip, forwarded_for
from ..recording.context import Resolver, scope, trace_id_of
from ..recording.runtime import recorder
from .stdlib import record

__all__ = ["PreparedCall", "RequestFields", "with_route"]

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_METHOD = re.compile(r"[A-Za-z-]{1,32}")
"""The client chooses it, and an entry must not fail because of it."""


def with_route(resolver: Resolver | None, route: Callable[[], object]) -> Resolver:
    """A resolver that adds the route of the request, which is known once the framework has chosen the endpoint."""

    def resolve() -> Mapping[str, object] | str | None:
        found = resolver() if resolver else None
        chosen = route()
        if not (isinstance(chosen, str) and chosen):
            return found
        fields = {} if found is None else {"principal": found} if isinstance(found, str) else found
        return {"route": chosen, **fields} if isinstance(fields, Mapping) else found

    return resolve


class RequestFields:
    """Extracts client address, chain of proxies, user agent, request ID, method and W3C trace ID from requests.

    `trusted_proxies` and `forwarded_header` default to the settings, which are read at the first request. Raises
    `SettingsError`.
    """

    def __init__(
        self, trusted_proxies: Iterable[str] | None = None, forwarded_header: ForwardedHeader | None = None
    ) -> None:
        self._given = (None if trusted_proxies is None else tuple(trusted_proxies), forwarded_header)
        Proxies.of(self._given[0] or (), forwarded_header or "x-forwarded-for")  # raises for bad values
        self._proxies: Proxies | None = None

    def __call__(self, headers: Mapping[str, str], peer: str | None, method: object = None) -> dict[str, object]:
        """The fields of a request: `headers` by lower-case name, `peer` the address of the connection's other end."""
        proxies = self._proxies or self._chosen()
        forwarded = headers.get(proxies.header, "")
        fields = {
            "client_ip": client_ip(peer, forwarded, proxies),
            "forwarded_for": forwarded_for(peer, _held(forwarded), proxies),
            "user_agent": _held(headers.get("user-agent", "")),
            "request_id": _request_id(headers.get("x-request-id", "")),
            "method": method if isinstance(method, str) and _METHOD.fullmatch(method) else None,
            "trace_id": trace_id_of(headers.get("traceparent", "")),
        }
        return {name: value for name, value in fields.items() if value}

    def _chosen(self) -> Proxies:
        trusted, header = self._given
        if trusted is None or header is None:
            settings = recorder().settings
            trusted = settings.trusted_proxies if trusted is None else trusted
            header = header or settings.forwarded_header
        self._proxies = Proxies.of(trusted, header)
        return self._proxies


def _held(text: str) -> str:
    """`text` without characters that an entry can't hold: NUL and lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _request_id(header: str) -> str:
    """The proxy's request ID if it is valid, else a new one."""
    return header if _REQUEST_ID.fullmatch(header) else uuid.uuid4().hex


class PreparedCall:
    """A call of `audit()` to be recorded once the event has happened; its entry has the time of recording.

    Creating it raises `InvalidEntry`. If `on_invalid` is `quarantine`, an invalid call is quarantined when it is
    created, and `record` does nothing.
    """

    def __init__(self, event_type: str, fields: Mapping[str, object]) -> None:
        self._event_type = event_type
        self._fields = recorder().check(event_type, fields)

    def record(self) -> None:
        """Records the entry. Raises `NotRecorded` or `JournalDamaged`, depending on `on_failure`."""
        if self._fields is not None:
            with scope({}, alone=True):
                record(logging.getLogger("whodid"), self._event_type, self._fields)
