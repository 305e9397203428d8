"""What the tab's script adds, in a real browser: completion, brushing, live entries, exports, the viewer's zone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.browser.accessibility import serious
from tests.faults.kit import FaultProxy, cut
from tests.live.corner import Corner
from tests.web.served import served
from whodid.entry import entry_id
from whodid.recording.recorder import Recorder
from whodid.search import AuditClient
from whodid.settings import Settings
from whodid.shipping import Shipper
from whodid.web import create_app

pytestmark = pytest.mark.live

NOWHERE = "about:blank"
"""Where a page that is live asks no server that has ended."""


def tab_of(settings: Settings, **keywords: Any) -> Starlette:
    given = {"is_root_user": lambda request: True, "audit_reads": False, **keywords}
    return Starlette(routes=[Mount("/logs", create_app(settings=settings, **given))])


@pytest.fixture
def tab(place: Corner, request: pytest.FixtureRequest) -> Iterator[str]:
    """The tab of a root user, with entries of the last 40 hours, one each. The test's page has left it when it ends."""
    page: Page | None = request.getfixturevalue("page") if "page" in request.fixturenames else None
    hours = iter(range(40, 0, -1))
    now = datetime.now(UTC)
    recorder = place.recorder(clock_ns=lambda: int((now - timedelta(hours=next(hours))).timestamp() * 1e9))
    for n in range(40):
        recorder.record("credentials_created", {"target": f"{n}", "principal": str(n % 3), "organization_id": "7"})
    recorder.journal.close()
    place.ship()
    with served(tab_of(place.settings)) as url:
        yield f"{url}/logs/"
        if page:
            page.goto(NOWHERE)


def targets(page: Page) -> list[str]:
    return page.locator("#rows > tr td:nth-child(2) a").all_inner_texts()


def test_a_query_is_completed_by_keyboard_and_by_mouse(page: Page, tab: str) -> None:
    page.goto(tab)
    box, list_ = page.get_by_role("combobox", name="Search"), page.get_by_role("listbox", name="Suggestions")
    box.press_sequentially("princ")
    expect(list_.get_by_role("option").first).to_contain_text("principal:")
    expect(box).to_have_attribute("aria-expanded", "true")
    assert serious(page) == []
    box.press("ArrowDown")
    expect(box).to_have_attribute("aria-activedescendant", "suggestion-0")
    box.press("Enter")
    expect(box).to_have_value("principal:")
    box.press_sequentially("1 -ty")
    list_.get_by_role("option", name=re.compile("^type:")).click()
    expect(box).to_have_value("principal:1 -type:")
    box.press_sequentially("user_s")
    expect(list_.get_by_role("option").first).to_contain_text("user_sign_in")
    box.press("ArrowUp")
    box.press("ArrowDown")
    box.press("Tab")
    expect(box).to_have_value("principal:1 -type:user_sign_in ")
    box.press("ArrowDown")
    expect(list_).to_be_visible()
    box.press("Escape")
    expect(list_).to_be_hidden()
    box.press("Enter")  # nothing is chosen: it asks
    expect(page.locator(".about")).to_contain_text("13 entries found")


def test_characters_beyond_the_first_plane_stay_whole_before_a_completion(page: Page, tab: str) -> None:
    page.goto(tab)
    box = page.get_by_role("combobox", name="Search")
    box.fill("👩‍🚀 princ")
    expect(page.get_by_role("option").first).to_contain_text("principal:")
    box.press("ArrowDown")
    box.press("Enter")
    expect(box).to_have_value("👩‍🚀 principal:")


def test_dragging_over_bars_asks_for_their_time_and_a_click_for_one(page: Page, tab: str) -> None:
    page.goto(tab)
    svg = page.locator(".histogram svg")
    box = svg.bounding_box()
    assert box
    bars = page.locator(".histogram a")
    count = bars.count()
    width = box["width"] / count
    page.mouse.move(box["x"] + width * 2.5, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + width * 6.5, box["y"] + 30, steps=5)
    expect(page.locator("rect.brush")).to_have_attribute("width", "50")
    first, last = (parse_qs(urlsplit(bars.nth(n).get_attribute("href") or "").query) for n in (2, 6))
    page.mouse.up()
    page.wait_for_url(re.compile("since="))
    asked = parse_qs(urlsplit(page.url).query)
    assert (asked["since"], asked["until"]) == (first["since"], last["until"])
    expect(page.locator(".about")).to_contain_text("5 entries found")
    page.goto(tab)
    page.mouse.click(box["x"] + width * 3.5, box["y"] + 20)
    page.wait_for_url(re.compile("since="))
    expect(page.locator(".about")).to_contain_text("1 entry found")


