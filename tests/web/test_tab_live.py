"""The tab on a real cluster: what it shows is what was recorded, no more and no less."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from tests.live.corner import Corner, corner
from tests.web.served import served
from whodid.entry import document_id
from whodid.web import create_app, data
from whodid.web.pages import COLUMNS, PAGE

pytestmark = pytest.mark.live

Entry = dict[str, Any]
CANARY = "<img src=x onerror=\"alert('{}')\">'\"&\N{RIGHT-TO-LEFT OVERRIDE}\x1b[31m"
IN_ORGANIZATION = {
    "organization_id": "1",
    "organization_name": "Acme & Söhne",
    "workspace_id": "11",
    "workspace_name": "Genomics",
}


def everyone(_request: Request) -> bool:
    return True


@pytest.fixture(scope="module")
def place(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corner]:
    """130 entries: of two users, of the system, within an organization and without."""
    with corner(opensearch_url, tmp_path_factory.mktemp("tab")) as made:
        made.set_up()
        made.record(70, client_ip="203.0.113.9", status="aws", **IN_ORGANIZATION)
        made.record(40, principal="43", client_ip="2001:db8::7", principal_name="Lin", target_name="the key")
        made.record(20, principal="system")
        made.ship()
        yield made


@pytest.fixture(scope="module")
def tab(place: Corner) -> Iterator[httpx.Client]:
    app = Starlette(
        routes=[
            Mount(
                "/admin/audit-logs",
                create_app(is_root_user=everyone, audit_reads=False, settings=place.settings),
            )
        ]
    )
    with served(app) as url, httpx.Client(base_url=f"{url}/admin/audit-logs", timeout=30) as client:
        yield client


def newest_first(place: Corner) -> list[Entry]:
    return sorted(place.journalled(), key=lambda entry: (entry["@timestamp"], entry["seq"]), reverse=True)


def rows(page: str) -> list[list[str]]:
    """The text of each cell of the table."""
    body = page.split('<tbody id="rows">')[1].split("</tbody>")[0] if '<tbody id="rows">' in page else ""
    found = []
    for row in body.split("<tr")[1:]:
        cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        found.append(
            [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", cell.replace("<wbr>", ""))).split()) for cell in cells]
        )
    return found


def ids(page: str) -> list[str]:
    return re.findall(r'<a class="type" href="/admin/audit-logs/entries/([^"]+)"', page)


def id_of(entry: Entry) -> str:
    return document_id(entry["journal"], entry["seq"], entry["hash"])


def test_the_columns_are_the_platform_s_fields_in_its_order(tab: httpx.Client, place: Corner) -> None:
    page = tab.get("/", params={"principal": "42"}).text
    headings = [re.sub(r"<[^>]+>", "", heading) for heading in re.findall(r'<th scope="col">(.*?)</th>', page)]
    assert headings == [
        "Type",
        "Target",
        "Principal",
        "Status",
        "Organization ID and name",
        "Workspace ID and name",
        "Client IP",
        "Creation date UTC",
    ]
    newest = next(entry for entry in newest_first(place) if entry["principal"] == "42")
    assert rows(page)[0] == [
        "credentials_created",
        "69",
        "42",
        "aws",
        "1 Acme & Söhne",
        "11 Genomics",
        "203.0.113.9",
        newest["creation_date"],
    ]


def test_what_does_not_apply_says_so_and_the_system_has_no_address(tab: httpx.Client) -> None:
    cells = rows(tab.get("/", params={"principal": "system"}).text)[0]
    assert cells[2:7] == ["system", "", "N/A", "N/A", ""]


def test_names_of_that_moment_stand_below_the_ids(tab: httpx.Client) -> None:
    cells = rows(tab.get("/", params={"principal": "43"}).text)[0]
    assert (cells[1], cells[2]) == ("39 the key", "43 Lin")


def test_pages_hold_every_entry_once_newest_first(tab: httpx.Client, place: Corner) -> None:
    seen: list[str] = []
    path: str | None = "/"
    while path:
        page = tab.get(path).text
        assert len(ids(page)) <= PAGE
        seen += ids(page)
        older = re.search(r'id="older" rel="next" href="/admin/audit-logs/([^"]+)"', page)
        path = html.unescape(older[1]) if older else None
    assert seen == [id_of(entry) for entry in newest_first(place)]


@pytest.mark.parametrize("name", [name for name, _ in COLUMNS])
def test_each_column_filters(tab: httpx.Client, place: Corner, name: str) -> None:
    value = next(entry[name] for entry in newest_first(place) if name in entry)
    found = tab.get("/entries.json", params={name: value}).json()
    assert found == {"entries": [entry for entry in newest_first(place) if entry.get(name) == value], "next": None}
    assert f"{len(found['entries'])}</strong>" in tab.get("/", params={name: value}).text


def test_a_time_range_filters(tab: httpx.Client, place: Corner) -> None:
    middle = newest_first(place)[60]["@timestamp"]
    older = tab.get("/entries.json", params={"until": middle}).json()["entries"]
    newer = tab.get("/entries.json", params={"since": middle}).json()["entries"]
    assert (len(older), len(newer)) == (69, 61)
    assert tab.get("/entries.json", params={"until": "-1h"}).json() == {"entries": [], "next": None}


def test_json_pages_hold_every_entry_as_journalled(
    tab: httpx.Client, place: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "_PAGE", 32)
    found: list[Entry] = []
    after: dict[str, str] = {}
    while True:
        page = tab.get("/entries.json", params=after).json()
        found += page["entries"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert found == newest_first(place)


def test_one_entry_shows_every_field_and_that_it_fits_its_hash(tab: httpx.Client, place: Corner) -> None:
    entry = next(entry for entry in newest_first(place) if entry["principal"] == "42")
    page = html.unescape(tab.get(f"/entries/{id_of(entry)}").text)
    for value in entry.values():
        assert str(value) in page or isinstance(value, dict | list)
    assert "hash verified" in page
    assert f"{place.settings.index_prefix}-{entry['creation_date'][:7].replace('-', '.')}" in page
    assert tab.get(f"/entries/{id_of(entry)}.json").json() == entry


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("principal", "43", "hash mismatch"),
        ("schema_version", "3.0", "its format is 3.x"),
        ("@timestamp", "2026", "hash mismatch"),
        ("type", ["a", "b"], "hash mismatch"),
        ("target", ["a", "b"], "hash mismatch"),
        ("creation_date", None, "unknown: no valid creation date"),
        ("hash", "0" * 64, "hash mismatch"),
    ],
)
def test_an_entry_that_was_changed_does_not_fit_its_hash_and_one_to_come_is_not_judged(
    opensearch_url: str, tmp_path: Path, field: str, value: object, says: str
) -> None:
    with corner(opensearch_url, tmp_path) as made:
        made.set_up()
        [entry] = made.record(1)
        made.ship()
        made.client.update(
            index=f"{made.settings.index_prefix}-{entry['creation_date'][:7].replace('-', '.')}",
            id=id_of(entry),
            body={"doc": {field: value}},
        )
        made.refresh()
        app = create_app(is_root_user=everyone, audit_reads=False, settings=made.settings)
        with served(app) as url:
            [row] = re.findall(r'<a class="type" href="(.*?)"', httpx.get(url).text)
            page = httpx.get(f"{url}{row}").text
        assert says in page
        assert ">hash verified<" not in page


@pytest.mark.parametrize("path", ["/entries/nothing-like-it", "/entries/nothing-like-it.json"])
def test_an_entry_that_is_not_there_is_404(tab: httpx.Client, path: str) -> None:
    answer = tab.get(path)
    assert answer.status_code == 404
    assert "Entry nothing-like-it not found" in answer.text


def test_the_export_holds_what_the_filters_find(tab: httpx.Client, place: Corner) -> None:
    answer = tab.get("/export.csv", params={"principal": "43"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(r'attachment; filename="audit-logs-[0-9TZ-]+\.csv"', answer.headers["content-disposition"])
    read = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    expected = [entry for entry in newest_first(place) if entry["principal"] == "43"]
    assert [row["entry_id"] for row in read] == [id_of(entry) for entry in expected]
    assert [row["target"] for row in read] == [entry["target"] for entry in expected]


def test_an_export_beyond_the_limit_holds_the_newest_and_its_name_says_so(
    tab: httpx.Client, place: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "EXPORT_LIMIT", 100)
    answer = tab.get("/export.csv")
    assert "-newest-100-of-130.csv" in answer.headers["content-disposition"]
    read = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert [row["entry_id"] for row in read] == [id_of(entry) for entry in newest_first(place)[:100]]


def test_an_export_that_fails_on_the_way_is_no_finished_download(
    tab: httpx.Client, place: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster loses the point in time after the first page, as a restart would make it."""
    from whodid.search.requests import Searcher

    monkeypatch.setattr("whodid.search.requests.PAGE", 50)
    monkeypatch.setattr("whodid.export.forms._BATCH", 10)
    ask = Searcher.search

    def page(self: Searcher, body: Any, indices: str | None) -> Any:
        if "search_after" in body:
            self._client.delete_pit(body={"pit_id": [body["pit"]["id"]]})
        return ask(self, body, indices)

    monkeypatch.setattr(Searcher, "search", page)
    with pytest.raises(httpx.RemoteProtocolError):
        tab.get("/export.csv")


