"""Shipping to a real cluster by the real program: kills, an absent cluster, a clean end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.kit import FaultProxy
from tests.live.corner import Corner, corner, eventually
from whodid.entry import document_id
from whodid.journal import Acknowledged
from whodid.journal.lock import ProcessLock
from whodid.recording.recorder import Recorder
from whodid.settings import Settings

pytestmark = pytest.mark.live


def start(place: Corner, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "whodid", *place.arguments("ship"), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, out, err


def position(place: Corner) -> int:
    return sum(Acknowledged.read(path.parent).seq for path in Path(place.settings.journal_dir).glob("*/acknowledged"))


def _past(place: Corner, process: subprocess.Popen[str], seq: int) -> Callable[[], bool]:
    return lambda: position(place) > seq or process.poll() is not None


def versions(place: Corner, ids: list[str]) -> list[int]:
    """The version of each document; 1 for one that was stored once."""
    found: list[int] = []
    for n in range(0, len(ids), 5000):
        body = {"size": 5000, "version": True, "_source": False, "query": {"ids": {"values": ids[n : n + 5000]}}}
        answer = place.client.search(index=f"{place.settings.index_prefix}-*", body=body)
        found += [hit["_version"] for hit in answer["hits"]["hits"]]
    return found


def ids(entries: list[dict[str, Any]]) -> list[str]:
    return [document_id(entry["journal"], entry["seq"], entry["hash"]) for entry in entries]


def test_kill_9_in_the_middle_of_shipping_leaves_each_entry_exactly_once(place: Corner) -> None:
    entries = place.record(20_000)
    for share in (0, 5000, 10_000):
        process = start(place, "--once", "--bulk-entries=250")
        eventually(_past(place, process, share))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert 0 < position(place) < 20_000
    code, out, _ = end(start(place, "--once", "--json"))
    assert (code, json.loads(out)["backlog"]) == (0, 0)
    place.refresh()
    assert place.client.count(index=f"{place.settings.index_prefix}-*")["count"] == 20_000
    assert versions(place, ids(entries)) == [1] * 20_000


def test_once_and_json_say_how_many(place: Corner) -> None:
    place.record(3)
    code, out, err = end(start(place, "--once", "--json"))
    assert (code, err) == (0, "")
    known = {"shipped": 3, "dead_letters": 0, "damaged": 0, "missing": 0, "waiting": "", "backlog": 0}
    assert json.loads(out) == known
    assert end(start(place, "--once"))[0] == 0


def test_without_the_template_it_waits_and_names_whodid_setup(opensearch_url: str, tmp_path: Path) -> None:
    with corner(opensearch_url, tmp_path) as bare:
        bare.record(2)
        code, _, err = end(start(bare, "--once", "--patience=0"))
        assert (code, bare.stored()) == (1, {})
        assert "run `whodid setup`" in err
        assert "They are safe in the journal" in err
        bare.set_up()
        assert end(start(bare, "--once"))[0] == 0
        assert len(bare.stored()) == 2


def test_sigterm_ends_the_daemon_cleanly_after_what_is_in_flight(place: Corner) -> None:
    place.record(10)
    process = start(place)
    eventually(lambda: position(place) == 10 or process.poll() is not None)
    place.record(5)
    eventually(lambda: position(place) == 15 or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    code, out, err = end(process)
    assert (code, out) == (0, "")
    assert "16 entries shipped, 0 waiting" in err
    *_, last = sorted((hit["_source"] for hit in place.stored().values()), key=lambda entry: entry["seq"])
    assert (last["seq"], last["type"], last["principal"]) == (16, "audit_log_journal_closed", "system")
    assert last["target"] == last["journal"]
    assert last["details"] == {"shipped": 15, "hash": last["prev"]}


def at_work(journal_dir: str) -> bool:
    """Whether a shipper holds the lock."""
    lock = ProcessLock(Path(journal_dir) / "ship.lock")
    try:
        return not lock.try_acquire()
    finally:
        lock.close()


def test_a_journal_is_closed_once_until_something_is_recorded_again(place: Corner) -> None:
    def after_another_shipper() -> int:
        process = start(place)
        eventually(lambda: at_work(place.settings.journal_dir) or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        assert end(process)[0] == 0
        return len(place.stored())

    place.record(1)
    assert [after_another_shipper(), after_another_shipper()] == [2, 2]
    place.record(1)
    assert after_another_shipper() == 4


def test_a_second_signal_ends_the_shipper_without_waiting_for_the_cluster(tmp_path: Path) -> None:
    settings = Settings(journal_dir=str(tmp_path / "journal"), opensearch_hosts=("http://127.0.0.1:9",))
    Recorder(settings).record("credentials_created", {"target": "a", "principal": "42"})
    options = [f"--journal-dir={settings.journal_dir}", "--opensearch-hosts=http://127.0.0.1:9", "--drain-timeout=600"]
    command = [sys.executable, "-m", "whodid", "ship", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert any("waiting: " in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        assert any("stopping after" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 1


INTERRUPTED = """
import os, signal, threading
from whodid.cli.ship import _stop_on_signals
from whodid.shipping.log import ShipperLog
stop = threading.Event()
_stop_on_signals(stop, ShipperLog(print))
with stop._cond:
    signal.raise_signal(signal.SIGTERM)
assert stop.wait(60)
"""


def test_a_signal_amid_a_wait_stops_the_shipper() -> None:
    """A wait holds that lock for a moment: a handler that takes it waits for ever."""
    subprocess.run([sys.executable, "-c", INTERRUPTED], timeout=120, check=True)


def test_with_opensearch_down_recording_continues_and_all_of_it_arrives_afterwards(
    opensearch_url: str, tmp_path: Path
) -> None:
    with FaultProxy(opensearch_url) as proxy, corner(proxy.url, tmp_path) as place:
        place.set_up()
        process = start(place)
        before = place.record(5)
        eventually(lambda: position(place) == 5 or process.poll() is not None)
        proxy.refuse()
        proxy.drop()
        meanwhile = place.record(50)
        assert process.poll() is None
        proxy.accept()
        after = place.record(5)
        eventually(lambda: position(place) == 60 or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        assert end(process)[0] == 0
        recorded = [*before, *meanwhile, *after]
        stored = place.stored()
        assert set(ids(recorded)) <= set(stored)
        assert len(stored) == len(recorded) + 1  # the closing record
