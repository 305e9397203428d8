"""Destruction records: what went is in the ledger, exactly; what can't be counted or kept does not go."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from opensearchpy import OpenSearch

from tests.commands import whodid
from tests.live.corner import Corner, corner
from tests.opensearch.ism_stand_in import IsmStandIn
from tests.opensearch.test_ism import NAME
from whodid.cluster.ledger import Ledger
from whodid.cluster.template import MARK
from whodid.errors import NotAuthorized, OpenSearchError
from whodid.retention.destruction import JournalPart, count_contents, destructions
from whodid.retention.enforcement import Expired, destroy, expired, record_upcoming
from whodid.retention.holds import new_hold, set_hold
from whodid.retention.ism import Ism
from whodid.retention.moves import set_retention
from whodid.settings import Settings
from whodid.setup.setup import apply, plan
from whodid.shipping.service import Enforcer

LATER = datetime.now(UTC) + timedelta(days=400)


def due(place: Corner) -> Expired:
    [found] = expired(place.client, place.settings, LATER)
    return found


@pytest.mark.live
def test_the_record_counts_what_went_by_journal(place: Corner) -> None:
    first = place.record(3)
    elsewhere = replace(place.settings, journal_dir=place.settings.journal_dir + "-2")
    other = Corner(elsewhere, place.client)
    second = other.record(2)
    place.ship()
    other.ship()
    before = count_contents(place.client, due(place).index)
    record = destroy(place.client, place.settings, due(place))
    assert record
    assert (record.state, record.account.entries, record.account) == ("deleted", 5, before)
    assert set(record.account.journals) == {
        JournalPart(each[0]["journal"], len(each), 1, each[0]["hash"], each[-1]["seq"], each[-1]["hash"])
        for each in (first, second)
    }
    assert record.account.first == min(entry["creation_date"] for entry in [*first, *second])
    assert destructions(place.client, place.settings) == [record]
    assert place.stored() == {}


@pytest.mark.live
def test_a_partition_that_comes_back_has_a_record_of_its_own(place: Corner) -> None:
    for _ in range(2):
        place.record(1)
        place.ship()
        destroy(place.client, place.settings, due(place))
    assert [one.account.entries for one in destructions(place.client, place.settings)] == [1, 1]


@pytest.mark.live
def test_what_can_t_be_counted_does_not_go(place: Corner) -> None:
    place.record(1)
    place.ship()
    partition = due(place)
    place.client.indices.close(index=partition.index)
    with pytest.raises(OpenSearchError, match="closed"):
        destroy(place.client, place.settings, partition)
    place.client.indices.open(index=partition.index)
    foreign = {"type": "t", "creation_date": "2026-11-23T00:00:00Z"}
    place.client.index(index=partition.index, id="x", body=foreign, params={"refresh": "true"})
    with pytest.raises(OpenSearchError, match="without a journal"):
        destroy(place.client, place.settings, partition)
    assert len(place.stored()) == 2
    assert destructions(place.client, place.settings) == []
    place.record(1)
    assert place.ship().shipped == 1, "writing into it is blocked no longer"


@pytest.mark.live
def test_a_refused_deletion_leaves_all_as_it_was_and_is_tried_again(
    place: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.record(1)
    place.ship()
    partition = due(place)

    def refuse(**_: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr(place.client.indices, "delete", refuse)
        with pytest.raises(ConnectionResetError):
            destroy(place.client, place.settings, partition)
    assert [one.state for one in destructions(place.client, place.settings)] == ["deleting"]
    place.record(1)
    place.ship()
    record = destroy(place.client, place.settings, partition)
    assert record
    assert [(one.state, one.account.entries) for one in destructions(place.client, place.settings)] == [("deleted", 2)]


def register(place: Corner) -> None:
    """A repository of the corner's own, in a folder of that name below the node's `path.repo`."""
    name = place.settings.snapshot_repository
    body = {"type": "fs", "settings": {"location": name}}
    place.client.snapshot.create_repository(repository=name, body=body)


@pytest.fixture
def place_with_repository(opensearch_url: str, tmp_path: Path) -> Iterator[Corner]:
    name = f"backups-{secrets.token_hex(6)}"
    with corner(opensearch_url, tmp_path, snapshot_repository=name) as made:
        register(made)
        try:
            made.set_up()
            yield made
        finally:
            made.client.snapshot.delete_repository(repository=name)


@pytest.mark.live
def test_what_goes_is_kept_in_a_snapshot_first(place_with_repository: Corner) -> None:
    place = place_with_repository
    name = place.settings.snapshot_repository
    place.record(3)
    place.ship()
    partition = due(place)
    place.client.snapshot.delete_repository(repository=name)
    with pytest.raises(OpenSearchError, match=name):
        destroy(place.client, place.settings, partition)
    assert len(place.stored()) == 3, "without the repository nothing goes"
    with pytest.raises(OpenSearchError, match=f"no snapshot repository '{name}'"):
        place.set_up()
    register(place)
    record = destroy(place.client, place.settings, partition)
    assert record
    repository, snapshot = record.snapshot.split("/")
    assert repository == name
    assert place.stored() == {}
    place.client.snapshot.restore(repository=repository, snapshot=snapshot, params={"wait_for_completion": "true"})
    assert len(place.stored()) == 3


@pytest.mark.live
def test_the_program_enforces_and_records_it(place: Corner) -> None:
    """With a retention so short that the partition of a year ago is due."""
    old = datetime(2024, 2, 29, tzinfo=UTC)
    recorder = place.recorder(clock_ns=lambda: int(old.timestamp()) * 1_000_000_000)
    recorder.record("credentials_created", {"target": "a", "principal": "42"})
    recorder.journal.close()
    place.ship()
    name = f"{place.settings.index_prefix}-2024.02"
    later = datetime.now(UTC) + timedelta(days=40)

    def run(*options: str) -> CompletedProcess[str]:
        return whodid(*place.arguments("retention", "enforce"), "--retention=1d", *options)

    assert (run("--dry-run").returncode, run().stdout) == (0, "no partition is past its retention\n")
    told: list[str] = []
    Enforcer(lambda: place.client, replace(place.settings, retention="1d"), told.append, now=lambda client: later)()
    assert told == [f"retention: {name} expired and was deleted with 1 entries"]
    [own] = [entry for entry in place.journalled() if entry["type"] == "audit_log_partition_destroyed"]
    assert (own["target"], own["details"]["entries"], own["principal"]) == (name, 1, "system")


@pytest.mark.live
def test_one_that_can_t_go_keeps_no_other_from_going(place: Corner) -> None:
    days = iter([datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)])
    recorder = place.recorder(clock_ns=lambda: int(next(days).timestamp()) * 1_000_000_000)
    for target in "ab":
        recorder.record("credentials_created", {"target": target, "principal": "42"})
    recorder.journal.close()
    place.ship()
    first = f"{place.settings.index_prefix}-2024.02"
    place.client.indices.close(index=first)
    told: list[str] = []
    Enforcer(lambda: place.client, place.settings, told.append, now=lambda client: LATER)()
    assert [one.partition for one in destructions(place.client, place.settings)] == [f"{first[:-1]}3"]
    assert [text.split(":")[0] for text in told] == ["retention", "retention is not enforced"]
    place.client.indices.open(index=first)


# --- With ISM, which deletes by itself: on the stand-in --------------------------------------------------------------


@pytest.fixture
def client(cluster: IsmStandIn) -> Iterator[OpenSearch]:
    with closing(OpenSearch(hosts=[cluster.url], max_retries=0)) as made:
        apply(plan(made, Settings()))
        yield made


def test_records_are_written_two_weeks_ahead_and_anew_when_something_changed(
    cluster: IsmStandIn, client: OpenSearch
) -> None:
    settings, now = Settings(), datetime.fromtimestamp(cluster.now / 1000, UTC)
    for number, age in ((8, 398 - 15), (9, 398 - 13), (10, 398 - 1)):
        cluster.create_index(f"whodid-audit-2025.{number:02d}", policy=NAME, mark=MARK, entries=number, age=age)
    set_hold(client, settings, new_hold("case", "alice", partitions=["whodid-audit-2025.10"]))
    [record] = record_upcoming(client, settings, now)
    assert (record.partition, record.state, record.account.entries) == ("whodid-audit-2025.09", "ahead", 9)
    assert record.rule == {"retention_days": 365, "policy": NAME, "version": [0, 1]}
    assert record.due[:10] == f"{now + timedelta(days=13):%Y-%m-%d}"
    assert record_upcoming(client, settings, now) == [record]
    cluster.indices["whodid-audit-2025.09"].entries = 12
    assert [one.account.entries for one in record_upcoming(client, settings, now)] == [12]
    assert [one.account.entries for one in destructions(client, settings)] == [12]


def snapshotting(cluster: IsmStandIn, client: OpenSearch) -> Settings:
    """A partition of setup's policy that keeps a snapshot first, on its last day."""
    settings = Settings(snapshot_repository="backups")
    cluster.repositories["backups"] = {}
    apply(plan(client, settings))
    cluster.create_index("whodid-audit-2025.09", policy=NAME, mark=MARK, entries=9, age=397.5)
    return settings