def test_a_text_of_the_search_language_finds_what_it_says(place: Corner, tab: httpx.Client) -> None:
    query = 'client_ip:203.0.113.0/24,2001:db8::/32 -status:aws "the key"'
    answer = tab.get("/entries.json", params={"q": query, "principal": "43"}).json()
    assert len(answer["entries"]) == 40
    assert {entry["principal"] for entry in answer["entries"]} == {"43"}
    page = tab.get("/", params={"q": query}).text
    assert html.escape(query) in page.replace("&#34;", "&quot;")
    assert "<strong>40</strong> entries found" in page
    assert tab.get("/export.csv", params={"q": "principal:system"}).text.count("\r\n") == 21


def test_an_entry_leads_to_its_neighbours_and_to_what_belongs_together(opensearch_url: str, tmp_path: Path) -> None:
    with corner(opensearch_url, tmp_path) as made:
        made.set_up()
        images = {"before": {"name": "old <b>", "size": 1}, "after": {"name": "new <i>", "size": 1}}
        made.record(1, correlation_id="c1")
        made.record(1, correlation_id="c1", **images)
        made.record(2)
        made.ship()
        names = [id_of(entry) for entry in made.journalled()]
        app = create_app(is_root_user=everyone, audit_reads=False, settings=made.settings)
        with served(app) as url, httpx.Client(base_url=url, timeout=30) as client:
            page = client.get(f"/entries/{names[1]}").text
            last = client.get(f"/entries/{names[3]}").text
    neighbours = re.findall(r'class="neighbour" href="/entries/([^"]+)"', page)
    assert neighbours == [names[0], names[2]]
    assert re.findall(r'class="neighbour"', last) == []
    related = page[page.index("Related entries") :]
    assert f'href="/entries/{names[0]}"' in related[: related.index("</section>")]
    assert "Related entries" not in last
    assert "<del><bdi>old &lt;b&gt;</bdi></del>" in page
    assert "<ins><bdi>new &lt;i&gt;</bdi></ins>" in page
    assert page.count('<tr class="changed">') == page.count('<tr class="same">') == 1


