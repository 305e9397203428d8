"""Verification of stored chains: what a tamperer with every right on the cluster does, by its right name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.live.corner import Corner, corner
from whodid.administration.erase_journal import erased_entry
from whodid.cluster.bulk import Document
from whodid.entry import document_id, partition_name
from whodid.integrity import entry_hash
from whodid.search import AuditClient
from whodid.verify import Stretch, Verification, verify_stored

pytestmark = pytest.mark.live

Stored = dict[int, dict[str, Any]]


@pytest.fixture
def place(opensearch_url: str, tmp_path: Path) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path) as made:
        made.set_up()
        made.record(12, client_ip="203.0.113.9", principal_name="Ada", details={"n": 1.5})
        made.ship()
        yield made


def verify(place: Corner) -> Verification:
    place.refresh()
    return verify_stored(AuditClient(place.settings, client=place.client))


def findings(place: Corner) -> list[tuple[str, int]]:
    return [(finding.kind, finding.seq) for finding in verify(place).findings]


def hits(place: Corner) -> Stored:
    return {hit["_source"]["seq"]: hit for hit in place.stored().values()}


def put(place: Corner, hit: dict[str, Any], **changes: Any) -> None:
    body = {name: value for name, value in {**hit["_source"], **changes}.items() if value is not None}
    place.client.index(index=hit["_index"], id=hit["_id"], body=body)


def delete(place: Corner, *seqs: int) -> None:
    found = hits(place)
    for seq in seqs:
        place.client.delete(index=found[seq]["_index"], id=found[seq]["_id"])


def test_an_untouched_journal_is_intact(place: Corner) -> None:
    seen: list[tuple[int, int]] = []
    place.refresh()
    client = AuditClient(place.settings, client=place.client)
    verification = verify_stored(client, on_progress=lambda done, total: seen.append((done, total)))
    [verdict] = verification.journals
    assert (verification.intact, verification.entries, seen) == (True, 12, [(12, 12)])
    assert verdict.stretches == (Stretch("not yet sealed", 1, 12, 12),)
    assert (verdict.completeness.recorded, verdict.completeness.stored) == (12, 12)


def test_it_needs_no_more_memory_than_a_page(place: Corner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whodid.verify.plan.WINDOW", 2)
    monkeypatch.setattr("whodid.verify.plan.SLICE", 5)
    assert (verify(place).intact, verify(place).entries) == (True, 12)


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "other"},
        {"principal_name": "Eve"},
        {"client_ip": "198.51.100.1"},
        {"details": {"n": 1.4}},
        {"status": "added"},
        {"target": None},
        {"salt": "zz"},
        {"salt": 5},
        {"salts": {}},
        {"salts": 5, "salt": None, "erased": {"client_ip": "x"}},
        {"erased": [1]},
        {"committed": None},
        {"committed": ["client_ip", "type"]},
        {"details": {"n": 2**60}},
        {"creation_date": "2026-01-01T00:00:00Z"},
    ],
    ids=str,
)
def test_a_changed_field_is_altered(place: Corner, changes: dict[str, Any]) -> None:
    put(place, hits(place)[5], **changes)
    assert findings(place) == [("altered", 5)]


def test_an_entry_of_a_higher_major_format_is_never_called_intact(place: Corner) -> None:
    put(place, hits(place)[5], schema_version="3.0")
    [finding] = verify(place).findings
    assert (finding.kind, finding.seq) == ("unknown format", 5)
    assert "this whodid reads 2.x; upgrade whodid here" in finding.about


def test_a_change_with_a_hash_made_to_fit_is_altered(place: Corner) -> None:
    hit = hits(place)[5]
    changed = {**hit["_source"], "target": "other"}
    put(place, hit, target="other", hash=entry_hash(changed))
    assert findings(place) == [("altered", 5)]


@pytest.mark.parametrize("prev", [["not", "text"], None, "f" * 64], ids=str)
def test_a_changed_link_is_altered(place: Corner, prev: object) -> None:
    put(place, hits(place)[5], prev=prev)
    assert findings(place) == [("altered", 5)]


@pytest.mark.parametrize(
    ("seqs", "found"),
    [([5], [("gap", 5)]), ([1], [("gap", 1)]), ([4, 5, 6], [("gap", 4)]), ([2, 9], [("gap", 2), ("gap", 9)])],
)
def test_what_was_removed_is_a_gap(place: Corner, seqs: list[int], found: list[tuple[str, int]]) -> None:
    delete(place, *seqs)
    assert findings(place) == found


def test_the_newest_entries_can_be_removed_unseen_by_the_cluster_alone(place: Corner) -> None:
    delete(place, 12)
    assert findings(place) == []


@pytest.mark.parametrize(
    ("partition", "retention"), [("month", "off"), ("month", "365d"), ("month", "40d"), ("week", "10d"), ("day", "2d")]
)
def test_a_young_beginning_that_is_missing_is_no_expiry(
    opensearch_url: str, tmp_path: Path, partition: str, retention: str
) -> None:
    with corner(opensearch_url, tmp_path, partition=partition, retention=retention) as place:
        place.set_up()
        place.record(5)
        place.ship()
        delete(place, 1, 2, 3)
        assert findings(place) == [("gap", 1)]


def test_an_entry_made_up_beside_a_real_one_is_inserted_though_it_follows_the_one_before(place: Corner) -> None:
    hit = hits(place)[5]
    made_up = {**hit["_source"], "target": "made up"}
    made_up["hash"] = entry_hash(made_up)
    id_ = document_id(made_up["journal"], 5, made_up["hash"])
    place.client.index(index=hit["_index"], id=id_, body=made_up)
    assert findings(place) == [("inserted", 5)]


def test_a_copy_under_another_id_is_named(place: Corner) -> None:
    hit = hits(place)[5]
    place.client.index(index=hit["_index"], id="another", body=hit["_source"])
    assert findings(place) == [("inserted", 5)]


def test_a_copy_is_named_though_a_page_ends_between_the_two(place: Corner, monkeypatch: pytest.MonkeyPatch) -> None:
    hit = hits(place)[5]
    place.client.index(index=hit["_index"], id="another", body=hit["_source"])
    monkeypatch.setattr("whodid.verify.plan.WINDOW", 1)
    assert findings(place) == [("inserted", 5)]


def test_an_entry_behind_the_last_that_does_not_follow_it_is_inserted(place: Corner) -> None:
    last = hits(place)[12]["_source"]
    made_up = {**last, "seq": 13, "prev": "f" * 64}
    made_up["hash"] = entry_hash(made_up)
    index = hits(place)[12]["_index"]
    place.client.index(index=index, id=document_id(last["journal"], 13, made_up["hash"]), body=made_up)
    assert findings(place) == [("inserted", 13)]


def test_erased_fields_still_verify_and_a_false_erasure_does_not(place: Corner) -> None:
    hit = hits(place)[5]
    entry = erased_entry(hit["_source"], ["client_ip"])
    assert entry
    about = {"client_ip": None, "salt": None, "salts": entry.get("salts")}
    put(place, hit, **about, erased=entry["erased"])
    assert findings(place) == [("altered", 5)]
    client = AuditClient(place.settings, client=place.client)
    journal = hit["_source"]["journal"]
    [verdict] = verify_stored(client, erased={journal: [(4, 6)]}).journals
    assert [(one.verdict, one.first, one.last) for one in verdict.stretches][1] == ("erased", 5, 5)
    put(place, hit, **about, erased={"client_ip": "sha256:" + "0" * 64})
    assert findings(place) == [("altered", 5)]


def test_a_partition_that_retention_deleted_is_no_alarm(place: Corner, tmp_path: Path) -> None:
    dated = [datetime.now(UTC) - timedelta(days=days) for days in (800, 799, 600, 599, 1)]
    times = iter(dated)
    settings = replace(place.settings, journal_dir=str(tmp_path / "old"))
    recorder = replace(place, settings=settings).recorder(clock_ns=lambda: int(next(times).timestamp() * 1e9))
    lines = [recorder.record("team_created", {"target": "x", "principal": "1"})[1] for _ in dated]
    entries = [orjson.loads(line) for line in lines]
    recorder.journal.close()
    for entry in entries[2:]:
        index = partition_name(settings.index_prefix, settings.partition, entry["creation_date"])
        id_ = document_id(entry["journal"], entry["seq"], entry["hash"])
        assert place.send([Document(id_, index, json.dumps(dict(entry)).encode())])[0].kind == "stored"
    verdicts = {verdict.journal: verdict for verdict in verify(place).journals}
    assert findings(place) == []
    assert verdicts[entries[0]["journal"]].completeness.expired == 2


def test_one_journal_can_be_verified_alone(place: Corner, tmp_path: Path) -> None:
    delete(place, 5)
    other = replace(place, settings=replace(place.settings, journal_dir=str(tmp_path / "other")))
    [entry] = other.record(1)
    other.ship()
    client = AuditClient(place.settings, client=place.client)
    assert verify_stored(client, journal=entry["journal"]).intact
    assert not verify_stored(client).intact


def test_a_journal_of_which_nothing_is_stored_is_never_intact(place: Corner) -> None:
    client = AuditClient(place.settings, client=place.client)
    [finding] = verify_stored(client, journal="00ff00ff00ff00ff").findings
    assert (finding.kind, finding.journal) == ("gap", "00ff00ff00ff00ff")


def test_nothing_stored_is_intact(opensearch_url: str, tmp_path: Path) -> None:
    with corner(opensearch_url, tmp_path) as empty:
        assert (verify(empty).intact, verify(empty).entries) == (True, 0)
