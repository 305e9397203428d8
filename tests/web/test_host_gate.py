"""Access to a mounted tab: unless the application clearly grants it, nobody sees anything."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from tests.web.served import served
from whodid.errors import SettingsError
from whodid.settings import Settings
from whodid.web import create_app

NOWHERE = Settings(opensearch_hosts=("http://127.0.0.1:1",), opensearch_timeout=2.0)
EVERYTHING = ["/", "/entries.json", "/export.csv", "/entries/a-1-b", "/entries/a-1-b.json", "/?type=x", "/nothing"]


IsRootUser = Callable[[Request], Any]
Visitor = Callable[[IsRootUser], httpx.Client]


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    """Clients of tabs, each with its own answer to who is a root user."""
    with ExitStack() as stack:

        def visit(is_root_user: IsRootUser) -> httpx.Client:
            tab = create_app(is_root_user=is_root_user, settings=NOWHERE)
            url = stack.enter_context(served(Starlette(routes=[Mount("/admin/audit-logs", tab)])))
            return stack.enter_context(httpx.Client(base_url=f"{url}/admin/audit-logs"))

        yield visit


async def never(_request: Request) -> bool:
    await asyncio.sleep(0)
    return False


@pytest.mark.parametrize("path", EVERYTHING)
@pytest.mark.parametrize("is_root_user", [lambda request: False, never])
def test_others_get_403_for_everything(visitor: Visitor, is_root_user: IsRootUser, path: str) -> None:
    answer = visitor(is_root_user).get(path)
    assert answer.status_code == 403
    assert "root users" in answer.text
    assert "127.0.0.1:1" not in answer.text


@pytest.mark.parametrize("answer", [None, 1, "yes", object()])
@pytest.mark.parametrize("path", EVERYTHING)
def test_an_answer_that_is_neither_yes_nor_no_lets_nobody_in(visitor: Visitor, answer: object, path: str) -> None:
    found = visitor(lambda request: answer).get(path)
    assert found.status_code == 500
    assert "Traceback" not in found.text


def test_an_error_of_the_host_lets_nobody_in(visitor: Visitor) -> None:
    def broken(_request: Request) -> bool:
        raise RuntimeError("the users' table is locked: password=hunter2")

    answer = visitor(broken).get("/")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text


def test_a_yes_reaches_opensearch_whose_absence_is_told_without_a_traceback(visitor: Visitor) -> None:
    answer = visitor(lambda request: request.headers["x-user"] == "root").get("/", headers={"x-user": "root"})
    assert answer.status_code == 503
    assert "can&#39;t be reached" in answer.text
    assert "Traceback" not in answer.text


def test_nobody_can_forget_to_say_who_is_a_root_user() -> None:
    with pytest.raises(TypeError, match="is_root_user"):
        create_app()  # type: ignore[call-arg]
    with pytest.raises(SettingsError, match="is_root_user must be a function"):
        create_app(is_root_user=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_can_be_written(visitor: Visitor, method: str) -> None:
    assert visitor(lambda request: True).request(method, "/").status_code == 405


@pytest.mark.parametrize("path", ["/", "/static/tab.css", "/entries.json", "/nothing"])
def test_every_answer_carries_the_headers_that_keep_a_browser_in_check(visitor: Visitor, path: str) -> None:
    headers = visitor(lambda request: False).get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
    assert headers["referrer-policy"] == "same-origin"
    assert ("no-store" in headers["cache-control"]) == (not path.startswith("/static"))


def test_a_file_of_the_tab_s_own_is_kept_by_browsers_under_the_name_of_its_content(visitor: Visitor) -> None:
    client = visitor(lambda request: False)
    for found in re.findall(r"/static/[^\"]+", client.get("/").text):
        assert "immutable" in client.get(found).headers["cache-control"]
        assert client.get(found.partition("?")[0]).headers["cache-control"] == "no-cache"
    assert client.get("/?v=1").headers["cache-control"] == "no-store"