def test_bars_are_reached_and_brushed_by_keyboard(page: Page, tab: str) -> None:
    page.goto(tab)
    bars, caption = page.locator(".histogram a"), page.locator(".histogram figcaption")
    span = caption.inner_text()
    page.get_by_role("button", name="Last year").focus()
    page.keyboard.press("Tab")
    expect(bars.last).to_be_focused()  # one stop of the tabulator for all of them
    expect(caption).to_have_text(bars.last.get_attribute("aria-label") or "")
    assert serious(page) == []
    for key in ("Home", "ArrowLeft", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    expect(bars.nth(2)).to_be_focused()
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("rect.brush")).to_have_attribute("width", "50")
    page.keyboard.press("Escape")
    expect(page.locator("rect.brush")).to_have_count(0)
    for _ in range(2):
        page.keyboard.press("Shift+ArrowLeft")
    first, last = (parse_qs(urlsplit(bars.nth(n).get_attribute("href") or "").query) for n in (4, 6))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("since="))
    asked = parse_qs(urlsplit(page.url).query)
    assert (asked["since"], asked["until"]) == (first["since"], last["until"])
    expect(page.locator(".about")).to_contain_text("3 entries found")
    page.goto(tab)
    bars.last.focus()
    page.get_by_role("link", name="Clear").focus()
    expect(caption).to_have_text(span)
    bars.last.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("since="))
    expect(page.locator(".about")).to_contain_text("1 entry found")


def test_a_live_page_shows_new_and_late_entries_where_they_belong_and_none_twice(
    page: Page, tab: str, place: Corner, tmp_path: Path
) -> None:
    page.goto(tab)
    before = targets(page)
    page.get_by_role("button", name="Live").click()
    expect(page.locator("#status")).to_have_text("live")
    place.record(1)
    place.ship()
    expect(page.locator("#status")).to_have_text("1 new since live updates started")
    assert targets(page) == ["0", *before]
    late = replace(place.settings, journal_dir=str(tmp_path / "elsewhere"))  # another host, which ships late
    then = datetime.now(UTC) - timedelta(hours=3, minutes=30)
    recorder = Recorder(replace(late, durability="process"), clock_ns=lambda: int(then.timestamp() * 1e9))
    recorder.record("credentials_created", {"target": "late", "principal": "9"})
    recorder.journal.close()
    Shipper(late, place.send).run_once(patience=10)
    place.refresh()
    expect(page.locator("#status")).to_have_text("2 new since live updates started")
    assert targets(page) == ["0", *before[:3], "late", *before[3:]]
    assert serious(page) == []
    page.get_by_role("button", name="Live").click()
    place.record(1)
    place.ship()
    page.wait_for_timeout(3500)
    assert len(targets(page)) == len(before) + 2


def test_a_live_page_takes_no_older_entry_for_a_new_one(page: Page, tab: str, place: Corner) -> None:
    place.record(60)
    place.ship()
    page.goto(tab)
    before = targets(page)
    assert len(before) == 50  # the newest, of 100
    page.get_by_role("button", name="Live").click()
    expect(page.locator("#status")).to_have_text("live")
    place.record(1, principal="new")
    place.ship()
    expect(page.locator("#status")).to_have_text("1 new since live updates started")
    assert targets(page) == ["0", *before]
    page.locator("#older").scroll_into_view_if_needed()
    expect(page.locator("#rows > tr")).to_have_count(101)
    places = page.locator("#rows > tr").evaluate_all("rows => rows.map((row) => row.dataset.place)")
    assert places == sorted(set(places), reverse=True)


def test_a_live_page_without_an_entry_shows_the_first_one(page: Page, tab: str, place: Corner) -> None:
    page.goto(f"{tab}?principal=nobody")
    page.get_by_role("button", name="Live").click()
    expect(page.locator("#status")).to_have_text("live")
    place.record(1, principal="nobody")
    place.ship()
    expect(page.locator("#rows > tr")).to_have_count(1)


def test_a_live_page_says_when_it_can_not_look_and_goes_on(page: Page, place: Corner) -> None:
    place.record(1)
    place.ship()
    with FaultProxy(place.settings.opensearch_hosts[0]) as proxy:
        behind = replace(place.settings, opensearch_hosts=(proxy.url,))
        with served(tab_of(behind)) as url:
            page.goto(f"{url}/logs/")
            page.get_by_role("button", name="Live").click()
            expect(page.locator("#status")).to_have_text("live")
            proxy.refuse()
            proxy.drop()
            expect(page.locator("#status")).to_contain_text("not reachable at the moment")
            proxy.accept()
            place.record(1)
            place.ship()
            expect(page.locator("#status")).to_have_text("1 new since live updates started")
            page.goto(NOWHERE)


