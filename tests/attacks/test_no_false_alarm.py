"""Two years of an ordinary log: everything that happens to one without anybody meaning harm raises no alarm."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.live.corner import Corner, corner
from whodid.administration.erase_journal import erased_entry
from whodid.administration.sources import local_journals
from whodid.cluster.bulk import Document, Verdict
from whodid.cluster.ledger import CheckpointIndex
from whodid.cluster.partitions import creation_dates
from whodid.entry import partition_end, places
from whodid.journal import JournalDirectory
from whodid.recording.own import record_operation
from whodid.retention.enforcement import Expired, destroy
from whodid.retention.holds import held, new_hold, set_hold
from whodid.search import AuditClient
from whodid.shipping import Shipper
from whodid.shipping.checkpointing import closed_checkpoints
from whodid.shipping.dead_letters import each_dead_letter, replace_dead_letters
from whodid.verify import Source, Verification, verify_stored

pytestmark = [pytest.mark.live, pytest.mark.longer]

MONTHS = 24
SOAK = bool(os.environ.get("WHODID_TEST_SOAK"))
NOW = datetime.now(UTC).replace(microsecond=0)
BEGIN = NOW - timedelta(days=30 * MONTHS)


@dataclass
class Host:
    """One journal directory, in which time goes by as the test says."""

    corner: Corner
    refuses: str = "-"
    """Entries about this target become dead letters."""
    stamps: list[datetime] = field(default_factory=list)

    @property
    def directory(self) -> JournalDirectory:
        return JournalDirectory(self.corner.settings.journal_dir)

    def record(self, at: datetime, *targets: str) -> None:
        times = iter(at + timedelta(hours=5 * number) for number in range(len(targets)))
        recorder = self.corner.recorder(clock_ns=lambda: int(next(times).timestamp() * 1e9))
        for target in targets:
            given = {"target": target, "principal": "42", "client_ip": "203.0.113.9"}
            recorder.record("credentials_created", given)
        recorder.journal.close()

    def _send(self, documents: Sequence[Document]) -> list[Verdict]:
        sent = [document for document in documents if f'"target":"{self.refuses}"'.encode() not in document.raw]
        answers = iter(self.corner.send(sent) if sent else [])
        return [next(answers) if document in sent else Verdict("refused", "no") for document in documents]

    def ship(self, at: datetime) -> None:
        with patch("whodid.shipping.checkpointing._now", lambda: at.strftime("%Y-%m-%dT%H:%M:%SZ")):
            Shipper(self.corner.settings, self._send).run_once(patience=10)
        index = CheckpointIndex(self.corner.client, self.corner.settings)
        for sealed in closed_checkpoints(self.directory):
            index.keep(sealed)


@pytest.fixture
def place(opensearch_url: str, tmp_path: Path) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path, retention="365d") as made:
        made.set_up()
        yield made


def verified(place: Corner, hosts: Sequence[Host], now: datetime, erased: dict[str, Any]) -> Verification:
    index = CheckpointIndex(place.client, place.settings)
    place.refresh()
    place.client.indices.refresh(index=index.name)
    sources = [Source(index.name, list(index.each()))]
    sources += [Source(f"host {n}", list(closed_checkpoints(host.directory))) for n, host in enumerate(hosts)]
    local = [one for host in hosts for one in local_journals(host.corner.settings)]
    client = AuditClient(place.settings, client=place.client)
    return verify_stored(client, sources=sources, local=local, erased=erased, now=now)


def past_their_time(place: Corner, now: datetime) -> list[Expired]:
    """By their names: on this cluster all of them were made today, so that nothing would be due yet."""
    prefix, on_hold = place.settings.index_prefix, held(place.client, place.settings)
    ends = {name: partition_end(prefix, name) for name in creation_dates(place.client, place.settings)}
    dues = {name: end + timedelta(days=367) for name, end in ends.items() if end and name not in on_hold}
    return [Expired(name, due, 0) for name, due in dues.items() if due <= now]


def erase(place: Corner, target: str, erased: dict[str, Any]) -> None:
    for hit in place.stored().values():
        entry = dict(hit["_source"])
        if entry["target"] == target and (gone := erased_entry(entry)):
            entry = gone
            place.client.index(index=hit["_index"], id=hit["_id"], body=entry)
            erased.setdefault(entry["journal"], []).append((entry["seq"], entry["seq"]))


@pytest.mark.parametrize(
    "recorded",
    [True, pytest.param(False, marks=pytest.mark.soak)],
    ids=["by whodid, on record", "by ISM, without a record"],
)
def test_two_years_without_harm_raise_no_alarm(place: Corner, tmp_path: Path, recorded: bool) -> None:
    def host(name: str, **settings: Any) -> Host:
        there = replace(place.settings, journal_dir=str(tmp_path / name), host=name, **settings)
        return Host(replace(place, settings=there))

    hosts = [host("steady"), host("late"), host("weekly", partition="week")]
    steady, late, weekly = hosts
    erased: dict[str, Any] = {}
    seen: set[str] = set()
    for month in range(MONTHS):
        at = BEGIN + timedelta(days=30 * month)
        end = at + timedelta(days=29)
        for one in hosts:
            one.record(at, *(f"{month}-{number}" for number in range(6)))
        steady.refuses = f"{month}-3" if month % 5 == 2 else "-"
        steady.ship(end)
        weekly.ship(end)
        if month % 3 == 2:  # what waited for months
            late.ship(end)
        if month == 4:
            set_hold(place.client, place.settings, new_hold("case 4711", "ada", since=at, until=end))
        if month == 6:
            erase(place, "5-1", erased)
        if month == 8:  # from now on by the week as well; what was shipped stays where it is
            steady.corner = replace(steady.corner, settings=replace(steady.corner.settings, partition="week"))
        if month == 10:  # a volume that was copied: the copy goes on under a journal of its own
            shutil.copytree(steady.directory.path, tmp_path / "copied")
            hosts.append(host("copied"))
        for partition in past_their_time(place, end):
            if recorded:
                destroy(place.client, place.settings, partition)
            else:
                place.client.indices.delete(index=partition.index)
        if month % 6 and not SOAK:
            continue
        verification = verified(place, hosts, end, erased)
        assert verification.findings == [], f"month {month}"
        seen |= {stretch.verdict for verdict in verification.journals for stretch in verdict.stretches}
        assert all(verdict.completeness.complete for verdict in verification.journals)
    letters = [letter.id for letter in each_dead_letter(steady.directory)]
    details = {"reason": "test", "dropped": len(letters), "entries": places(letters)}
    record_operation(steady.corner.settings, "audit_log_dead_letters_dropped", "dead letters", details)
    replace_dead_letters(steady.directory, letters)
    steady.refuses = "-"
    steady.ship(NOW)
    verification = verified(place, hosts, NOW, erased)
    assert verification.findings == []
    assert sum(verdict.completeness.dropped for verdict in verification.journals) >= 2
    assert sum(verdict.completeness.expired for verdict in verification.journals) > 100
    assert seen == {"intact", "dead letter", "expired by policy", "erased", "held", "not yet shipped"}
