"""The examples, served for real: an event type of their own, many users at once, each entry with the right person."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integrations.serving import SERVERS, served
from whodid.journal import read_entries

CLIENT = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=60)
"""One for all requests, as making one costs more than a request; each has a connection of its own."""


@dataclass
class Server:
    """An example that is served, and where it records."""

    url: str
    journal_dir: Path
    _seen: int = 0

    def recorded(self) -> list[dict[str, Any]]:
        """What was recorded since the last look."""
        entries = list(read_entries(self.journal_dir))
        new, self._seen = entries[self._seen :], len(entries)
        return new


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    journal_dir = tmp_path_factory.mktemp("server") / "journal"
    with served(request.param, journal_dir, trusted_proxies="127.0.0.1/32") as url:
        yield Server(url, journal_dir)


def test_users_at_once_each_get_their_own_principal_address_and_organization(server: Server) -> None:
    def refund(number: int) -> None:
        user, organization = ("42", "7") if number % 2 else ("43", "8")
        headers = {
            "X-User": user,
            "X-Organization": organization,
            "X-Forwarded-For": f"6.6.6.6, 203.0.113.{user}",
            "User-Agent": f"browser of {user}",
            "X-Request-ID": f"r{number}",
            "traceparent": f"00-{number:032x}-00f067aa0ba902b7-01",
        }
        path = f"/invoices/{user}-{number}/refund?amount={number}"
        assert CLIENT.post(server.url + path, headers=headers).status_code == 200

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(refund, range(1, 101)))
    entries = server.recorded()
    assert len(entries) == 100
    for entry in entries:
        user, number = entry["target"].split("-")
        assert entry["type"] == "invoice_refunded"
        assert entry["target_type"] == "invoice"
        assert entry["principal"] == user
        assert entry["organization_id"] == {"42": "7", "43": "8"}[user]
        assert entry["client_ip"] == f"203.0.113.{user}"
        assert entry["user_agent"] == f"browser of {user}"
        assert entry["request_id"] == f"r{number}"
        assert entry["trace_id"] == f"{int(number):032x}"
        assert entry["details"] == {"amount": int(number)}
        assert entry["service"] == "shop"


def test_what_is_bound_inside_the_request_is_seen_by_the_call(server: Server) -> None:
    def refund(number: int) -> None:
        answer = CLIENT.post(f"{server.url}/api/invoices/{number}/refund?amount=1", headers={"X-Token": str(number)})
        assert answer.status_code == 200

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(refund, range(50)))
    found = {entry["target"]: entry["principal"] for entry in server.recorded()}
    assert found == {str(number): f"token-owner-{number}" for number in range(50)}


def test_without_a_user_nothing_is_recorded_and_the_action_fails(server: Server) -> None:
    assert CLIENT.post(f"{server.url}/invoices/1/refund?amount=1").status_code == 500
    assert server.recorded() == []


@pytest.mark.parametrize("server", ["flask_app", "wsgi_app", "django_app"], indirect=True)
def test_a_streamed_body_records_as_the_user_who_asked_for_it(server: Server) -> None:
    def stream(user: int) -> None:
        invoices = "&".join(f"invoice={user}-{number}" for number in range(5))
        answer = CLIENT.post(f"{server.url}/refunds?{invoices}", headers={"X-User": str(user)})
        assert answer.text.count("\n") == 5

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(stream, range(8)))
    entries = server.recorded()
    assert len(entries) == 40
    assert {entry["target"].split("-")[0] == entry["principal"] for entry in entries} == {True}
    assert len({entry["request_id"] for entry in entries}) == 8


@pytest.mark.parametrize("server", ["django_app", "django_app under ASGI"], indirect=True)
def test_an_async_view_of_django_has_the_right_principal_too(server: Server) -> None:
    def refund(number: int) -> None:
        path = f"/async/invoices/{number}/refund?amount=1"
        assert CLIENT.post(server.url + path, headers={"X-User": f"u{number}"}).status_code == 200

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(refund, range(50)))
    found = {entry["target"]: entry["principal"] for entry in server.recorded()}
    assert found == {str(number): f"u{number}" for number in range(50)}