def test_ndjson_is_saved_whole(page: Page, tab: str, place: Corner, tmp_path: Path) -> None:
    page.goto(tab)
    with page.expect_download() as download:
        page.get_by_role("link", name="Export NDJSON").click()
    download.value.save_as(tmp_path / "all.ndjson")
    assert re.fullmatch(r"audit-logs-.*\.ndjson", download.value.suggested_filename)
    lines = [json.loads(line) for line in (tmp_path / "all.ndjson").read_text().splitlines()]
    assert lines == sorted(place.journalled(), key=lambda entry: str(entry["@timestamp"]), reverse=True)
    expect(page.locator("#export")).to_contain_text("40 entries exported")
    assert serious(page) == []


def test_an_export_that_breaks_off_saves_nothing(
    chromium: Browser, place: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whodid.search.requests.PAGE", 50)
    monkeypatch.setattr("whodid.export.forms._BATCH", 5)
    place.record(60)
    place.ship()
    with FaultProxy(place.settings.opensearch_hosts[0]) as proxy:
        behind = replace(place.settings, opensearch_hosts=(proxy.url,))
        search = AuditClient.search

        def failing(client: AuditClient, *arguments: Any, **keywords: Any) -> Iterator[dict[str, Any]]:
            for n, entry in enumerate(search(client, *arguments, **keywords)):
                if n == 20:
                    proxy.inject(cut(0.0))
                yield entry

        monkeypatch.setattr(AuditClient, "search", failing)
        with served(tab_of(behind)) as url, chromium.new_context() as context:
            page = context.new_page()  # in whose console the browser complains of the broken answer, rightly
            page.goto(f"{url}/logs/")
            saved: list[object] = []
            page.on("download", lambda download: saved.append(download))
            page.get_by_role("link", name="Export NDJSON").click()
            expect(page.locator("#export")).to_contain_text("The export failed, and nothing was saved")
            assert saved == []


@pytest.mark.parametrize(
    ("zone", "shown"), [("America/New_York", "2026-11-23 03:30:01"), ("UTC", "2026-11-23T08:30:01Z")]
)
def test_times_are_in_the_viewer_s_zone_with_utc_on_hover(
    chromium: Browser, place: Corner, zone: str, shown: str
) -> None:
    at = int(datetime(2026, 11, 23, 8, 30, 1, tzinfo=UTC).timestamp() * 1e9)
    recorder = place.recorder(clock_ns=lambda: at)
    recorder.record("credentials_created", {"target": "1", "principal": "42"})
    recorder.journal.close()
    place.ship()
    with served(tab_of(place.settings)) as url, chromium.new_context(timezone_id=zone) as context:
        page = context.new_page()
        page.goto(f"{url}/logs/")
        time = page.locator("#rows time")
        expect(time).to_have_text(shown)
        expect(time).to_have_attribute("title", re.compile(r"2026-11-23T08:30:01\.000000Z"))
        expect(page.get_by_role("columnheader", name="Creation date")).to_contain_text(zone)
        page.locator("#rows a.type").click()
        expect(page.locator("[data-local]")).to_be_visible(visible=zone != "UTC")
        if zone != "UTC":
            expect(page.locator("[data-local]")).to_contain_text(shown)


def test_an_altered_entry_is_marked_in_the_table(page: Page, tab: str, place: Corner) -> None:
    page.goto(tab)
    expect(page.locator(".state")).to_contain_text("all shown hashes verified")
    name = entry_id(place.journalled()[7])
    [hit] = [one for id_, one in place.stored().items() if id_ == name]
    place.client.update(index=hit["_index"], id=name, body={"doc": {"principal": "somebody else"}}, refresh=True)
    page.goto(tab)
    expect(page.locator(".state")).to_contain_text("hash mismatch in 1 of the entries shown")
    expect(page.locator("#rows > tr", has_text="somebody else")).to_contain_text("hash mismatch")
    assert page.locator("#rows .badge.bad").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_without_scrolling_sideways(chromium: Browser, tab: str, scheme: Any) -> None:
    with chromium.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme, has_touch=True) as context:
        page = context.new_page()
        page.goto(tab)
        page.get_by_role("combobox", name="Search").press_sequentially("client")
        expect(page.get_by_role("option").first).to_be_visible()
        assert serious(page, again=scheme == "dark") == []
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.keyboard.press("Escape")
        page.locator("#rows a.type").first.click()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert serious(page, again=scheme == "dark") == []


def test_an_administrator_of_an_organization_is_told_so(page: Page, tab: str, place: Corner) -> None:
    place.record(2, organization_id="8")
    place.ship()
    app = tab_of(place.settings, is_root_user=lambda request: False, organizations_of=lambda request: ["8"])
    with served(app) as url:
        page.goto(f"{url}/logs/")
        expect(page.locator(".about")).to_contain_text("2 entries")
        expect(page.locator(".about")).to_contain_text("of organization 8 only")
        assert page.locator("#rows > tr").count() == 2
