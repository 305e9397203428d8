"""The exchange: one request that came to the proxy, and what a fault can do with it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Answer", "Broken", "Exchange", "Seen"]


class Broken(Exception):
    """The connection is at its end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: `headers` without those that say how long it is."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def wire(self) -> bytes:
        """As it goes over the wire."""
        lines = [f"HTTP/1.1 {self.status} As Told", *(f"{name}: {value}" for name, value in self.headers.items())]
        return "\r\n".join([*lines, f"content-length: {len(self.body)}", "", ""]).encode("latin-1") + self.body


@dataclass(slots=True)
class Seen:
    """One request: whether it met a fault; the `status` that it was answered with, 0 for none until now."""

    method: str
    path: str
    faulty: bool
    status: int = 0


class Exchange:
    """`body` is read from the client when it is first asked for; `forward` has OpenSearch answer, once."""

    def __init__(
        self,
        client: socket.socket,
        method: str,
        path: str,
        headers: dict[str, str],
        begun: bytes,
        ask: Callable[[str, str, dict[str, str], bytes], Answer],
        over: threading.Event,
        seen: Seen,
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.length = int(headers.get("content-length", "0"))
        self._client = client
        self._received = begun
        self._ask = ask
        self._over = over
        self._seen = seen

    @property
    def body(self) -> bytes:
        return self.receive(self.length)

    def receive(self, size: int) -> bytes:
        """The first bytes of the body, at most all of it."""
        while len(self._received) < min(size, self.length):
            part = self._client.recv(1 << 16)
            if not part:
                raise Broken
            self._received += part
        return self._received[:size]

    def forward(self, body: bytes | None = None) -> Answer:
        """What OpenSearch answers to the request, or to the same request with another body."""
        return self._ask(self.method, self.path, self.headers, self.body if body is None else body)

    def send(self, answer: Answer) -> None:
        self._seen.status = answer.status
        self.send_bytes(answer.wire())

    def send_bytes(self, data: bytes) -> None:
        self._client.sendall(data)

    def wait(self, seconds: float) -> bool:
        """Waits; `False` when the proxy was closed meanwhile."""
        return not self._over.wait(seconds)

    def close(self) -> None:
        """Ends the connection in the ordinary way; under TLS, without the alert that says so."""
        self._client.close()
        raise Broken

    def reset(self) -> None:
        """Ends the connection by a TCP reset."""
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()