def now(cluster: IsmStandIn) -> datetime:
    return datetime.fromtimestamp(cluster.now / 1000, UTC)


def until_deleted(cluster: IsmStandIn) -> None:
    cluster.advance(86_400)
    for _ in range(4):
        cluster.advance(300)
    assert "whodid-audit-2025.09" not in cluster.indices


def test_the_record_names_the_snapshot_and_says_that_ism_has_deleted(cluster: IsmStandIn, client: OpenSearch) -> None:
    settings = snapshotting(cluster, client)
    [ahead] = record_upcoming(client, settings, now(cluster))
    assert (ahead.state, ahead.snapshot, ahead.deleted) == ("ahead", "", "")
    cluster.advance(86_400)
    cluster.advance(300)  # the snapshot is made, and the next run deletes
    [seen] = record_upcoming(client, settings, now(cluster))
    [(repository, name)] = cluster.snapshots
    assert seen.snapshot == f"{repository}/{name}"
    cluster.advance(300)
    [done] = record_upcoming(client, settings, now(cluster))
    assert (done.state, done.snapshot, done.account) == ("deleted", seen.snapshot, ahead.account)
    assert done.deleted
    assert record_upcoming(client, settings, now(cluster)) == []
    assert destructions(client, settings) == [done]


def test_a_snapshot_that_nobody_saw_being_made_is_found_in_the_repository(
    cluster: IsmStandIn, client: OpenSearch
) -> None:
    settings = snapshotting(cluster, client)
    record_upcoming(client, settings, now(cluster))
    until_deleted(cluster)
    [done] = record_upcoming(client, settings, now(cluster))
    [(repository, name)] = cluster.snapshots
    assert (done.state, done.snapshot) == ("deleted", f"{repository}/{name}")


