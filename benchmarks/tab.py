"""The tab: how long its pages take in a real browser, over a thousand entries and over many.

Counted is what a person waits for, from the request to the first paint, and OpenSearch's own share of it (`took` of its
answers). What is left is the tab's: HTTP, Python, template, network on this machine, and the browser's layout.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from tests.browser.conftest import FLAGS
from tests.web.served import served

from whodid import Settings
from whodid.search.requests import Searcher
from whodid.web import create_app

from .corpus import Corpus, Progress, corpus
from .node import Node
from .table import table

__all__ = ["AIM_MS", "measure_tab", "tab_table"]

AIM_MS = 200.0
"""Of a page beside OpenSearch's own time: at most this."""

FEW = 1000
_PAGES = {
    "the newest": "",
    "`principal:1000`": "?q=principal:1000",
    "`type:credentials_* since:-7d`": "?q=type:credentials_*+since:-7d",
}
_LOOKS = 5
_PAINTED = """() => new Promise((done) => {
  const look = () => {
    const [paint] = performance.getEntriesByName("first-contentful-paint");
    const [page] = performance.getEntriesByType("navigation");
    if (paint) done(paint.startTime - page.requestStart); else setTimeout(look, 5);
  };
  look();
})"""


def measure_tab(node: Node, folder: Path, entries: int, rounds: int, progress: Progress) -> dict[str, Any]:
    """A row for each page and size: medians over all looks."""
    times: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        stores = [stack.enter_context(corpus(node, folder, count, progress)) for count in (FEW, entries)]
        took = stack.enter_context(_opensearch_s_time())
        window = stack.enter_context(_window())
        urls = {store.entries: stack.enter_context(served(_tab(store))) for store in stores}
        cases = [(page, count) for page in _PAGES for count in urls]
        for number in range(rounds * _LOOKS + 1):
            progress(f"look {number} of {rounds * _LOOKS}")
            for page, count in random.sample(cases, len(cases)):
                took.clear()
                painted = _look(window, f"{urls[count]}/{_PAGES[page]}")
                if number:  # the first is to warm up
                    times.setdefault((page, count), []).append((painted, sum(took)))
    rows = [_row(page, count, times[page, count]) for page, count in sorted(times)]
    return {"aim_ms": AIM_MS, "few": FEW, "entries": entries, "rows": rows}


def _tab(store: Corpus) -> Starlette:
    settings = Settings(opensearch_hosts=(store.url,), index_prefix=store.prefix)
    tab = create_app(is_root_user=lambda request: True, audit_reads=False, settings=settings)
    return Starlette(routes=[Mount("/", tab)])


@contextmanager
def _opensearch_s_time() -> Iterator[list[int]]:
    """Milliseconds that each answer says it took."""
    took: list[int] = []
    ask = Searcher.search

    def timed(self: Searcher, *arguments: Any) -> Any:
        answer = ask(self, *arguments)
        took.append(answer["took"])
        return answer

    Searcher.search = timed  # type: ignore[method-assign, assignment]
    try:
        yield took
    finally:
        Searcher.search = ask  # type: ignore[method-assign]


@contextmanager
def _window() -> Iterator[Any]:
    """One that stays open, as a person's does."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser.new_page(viewport={"width": 1440, "height": 900})
        browser.close()


def _look(window: Any, url: str) -> float:
    window.goto(url)
    return float(window.evaluate(_PAINTED))


def _row(page: str, count: int, times: list[tuple[float, float]]) -> dict[str, Any]:
    return {
        "page": page,
        "entries": count,
        "painted_ms": median(painted for painted, _ in times),
        "opensearch_ms": median(took for _, took in times),
        "beside_ms": median(painted - took for painted, took in times),
    }


def tab_table(report: dict[str, Any]) -> str:
    head = ("first paint of", "among", "ms", "of it OpenSearch", "beside it", "aim")
    rows = [
        (
            row["page"],
            f"{row['entries']:,}",
            f"{row['painted_ms']:.0f}",
            f"{row['opensearch_ms']:.0f}",
            f"{row['beside_ms']:.0f}",
            f"≤ {report['aim_ms']:.0f}",
        )
        for row in report["rows"]
    ]
    return table(head, rows)
