"""Two shippers on one journal: one works, the other waits and takes over; and pods that are told to end."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.faults.kit import ControlledProcess, FaultProxy, hang
from tests.live.corner import Corner
from tests.shipping.test_ship_live import at_work, ids, position
from whodid.journal import JournalDirectory
from whodid.recording.recorder import Recorder
from whodid.settings import Settings

pytestmark = pytest.mark.live

WAITS = "another shipper is active"


def shipper(place: Corner, *options: str) -> ControlledProcess:
    return ControlledProcess(
        [sys.executable, "-m", "whodid", *place.arguments("ship"), "--poll-interval=0.1", *options]
    )


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_second_takes_over_from_the_first(place: Corner, end: signal.Signals) -> None:
    entries = place.record(50)
    with shipper(place) as first:
        first.until(lambda: position(place) == 50)
        with shipper(place) as second:
            second.until(lambda: WAITS in second.output)
            assert f"process {first.pid}" in second.output
            first.process.send_signal(end)
            first.wait()
            entries += place.record(50)
            second.until(lambda: position(place) >= 100)
            second.terminate()
            assert second.wait() == 0
    assert set(ids(entries)) <= set(place.stored())
    assert {hit["_version"] for hit in place.stored().values()} == {1}


def test_a_suspended_shipper_keeps_its_turn_and_goes_on_where_it_was(place: Corner) -> None:
    entries = place.record(50)
    with shipper(place) as first:
        first.until(lambda: position(place) == 50)
        first.suspend()
        entries += place.record(50)
        with shipper(place) as second:
            second.until(lambda: f"{WAITS}: process {first.pid}" in second.output)
            first.resume()
            first.until(lambda: position(place) == 100)
            assert second.running()
    assert set(place.stored()) == set(ids(entries))


def test_a_pod_that_ends_without_a_cluster_leaves_its_backlog_for_the_next(place: Corner) -> None:
    entries = place.record(50)
    with FaultProxy(place.settings.opensearch_hosts[0]) as proxy:
        through = f"--opensearch-hosts={proxy.url}"
        proxy.inject(hang(), path="_bulk")
        with shipper(place, through, "--drain-timeout=0.5") as pod:
            pod.until(lambda: proxy.count("_bulk") > 0)
            pod.terminate()
            assert pod.wait(20) == 0
            assert "0 entries shipped, 50 waiting" in pod.output
        assert not at_work(place.settings.journal_dir)
        proxy.clear()
        with shipper(place, through) as pod:
            pod.until(lambda: position(place) >= 50)
            pod.terminate()
            assert pod.wait(20) == 0
            assert "51 entries shipped, 0 waiting" in pod.output
    assert len(place.stored()) == len(entries) + 1


def test_a_pod_ships_what_its_application_records_while_both_are_told_to_end(place: Corner) -> None:
    place.record(5)
    with shipper(place, "--drain-timeout=10", "--poll-interval=1") as pod:
        pod.until(lambda: position(place) == 5)
        pod.terminate()
        pod.until(lambda: "stopping" in pod.output)
        late = place.record(20)
        assert pod.wait(20) == 0
    stored = place.stored()
    assert set(ids(late)) <= set(stored)
    *_, last = sorted((hit["_source"] for hit in stored.values()), key=lambda entry: entry["seq"])
    assert (last["type"], last["details"]["shipped"]) == ("audit_log_journal_closed", 25)


def test_a_volume_that_moves_with_its_pod_goes_on_with_the_same_journal(place: Corner, tmp_path: Path) -> None:
    place.record(3)
    before = JournalDirectory(place.settings.journal_dir).current()
    elsewhere = tmp_path / "another-host"
    Path(place.settings.journal_dir).rename(elsewhere)
    moved = Settings(journal_dir=str(elsewhere), host="another")
    Recorder(moved).record("credentials_created", {"target": "4", "principal": "42"})
    assert JournalDirectory(elsewhere).current() == before
    assert JournalDirectory(elsewhere).alarms() == []
