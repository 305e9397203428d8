"""The kinds of faults: functions of an exchange. An application's tests can write their own."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from .exchange import Answer, Exchange

__all__ = [
    "Fault",
    "answer",
    "bad_gateway",
    "cut",
    "drip",
    "drip_request",
    "hang",
    "item_errors",
    "latency",
    "lost_answer",
    "reset",
    "reset_answer",
    "reset_request",
    "throttled",
    "too_large",
    "truncated",
    "unavailable",
    "unresolvable",
]

Fault = Callable[[Exchange], None]
"""Does with one exchange what it likes."""

_STEPS = 20


def latency(seconds: float) -> Fault:
    """The request is forwarded so many seconds late."""

    def fault(exchange: Exchange) -> None:
        if exchange.wait(seconds):
            exchange.send(exchange.forward())

    return fault


def hang(seconds: float = 3600.0) -> Fault:
    """The request is taken, and nothing happens; OpenSearch never sees it."""

    def fault(exchange: Exchange) -> None:
        _ = exchange.body
        exchange.wait(seconds)
        exchange.close()

    return fault


def lost_answer(seconds: float = 3600.0) -> Fault:
    """OpenSearch does what it was asked, and the client never hears of it."""

    def fault(exchange: Exchange) -> None:
        exchange.forward()
        exchange.wait(seconds)
        exchange.close()

    return fault


def reset() -> Fault:
    """The connection is reset before the request was read."""
    return lambda exchange: exchange.reset()


def reset_request(share: float = 0.5) -> Fault:
    """The connection is reset in the middle of the request."""

    def fault(exchange: Exchange) -> None:
        exchange.receive(int(exchange.length * share))
        exchange.reset()

    return fault


def reset_answer(share: float = 0.5) -> Fault:
    """OpenSearch does what it was asked; the connection is reset in the middle of its answer."""

    def fault(exchange: Exchange) -> None:
        data = exchange.forward().wire()
        exchange.send_bytes(data[: int(len(data) * share)])
        exchange.reset()

    return fault


def cut(share: float = 0.5) -> Fault:
    """As `reset_answer`, but the connection ends as if the answer were complete; under TLS without the alert."""

    def fault(exchange: Exchange) -> None:
        data = exchange.forward().wire()
        exchange.send_bytes(data[: int(len(data) * share)])
        exchange.close()

    return fault


def truncated(share: float = 0.5) -> Fault:
    """OpenSearch does what it was asked; its answer arrives whole as HTTP, and as half a JSON text."""

    def fault(exchange: Exchange) -> None:
        whole = exchange.forward()
        exchange.send(Answer(whole.status, whole.body[: int(len(whole.body) * share)], whole.headers))

    return fault


def drip(seconds: float = 1.0) -> Fault:
    """The answer comes in small parts, over so many seconds."""

    def fault(exchange: Exchange) -> None:
        data = exchange.forward().wire()
        step = len(data) // _STEPS + 1
        for start in range(0, len(data), step):
            exchange.send_bytes(data[start : start + step])
            if not exchange.wait(seconds / _STEPS):
                return

    return fault


def drip_request(seconds: float = 1.0) -> Fault:
    """The request is read in small parts, over so many seconds, and then forwarded."""

    def fault(exchange: Exchange) -> None:
        for step in range(_STEPS):
            exchange.receive(exchange.length * step // _STEPS)
            if not exchange.wait(seconds / _STEPS):
                return
        exchange.send(exchange.forward())

    return fault


def answer(status: int, body: bytes | str | dict[str, Any] = b"", **headers: str) -> Fault:
    """This answer, and the request goes no further. Underscores in names of headers stand for hyphens."""
    if isinstance(body, dict):
        body, headers = json.dumps(body), {"content_type": "application/json", **headers}
    data = body.encode() if isinstance(body, str) else body
    given = {name.replace("_", "-"): value for name, value in headers.items()}

    def fault(exchange: Exchange) -> None:
        _ = exchange.body  # or the client, still writing, would see a reset instead of the answer
        exchange.send(Answer(status, data, given))

    return fault


def throttled(retry_after: int | None = None) -> Fault:
    """429, as OpenSearch answers when its queue is full."""
    return answer(429, _error("rejected_execution_exception", "queue is full", 429), **_after(retry_after))


def unavailable(retry_after: int | None = None) -> Fault:
    """503, as OpenSearch answers while it has no cluster manager."""
    return answer(503, _error("cluster_manager_not_discovered_exception", "", 503), **_after(retry_after))


def too_large() -> Fault:
    """413, as nginx answers to a body that it finds too large."""
    return answer(413, "<html><body><h1>413 Request Entity Too Large</h1></body></html>", content_type="text/html")


def bad_gateway() -> Fault:
    """502 with a page of HTML, as a proxy answers whose upstream is gone."""
    return answer(502, "<html><body><h1>502 Bad Gateway</h1></body></html>", content_type="text/html")


def _after(seconds: int | None) -> dict[str, str]:
    return {} if seconds is None else {"retry_after": str(seconds)}


def _error(kind: str, reason: str, status: int) -> dict[str, Any]:
    return {"error": {"type": kind, "reason": reason}, "status": status}


def item_errors(chosen: Collection[int], kind: str, status: int = 429, reason: str = "made up") -> Fault:
    """A bulk request whose items at these places OpenSearch does not see, and seems to refuse one by one."""

    def fault(exchange: Exchange) -> None:
        lines = exchange.body.splitlines(keepends=True)
        items = [b"".join(lines[start : start + 2]) for start in range(0, len(lines), 2)]
        passed = [item for place, item in enumerate(items) if place not in chosen]
        found = exchange.forward(b"".join(passed)) if passed else Answer(200, b'{"items":[]}')
        results = iter(json.loads(found.body)["items"])
        made_up = {"create": {"status": status, "error": {"type": kind, "reason": reason}}}
        merged = [made_up if place in chosen else next(results) for place in range(len(items))]
        body = json.dumps({"errors": True, "items": merged}).encode()
        exchange.send(Answer(200, body, {"content-type": "application/json"}))

    return fault


@contextmanager
def unresolvable(host: str) -> Iterator[None]:
    """Within the block, this process finds no address for a host name: as when DNS is gone."""
    resolve = socket.getaddrinfo

    def fail(name: Any, *arguments: Any, **keywords: Any) -> Any:
        if name in (host, host.encode()):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(name, *arguments, **keywords)

    with mock.patch("socket.getaddrinfo", fail):
        yield