def test_what_somebody_deleted_before_it_was_due_is_not_called_deleted_by_retention(
    cluster: IsmStandIn, client: OpenSearch
) -> None:
    settings = snapshotting(cluster, client)
    record_upcoming(client, settings, now(cluster))
    del cluster.indices["whodid-audit-2025.09"]
    [noticed] = record_upcoming(client, settings, now(cluster))
    assert (noticed.state, noticed.deleted, bool(noticed.missing)) == ("ahead", "", True)
    for _ in range(20):  # whether it is due by now or not
        cluster.advance(86_400)
        assert record_upcoming(client, settings, now(cluster)) == []
    assert destructions(client, settings) == [noticed]


@pytest.mark.parametrize("retention", ["off", "400d", "held"])
def test_what_was_due_no_longer_is_missing_too_if_somebody_deletes_it(
    cluster: IsmStandIn, client: OpenSearch, retention: str
) -> None:
    """By the date at which it would be deleted now, not by the first that was recorded."""
    name = "whodid-audit-2025.09"
    cluster.create_index(name, policy=NAME, mark=MARK, entries=9, age=390)
    [first] = record_upcoming(client, Settings(), now(cluster))
    if retention == "held":
        set_hold(client, Settings(), new_hold("case", "alice", partitions=[name]))
    else:
        set_retention(client, Settings(retention=retention), tries=5, pause=lambda: cluster.advance(300))
    record_upcoming(client, Settings(), now(cluster))
    [record] = destructions(client, Settings())
    assert (record.state, record.account, record.due > first.due) == ("ahead", first.account, True)
    cluster.advance(10 * 86_400)
    del cluster.indices[name]
    assert [bool(one.missing) for one in record_upcoming(client, Settings(), now(cluster))] == [True]


