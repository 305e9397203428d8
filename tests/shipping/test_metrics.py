"""Metrics, health and readiness: the numbers of the journal and of the shipper, cheap to ask for, and no secret."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.shipping.test_loop import record
from whodid.cluster.bulk import STORED, Document, Verdict
from whodid.errors import SettingsError
from whodid.journal import Damaged, JournalDirectory, Missing
from whodid.journal.damage import keep_damaged, keep_missing
from whodid.journal.directory import count_not_recorded
from whodid.settings import Settings
from whodid.shipping import Shipper
from whodid.shipping.dead_letters import DeadLetter, keep_dead_letters
from whodid.shipping.delivery import Alive, Waiting
from whodid.shipping.metrics import Metrics, serve_metrics

NAMES = {
    "whodid_entries_recorded",
    "whodid_entries_shipped",
    "whodid_backlog_entries",
    "whodid_backlog_bytes",
    "whodid_oldest_unshipped_age_seconds",
    "whodid_dead_letters",
    "whodid_damaged_lines",
    "whodid_missing_entries",
    "whodid_bulk_duration_seconds",
    "whodid_retries",
    "whodid_fsync_duration_seconds",
    "whodid_not_recorded",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(journal_dir=str(tmp_path / "journal"), segment_bytes=4000, poll_interval=0.02)


@contextmanager
def served(metrics: Metrics) -> Iterator[int]:
    server = serve_metrics(metrics, "127.0.0.1:0")
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def ask(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def samples(text: str) -> dict[str, float]:
    """Value by sample name; label values are left out, their samples added up."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def test_the_numbers_of_the_journal_and_of_the_shipper(settings: Settings) -> None:
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    record(settings, *[f"{n:04d}" for n in range(60)], at=hour_ago)
    directory = JournalDirectory(settings.journal_dir)
    metrics = Metrics(settings)

    def first_thirty(documents: Sequence[Document]) -> list[Verdict]:
        waits = Verdict("wait", "secret of an entry", "unavailable")
        return [STORED if int(document.id.split("-")[1]) <= 30 else waits for document in documents]

    Shipper(replace(settings, bulk_entries=10), first_thirty, observe=metrics.observe).run_once(patience=0.1)
    keep_dead_letters(directory, [DeadLetter(f"x-{n:012d}-0", "i", "r", "{}") for n in range(3)])
    count_not_recorded(directory.path)
    with served(metrics) as port:
        status, text = ask(port, "/metrics")
    found = samples(text)
    assert status == 200
    assert {family.name for family in text_string_to_metric_families(text)} >= NAMES
    shipped = found["whodid_entries_shipped_total"]
    assert found["whodid_entries_recorded_total"] == 60
    assert 20 <= shipped <= 30  # whole batches
    assert (found["whodid_backlog_entries"], found["whodid_dead_letters"]) == (60 - shipped, 3)
    assert found["whodid_not_recorded_total"] == 1
    assert found["whodid_damaged_lines"] == found["whodid_missing_entries"] == 0
    on_disk = sum(path.stat().st_size for path in directory.path.glob("*/[0-9]*.ndjson"))
    assert 0.3 * on_disk < found["whodid_backlog_bytes"] <= on_disk
    assert 3600 <= found["whodid_oldest_unshipped_age_seconds"] < 3700
    assert found["whodid_bulk_duration_seconds_count"] >= 4
    assert found["whodid_fsync_duration_seconds_count"] >= 1
    assert found["whodid_retries_total"] >= 10
    assert 'reason="unavailable"' in text
    assert "secret" not in text


def test_what_is_damaged_or_missing_in_the_journal_is_counted(settings: Settings) -> None:
    directory = JournalDirectory(settings.journal_dir)
    [position] = record(settings, "a")
    segment = directory.journal(position.journal) / f"{1:020d}.ndjson"
    keep_damaged(directory, [Damaged(segment, 0, b"x", "hash")])
    keep_missing(directory, [Missing(position.journal, 7, 9)])
    with served(Metrics(settings)) as port:
        found = samples(ask(port, "/metrics")[1])
    assert (found["whodid_damaged_lines"], found["whodid_missing_entries"]) == (1, 3)


def test_of_an_empty_directory_everything_is_nothing(settings: Settings) -> None:
    with served(Metrics(settings)) as port:
        found = samples(ask(port, "/metrics")[1])
    assert found["whodid_backlog_entries"] == found["whodid_dead_letters"] == 0
    assert found["whodid_oldest_unshipped_age_seconds"] == 0


def test_healthy_means_that_the_loop_makes_steps_and_ready_that_entries_get_through(settings: Settings) -> None:
    clock = [0.0]
    metrics = Metrics(settings, monotonic=lambda: clock[0])
    shipper = Shipper(settings, lambda documents: [STORED] * len(documents), observe=metrics.observe)
    with served(metrics) as port:
        assert [ask(port, path)[0] for path in ("/healthz", "/readyz")] == [200, 503]
        metrics.observe(Alive(idle=True))
        assert [ask(port, path)[0] for path in ("/healthz", "/readyz")] == [200, 200]
        shipper._report(waiting="HTTP 503: away")
        assert [ask(port, path) for path in ("/healthz", "/readyz")] == [(200, "ok\n"), (503, "waiting\n")]
        clock[0] += 200
        assert [ask(port, path)[0] for path in ("/healthz", "/readyz")] == [503, 503]
        metrics.observe(Waiting("unavailable", "away", 1))
        shipper._report(shipped=1)
        assert [ask(port, path)[0] for path in ("/healthz", "/readyz")] == [200, 200]
        assert ask(port, "/secrets")[0] == 404


def test_a_journal_that_can_not_be_read_is_an_answer_and_not_a_traceback(settings: Settings) -> None:
    record(settings, "a")
    (Path(settings.journal_dir) / "current").write_text("damaged")
    with served(Metrics(settings)) as port:
        assert ask(port, "/metrics") == (500, "the journal directory can't be read: JournalDamaged\n")


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:x", "127.0.0.1:70000", "203.0.113.1:1"])
def test_an_address_that_can_not_be_listened_on_says_what_to_write(settings: Settings, address: str) -> None:
    with pytest.raises(SettingsError, match="write HOST:PORT"):
        serve_metrics(Metrics(settings), address)
