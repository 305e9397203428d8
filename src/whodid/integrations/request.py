"""The request: what every web integration binds of an HTTP request, whatever the framework calls its parts."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping

from ..client_ip import client_ip, networks
from ..runtime import recorder

__all__ = ["RequestFields"]

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


class RequestFields:
    """Client address, user agent, request ID and W3C trace ID. `trusted_proxies` defaults to the setting of that name,
    which is read at the first request."""

    def __init__(self, trusted_proxies: Iterable[str] | None = None) -> None:
        self._trusted = None if trusted_proxies is None else networks(trusted_proxies)

    def __call__(self, headers: Mapping[str, str], peer: str | None) -> dict[str, object]:
        """The fields of a request; `headers` by lower-case name, `peer` the address at the other end, if it has one."""
        if self._trusted is None:
            self._trusted = networks(recorder().settings.trusted_proxies)
        trace = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
        fields = {
            "client_ip": client_ip(peer, headers.get("x-forwarded-for", ""), self._trusted),
            "user_agent": headers.get("user-agent", "").replace("\0", ""),  # which an entry can't hold
            "request_id": _request_id(headers.get("x-request-id", "")),
            "trace_id": trace[1] if trace else None,
        }
        return {name: value for name, value in fields.items() if value}


def _request_id(header: str) -> str:
    """The proxy's request ID if it is a sane one, else a new one."""
    return header if _REQUEST_ID.fullmatch(header) else uuid.uuid4().hex
