"""Viewers of all entries and of one organization each, who try each other's URLs, cursors, entries and exports."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from tests.live.corner import Corner, corner
from tests.web.served import served
from whodid.entry import entry_id
from whodid.errors import SettingsError
from whodid.search import AuditClient, Filter
from whodid.web import create_app

pytestmark = pytest.mark.live

ORGANIZATIONS = {"seven": ["7"], "eight": ["8"], "both": ["8", "7"], "none": []}
COUNTS = {"7": 130, "8": 60, "": 5}


async def organizations_of(request: Request) -> list[str]:
    return ORGANIZATIONS.get(request.headers.get("x-user", ""), [])


@pytest.fixture(scope="module")
def tab(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Corner]]:
    """A tab over entries of organizations 7 and 8 and of none, which share targets, principals and correlations."""
    with corner(opensearch_url, tmp_path_factory.mktemp("viewers")) as place:
        place.set_up()
        for organization, count in COUNTS.items():
            place.record(count, correlation_id="c", **({"organization_id": organization} if organization else {}))
        place.ship()
        app = create_app(
            is_root_user=lambda request: request.headers.get("x-user") == "root",
            organizations_of=organizations_of,
            audit_reads=False,
            settings=place.settings,
        )
        with served(Starlette(routes=[Mount("/logs", app)])) as url:
            yield f"{url}/logs", place


def viewer(tab: tuple[str, Corner], name: str) -> httpx.Client:
    return httpx.Client(base_url=tab[0], headers={"x-user": name}, timeout=30)


def all_of(client: httpx.Client, **question: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = client.get("/entries.json", params={**question, **after}).raise_for_status().json()
        found += page["entries"]
        if not page["next"]:
            return found
        after = {"after": page["next"]}


@pytest.mark.parametrize(
    ("name", "seen"), [("root", {"7", "8", ""}), ("seven", {"7"}), ("eight", {"8"}), ("both", {"7", "8"})]
)
def test_each_sees_all_of_theirs_whichever_way_they_look(tab: tuple[str, Corner], name: str, seen: set[str]) -> None:
    expected = sum(COUNTS[one] for one in seen)
    with viewer(tab, name) as client:
        assert {one.get("organization_id", "") for one in all_of(client)} == seen
        assert len(all_of(client)) == expected
        page = client.get("/").text
        assert f"<strong>{expected}</strong> entries" in page
        assert ("only</p>" in page) == (name != "root")
        rows = csv.DictReader(io.StringIO(client.get("/export.csv").content.decode("utf-8-sig"), newline=""))
        assert [row["organization_id"] for row in rows].count("7") == (COUNTS["7"] if "7" in seen else 0)
        lines = [json.loads(line) for line in client.get("/export.ndjson").text.splitlines()]
        assert {one.get("organization_id", "") for one in lines} == seen
        assert client.get("/export.ndjson").headers["x-entries"] == str(expected)
        assert client.get("/newest").text.count("<tr data-place") == min(expected, 200)


@pytest.mark.parametrize(
    "question",
    [
        {"organization_id": "8"},
        {"organization_id": "*"},
        {"q": "organization_id:8"},
        {"q": "organization_id:7 or organization_id:8"},
        {"q": "-organization_id:7"},
        {"q": "* or target:1"},
        {"q": "not (organization_id:7 target:1)"},
        {"q": "seq:1..500"},
        {"target": "1"},
    ],
)
def test_no_question_leads_beyond_them(tab: tuple[str, Corner], question: dict[str, str]) -> None:
    with viewer(tab, "seven") as client:
        assert {one["organization_id"] for one in all_of(client, **question)} <= {"7"}
        page = client.get("/", params=question).text
        assert '<span class="code">8</span>' not in page
        assert len(client.get("/export.ndjson", params=question).text.splitlines()) == len(all_of(client, **question))


def test_an_entry_of_others_is_as_if_it_was_not_there(tab: tuple[str, Corner]) -> None:
    entries = tab[1].journalled()
    theirs = {one.get("organization_id", ""): entry_id(one) for one in entries}
    with viewer(tab, "seven") as client:
        assert client.get(f"/entries/{theirs['7']}").status_code == 200
        for organization in ("8", ""):
            for path in (f"/entries/{theirs[organization]}", f"/entries/{theirs[organization]}.json"):
                there, nowhere = client.get(path), client.get("/entries/nothing" + path[-5:] * path.endswith(".json"))
                assert there.status_code == nowhere.status_code == 404
                assert there.text.replace(theirs[organization], "nothing") == nowhere.text
        page = client.get(f"/entries/{theirs['7']}").text  # whose target and correlation others share
    linked = set(re.findall(r"/entries/([0-9a-f]{16}-\d{12}-[0-9a-f]{16})", page)) - {theirs["7"]}
    organizations = {entry_id(one): one.get("organization_id", "") for one in entries}
    assert len(linked) > 10
    assert {organizations[one] for one in linked} == {"7"}


def test_a_cursor_of_somebody_else_s_page_is_refused(tab: tuple[str, Corner]) -> None:
    cursors = {}
    for name in ("root", "seven", "both"):
        with viewer(tab, name) as client:
            found = re.search(r'href="[^"]*after=([\w-]+)"', client.get("/").text)
            assert found
            cursors[name] = found[1]
    assert len(set(cursors.values())) == 3
    with viewer(tab, "eight") as client:
        for cursor in cursors.values():
            for path in ("/", "/entries.json"):
                answer = client.get(path, params={"after": cursor})
                assert answer.status_code == 400
                assert "another search" in answer.text


@pytest.mark.parametrize("name", ["none", "somebody", ""])
@pytest.mark.parametrize(
    "path", ["/", "/entries.json", "/export.csv", "/export.ndjson", "/newest", "/complete.json?q=t", "/entries/a-1-b"]
)
def test_who_administers_nothing_gets_403(tab: tuple[str, Corner], name: str, path: str) -> None:
    with viewer(tab, name) as client:
        assert client.get(path).status_code == 403


@pytest.mark.parametrize("answer", ["7", None, 7, [7], [None], [""], b"7", {"7": 1}.get])
def test_an_answer_that_is_no_list_of_ids_lets_nobody_in(tab: tuple[str, Corner], answer: Any) -> None:
    app = create_app(
        is_root_user=lambda request: False, organizations_of=lambda request: answer, settings=tab[1].settings
    )
    with served(Starlette(routes=[Mount("/logs", app)])) as url:
        assert httpx.get(f"{url}/logs/").status_code == 500
    with pytest.raises(SettingsError, match="organizations_of must be a function"):
        create_app(is_root_user=lambda request: False, organizations_of=["7"])  # type: ignore[arg-type]


def test_every_way_of_asking_stays_within(tab: tuple[str, Corner]) -> None:
    place = tab[1]
    within = Filter.of(organization_id="7")
    client = AuditClient(place.settings, client=place.client, within=within)
    entries = place.journalled()
    other = next(one for one in entries if one.get("organization_id") == "8")
    assert {one["organization_id"] for one in client.search()} == {"7"}
    assert {one["organization_id"] for one in client.page(size=1000).entries} == {"7"}
    assert client.count() == client.stats().total == sum(client.counts_by("organization_id").values()) == COUNTS["7"]
    assert client.get(entry_id(other)) is None
    assert {one["organization_id"] for one in client.search(about="1")} == {"7"}
    assert {one["organization_id"] for one in client.search(by="42")} == {"7"}
    assert {one["organization_id"] for one in client.correlated(other)} == {"7"}
    assert all(one is None or one["organization_id"] == "7" for one in client.around(other))
    assert {one["organization_id"] for one in next(client.follow(last=50))} == {"7"}
    assert list(client.orphans()) == []
    assert {hit["_source"]["organization_id"] for hit in client.hits(Filter.of(), [{"seq": "asc"}])} == {"7"}
    assert client.hidden() == 0
