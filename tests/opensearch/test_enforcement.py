"""Retention enforced by whodid, on a real cluster without ISM; the time is a parameter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from opensearchpy import OpenSearch

from tests.live.corner import Corner, corner
from tests.opensearch.ism_stand_in import IsmStandIn
from tests.opensearch.test_ism import NAME
from whodid.cli.program import program
from whodid.cluster.partitions import creation_dates
from whodid.cluster.template import MARK
from whodid.entry import END, Partitioning, partition_end, partition_name, partition_start
from whodid.errors import OpenSearchError
from whodid.retention.enforcement import destroy, expired, record_upcoming
from whodid.retention.holds import new_hold, set_hold
from whodid.retention.schedule import deletion_date, retention_in_force
from whodid.settings import Settings
from whodid.setup.setup import apply, plan, plan_partitions
from whodid.shipping.service import Enforcer

PREFIX = "whodid-audit"


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("2026.11", "2026-11-01", "2026-12-01"),
        ("2026.12", "2026-12-01", "2027-01-01"),
        ("2028.02", "2028-02-01", "2028-03-01"),
        ("2026.11.30", "2026-11-30", "2026-12-01"),
        ("2026.w53", "2026-12-28", "2027-01-04"),
        ("9999.11", "9999-11-01", "9999-12-01"),
        ("9999.12", "9999-12-01", "9999-12-31"),
        ("9999.12.31", "9999-12-31", "9999-12-31"),
        ("9999.w52", "9999-12-27", "9999-12-31"),
    ],
)
def test_a_partition_s_name_says_when_it_begins_and_ends(name: str, start: str, end: str) -> None:
    found = partition_start(PREFIX, f"{PREFIX}-{name}"), partition_end(PREFIX, f"{PREFIX}-{name}")
    assert [moment and f"{moment:%Y-%m-%d}" for moment in found] == [start, end]
    assert partition_end(PREFIX, f"{PREFIX}-x") is None


ENDS = ("9999-12-31T23:59:59Z", "+10000-01-01T11:59:59Z")
LAST = ("9999.02", "9999.12", "9999.12.30", "9999.12.31", "9999.w52")


@pytest.mark.parametrize("plugin", [True, False])
def test_a_partition_named_at_the_end_of_the_calendar_stops_no_command(plugin: bool, tmp_path: Path) -> None:
    """Anybody who may create an index can name it so."""
    with closing(IsmStandIn(plugin=plugin)) as cluster, closing(OpenSearch(hosts=[cluster.url])) as client:
        settings = Settings(opensearch_hosts=(cluster.url,), journal_dir=str(tmp_path))
        apply(plan(client, settings))
        policy, age = (NAME, 390) if plugin else (None, 400)
        for name in ("2025.09", *LAST):
            cluster.create_index(f"{PREFIX}-{name}", policy=policy, mark=MARK, entries=1, age=age, dates=ENDS)
        due = f"{PREFIX}-2025.09"
        now = datetime.fromtimestamp(cluster.now / 1000, UTC)
        view = retention_in_force(client, settings, now)
        kept = {one.name for one in view.partitions if one.ceiling is None}
        assert kept == (set() if plugin else {f"{PREFIX}-{name}" for name in LAST})
        assert view.kept_until(ENDS[0], "") == (END, END)
        if plugin:
            assert due in {one.partition for one in record_upcoming(client, settings, now)}
        else:
            assert [one.index for one in expired(client, settings, now)] == [due]
        held = set_hold(client, settings, new_hold("case", "alice", since=datetime(9999, 12, 31, tzinfo=UTC))).held
        assert f"{PREFIX}-9999.02" not in held
        assert f"{PREFIX}-9999.12" in held
        for words in (["retention", "show"], ["retention", "enforce", "--dry-run"], ["doctor", "--only", "retention"]):
            where = [f"--opensearch-hosts={cluster.url}", f"--journal-dir={tmp_path}"]
            done = CliRunner().invoke(program, [*words, *where])
            assert isinstance(done.exception, SystemExit | None)
            assert ("Error" in done.output, "is not one that" in done.output) == (False, False), done.output


@pytest.mark.parametrize("name", [*LAST, "2027.06", "2026.11.30"])
def test_no_partition_is_created_before_it_is_due(name: str) -> None:
    """By the cluster's clock, which is at the 23rd of November 2026."""
    with closing(IsmStandIn()) as cluster, closing(OpenSearch(hosts=[cluster.url])) as client:
        with pytest.raises(OpenSearchError, match="more than a day from now"):
            plan_partitions(client, Settings(), [f"{PREFIX}-{name}"])
        tomorrow = f"{PREFIX}-2026.11.24"
        made = [change.what for change in plan_partitions(client, Settings(), [tomorrow])]
        assert f"partition {tomorrow}" in made


