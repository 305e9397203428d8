"""What one person asks for keeps neither the tab nor the cluster from everybody else."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from tests.live.corner import eventually
from tests.web.served import served
from tests.web.stored import Stored, stored
from tests.web.test_foreign import tab
from whodid.errors import NotAuthenticated, OpenSearchUnavailable, QueryError
from whodid.search import Filter
from whodid.settings import Settings
from whodid.web import create_app, data, limits, server
from whodid.web.app import create_standalone_app
from whodid.web.request import LINKED, MAX_CONDITIONS, Question
from whodid.web.server import Address

ENTRY = '{"type": "user_created", "target": "1", "@timestamp": "2026-11-23T08:00:00.000000Z"}'


@pytest.fixture
def place() -> Iterator[Stored]:
    with stored(ENTRY) as made:
        yield made


@pytest.fixture
def browser(place: Stored) -> Iterator[httpx.Client]:
    with tab(place) as made:
        yield made


def test_a_page_grows_with_the_length_of_its_question_and_no_more(browser: httpx.Client) -> None:
    def size(conditions: int) -> int:
        values = "&".join(f"target={number:040d}" for number in range(conditions))
        return len(browser.get(f"/?{values}").content)

    assert size(4 * LINKED) - size(0) < 8 * (size(LINKED) - size(0))


@pytest.mark.parametrize("path", ["/", "/entries.json", "/export.csv", "/newest", "/complete.json"])
def test_what_is_too_long_is_refused_before_it_is_asked(browser: httpx.Client, place: Stored, path: str) -> None:
    assert browser.get(f"{path}?q={'a' * 8192}").status_code == 414
    assert browser.get(path + "x" * 2000).status_code == 414
    if path != "/complete.json":
        many = "&".join(f"target={number}" for number in range(MAX_CONDITIONS + 1))
        answer = browser.get(f"{path}?{many}")
        assert (answer.status_code, "101 filters" in answer.text) == (400, True)
    assert place.searches == []


def test_so_many_conditions_may_be_asked_for(browser: httpx.Client) -> None:
    question = Question.of([("target", str(number)) for number in range(MAX_CONDITIONS)])
    assert browser.get(f"/{question.url()}").status_code == 200
    with pytest.raises(QueryError):
        Question.of([("x", "")] * (MAX_CONDITIONS + 1))


def test_an_entry_of_1970_makes_no_page_of_thousands_of_bars() -> None:
    from datetime import UTC, datetime

    from whodid.search import Stats
    from whodid.search.stats import Bar
    from whodid.web.pages import bars_of

    at = datetime(2026, 11, 23, tzinfo=UTC)
    assert bars_of(Stats(1, at, at, 1, "month", (Bar(at, 1),) * 3000, {}), Question()) == []


def test_each_search_has_a_time_limit_in_the_cluster(browser: httpx.Client, place: Stored) -> None:
    for path in ("/", "/newest", "/entries.json", "/entries/odd", "/entries/odd.json", "/export.ndjson"):
        assert browser.get(path).status_code == 200
    assert place.searches
    assert {tuple(asked.get("cancel_after_time_interval", ())) for asked in place.searches} == {("27000ms",)}


STOPPED = [
    '{"error": {"root_cause": [], "type": "search_phase_execution_exception", "reason": "", "caused_by": {"type": '
    '"task_cancelled_exception", "reason": "request has been terminated"}}, "status": 500}',
    '{"error": {"root_cause": [{"type": "task_cancelled_exception", "reason": "cancelled task with reason: '
    'Cancellation timeout of 100ms is expired"}], '
    '"type": "search_phase_execution_exception", "reason": "all shards failed"}, '
    '"status": 500}',
]
"""Answers of OpenSearch 3.4.0 to a search that it has stopped, early and late."""


@pytest.mark.parametrize("error", STOPPED)
def test_a_search_that_the_cluster_has_stopped_says_what_to_do(
    browser: httpx.Client, place: Stored, error: str
) -> None:
    place.error = error
    answer = browser.get("/entries.json")
    assert answer.status_code == 503
    assert "was cancelled; search a shorter time, narrow the query, or raise opensearch_timeout" in answer.text


@pytest.mark.parametrize("name", ["a%00b", "x" * 600, "%C3%A9" * 300])
def test_an_id_that_no_document_can_have_is_404(browser: httpx.Client, name: str) -> None:
    for path in (f"/entries/{name}", f"/entries/{name}.json"):
        assert browser.get(path).status_code == 404


def test_one_entry_opens_no_point_in_time(browser: httpx.Client, place: Stored) -> None:
    assert browser.get("/entries/odd").status_code == 200
    assert place.opened == 0


def test_files_are_cached_for_good_only_by_the_name_of_their_content(browser: httpx.Client) -> None:
    page = browser.get("/").text
    for url in re.findall(r'"(/static/[^"]+)"', page):
        assert "immutable" in browser.get(url).headers["cache-control"]
        assert browser.get(url.partition("?")[0]).headers["cache-control"] == "no-cache"
        assert browser.get(re.sub(r"v=.*", "v=another", url)).headers["cache-control"] == "no-cache"
        missing = browser.get(url.replace(".", "-old."))
        assert (missing.status_code, missing.headers["cache-control"]) == (404, "no-store")


def test_an_export_that_is_cut_off_closes_its_point_in_time(place: Stored, browser: httpx.Client) -> None:
    place.copies = 1000
    place.source = ENTRY[:-1] + f', "status": "{"x" * 2000}"}}'
    with browser.stream("GET", "/export.ndjson") as answer:
        assert next(answer.iter_raw())
        assert place.open_points == 1
    assert eventually(lambda: place.open_points == 0)


def test_one_person_has_so_many_exports_at_once_and_no_more(
    place: Stored, browser: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.copies = 1000
    place.source = ENTRY[:-1] + f', "status": "{"x" * 2000}"}}'
    with (
        browser.stream("GET", "/export.csv"),
        browser.stream("GET", "/export.csv"),
        browser.stream("GET", "/export.csv"),
    ):
        refused = browser.get("/export.ndjson")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
        assert browser.get("/entries.json").status_code == 200
    place.copies = 1
    assert eventually(lambda: browser.get("/export.ndjson").status_code == 200)


def test_what_fails_gives_its_share_back(place: Stored, browser: httpx.Client) -> None:
    for _ in range(2 * data.EXPORTS):
        assert browser.get("/export.csv?nothing=1").status_code == 400
    assert browser.get("/export.csv").status_code == 200


def test_shares_are_for_each_person_and_for_all() -> None:
    taken = limits.Limits(2, 3)
    assert [taken.acquire("a"), taken.acquire("a"), taken.acquire("a"), taken.acquire("b"), taken.acquire("c")] == [
        True,
        True,
        False,
        True,
        False,
    ]
    taken.release("a")
    assert taken.acquire("c")


class _Cluster:
    """Stands for one that takes its time over each password."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.tried = self.under_way = self.most = 0
        self.go_on = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, _settings: Settings, _user: str, _password: str) -> Settings:
        with self._lock:
            self.tried += 1
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        self.go_on.wait(30)
        with self._lock:
            self.under_way -= 1
        raise self.error