def test_the_bars_hold_every_entry_and_lead_to_them(place: Corner, tab: httpx.Client) -> None:
    page = tab.get("/").text
    bars = re.findall(r'<a href="/admin/audit-logs/(\?[^"]*)" aria-label="[^"]*: ([\d,]+) entr', page)
    assert sum(int(count.replace(",", "")) for _, count in bars) in (0, 130)  # one bar is not shown: all in one second
    for url, count in bars[:5]:
        found = tab.get("/entries.json" + html.unescape(url)).json()
        assert len(found["entries"]) == int(count)


def test_the_most_frequent_values_lead_to_their_entries(place: Corner, tab: httpx.Client) -> None:
    page = tab.get("/").text
    facets = re.findall(
        r'<li><a href="/admin/audit-logs/(\?principal=[^"]*)"><bdi class="code">(.*?)</bdi></a> <span>(\d+)', page
    )
    assert [(value, count) for _, value, count in facets] == [("42", "70"), ("43", "40"), ("system", "20")]
    for url, value, count in facets:
        found = tab.get("/entries.json" + html.unescape(url)).json()["entries"]
        assert (len(found), {entry["principal"] for entry in found}) == (int(count), {value})


def test_a_link_to_everything_about_a_target_is_about_that_target(opensearch_url: str, tmp_path: Path) -> None:
    with corner(opensearch_url, tmp_path) as made:
        made.set_up()
        recorder = made.recorder()
        for target in ("*", "a*", "ab", " a"):
            recorder.record("team_created", {"target": target, "principal": "42"})
        recorder.journal.close()
        made.ship()
        app = create_app(is_root_user=everyone, audit_reads=False, settings=made.settings)
        with served(app) as url:
            links = re.findall(r'<a class="code" href="(/\?[^"]*)" title="Everything about', httpx.get(url).text)
            found = [httpx.get(f"{url}/entries.json{html.unescape(link)[1:]}").json()["entries"] for link in links]
        assert [[entry["target"] for entry in entries] for entries in found] == [[" a"], ["ab"], ["a*"], ["*"]]