@given(
    at=st.datetimes(datetime(2001, 1, 1), datetime(2099, 1, 1)),  # noqa: DTZ001 (made aware below)
    late=st.timedeltas(timedelta(days=-400), timedelta(days=500)),
    made_as=st.sampled_from(["month", "week", "day"]),
    partition=st.sampled_from(["month", "week", "day"]),
    days=st.integers(1, 4000),
)
def test_no_entry_goes_before_its_floor_and_none_outlives_the_ceiling_of_its_index(
    at: datetime, late: timedelta, made_as: Partitioning, partition: Partitioning, days: int
) -> None:
    """Whenever its index was made, and whatever the length of partitions was set to since."""
    entry = at.replace(tzinfo=UTC, microsecond=0)
    settings = Settings(partition=partition, retention=f"{days}d")
    name = partition_name(PREFIX, made_as, entry.isoformat())
    goes = deletion_date(settings, name, created := entry + late)
    assert goes
    assert goes >= entry + timedelta(days=days)
    lengths = {"month": 31, "week": 7, "day": 1}
    assert goes <= max(created, entry) + timedelta(days=days + max(lengths[made_as], lengths[partition]) + 2)


@pytest.fixture
def place(opensearch_url: str, tmp_path: Path) -> Iterator[Corner]:
    """Three partitions: entries of two old months and of today."""
    with corner(opensearch_url, tmp_path) as made:
        made.set_up()
        days = iter([datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC), datetime.now(UTC)])
        recorder = made.recorder(clock_ns=lambda: int(next(days).timestamp()) * 1_000_000_000)
        for target in "abc":
            recorder.record("credentials_created", {"target": target, "principal": "42"})
        recorder.journal.close()
        made.ship()
        yield made


def names(place: Corner) -> list[str]:
    return [
        name.removeprefix(place.settings.index_prefix + "-") for name in creation_dates(place.client, place.settings)
    ]


@pytest.mark.live
def test_whole_partitions_go_past_their_ceiling_and_not_a_day_before(place: Corner) -> None:
    made = min(creation_dates(place.client, place.settings).values())
    present = f"{datetime.now(UTC):%Y.%m}"
    assert expired(place.client, place.settings) == []
    assert expired(place.client, place.settings, made + timedelta(days=397)) == []
    found = expired(place.client, place.settings, made + timedelta(days=398, minutes=1))
    assert [one.index.rpartition("-")[2] for one in found] == ["2024.02", "2024.03", present]
    assert [one.entries for one in found] == [1, 1, 1]
    assert destroy(place.client, place.settings, found[0])
    assert destroy(place.client, place.settings, found[0]) is None  # somebody else was quicker
    assert names(place) == ["2024.03", present]


@pytest.mark.live
def test_nothing_goes_that_is_not_ours_or_no_partition_or_kept_for_ever(place: Corner) -> None:
    prefix, later = place.settings.index_prefix, datetime.now(UTC) + timedelta(days=9999)
    place.client.indices.create(index=f"{prefix}-notes")
    place.client.indices.create(
        index=f"{prefix}-2020.01", body={"mappings": {"_meta": {"managed_by": "somebody else"}}}
    )
    found = [one.index.rpartition("-")[2] for one in expired(place.client, place.settings, later)]
    assert "notes" not in found
    assert "2020.01" not in found
    assert len(found) == 3
    assert expired(place.client, replace(place.settings, retention="off"), later) == []


@pytest.mark.live
def test_a_partition_that_outlives_its_date_is_shown(place: Corner) -> None:
    view = retention_in_force(place.client, place.settings, datetime.now(UTC) + timedelta(days=401))
    assert view.enforced_by == "whodid"
    late = [one.name.rpartition("-")[2] for one in view.partitions if "should have been deleted" in one.problem]
    assert late[:2] == ["2024.02", "2024.03"]
    assert not retention_in_force(place.client, place.settings).problems


@pytest.mark.live
def test_the_shipper_enforces_once_an_hour_and_tells_what_it_could_not_once(place: Corner) -> None:
    told: list[str] = []
    clock = [0.0]
    later = datetime.now(UTC) + timedelta(days=400)
    place.client.indices.delete(index=f"{place.settings.index_prefix}-2024.03")
    enforcer = Enforcer(lambda: place.client, place.settings, told.append, lambda: clock[0], lambda client: later)
    enforcer()
    assert len(told) == 2
    assert "2024.02 expired and was deleted with 1 entries" in told[0]
    assert names(place) == []
    place.record(1)
    place.ship()
    clock[0] = 3599.0
    enforcer()
    assert len(names(place)) == 1
    place.client.indices.put_settings(index=f"{place.settings.index_prefix}-*", body={"index.blocks.read_only": True})
    for clock[0] in (3601.0, 7300.0, 11000.0):
        enforcer()
    assert len(told) == 3
    assert "retention is not enforced" in told[2]
    place.client.indices.put_settings(index=f"{place.settings.index_prefix}-*", body={"index.blocks.read_only": None})
