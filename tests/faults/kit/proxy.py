"""The proxy: HTTP/1.1 on a free port of 127.0.0.1, in front of an OpenSearch, with faults on request."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from .exchange import Answer, Broken, Exchange, Seen
from .kinds import Fault

__all__ = ["FaultProxy"]

_PER_CONNECTION = {"connection", "content-length", "transfer-encoding", "host", "keep-alive"}
_TIMEOUT = 300.0


@dataclass(slots=True)
class _Injection:
    fault: Fault
    times: float
    path: str


class FaultProxy:
    """Forwards to the OpenSearch at `upstream`, as a context manager.

    Parameters
    ----------
    upstream
        `http://127.0.0.1:9200`, or `https://…` with its authority in `upstream_ca`.
    certificate
        Certificate and key (PEM files): the proxy then speaks TLS itself.
    """

    def __init__(
        self,
        upstream: str,
        *,
        upstream_ca: str | Path | None = None,
        certificate: tuple[str | Path, str | Path] | None = None,
    ) -> None:
        self._upstream = urlsplit(upstream)
        self._context = ssl.create_default_context(cafile=upstream_ca) if self._upstream.scheme == "https" else None
        self._tls: ssl.SSLContext | None = None
        if certificate:
            self.present(*certificate)
        self._injections: list[_Injection] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self.seen: list[Seen] = []
        """Every request so far, in the order in which they came."""

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> FaultProxy:
        self.accept()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self.refuse()
        self.drop()

    def inject(self, fault: Fault, *, times: int | None = None, path: str = "") -> None:
        """The fault for the next so many requests whose path contains `path`; until `clear` where `times` is `None`."""
        with self._lock:
            self._injections.append(_Injection(fault, float("inf") if times is None else times, path))

    def clear(self) -> None:
        """No more faults. An exchange that hangs goes on hanging; `drop` ends it."""
        with self._lock:
            self._injections.clear()

    def count(self, path: str = "", *, faulty: bool | None = None) -> int:
        """How many requests came whose path contains `path`; only those with, or without, a fault."""
        return sum(path in one.path and faulty in (None, one.faulty) for one in list(self.seen))

    def present(self, certificate: str | Path, key: str | Path) -> None:
        """Speaks TLS with this certificate from the next connection on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._tls = context

    def refuse(self) -> None:
        """Refuses new connections, as if nothing listened."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def accept(self) -> None:
        """Accepts connections, on the same port as before."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self._listener, self.port = listener, listener.getsockname()[1]
        threading.Thread(target=self._listen, args=(listener,), name="fault-proxy", daemon=True).start()

    def drop(self) -> None:
        """Ends all connections there are, whatever they are doing."""
        with self._lock:
            sockets = list(self._sockets)
        for each in sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it has ended already

    def _listen(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # closed: nothing listens any more
                return
            threading.Thread(target=self._serve, args=(client,), name="fault-proxy-client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        upstream = self._connection()
        try:
            client.settimeout(_TIMEOUT)
            if self._tls:
                client = self._tls.wrap_socket(client, server_side=True)
            with self._lock:
                self._sockets.add(client)
            left = b""
            while not self._over.is_set():
                left = self._exchange(client, left, upstream)
        except (Broken, OSError, ValueError, http.client.HTTPException):
            pass  # a client that is gone, a fault, or an upstream that is gone: the client sees its connection end
        finally:
            with self._lock:
                self._sockets.discard(client)
            client.close()
            upstream.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = str(self._upstream.hostname), self._upstream.port
        if self._context:
            return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=self._context)
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT)

    def _exchange(self, client: socket.socket, left: bytes, upstream: http.client.HTTPConnection) -> bytes:
        """One request and its answer; returns what of the next request came with it."""
        head, rest = _head(client, left)
        method, path, headers = _parsed(head)
        length = int(headers.get("content-length", "0"))
        fault = self._next_fault(path)
        seen = Seen(method, path, fault is not None)
        self.seen.append(seen)
        exchange = Exchange(client, method, path, headers, rest[:length], _asking(upstream), self._over, seen)
        if fault is not None:
            fault(exchange)
        else:
            exchange.send(exchange.forward())
        return rest[length:]

    def _next_fault(self, path: str) -> Fault | None:
        with self._lock:
            for injection in self._injections:
                if injection.path in path and injection.times > 0:
                    injection.times -= 1
                    return injection.fault
        return None


def _head(client: socket.socket, data: bytes) -> tuple[bytes, bytes]:
    while b"\r\n\r\n" not in data:
        part = client.recv(1 << 16)
        if not part:
            raise Broken
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _parsed(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    return method, path, {name.strip().lower(): value.strip() for name, _, value in pairs}


def _asking(upstream: http.client.HTTPConnection) -> Callable[[str, str, dict[str, str], bytes], Answer]:
    def ask(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        passed = {name: value for name, value in headers.items() if name not in _PER_CONNECTION}
        upstream.request(method, path, body=body, headers={**passed, "accept-encoding": "identity"})
        response = upstream.getresponse()
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _PER_CONNECTION}
        return Answer(response.status, response.read(), kept)

    return ask
