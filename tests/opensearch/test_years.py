"""Years of partitions: ISM lists 20 of what it has unless it is told otherwise, and none may be missed for that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from opensearchpy import OpenSearch

from tests.commands import whodid
from tests.doctor.examined import examined
from tests.opensearch.ism_stand_in import IsmStandIn
from tests.opensearch.test_ism import NAME
from whodid.cluster.connection import connect
from whodid.cluster.template import MARK
from whodid.entry import partition_start
from whodid.retention.moves import set_retention
from whodid.retention.schedule import retention_in_force
from whodid.settings import Settings
from whodid.setup.setup import apply, plan

RETENTION = "5000d"


@pytest.fixture
def settings(cluster: IsmStandIn, tmp_path: Path) -> Settings:
    return Settings(opensearch_hosts=(cluster.url,), retention=RETENTION, journal_dir=str(tmp_path / "journal"))


@pytest.fixture
def client(settings: Settings) -> Iterator[OpenSearch]:
    with closing(connect(settings)) as made:
        apply(plan(made, settings))
        yield made


def now(cluster: IsmStandIn) -> datetime:
    return datetime.fromtimestamp(cluster.now / 1000, UTC)


def years(cluster: IsmStandIn) -> list[str]:
    """120 months, then 400 days after the setting was changed, each made as its time began; returns them in order."""
    today = now(cluster)
    days = [today - timedelta(days=back) for back in range(399, -1, -1)]
    before = 12 * days[0].year + days[0].month - 1
    months = [divmod(before - back, 12) for back in range(119, -1, -1)]
    names = [f"whodid-audit-{year}.{month + 1:02d}" for year, month in months]
    names += [f"whodid-audit-{day:%Y.%m.%d}" for day in days]
    for name in names:
        start = partition_start("whodid-audit", name)
        assert start
        age = (today - start) / timedelta(days=1)
        dates = f"{start:%Y-%m-%d}T00:00:00Z", f"{start:%Y-%m-%d}T00:00:01Z"
        cluster.create_index(name, policy=NAME, mark=MARK, entries=10, age=age, dates=dates)
    cluster.writes.clear()
    return names


def run(settings: Settings, *command: str) -> CompletedProcess[str]:
    options = [f"--opensearch-hosts={settings.opensearch_hosts[0]}", f"--journal-dir={settings.journal_dir}"]
    return whodid(*command, *options, f"--retention={RETENTION}", "--partition=day")


def test_setup_sees_each_of_520_partitions_and_has_nothing_to_do(
    cluster: IsmStandIn, client: OpenSearch, settings: Settings
) -> None:
    names = years(cluster)
    assert len(names) == 520
    daily = replace(settings, partition="day")
    assert {change.kind for change in plan(client, daily) if not change.what.startswith("role")} == {"unchanged"}
    for name in (names[0], names[137], names[-1]):
        job = cluster.indices[name].job
        assert job
        job.age("9000d")
    needed = {change.what for change in plan(client, daily) if change.kind == "update"}
    assert needed == {f"{name} under {NAME}" for name in (names[0], names[137], names[-1])}
    apply(plan(client, daily))
    cluster.advance(300)
    assert {change.kind for change in plan(client, daily) if not change.what.startswith("role")} == {"unchanged"}


def test_retention_show_has_the_dates_of_each(cluster: IsmStandIn, client: OpenSearch, settings: Settings) -> None:
    names = years(cluster)
    shown = run(settings, "retention", "show", "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    view: dict[str, Any] = json.loads(shown.stdout)
    assert [one["name"] for one in view["partitions"]] == sorted(names, key=lambda name: _start(name))
    # Months are still there: days live as long as they do.
    assert (view["floor_days"], view["ceiling_days"], view["problems"]) == (5000, 5033, [])
    assert all(one["floor"] and one["ceiling"] for one in view["partitions"])


def test_retention_set_moves_each_and_names_what_it_can_not(
    cluster: IsmStandIn, client: OpenSearch, settings: Settings
) -> None:
    names = years(cluster)
    longer = replace(settings, retention="6000d", partition="day")
    report = set_retention(client, longer, tries=5, pause=lambda: cluster.advance(300))
    assert (sorted(report.running), report.problems) == (sorted(names), {})
    view = retention_in_force(client, longer, now(cluster))
    assert {one.ceiling and (one.ceiling - one.created).days for one in view.partitions} == {6033}


def test_the_doctor_looks_at_each(cluster: IsmStandIn, client: OpenSearch, settings: Settings) -> None:
    names = years(cluster)
    daily = replace(settings, partition="day")
    cluster.indices[names[3]].open = False
    cluster.indices[names[-2]].health = "red"
    found = [one for one in examined(daily, "retention") if one.on in names]
    assert {one.on for one in found} == set(names)
    assert sorted(one.on for one in found if one.severity == "problem") == sorted((names[3], names[-2]))


def _start(name: str) -> tuple[datetime, str]:
    start = partition_start("whodid-audit", name)
    assert start
    return start, name
