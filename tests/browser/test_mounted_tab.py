"""The tab in the example's admin panel, as a root user and as somebody else see it, in a real browser."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import serious
from tests.live.corner import Corner, corner, eventually

pytestmark = pytest.mark.live

EXAMPLE = Path(__file__).parents[2] / "examples" / "admin_panel"
CANARY = "<img src=x onerror=\"alert('{}')\">"
TAB = "/admin/audit-logs/"
TEXTS = (
    "status",
    "organization_id",
    "organization_name",
    "workspace_id",
    "workspace_name",
    "target_name",
    "principal_name",
    "user_agent",
    "forwarded_for",
)


@pytest.fixture(scope="module")
def panel(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The example, served for real, with 120 entries of its cluster."""
    folder = tmp_path_factory.mktemp("panel")
    with corner(opensearch_url, folder) as place:
        place.set_up()
        yield from serve(place, folder)


def serve(place: Corner, folder: Path) -> Iterator[str]:
    port = free_port()
    place.record(117, client_ip="203.0.113.9", status="aws", organization_id="1", organization_name="Acme")
    place.record(2, principal="system")
    place.record(1, principal=CANARY.format("principal"), **{name: CANARY.format(name) for name in TEXTS})
    place.ship()
    environment = {
        **os.environ,
        "WHODID_OPENSEARCH_HOSTS": place.settings.opensearch_hosts[0],
        "WHODID_INDEX_PREFIX": place.settings.index_prefix,
        "WHODID_JOURNAL_DIR": str(folder / "panel"),
    }
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLE), "--port", str(port), "app:app"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: _answers(f"http://127.0.0.1:{port}/"))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def sign_in(page: Page, panel: str, name: str) -> None:
    page.goto(panel)
    page.get_by_role("textbox").fill(name)
    page.get_by_role("button", name="Sign in").click()


def rows(page: Page) -> int:
    return page.locator("#rows > tr").count()


def test_a_root_user_filters_pages_looks_and_exports(page: Page, panel: str, tmp_path: Path) -> None:
    sign_in(page, panel, "root")
    page.get_by_role("link", name="Audit logs").click()
    expect(page.locator("#rows")).to_contain_text("credentials_created")
    assert "120" in page.locator(".about").inner_text()
    page.locator("#paging").scroll_into_view_if_needed()
    expect(page.locator("#rows > tr")).to_have_count(100)  # the script added the next page
    page.locator("#paging").scroll_into_view_if_needed()
    expect(page.locator("#rows > tr")).to_have_count(120)
    expect(page.locator("#paging")).to_have_text(re.compile("No more entries"))

    page.get_by_text("Filter by field").click()
    page.get_by_label("Principal").fill("42")
    page.get_by_label("Target").fill("7")
    page.get_by_role("button", name="Last 7 days").click()  # which takes what was typed along
    expect(page.locator("#rows > tr")).to_have_count(1)
    assert page.url.endswith("?target=7&principal=42&since=-7d")
    page.get_by_role("textbox", name="Target").press("Enter")
    expect(page.get_by_role("button", name="Last 7 days")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Any time").click()
    expect(page.locator("#rows > tr")).to_have_count(1)
    assert page.url.endswith("?target=7&principal=42")
    assert "principal=42" in page.url  # which can be passed on
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.read_bytes().count(b"\r\n") == 2

    page.locator("#rows a.type").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("credentials_created")
    expect(page.locator("main")).to_contain_text("hash verified")
    page.get_by_role("link", name="42").click()
    expect(page.locator(".about")).to_contain_text("117 entries found")
    page.get_by_role("link", name="Remove by 42").click()
    expect(page.locator(".about")).to_contain_text("120 entries")

    page.get_by_label("Search").fill("type:credentials_* -principal:42")
    page.get_by_label("Search").press("Enter")
    expect(page.locator(".about")).to_contain_text("3 entries found")
    page.get_by_label("Search").fill("principle:42")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("alert")).to_contain_text("did you mean principal")
    page.get_by_role("link", name="Clear").click()
    page.locator(".facet a", has_text="42").click()
    expect(page.locator(".about")).to_contain_text("117 entries found")
    page.get_by_role("link", name="Remove principal 42").click()
    expect(page.locator(".about")).to_contain_text("120 entries")


def test_without_javascript_everything_still_works(page: Page, panel: str) -> None:
    with page.context.browser.new_context(java_script_enabled=False) as context:  # type: ignore[union-attr]
        plain = context.new_page()
        sign_in(plain, panel, "root")
        plain.goto(panel + TAB)
        assert rows(plain) == 50
        plain.get_by_role("link", name="Older entries").click()
        assert rows(plain) == 50
        plain.get_by_role("link", name="Older entries").click()
        assert rows(plain) == 20
        expect(plain.locator("#paging")).to_have_text(re.compile("No more entries"))
        plain.get_by_text("Filter by field").click()
        plain.get_by_label("Organization name").fill("Acm*")
        plain.get_by_role("button", name="Apply").click()
        expect(plain.locator(".about")).to_contain_text("117 entries found")


@pytest.mark.parametrize("name", ["ada", ""])
def test_others_get_403_for_page_data_and_export(page: Page, panel: str, name: str) -> None:
    if name:
        sign_in(page, panel, name)
    for path in ("", "entries.json", "export.csv", "?principal=42", "entries/a-1-b"):
        answer = page.request.get(panel + TAB + path)
        assert answer.status == 403
        assert "credentials" not in answer.text()
    page.goto(panel + TAB)
    expect(page.get_by_role("heading")).to_have_text("Forbidden")
    expect(page.locator("main")).to_contain_text("root users")


def test_what_an_attacker_wrote_into_an_entry_is_only_text(page: Page, panel: str) -> None:
    sign_in(page, panel, "root")
    page.goto(panel + TAB)
    page.locator("#rows > tr").filter(has_text="onerror").locator("a.type").click()
    expect(page.locator("main")).to_contain_text("onerror=\"alert('user_agent')\"")
    page.get_by_role("link", name="onerror").first.click()  # into the filters
    expect(page.locator("#rows > tr")).to_have_count(1)
    assert page.locator("main img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Page, panel: str, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    sign_in(page, panel, "root")
    for path in ("", "?principal=42&since=-7d", "?principal=nobody", "?typ=x", "entries/nothing"):
        page.goto(panel + TAB + path)
        assert serious(page, again=scheme == "dark") == []
    page.goto(panel + TAB)
    page.locator("#rows a.type").first.click()
    assert serious(page, again=scheme == "dark") == []
