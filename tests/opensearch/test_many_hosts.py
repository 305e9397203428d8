"""Many hosts through a year and more: 20 journals, days as a parameter, retention at work; every entry is counted.

On a real cluster without ISM, where whodid deletes by the same rule: real recorders, real segments, real bulks; only
the time is made up. Each entry must be found until its floor, be gone by its ceiling, and be on record.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from tests.live.corner import Corner, corner
from whodid.cluster.partitions import creation_dates
from whodid.devserver import start_cluster
from whodid.entry import Partitioning
from whodid.recording.recorder import Recorder
from whodid.retention.destruction import destructions
from whodid.retention.enforcement import destroy, expired
from whodid.retention.schedule import deletion_date
from whodid.shipping import Shipper
from whodid.shipping.partitioning import Dates

HOSTS = 20
RETENTION = 90
START = datetime(2027, 1, 1, tzinfo=UTC)


class Host:
    """One host: its journal directory, its clock (some days behind the others), and when it can reach the cluster."""

    def __init__(self, place: Corner, folder: Path, number: int) -> None:
        self.settings = replace(place.settings, journal_dir=str(folder / f"host-{number}"), host=f"web-{number}")
        self.place = Corner(self.settings, place.client)
        self.offline = Random(number).randrange(0, 6) * 10  # days between two visits of the network
        self.now = self.visited = START
        self.recorder = Recorder(
            replace(self.settings, durability="process"), clock_ns=lambda: int(self.now.timestamp()) * 1_000_000_000
        )

    def record(self, target: str) -> None:
        self.recorder.record("credentials_created", {"target": target, "principal": "42"})

    def ship(self, now: datetime) -> None:
        self.visited = now
        progress = Shipper(self.settings, self.place.send, dates=Dates(RETENTION, lambda: now)).run_once(patience=60)
        assert (progress.dead_letters, progress.waiting) == (0, "")


class Year:
    """The days, one after the other. Indices are really made today: when, by the year's time, is kept here."""

    def __init__(self, place: Corner, folder: Path) -> None:
        self.place = place
        self.hosts = [Host(place, folder, number) for number in range(HOSTS)]
        self.recorded: dict[str, datetime] = {}
        self.shipped: set[str] = set()
        self.made: dict[str, datetime] = {}
        self.gone: dict[str, datetime] = {}

    def day(self, now: datetime, number: int) -> None:
        for index, host in enumerate(self.hosts):
            host.now = now
            target = f"{index}-{number}"
            host.record(target)
            self.recorded[target] = now
            if (now - host.visited).days >= host.offline:
                host.ship(now)
        for name in creation_dates(self.place.client, self.place.settings):
            self.made.setdefault(name, now)

    def enforce(self, now: datetime) -> None:
        """As `whodid retention enforce` does, with the times of this year instead of today's."""
        settings = self.place.settings
        found = {one.index: one for one in expired(self.place.client, settings, now + timedelta(days=9999))}
        for name, made in list(self.made.items()):
            if name in found and (date := deletion_date(settings, name, made)) and date <= now:
                self.place.refresh()
                for hit in self.place.client.search(index=name, body={"size": 10_000})["hits"]["hits"]:
                    self.gone[hit["_source"]["target"]] = now
                assert destroy(self.place.client, settings, found[name])
                del self.made[name]


@pytest.mark.live
def test_a_year_of_twenty_hosts(opensearch_url: str, tmp_path: Path) -> None:
    live_through(opensearch_url, tmp_path, "month", step=18)


@pytest.mark.live
@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_year_of_twenty_hosts_on_three_nodes(tmp_path: Path) -> None:
    with start_cluster(3, tmp_path / "nodes") as nodes:
        live_through(nodes[0].url, tmp_path, "week", step=4)


def live_through(url: str, folder: Path, length: Partitioning, step: int) -> None:
    """Every `step`th day of a year, and what must be true at its end."""
    with corner(url, folder, partition=length, retention=f"{RETENTION}d") as place:
        place.set_up()
        year = Year(place, folder)
        days = range(0, 365, step)
        for number in days:
            now = START + timedelta(days=number)
            year.day(now, number)
            year.enforce(now)
        last = START + timedelta(days=days[-1])
        for host in year.hosts:
            host.recorder.journal.close()
            host.ship(last)
        there = {hit["_source"]["target"] for hit in place.stored().values()}
        assert there | year.gone.keys() == year.recorded.keys(), "none lost"
        assert not there & year.gone.keys()
        early = {one: at for one, at in year.gone.items() if at - year.recorded[one] < timedelta(days=RETENTION)}
        assert early == {}
        longest = {"month": 31, "week": 7, "day": 1}[length] + 2 + max(host.offline for host in year.hosts) + 2 * step
        late = {one for one in there if last - year.recorded[one] > timedelta(days=RETENTION + longest)}
        assert late == set(), "none held back"
        counted = Counter[str]()
        for record in destructions(place.client, place.settings):
            assert record.state == "deleted"
            counted.update({part.journal: part.entries for part in record.account.journals})
        assert len(counted) == HOSTS
        assert counted.total() == len(year.gone) > HOSTS * 60 / step