def signing_in(
    monkeypatch: pytest.MonkeyPatch, cluster: _Cluster, guesses: int, settings: Settings
) -> list[httpx.Response]:
    """The answers to so many guesses at once."""
    monkeypatch.setattr("whodid.web.access.settings_of", cluster)
    app = create_standalone_app(settings, accounts=True, secure=False, allowed_hosts=["localhost"])

    async def guess() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as browser:
            token = re.findall(r'name="token" value="([^"]+)"', (await browser.get("/sign-in")).text)[0]
            form = {"token": token, "user": "somebody", "password": "x", "to": ""}
            under_way = [asyncio.ensure_future(browser.post("/sign-in", data=form)) for _ in range(guesses)]
            await asyncio.sleep(0)
            threading.Timer(0.05, cluster.go_on.set).start()
            return list(await asyncio.gather(*under_way))

    return asyncio.run(guess())


def test_guesses_at_once_are_no_more_than_guesses_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = _Cluster(NotAuthenticated("unknown"))
    answers = signing_in(monkeypatch, cluster, 60, Settings())
    assert cluster.tried == 10
    assert cluster.most <= 4  # as many threads as signing in has; the others are for those who have signed in
    assert Counter(answer.status_code for answer in answers) == {401: 10, 429: 50}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 429)


def test_strangers_see_no_name_of_a_host(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    cluster = _Cluster(OpenSearchUnavailable("OpenSearch at db7.internal:9200 can't be reached"))
    with caplog.at_level(logging.ERROR, "whodid.web"):
        [answer] = signing_in(monkeypatch, cluster, 1, Settings())
    assert (answer.status_code, "db7.internal" in answer.text) == (503, False)
    assert "db7.internal" in caplog.text


def test_an_error_before_the_gate_names_no_host(place: Stored, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_request: Any) -> bool:
        raise OpenSearchUnavailable("OpenSearch at db7.internal:9200 can't be reached")

    app = create_app(is_root_user=broken, audit_reads=False, opensearch_hosts=place.url)
    with caplog.at_level(logging.ERROR, "whodid.web"), served(app) as url:
        answer = httpx.get(url)
    assert (answer.status_code, "db7.internal" in answer.text, "db7.internal" in caplog.text) == (503, False, True)


@contextmanager
def impatient(app: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """The application as `whodid web` serves it, which waits a moment only."""
    monkeypatch.setattr(server, "REQUEST_WITHIN", 0.2)
    serving = uvicorn.Server(server._config(app, Address("127.0.0.1", 0)))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        assert eventually(lambda: serving.started)
        yield listening.getsockname()
        serving.should_exit = True
        thread.join(30)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nhost: x\r\nx-a: 1\r\n",
        b"GET /static/icon.svg HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\nGET / HTTP/1.1\r\n",
        b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 9\r\n\r\nx",
    ],
)
def test_a_request_that_never_comes_whole_is_ended(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_standalone_app(Settings(), accounts=True, secure=False, allowed_hosts=["127.0.0.1"])
    with impatient(app, monkeypatch) as address, socket.create_connection(address, 60) as half:
        half.sendall(sent)
        until = time.monotonic() + 60
        ended = False
        while not ended and time.monotonic() < until:
            try:
                ended = not half.recv(65536)
            except ConnectionResetError:
                ended = True
        assert ended


def test_a_query_has_so_many_texts_and_beginnings_and_no_more() -> None:
    from whodid.search import query_body

    assert str(query_body(Filter.parse("a " * 20))).count("'wildcard'") == 160
    for text in ("a " * 21, "-(" + "a or " * 20 + "b)", "type:" + ",".join(f"a{n}*" for n in range(101)), "a" * 257):
        with pytest.raises(QueryError, match="at most"):
            query_body(Filter.parse(text))
    word = Filter.parse("a")
    for _ in range(20):
        word = word & Filter.parse("b") | Filter.parse("-c")
    with pytest.raises(QueryError, match="at most"):
        query_body(word)
