"""Following, on a real cluster where the test decides when each partition becomes visible."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.kit import FaultProxy
from tests.live.corner import Corner, corner
from whodid.cluster.bulk import Document
from whodid.entry import document_id
from whodid.errors import OpenSearchUnavailable
from whodid.search import AuditClient

pytestmark = pytest.mark.live

DATES = {"2026.10": "2026-10-31T23:59:59", "2026.11": "2026-11-01T00:00:00"}
OTHER = "b" * 16


@dataclass(frozen=True)
class Partitions:
    """Two partitions that show what was stored only when they are told to."""

    place: Corner

    def store(self, month: str, *seqs: int, journal: str = "a" * 16, **changes: Any) -> None:
        index = f"{self.place.settings.index_prefix}-{month}"
        documents = []
        for seq in seqs:
            date = DATES[month]
            hash_ = f"{seq:064x}"
            entry: dict[str, Any] = {"journal": journal, "seq": seq, "hash": hash_, "target": f"{journal[0]}{seq}"}
            entry |= {"creation_date": f"{date}Z", "@timestamp": f"{date}.{seq:06d}Z", **changes}
            id_ = document_id(journal, seq, entry["hash"])
            documents.append(Document(id_, index, json.dumps(entry).encode()))
        assert {verdict.kind for verdict in self.place.send(documents)} == {"stored"}

    def show(self, month: str) -> None:
        self.place.client.indices.refresh(index=f"{self.place.settings.index_prefix}-{month}")

    def follow(self, number: int = 0, where: str = "") -> Iterator[list[str]]:
        batches = AuditClient(self.place.settings).follow(where, last=number, pause=lambda: None)
        return ([str(entry["target"]) for entry in batch] for batch in batches)


@pytest.fixture
def partitions(opensearch_url: str, tmp_path: Path) -> Iterator[Partitions]:
    with corner(opensearch_url, tmp_path) as place:
        place.set_up()
        for month in DATES:
            place.client.indices.create(
                index=f"{place.settings.index_prefix}-{month}", body={"settings": {"index.refresh_interval": "-1"}}
            )
        yield Partitions(place)


def test_the_last_ones_come_first_and_oldest_first(partitions: Partitions) -> None:
    partitions.store("2026.11", *range(1, 21))
    partitions.show("2026.11")
    following = partitions.follow(3)
    assert [next(following), next(following)] == [["a18", "a19", "a20"], []]


def test_without_a_pause_to_make_it_ends(partitions: Partitions) -> None:
    assert list(AuditClient(partitions.place.settings).follow()) == [[]]


def test_it_begins_before_anything_is_stored(opensearch_url: str, tmp_path: Path) -> None:
    with corner(opensearch_url, tmp_path) as empty:
        empty.set_up()
        following = AuditClient(empty.settings).follow(pause=lambda: None)
        assert [next(following), next(following)] == [[], []]
        [entry] = empty.record(1)
        empty.ship()
        assert [next(following), next(following)] == [[entry], []]


def test_what_another_host_shipped_late_is_shown_although_it_is_older(partitions: Partitions) -> None:
    partitions.store("2026.11", 1, 2)
    partitions.show("2026.11")
    following = partitions.follow(10)
    assert next(following) == ["a1", "a2"]
    partitions.store("2026.10", 1, 2, journal=OTHER)
    partitions.show("2026.10")
    assert [next(following), next(following)] == [["b1", "b2"], []]


def test_entries_that_become_visible_in_another_order_are_shown_in_theirs_and_once(partitions: Partitions) -> None:
    following = partitions.follow()
    assert next(following) == []
    partitions.store("2026.10", 1, 2)
    partitions.store("2026.11", 3, 4)
    partitions.show("2026.11")
    assert [next(following), next(following)] == [[], []]
    partitions.show("2026.10")
    assert [next(following), next(following)] == [["a1", "a2", "a3", "a4"], []]


def test_a_place_that_stays_empty_holds_up_its_journal_for_ten_looks_and_no_other(partitions: Partitions) -> None:
    following = partitions.follow()
    assert next(following) == []
    partitions.store("2026.11", 1, 3, 4)
    partitions.store("2026.11", 1, journal=OTHER)
    partitions.show("2026.11")
    assert next(following) == ["a1", "b1"]
    assert [next(following) for _ in range(9)] == [[]] * 9
    assert next(following) == ["a3", "a4"]
    partitions.store("2026.11", 6)
    partitions.show("2026.11")
    assert next(following) == []
    partitions.store("2026.11", 5)
    partitions.show("2026.11")
    assert next(following) == ["a5", "a6"]


def test_what_fills_a_place_that_was_passed_over_is_shown_then_and_once(partitions: Partitions) -> None:
    """As a dead letter that is retried the day after."""
    following = partitions.follow()
    assert next(following) == []
    partitions.store("2026.11", 1, 5, 9)
    partitions.show("2026.11")
    for _ in range(11):
        next(following)
    partitions.store("2026.11", 10)
    partitions.show("2026.11")
    assert next(following) == ["a10"]
    partitions.store("2026.10", 3)
    partitions.show("2026.10")
    assert [next(following), next(following)] == [["a3"], []]
    partitions.store("2026.10", 2, 4, 7)
    partitions.store("2026.11", 11)
    partitions.show("2026.10")
    partitions.show("2026.11")
    assert [next(following), next(following)] == [["a2", "a4", "a7", "a11"], []]


def test_only_what_matches_is_shown_and_what_does_not_holds_nothing_up(partitions: Partitions) -> None:
    partitions.store("2026.11", 1)
    partitions.store("2026.11", 2, status="odd")
    partitions.show("2026.11")
    following = partitions.follow(10, "status:odd")
    assert next(following) == ["a2"]
    partitions.store("2026.11", 3, 5)
    partitions.store("2026.11", 4, 6, status="odd")
    partitions.store("2026.10", 1, journal=OTHER, status="odd")
    partitions.show("2026.11")
    partitions.show("2026.10")
    assert [next(following), next(following)] == [["a4", "a6", "b1"], []]


def test_a_renamed_type_is_followed_under_both_names(partitions: Partitions) -> None:
    partitions.store("2026.11", 1, type="compute_profile_created")
    partitions.show("2026.11")
    following = partitions.follow(10, "type:compute_environment_created")
    assert next(following) == ["a1"]
    partitions.store("2026.11", 2, type="compute_profile_created")
    partitions.store("2026.11", 3, type="compute_environment_created")
    partitions.store("2026.11", 4, type="team_created")
    partitions.show("2026.11")
    assert next(following) == ["a2", "a3"]


def test_both_entries_of_a_copied_journal_with_one_place_are_shown(partitions: Partitions) -> None:
    partitions.store("2026.11", 1)
    partitions.show("2026.11")
    following = partitions.follow(10)
    assert next(following) == ["a1"]
    partitions.store("2026.11", 2)
    partitions.store("2026.11", 2, hash="f" * 64, target="copy")
    partitions.show("2026.11")
    assert sorted(next(following)) == ["a2", "copy"]
    partitions.store("2026.11", 3)
    partitions.show("2026.11")
    assert next(following) == ["a3"]


def test_a_cluster_that_goes_away_for_a_while_ends_nothing_and_loses_nothing(partitions: Partitions) -> None:
    settings = partitions.place.settings
    with FaultProxy(settings.opensearch_hosts[0]) as proxy:
        behind = replace(settings, opensearch_hosts=(proxy.url,))
        told: list[OpenSearchUnavailable] = []

        def back(error: OpenSearchUnavailable) -> None:
            told.append(error)
            proxy.accept()

        following = AuditClient(behind).follow("", last=5, pause=lambda: None, on_away=back)
        assert next(following) == []
        partitions.store("2026.11", 1, 2)
        partitions.show("2026.11")
        proxy.refuse()
        proxy.drop()
        assert [entry["target"] for entry in next(following)] == ["a1", "a2"]
        assert len(told) == 1
        assert "can't be reached" in str(told[0])
        following = AuditClient(behind).follow("", last=5, pause=lambda: None)
        next(following)
        proxy.refuse()
        proxy.drop()
        with pytest.raises(OpenSearchUnavailable):
            next(following)


def test_what_was_read_before_a_look_broke_off_is_in_the_next_one(
    partitions: Partitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whodid.search.requests.PAGE", 2)
    client = AuditClient(partitions.place.settings)
    told: list[OpenSearchUnavailable] = []
    following = client.follow("", last=0, pause=lambda: None, on_away=told.append)
    assert next(following) == []
    partitions.store("2026.11", *range(1, 6))
    partitions.show("2026.11")
    ask, asked = client._searcher.search, iter(range(99))

    def ask_until_the_second_page(body: Any, indices: Any) -> Any:
        if "search_after" in body and next(asked) == 0:
            raise OpenSearchUnavailable("gone")
        return ask(body, indices)

    monkeypatch.setattr(client._searcher, "search", ask_until_the_second_page)
    assert [entry["target"] for entry in next(following)] == ["a1", "a2", "a3", "a4", "a5"]
    assert len(told) == 1


def test_many_gaps_hold_up_no_longer_than_one_as_a_reader_sees_a_journal(partitions: Partitions) -> None:
    following = partitions.follow()
    assert next(following) == []
    partitions.store("2026.11", 2, 5, 9)
    partitions.show("2026.11")
    assert [next(following) for _ in range(5)] == [[]] * 5
    partitions.store("2026.11", 14, 15)
    partitions.show("2026.11")
    assert [next(following) for _ in range(5)] == [[]] * 5
    assert next(following) == ["a2", "a5", "a9"]
    assert [next(following) for _ in range(5)] == [[]] * 4 + [["a14", "a15"]]


def test_documents_that_are_no_entries_do_not_end_it(partitions: Partitions) -> None:
    partitions.store("2026.11", 1)
    partitions.store("2026.11", 3, seq="3")
    index = f"{partitions.place.settings.index_prefix}-2026.11"
    partitions.place.client.index(index=index, body={"target": "no entry", "@timestamp": "2026-11-01T00:00:01.000000Z"})
    partitions.show("2026.11")
    following = partitions.follow(10)
    assert next(following) == ["a1", "a3", "no entry"]
    partitions.store("2026.11", 4)
    partitions.show("2026.11")
    assert next(following) == ["a4"]


def test_more_journals_with_gaps_than_one_query_takes_are_all_followed(partitions: Partitions) -> None:
    following = partitions.follow()
    assert next(following) == []
    index = f"{partitions.place.settings.index_prefix}-2026.11"
    lines: list[dict[str, Any]] = []
    for number in range(600):
        entry = {"journal": f"{number:016x}", "seq": 1, "hash": f"{number:064x}", "target": f"{number:03d}"}
        lines += [
            {"index": {}},
            {**entry, "creation_date": "2026-11-01T00:00:00Z", "@timestamp": "2026-11-01T00:00:00Z"},
        ]
    assert not partitions.place.client.bulk(body=lines, index=index, params={"refresh": "true"})["errors"]
    assert next(following) == [f"{number:03d}" for number in range(600)]
