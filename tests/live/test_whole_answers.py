"""An answer is whole or an error; and no point in time is left open, however a search ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.corner import Corner, corner
from whodid.errors import OpenSearchError, OpenSearchUnavailable
from whodid.search import AuditClient
from whodid.verify import verify_stored

pytestmark = pytest.mark.live


@pytest.fixture
def place(opensearch_url: str, tmp_path: Path) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path) as made:
        made.set_up()
        made.record(20)
        made.ship()
        yield made


def open_points(place: Corner) -> int:
    """Points in time over this test's indices; others' are none of its business."""
    stats = place.client.indices.stats(index=f"{place.settings.index_prefix}-*", metric="search")
    return int(stats["_all"]["total"]["search"]["point_in_time_current"])


QUESTIONS: list[Callable[[AuditClient], Any]] = [
    lambda client: list(client.search()),
    lambda client: client.count(),
    lambda client: client.counts_by("type"),
    lambda client: client.get("x"),
    verify_stored,
]


@pytest.mark.parametrize("ask", QUESTIONS, ids=["search", "count", "counts_by", "get", "verify"])
def test_a_partition_without_its_shard_is_an_error_and_no_shorter_answer(
    place: Corner, ask: Callable[[AuditClient], Any]
) -> None:
    place.client.indices.create(
        index=f"{place.settings.index_prefix}-2026.01",
        body={"settings": {"index.routing.allocation.require._name": "no such node"}},
        params={"wait_for_active_shards": "0"},
    )
    with pytest.raises(OpenSearchUnavailable, match="missing shards"):
        ask(AuditClient(place.settings, client=place.client))
    assert open_points(place) == 0


def test_a_search_that_is_read_to_its_end_closes_its_point_in_time(place: Corner) -> None:
    found = AuditClient(place.settings, client=place.client).search()
    next(found)
    assert open_points(place) == 1
    assert len(list(found)) == 19
    assert open_points(place) == 0


def test_a_search_that_is_dropped_closes_its_point_in_time(place: Corner) -> None:
    found = AuditClient(place.settings, client=place.client).search()
    next(found)
    del found
    assert open_points(place) == 0


def test_a_search_that_outlives_its_client_closes_its_point_in_time(place: Corner) -> None:
    with AuditClient(place.settings) as client:
        found = client.search()
        next(found)
    del found
    assert open_points(place) == 0


def test_a_search_that_was_never_begun_opens_nothing(place: Corner) -> None:
    AuditClient(place.settings, client=place.client).search()
    assert open_points(place) == 0


def test_entries_stored_meanwhile_are_not_seen(place: Corner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whodid.search.requests.PAGE", 3)
    found = AuditClient(place.settings, client=place.client).search()
    first = next(found)
    place.record(5)
    place.ship()
    rest = list(found)
    assert [entry["seq"] for entry in [first, *rest]] == list(range(20, 0, -1))


def test_a_point_in_time_that_ended_is_an_error(place: Corner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whodid.search.requests.PAGE", 3)
    found = AuditClient(place.settings, client=place.client).search()
    next(found)
    place.client.indices.close(index=f"{place.settings.index_prefix}-*")
    with pytest.raises(OpenSearchError):
        list(found)


@pytest.mark.parametrize("page", [1, 4, 5, 6])
def test_a_copy_of_an_entry_is_seen_wherever_a_page_ends(
    place: Corner, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr("whodid.verify.plan.WINDOW", page)
    [hit] = [hit for hit in place.stored().values() if hit["_source"]["seq"] == 5]
    place.client.index(index=hit["_index"], id="another", body=hit["_source"])
    place.refresh()
    found = verify_stored(AuditClient(place.settings, client=place.client))
    assert (found.entries, sorted(finding.kind for finding in found.findings)) == (20, ["inserted"])