def test_a_partition_that_is_back_as_it_was_is_not_missing(cluster: IsmStandIn, client: OpenSearch) -> None:
    """As a dangling index that was imported again: its UUID is the same."""
    settings = snapshotting(cluster, client)
    record_upcoming(client, settings, now(cluster))
    away = cluster.indices.pop("whodid-audit-2025.09")
    record_upcoming(client, settings, now(cluster))
    cluster.indices["whodid-audit-2025.09"] = away
    assert [one.missing for one in record_upcoming(client, settings, now(cluster))] == [""]
    until_deleted(cluster)
    assert [one.state for one in record_upcoming(client, settings, now(cluster))] == ["deleted"]


def test_the_program_says_that_a_partition_disappeared(cluster: IsmStandIn, client: OpenSearch, tmp_path: Path) -> None:
    cluster.create_index("whodid-audit-2025.09", policy=NAME, mark=MARK, entries=9, age=390)
    [record] = record_upcoming(client, Settings(), now(cluster))
    del cluster.indices["whodid-audit-2025.09"]
    where = [f"--opensearch-hosts={cluster.url}", f"--journal-dir={tmp_path}"]
    done = whodid("retention", "enforce", *where)
    said = f"disappeared before it was due on {record.due[:10]}, 9 entries on record"
    assert (done.returncode, done.stdout) == (0, f"whodid-audit-2025.09: {said}\n")


@pytest.mark.parametrize("due", ["", "soon", "2026-11-20", "10000-01-01T00:00:00Z", None])
def test_a_record_that_nobody_can_date_keeps_no_other_from_being_written(
    cluster: IsmStandIn, client: OpenSearch, due: str | None
) -> None:
    cluster.create_index("whodid-audit-2025.09", policy=NAME, mark=MARK, entries=9, age=390)
    account = {"entries": 0, "first": "", "last": "", "journals": []}
    body = {"partition": "p", "uuid": "u", "state": "ahead", "due": due, "rule": {}, "account": account}
    Ledger(client, Settings()).write("destruction-p-u", "destruction", body, known=None)
    assert [one.partition for one in record_upcoming(client, Settings(), now(cluster))] == ["whodid-audit-2025.09"]


def test_records_are_kept_of_what_ism_deletes_without_the_policy(cluster: IsmStandIn, client: OpenSearch) -> None:
    """By the copy that the job has; so the record names that version."""
    cluster.create_index("whodid-audit-2025.09", policy=NAME, mark=MARK, entries=9, age=390)
    Ism(client).delete_policy(NAME)
    [record] = record_upcoming(client, Settings(), now(cluster))
    assert record.rule == {"retention_days": 365, "policy": NAME, "version": [0, 1]}


def test_on_a_cluster_with_ism_the_program_and_the_shipper_only_keep_records(
    cluster: IsmStandIn, client: OpenSearch, tmp_path: Path
) -> None:
    cluster.create_index("whodid-audit-2025.09", policy=NAME, mark=MARK, entries=9, age=390)
    Enforcer(lambda: client, Settings(), lambda text: None)()
    assert [one.partition for one in destructions(client, Settings())] == ["whodid-audit-2025.09"]
    where = [f"--opensearch-hosts={cluster.url}", f"--journal-dir={tmp_path}"]
    done = whodid("retention", "enforce", *where, "--json")
    assert (done.returncode, json.loads(done.stdout)["entries"]) == (0, 9)
    assert "whodid-audit-2025.09" in cluster.indices


def test_a_shipper_that_may_not_keep_records_says_once_who_must(
    cluster: IsmStandIn, client: OpenSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise NotAuthorized("the ledger: this user lacks the right")

    monkeypatch.setattr("whodid.shipping.service.apply_holds", refuse)
    told: list[str] = []
    clock = [0.0]
    enforcer = Enforcer(lambda: client, Settings(), told.append, lambda: clock[0])
    for clock[0] in (0.0, 3601.0, 7202.0):
        enforcer()
    why = "the ledger: this user lacks the right"
    assert told == [f"holds and destruction records need an administrator's `whodid retention enforce`: {why}"]