def test_the_link_of_a_principal_leads_to_what_others_did_for_them_too(opensearch_url: str, tmp_path: Path) -> None:
    with corner(opensearch_url, tmp_path) as made:
        made.set_up()
        made.record(1, principal="7", on_behalf_of="42")
        made.record(1, principal="system", on_behalf_of="7")
        made.record(1, principal="system", on_behalf_of="x")
        made.ship()
        app = create_app(is_root_user=everyone, audit_reads=False, settings=made.settings)
        with served(app) as url:
            links = re.findall(r'href="(/\?by=[^"]*)"[^>]*title="Everything by', httpx.get(url).text)
            found = [httpx.get(f"{url}/entries.json{html.unescape(link)[1:]}").json()["entries"] for link in links]
        principals = [[(entry["principal"], entry["on_behalf_of"]) for entry in entries] for entries in found]
        of_seven, of_system = [("system", "7"), ("7", "42")], [("system", "x"), ("system", "7")]
        assert principals == [of_system, of_system, of_seven]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("q=principle:1", "unknown field &#39;principle&#39;; did you mean principal"),
        ("q=%28a", "this ( is not closed (at character 1)"),
        ("typ=x", "unknown field &#39;typ&#39;; did you mean type"),
        ("client_ip=nonsense", "client_ip must be an address or a network"),
        ("since=yesterday-ish", "is not a valid time; use"),
        ("after=xyz", "invalid cursor"),
        ("q=type:%00", "type contains a NUL character, which no entry can contain"),
    ],
)
def test_a_question_that_can_t_be_asked_says_what_to_change(tab: httpx.Client, query: str, said: str) -> None:
    page = tab.get(f"/?{query}")
    assert page.status_code == 400
    assert said in page.text
    program = tab.get(f"/entries.json?{query}")
    assert (program.status_code, program.json()["error"]) == (400, "Bad Request")
    if not query.startswith("after"):
        assert tab.get(f"/export.csv?{query}").status_code == 400


def test_a_form_leads_to_the_url_of_its_question(tab: httpx.Client) -> None:
    answer = tab.get("/?type=&principal=42&since=-7d&since=&until=")
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/audit-logs/?principal=42&since=-7d")
    assert tab.get("/?since=any&principal=").headers["location"] == "/admin/audit-logs/?"


@pytest.mark.parametrize(
    "query", ["until=0001-01-01", "q=until:0001-01-01T00:00:00%2B01:00", "since=9999-12-31T23:59:59"]
)
def test_times_at_the_ends_of_the_calendar_find_nothing(tab: httpx.Client, query: str) -> None:
    answer = tab.get(f"/?{query}")
    assert (answer.status_code, "No entry matches" in answer.text) == (200, True)


def test_nothing_found_offers_the_way_back(tab: httpx.Client) -> None:
    page = tab.get("/", params={"principal": "nobody"}).text
    assert "No entry matches" in page
    assert "Export CSV" not in page


def test_before_the_first_entry_the_page_says_what_is_missing(opensearch_url: str, tmp_path: Path) -> None:
    with corner(opensearch_url, tmp_path) as made:
        app = create_app(is_root_user=everyone, audit_reads=False, settings=made.settings)
        with served(app) as url:
            assert "whodid ship" in httpx.get(url).text
            assert httpx.get(f"{url}/entries.json").json() == {"entries": [], "next": None}
            assert httpx.get(f"{url}/export.csv").text.count("\n") == 1


def test_markup_in_any_field_stays_text(opensearch_url: str, tmp_path: Path) -> None:
    texts = ("target", "status", "organization_id", "organization_name", "workspace_id", "workspace_name")
    more = (
        "target_name",
        "principal",
        "principal_name",
        "principal_email",
        "on_behalf_of",
        "user_agent",
        "forwarded_for",
    )
    last = ("access_token_id", "correlation_id", "request_id", "operation")
    with corner(opensearch_url, tmp_path) as made:
        made.set_up()
        recorder = made.recorder()
        fields: dict[str, Any] = {name: CANARY.format(name) for name in (*texts, *more, *last)}
        images = {name: {"key": CANARY.format(name)} for name in ("details", "before", "after")}
        entry = orjson.loads(recorder.record("team_created", {**fields, **images, "client_ip": "203.0.113.9"})[1])
        recorder.journal.close()
        made.ship()
        with served(create_app(is_root_user=everyone, audit_reads=False, settings=made.settings)) as url:
            pages = [httpx.get(url + path).text for path in ("/", f"/entries/{id_of(entry)}")]
            pages.append(httpx.get(url, params=fields).text)
        assert len(ids(pages[2].replace('href="/entries', 'href="/admin/audit-logs/entries'))) == 1
    for page in pages:
        assert "<img" not in page
        assert "onerror=" in page
        shown = re.sub(r'value="[^"]*"', "", page)  # an input keeps what is searched for
        assert not {"\N{RIGHT-TO-LEFT OVERRIDE}", "\x1b"} & set(shown)
