"""From where, over real HTTP: each example behind proxies that write one header or the other, or at a Unix socket."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integrations.serving import SERVERS, served
from whodid.journal import read_entries

Headers = list[tuple[str, str]]

WRITTEN: dict[str, Headers] = {
    "x-forwarded-for": [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "203.0.113.9, ::ffff:127.0.0.2")],
    "forwarded": [("Forwarded", 'for="6.6.6.6'), ("Forwarded", 'For="203.0.113.9:4711";proto=https, for=127.0.0.2')],
}
"""Setting → the lines that reach the application: the client's, and the one of two proxies behind it."""


KINDS = [name for name in SERVERS if "recycled" not in name]


def recorded(name: str, journal_dir: Path, headers: Headers, unix: Path | None = None, **settings: Any) -> Any:
    """The entry of one request with these headers."""
    options = [] if "gunicorn" in SERVERS[name] else ["--no-proxy-headers"]
    with (
        served(name, journal_dir, *options, unix=unix, **settings) as url,
        httpx.Client(transport=httpx.HTTPTransport(uds=str(unix) if unix else None)) as client,
    ):
        answer = client.post(f"{url}/invoices/7/refund?amount=1", headers=[("X-User", "42"), *headers])
        assert answer.status_code == 200
    [entry] = read_entries(journal_dir)
    return entry


@pytest.mark.parametrize(
    ("name", "header"),
    [*((name, "x-forwarded-for") for name in KINDS), ("fastapi_app", "forwarded"), ("django_app", "forwarded")],
)
def test_the_address_is_the_one_in_the_header_that_the_proxies_write(name: str, header: str, tmp_path: Path) -> None:
    forged = [("Forwarded", "for=7.7.7.7") if header == "x-forwarded-for" else ("X-Forwarded-For", "7.7.7.7")]
    sent = forged + WRITTEN[header]
    entry = recorded(name, tmp_path, sent, trusted_proxies="127.0.0.0/8", forwarded_header=header)
    assert entry["client_ip"] == "203.0.113.9"
    peer = "127.0.0.1" if header == "x-forwarded-for" else "for=127.0.0.1"
    assert entry["forwarded_for"].replace(", ", ",") == ",".join(
        [*(line for _, line in WRITTEN[header]), peer]
    ).replace(", ", ",")
    assert "forwarded_for" in entry["committed"]


@pytest.mark.parametrize("name", KINDS)
def test_an_entry_names_method_and_route_of_its_request(name: str, tmp_path: Path) -> None:
    entry = recorded(name, tmp_path, [])
    assert entry["method"] == "POST"
    if name == "wsgi_app":  # which knows no routes
        assert "route" not in entry
    else:
        assert re.fullmatch(r"/invoices/[{<][^/]*[}>]/refund", entry["route"])


@pytest.mark.parametrize("name", ["fastapi_app", "flask_app"])
def test_nobody_is_believed_by_default(name: str, tmp_path: Path) -> None:
    assert recorded(name, tmp_path, WRITTEN["x-forwarded-for"])["client_ip"] == "127.0.0.1"


@pytest.mark.parametrize("name", KINDS)
def test_a_proxy_at_the_unix_socket_is_believed_if_that_is_said(name: str, tmp_path: Path) -> None:
    socket, sent = tmp_path / "app.sock", [("X-Forwarded-For", "6.6.6.6, 203.0.113.9")]
    if name == "wsgi_app":  # all of them ask the same function
        assert "client_ip" not in recorded(name, tmp_path / "a", sent, unix=socket)
    entry = recorded(name, tmp_path / "b", sent, unix=socket, trusted_proxies="unix")
    assert entry["client_ip"] == "203.0.113.9"
