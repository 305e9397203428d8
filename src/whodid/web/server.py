"""The server of the standalone tab, which listens on loopback or uses TLS, until it is stopped or idle."""

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
"""Seconds within which a request must be received completely; it takes effect after at most twice as long."""

_CONNECTIONS = 500
"""Maximum number of connections, then 503. A process usually may open about 1,000 files."""

_OPEN = (
    "This OpenSearch has no accounts: anyone who can access this page, or the cluster, can read every entry. The page "
    "is available on this machine only."
)
_ANYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 (these are refused without TLS and --url)


@dataclass(frozen=True, slots=True)
class Address:
    """The address that the tab listens on, and its public `url` if it differs. Raises `SettingsError`."""

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
                f"--host {self.host} would send passwords and entries unencrypted; use --tls-cert, or listen on "
                "127.0.0.1 behind a proxy that terminates TLS, and set its address with --url"
            )
        if self.host in _ANYWHERE and not public:
            raise SettingsError(f"--host {self.host} listens on every address; set the public one with --url")
        self._check_certificate()

    @property
    def public(self) -> SplitResult | None:
        return urlsplit(self.url) if self.url else None

    @property
    def names(self) -> list[str]:
        """The host names that requests may use; others are refused to prevent DNS rebinding."""
        own = ["127.0.0.1", "localhost", "[::1]"] if is_loopback(self.host) else [self.host]
        return [self.public.hostname or ""] if self.public else own

    def listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family)
        except OSError as error:
            raise SettingsError(
                f"can't listen on {self.host}:{self.port} ({os.strerror(error.errno or 0)}); choose another --port"
            ) from error

    def shown(self, port: int) -> str:
        """Return the URL of the tab when the server listens on `port`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.url or f"{'https' if self.certificate else 'http'}://{host}:{port}/"

    def _check_certificate(self) -> None:
        if self.key and not self.certificate:
            raise SettingsError("--tls-key needs --tls-cert")
        if self.certificate:
            try:
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                context.load_cert_chain(self.certificate, self.key, password="")
            except OSError as error:  # includes SSLError
                raise SettingsError(
                    f"--tls-cert {self.certificate} is not a certificate with an unencrypted key (PEM): {error}"
                ) from error


def serve(settings: Settings, address: Address, *, idle: float | None, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C, or until there was no request for `idle` seconds; `on_ready` gets the URL.

    Raises `SettingsError`, and `OpenSearchError` if the cluster does not report whether it has accounts.
    """
    accounts = has_accounts(settings)
    if not accounts and (address.public or not is_loopback(address.host)):
        raise SettingsError(
            "this OpenSearch has no accounts, so anyone who can access the tab could read the audit log; serve it on "
            "127.0.0.1 without --url, or enable the Security plugin"
        )
    with address.listen() as listening:
        shown = address.shown(listening.getsockname()[1])
        app = _LastRequest(
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
        with suppress(KeyboardInterrupt):  # uvicorn raises it again after its shutdown
            server.run(sockets=[listening])


def _config(app: ASGIApp, address: Address) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_level="error",
        access_log=False,  # a URL contains who is searched for
        server_header=False,
        proxy_headers=False,  # trusted_proxies is used instead
        root_path=address.public.path.rstrip("/") if address.public else "",
        ssl_certfile=address.certificate,
        ssl_keyfile=address.key,
        timeout_graceful_shutdown=5,
        http=_TimedProtocol,
        ws="none",
        limit_concurrency=_CONNECTIONS,
    )


class _TimedProtocol(H11Protocol):
    """Closes a connection whose next request is not received completely in time; uvicorn would wait forever.

    h11 limits headers to 64 KB.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        super().connection_made(transport)
        self._last_cycle: object = transport
        self._check()

    def _check(self) -> None:
        """Close the connection if it has waited for the next request since the previous call."""
        if self.transport.is_closing():
            self.transport.abort()  # a client that reads nothing would keep it open
            return
        under_way = self.cycle is not None and not self.cycle.response_complete
        if not under_way and self._last_cycle is self.cycle:
            self.transport.abort()
            return
        self._last_cycle = self.transport if under_way else self.cycle
        self._next_check = self.loop.call_later(REQUEST_WITHIN, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        self._next_check.cancel()
        super().connection_lost(exc)


class _LastRequest:
    """Stores the time of the last request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.last = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.last = time.monotonic()
        await self._app(scope, receive, send)


def _end_when_idle(server: uvicorn.Server, watched: _LastRequest, idle: float) -> None:
    while (left := watched.last + idle - time.monotonic()) > 0:
        time.sleep(left)
    server.should_exit = True
