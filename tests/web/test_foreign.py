"""What something else stored, whatever is in it, never keeps a page, an entry or an export from anybody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.export.foreign import DOCUMENTS, ODD
from tests.web.served import served
from tests.web.stored import Stored, stored
from whodid.web import create_app

PATHS = (
    "/",
    "/newest",
    "/entries.json",
    "/entries/odd",
    "/entries/odd.json",
    "/export.ndjson",
    "/export.csv",
)


@contextmanager
def tab(place: Stored) -> Iterator[httpx.Client]:
    app = create_app(is_root_user=lambda _: True, audit_reads=False, opensearch_hosts=place.url)
    with served(app) as url, httpx.Client(base_url=url, timeout=30) as browser:
        yield browser


def test_every_page_shows_every_odd_document() -> None:
    with stored("{}") as place, tab(place) as browser:
        for what in ODD:
            place.source = DOCUMENTS[what]
            answers = {path: browser.get(path).status_code for path in PATHS}
            assert answers == dict.fromkeys(PATHS, 200), what
        assert place.open_points == 0


def test_a_value_that_nothing_can_be_looked_for_by_leaves_its_entry_without_neighbours() -> None:
    with stored("{}") as place, tab(place) as browser:
        for what in ("lone surrogate", "NUL"):
            for name in ("target", "journal", "seq", "operation", "hash"):
                place.source = DOCUMENTS[f"{what} in {name}"]
                assert browser.get("/entries/odd").status_code == 200, (what, name)
