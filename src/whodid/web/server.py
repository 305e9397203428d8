"""The server: the tab on an address of its own, over TLS or on this machine only, until it is stopped or idle."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..cluster.connection import has_accounts
from ..errors import SettingsError
from ..settings import Settings, is_loopback
from .app import create_standalone_app

__all__ = ["Address", "serve"]

REQUEST_WITHIN = 10.0
"""Seconds in which a request must have come whole; at most twice that."""

_CONNECTIONS = 500
"""At once; further requests get 503. A process may have some 1,000 files open."""

_OPEN = (
    "This OpenSearch has no accounts: whoever reaches this page, or the cluster, sees every entry. It is served on "
    "this machine only."
)
_ANYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 (what is refused without TLS and a name)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the tab listens, and the `url` that people use if that is another one. Raises `SettingsError`."""

    host: str
    port: int
    url: str | None = None
    certificate: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        public = self.public
        if self.url is not None and (not public or public.scheme != "https" or not public.hostname or "@" in self.url):
            raise SettingsError("--url must be an address such as https://admin.example/audit/, without a password")
        if not is_loopback(self.host) and not self.certificate:
            raise SettingsError(
                f"--host {self.host} would send passwords and entries unencrypted; give --tls-cert, or listen on "
                "127.0.0.1 behind a proxy that ends TLS and name its address with --url"
            )
        if self.host in _ANYWHERE and not public:
            raise SettingsError(f"--host {self.host} is every address; name the one that people use with --url")
        self._check_certificate()

    @property
    def public(self) -> SplitResult | None:
        return urlsplit(self.url) if self.url else None

    @property
    def names(self) -> list[str]:
        """Host names that a request may ask for; any other is a trick played on a browser (DNS rebinding)."""
        own = ["127.0.0.1", "localhost", "[::1]"] if is_loopback(self.host) else [self.host]
        return [self.public.hostname or ""] if self.public else own

    def listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family)
        except OSError as error:
            raise SettingsError(
                f"{self.host}:{self.port} can't be listened on ({os.strerror(error.errno or 0)}); choose another --port"
            ) from error

    def shown(self, port: int) -> str:
        """The address for people, when the server listens on `port`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.url or f"{'https' if self.certificate else 'http'}://{host}:{port}/"

    def _check_certificate(self) -> None:
        if self.key and not self.certificate:
            raise SettingsError("--tls-key is given without --tls-cert")
        if self.certificate:
            try:
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                context.load_cert_chain(self.certificate, self.key, password="")
            except OSError as error:  # which an SSLError is, too
                raise SettingsError(
                    f"--tls-cert {self.certificate} is no certificate with an unencrypted key (PEM): {error}"
                ) from error


def serve(settings: Settings, address: Address, *, idle: float | None, on_ready: Callable[[str], None]) -> None:
    """Serves until SIGTERM or Ctrl-C, or after `idle` seconds without a request; `on_ready` gets the address.

    Raises `SettingsError`, and `OpenSearchError` where the cluster can't say whether it has accounts.
    """
    accounts = has_accounts(settings)
    if not accounts and (address.public or not is_loopback(address.host)):
        raise SettingsError(
            "this OpenSearch has no accounts, so anyone who reaches the tab would read the audit log; serve it on "
            "127.0.0.1 without --url, or enable the Security plugin"
        )
    with address.listen() as listening:
        shown = address.shown(listening.getsockname()[1])
        app = _Watched(
            create_standalone_app(
                settings,
                accounts=accounts,
                secure=shown.startswith("https:"),
                allowed_hosts=address.names,
                notice="" if accounts else _OPEN,
            )
        )
        server = uvicorn.Server(_config(app, address))
        if idle:
            threading.Thread(target=_end_when_idle, args=(server, app, idle), daemon=True).start()
        on_ready(shown)
        with suppress(KeyboardInterrupt):  # which uvicorn passes on after it has ended well
            server.run(sockets=[listening])


def _config(app: ASGIApp, address: Address) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_level="error",
        access_log=False,  # a URL holds whom somebody looks for
        server_header=False,
        proxy_headers=False,  # trusted_proxies says whom to believe
        root_path=address.public.path.rstrip("/") if address.public else "",
        ssl_certfile=address.certificate,
        ssl_keyfile=address.key,
        timeout_graceful_shutdown=5,
        http=_Impatient,
        ws="none",
        limit_concurrency=_CONNECTIONS,
    )


class _Impatient(H11Protocol):
    """Ends a connection whose next request does not come whole in time, which uvicorn waits for without an end.

    h11 takes 64 KB of headers at most.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        super().connection_made(transport)
        self._behind: object = transport
        self._look()

    def _look(self) -> None:
        """Ends what waits for a request behind the same one as at the look before."""
        if self.transport.is_closing():
            self.transport.abort()  # who reads nothing would keep it open
            return
        under_way = self.cycle is not None and not self.cycle.response_complete
        if not under_way and self._behind is self.cycle:
            self.transport.abort()
            return
        self._behind = self.transport if under_way else self.cycle
        self._next_look = self.loop.call_later(REQUEST_WITHIN, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._next_look.cancel()
        super().connection_lost(exc)


class _Watched:
    """Remembers when the last request came."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.last = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.last = time.monotonic()
        await self._app(scope, receive, send)


def _end_when_idle(server: uvicorn.Server, watched: _Watched, idle: float) -> None:
    while (left := watched.last + idle - time.monotonic()) > 0:
        time.sleep(left)
    server.should_exit = True
