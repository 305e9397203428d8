"""Reading in the tab is recorded: by whom, from where, before anything is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request

import whodid
from tests.live.corner import Corner, corner
from tests.web.served import served
from whodid.entry import document_id
from whodid.web import create_app

pytestmark = pytest.mark.live

Tab = Callable[..., httpx.Client]


@pytest.fixture
def place(opensearch_url: str, tmp_path: Path) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path) as made:
        made.set_up()
        made.record(60)
        made.ship()
        yield made


@pytest.fixture
def tab(place: Corner) -> Iterator[Tab]:
    """Clients of a tab made with these arguments."""
    with ExitStack() as stack:

        def make(**arguments: Any) -> httpx.Client:
            app = create_app(**{"is_root_user": lambda request: True, "settings": place.settings, **arguments})
            url = stack.enter_context(served(app))
            return stack.enter_context(httpx.Client(base_url=url, timeout=30, headers={"user-agent": "a browser"}))

        yield make


def reads(place: Corner) -> list[tuple[Any, ...]]:
    found = (entry for entry in place.journalled() if entry["type"].startswith("audit_log_"))
    return [(e["type"].removeprefix("audit_log_"), e["principal"], e.get("details", {}).get("query")) for e in found]


def user_of(request: Request) -> str:
    return request.headers.get("x-user", "")


async def user_of_async(request: Request) -> str:
    return user_of(request)


@pytest.mark.parametrize("asks", [user_of, user_of_async])
def test_who_searched_viewed_and_exported_what_is_recorded_once(place: Corner, tab: Tab, asks: Any) -> None:
    client = tab(user_of=asks)
    client.headers["x-user"] = "ada"
    entry = place.journalled()[0]
    id_ = document_id(entry["journal"], entry["seq"], entry["hash"])
    for path in ("/?target=1", "/?target=1", "/entries.json?target=1", f"/entries/{id_}", f"/entries/{id_}.json"):
        assert client.get(path).status_code == 200
    assert client.get("/export.csv?target=1").status_code == 200
    assert reads(place) == [("searched", "ada", "target:1"), ("viewed", "ada", None), ("exported", "ada", "target:1")]
    recorded = place.journalled()[-1]
    assert (recorded["client_ip"], recorded["user_agent"]) == ("127.0.0.1", "a browser")


def test_turning_pages_is_one_read(place: Corner, tab: Tab) -> None:
    client = tab(user_of=user_of)
    client.headers["x-user"] = "ada"
    page = client.get("/entries.json").json()
    assert client.get("/").text.count("<tr") > 50
    client.get("/entries.json", params={"after": page["next"] or ""})
    assert reads(place) == [("searched", "ada", "*")]


def test_without_a_name_it_is_who_the_host_bound_or_nobody(place: Corner, tab: Tab) -> None:
    assert tab().get("/").status_code == 200
    plain = create_app(is_root_user=lambda request: True, settings=place.settings)

    async def bound(scope: Any, receive: Any, send: Any) -> None:
        with whodid.context(principal="grace"):
            await plain(scope, receive, send)

    with served(bound) as url:
        assert httpx.get(f"{url}/").status_code == 200
    assert [principal for _, principal, _ in reads(place)] == ["anonymous", "grace"]


def test_what_can_not_be_recorded_is_not_shown(place: Corner, tab: Tab, tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.touch()
    settings = replace(place.settings, journal_dir=str(blocked / "journal"))
    for path in ("/", "/entries.json", "/export.csv", "/entries/a-1-b"):
        answer = tab(settings=settings).get(path)
        assert answer.status_code == 503
        assert "credentials_created" not in answer.text
        assert "Traceback" not in answer.text


def test_it_can_be_turned_off(place: Corner, tab: Tab) -> None:
    assert tab(audit_reads=False).get("/").status_code == 200
    assert reads(place) == []
