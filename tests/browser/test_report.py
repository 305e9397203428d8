"""A report as people look at it: in a real Chromium, light and dark, on a phone and on paper, with nothing loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.attacks.scene import Scene, scene
from tests.report.making import make
from whodid.retention.holds import new_hold, set_hold

from .accessibility import serious

pytestmark = pytest.mark.live

EVIL = "<script>document.title = 'pwned'</script>"


@pytest.fixture(scope="module")
def report(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a report with findings, of a log in which somebody has put markup wherever it goes."""
    folder = tmp_path_factory.mktemp("report")
    with scene(opensearch_url, folder) as made:
        _tamper(made)
        pack = make(made.corner, folder / "r")
        assert pack.code == 1
        yield Path(f"{pack.path}.html").as_uri()


def _tamper(made: Scene) -> None:
    hits = made.hits()
    set_hold(made.corner.client, made.settings, new_hold(EVIL, EVIL, partitions=[hits[5]["_index"]]))
    made.put(hits[15], {**hits[15]["_source"], "type": EVIL})
    made.delete(17, 18)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_everybody_can_read_it(page: Page, report: str, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(report)
    assert serious(page, again=scheme == "dark") == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_runs_and_loads_nothing(page: Page, report: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report)
    assert asked == [report]
    assert page.title().startswith("Audit log report, ")
    assert page.locator("script").count() == 0
    assert page.locator("body").inner_text().count(EVIL) > 1


def test_the_style_is_let_in_by_its_own_policy(page: Page, report: str) -> None:
    page.goto(report)
    rounded = page.locator("section").first.evaluate("one => getComputedStyle(one).borderTopLeftRadius")
    assert rounded == "10px"


def test_its_parts_can_be_found_by_their_names(page: Page, report: str) -> None:
    page.goto(report)
    assert page.get_by_role("heading", level=1).count() == 1
    names = ["Findings", "Completeness", "Integrity", "Retention", "Holds", "Destructions", "Erasures", "Who read it"]
    for name in names:
        assert page.get_by_role("region", name=name, exact=True).count() == 1, name
    assert "Entries from" in (page.get_by_role("img").first.get_attribute("aria-label") or "")
    row = page.get_by_role("row", name="gap")
    assert "entries 17 to 18" in row.first.inner_text()


def test_on_paper_it_is_light_and_not_cut(chromium: Browser, report: str) -> None:
    with chromium.new_context(viewport={"width": 720, "height": 900}, color_scheme="dark") as context:
        paper = context.new_page()
        paper.goto(report)
        paper.emulate_media(media="print")
        assert paper.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        wide = (
            "[...document.querySelectorAll('table')].filter(one => one.scrollWidth > document.body.clientWidth).length"
        )
        assert paper.evaluate(wide) == 0
        assert len(paper.pdf(format="A4")) > 10_000
