"""Entries past their time that are not deleted yet: left out of everything that is asked, unless asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.live.corner import Corner, corner
from tests.search.two_years import store
from whodid.entry import document_id, partition_name
from whodid.errors import NotAuthorized, OpenSearchError
from whodid.retention.holds import new_hold, release_hold, set_hold
from whodid.retention.schedule import RetentionView
from whodid.search import AuditClient
from whodid.search.partitions import Expiry

pytestmark = pytest.mark.live

Entries = list[dict[str, object]]


def entry(seq: int, days: float) -> dict[str, object]:
    at = datetime.now(UTC) - timedelta(days=days)
    return {
        "type": "team_created",
        "target": f"{days:g}",
        "principal": "42",
        "creation_date": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "@timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "journal": "a" * 16,
        "seq": seq,
        "hash": f"{seq:064x}",
    }


@pytest.fixture
def entries() -> Entries:
    """Made for each test: those beside the limit of 30 days are a quarter of an hour away from it."""
    return [entry(1, 50), entry(2, 30.01), entry(3, 29.99), entry(4, 1)]


@pytest.fixture
def place(opensearch_url: str, tmp_path: Path, entries: Entries) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path, retention="30d") as made:
        made.set_up()
        store(made.client, made.settings.index_prefix, entries)
        yield made


def id_of(one: dict[str, object]) -> str:
    return document_id(str(one["journal"]), int(str(one["seq"])), str(one["hash"]))


def targets(client: AuditClient, expired: bool = False) -> list[object]:
    return [found["target"] for found in client.search(sort="oldest", expired=expired)]


def test_what_is_past_its_time_is_shown_only_to_who_asks_for_it(place: Corner, entries: Entries) -> None:
    client = AuditClient(place.settings, client=place.client)
    assert targets(client) == ["29.99", "1"]
    assert targets(client, expired=True) == ["50", "30.01", "29.99", "1"]
    assert (client.count(), client.count(expired=True), client.hidden()) == (2, 4, 2)
    assert client.hidden("since:-31d") == 1
    assert [found["target"] for found in client.page(expired=True).entries][-1] == "50"
    assert client.page().next is None
    assert client.counts_by("type") == {"team_created": 2}
    assert (client.stats().total, client.stats(expired=True).total) == (2, 4)
    assert client.get(id_of(entries[0])) is None
    assert client.get(id_of(entries[0]), expired=True) == entries[0]
    assert [[found["target"] for found in batch] for batch in client.follow()] == [["29.99", "1"]]
    assert [found["target"] for found in client.search(about="50")] == []
    assert len(list(client.search(by="42", expired=True))) == 4


def test_what_is_held_is_kept_on_purpose(place: Corner, entries: Entries) -> None:
    partition = partition_name(place.settings.index_prefix, "month", str(entries[0]["creation_date"]))
    hold = new_hold("a case", "ada", partitions=[partition])
    set_hold(place.client, place.settings, hold)
    held = [one["target"] for one in entries if str(one["creation_date"])[:7] == str(entries[0]["creation_date"])[:7]]
    assert targets(AuditClient(place.settings, client=place.client))[: len(held)] == held
    release_hold(place.client, place.settings, hold.id, reason="done", by="ada")
    assert targets(AuditClient(place.settings, client=place.client)) == ["29.99", "1"]


def test_verification_sees_all_of_it(place: Corner) -> None:
    client = AuditClient(place.settings, client=place.client)
    assert len(list(client.hits(client._asked(None, {}), [{"seq": "asc"}]))) == 4


def test_where_retention_is_off_nothing_is_past_its_time(opensearch_url: str, tmp_path: Path, entries: Entries) -> None:
    with corner(opensearch_url, tmp_path, retention="off") as place:
        place.set_up()
        store(place.client, place.settings.index_prefix, entries)
        client = AuditClient(place.settings, client=place.client)
        assert (client.count(), client.hidden()) == (4, 0)


def test_who_may_not_know_the_retention_is_shown_everything() -> None:
    def refused() -> RetentionView:
        raise NotAuthorized("no right")

    def nothing() -> RetentionView:
        return RetentionView(30, 30, 60, "nothing")

    assert Expiry(refused).kept() is None
    assert Expiry(nothing).kept() is None


@pytest.mark.parametrize(
    ("asked", "policy", "hidden_after"), [(365, 0, 365), (30, 365, 365), (365, 365, 365), (None, 30, None)]
)
def test_a_policy_that_somebody_made_shorter_hides_nothing(
    asked: int | None, policy: int, hidden_after: int | None
) -> None:
    """The promise is the longer one of settings and policy; without a limit in the settings, all are kept."""
    now = datetime.now(UTC)
    clause = Expiry(lambda: RetentionView(asked, policy, policy + 33, "ism")).kept(now)
    if hidden_after is None:
        assert clause is None
    else:
        since = now - timedelta(days=hidden_after)
        assert clause == {"range": {"@timestamp": {"gte": since.strftime("%Y-%m-%dT%H:%M:00Z")}}}


def test_the_retention_is_asked_for_once_a_minute() -> None:
    times = iter([0.0, 59.0, 60.0, 61.0])
    asked = []

    def retention() -> RetentionView:
        asked.append(1)
        if len(asked) > 1:
            raise OpenSearchError("away")
        return RetentionView(30, 30, 60, "whodid")

    expiry = Expiry(retention, lambda: next(times))
    now = datetime.now(UTC)
    assert expiry.kept(now) == expiry.kept(now) is not None
    assert expiry.kept(now) is None
    assert len(asked) == 2


def test_the_clause_is_the_same_for_a_minute_so_that_opensearch_can_remember_its_answer(place: Corner) -> None:
    client = AuditClient(place.settings, client=place.client)
    expiry = Expiry(client.retention)
    begin = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
    clauses = [expiry.kept(begin + timedelta(seconds=seconds)) for seconds in (0, 0.5, 59.9, 60)]
    assert clauses[0] == clauses[1] == clauses[2] != clauses[3]
    client.stats()
    before = _remembered(place)
    for _ in range(2):  # between which a minute may begin
        client.stats()
    assert _remembered(place) > before


def _remembered(place: Corner) -> int:
    answer = place.client.indices.stats(index=f"{place.settings.index_prefix}-*", metric="request_cache")
    return int(answer["_all"]["total"]["request_cache"]["hit_count"])
