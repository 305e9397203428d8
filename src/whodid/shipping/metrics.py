"""The metrics of a shipper for Prometheus, and its liveness and readiness, on a small HTTP server.

Counters follow the shipper's events. The journal directory is read at each scrape, at a cost that doesn't grow with the
backlog. No metric contains a value of an entry or a secret.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ..entry import parse_creation_date
from ..errors import SettingsError
from ..journal import Acknowledged, JournalDirectory
from ..journal.damage import count_damaged
from ..journal.directory import not_recorded, segment_size, segments
from ..journal.reader import entry_at
from ..settings import Settings
from .dead_letters import count_dead_letters
from .delivery import Alive, Answered, Moved, ShippingEvent, Synced, Waiting
from .status import last_seq, missing_entries

__all__ = ["Metrics", "serve_metrics"]

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The counters and the state of the directory. Raises `SettingsError` without the extra `metrics`."""

    def __init__(self, settings: Settings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Histogram
        except ImportError as error:
            raise SettingsError('metrics need the extra "metrics": pip install "whodid[metrics]"') from error
        self._settings = settings
        self._monotonic = monotonic
        self._alive_at = monotonic()
        self._waiting = "the journal was not read yet"
        self._shipped = 0
        self._counted: tuple[tuple[int, int], int] = ((0, 0), 0)
        self.registry = CollectorRegistry()
        about: dict[str, Any] = {"registry": self.registry}
        self._ships = Counter("whodid_entries_shipped_total", "Entries stored in OpenSearch since the start.", **about)
        self._retries = Counter("whodid_retries_total", "Entries that had to be sent again.", ["reason"], **about)
        self._bulks = Histogram("whodid_bulk_duration_seconds", "Bulk requests.", buckets=_BUCKETS, **about)
        self._syncs = Histogram(
            "whodid_fsync_duration_seconds", "Syncs of segments before they are sent.", buckets=_BUCKETS, **about
        )
        self.registry.register(_Directory(self))

    def observe(self, observation: ShippingEvent) -> None:
        """Counts an event of the shipper."""
        self._alive_at = self._monotonic()
        match observation:
            case Answered(seconds=seconds):
                self._bulks.observe(seconds)
            case Synced(seconds=seconds):
                self._syncs.observe(seconds)
            case Waiting(cause=cause, entries=entries):
                self._retries.labels(cause or "other").inc(entries)
            case Moved(progress=progress):
                self._ships.inc(progress.shipped - self._shipped)
                self._shipped, self._waiting = progress.shipped, progress.waiting
            case Alive(idle=True):
                self._waiting = ""

    def why_dead(self) -> str:
        """Why the loop seems stuck; empty when it made a step recently."""
        silent = self._monotonic() - self._alive_at
        limit = 30.0 + 3 * self._settings.opensearch_timeout
        return f"no step for {silent:.0f} s" if silent > limit else ""

    def why_not_ready(self) -> str:
        """Why entries don't reach OpenSearch now; empty when they do, or when there are none to ship."""
        return self.why_dead() or ("waiting" if self._waiting else "")

    def dead_letters(self) -> int:
        """The number of dead letters, counted again only when their file has changed."""
        directory = JournalDirectory(self._settings.journal_dir)
        try:
            status = directory.dead_letters.stat()
        except FileNotFoundError:
            return 0
        mark = (status.st_size, status.st_mtime_ns)
        if self._counted[0] != mark:
            self._counted = mark, count_dead_letters(directory)
        return self._counted[1]

    def collect(self) -> Iterator[Any]:
        """The metrics of the journal directory, as it is now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        directory = JournalDirectory(self._settings.journal_dir)
        recorded = CounterMetricFamily("whodid_entries_recorded_total", "Entries in the journal.", labels=["journal"])
        entries = size = 0
        oldest = 0.0
        for journal in directory.journals():
            path = directory.journal(journal)
            acknowledged = Acknowledged.read(path).seq
            last = max(last_seq(path), acknowledged)
            recorded.add_metric([journal], last)
            if last > acknowledged:
                entries += last - acknowledged
                size += _bytes_after(path, acknowledged, last)
                oldest = max(oldest, _age(path, acknowledged + 1))
        yield recorded
        yield GaugeMetricFamily("whodid_backlog_entries", "Entries not yet in OpenSearch.", entries)
        yield GaugeMetricFamily("whodid_backlog_bytes", "Their bytes in the journal, about.", size)
        yield GaugeMetricFamily("whodid_oldest_unshipped_age_seconds", "Age of the oldest of them; 0 for none.", oldest)
        yield GaugeMetricFamily("whodid_dead_letters", "Entries that OpenSearch refused for good.", self.dead_letters())
        damaged = count_damaged(directory)
        yield GaugeMetricFamily("whodid_damaged_lines", "Lines of the journal that were set aside.", damaged)
        missing = sum(gap.entries for gap in missing_entries(directory))
        yield GaugeMetricFamily("whodid_missing_entries", "Entries gone from the journal before shipping.", missing)
        count = not_recorded(directory.path)
        yield CounterMetricFamily("whodid_not_recorded_total", "Calls that were not recorded (on_failure=warn).", count)


class _Directory:
    """The collector of the directory's metrics. `describe` keeps its registration from reading the directory."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Iterator[Any]:
        return self._metrics.collect()


def _bytes_after(journal: Any, acknowledged: int, last: int) -> int:
    """Estimates the bytes of the entries after `acknowledged`: its own segment counts by its share of entries."""
    found = segments(journal)
    starts = [int(path.stem) for path in found]
    total = 0.0
    for path, start, end in zip(found, starts, [*starts[1:], last + 1], strict=True):
        if end > start:
            share = min(1.0, max(0, end - 1 - max(acknowledged, start - 1)) / (end - start))
            total += segment_size(path) * share
    return int(total)


def _age(journal: Any, seq: int) -> float:
    line = entry_at(journal, seq)
    made = parse_creation_date(line.date) if line is not None else None
    return max(0.0, (datetime.now(UTC) - made).total_seconds()) if made else 0.0


def serve_metrics(metrics: Metrics, address: str) -> ThreadingHTTPServer:
    """Serves `/metrics`, `/healthz` and `/readyz` on HOST:PORT in a thread; raises `SettingsError`."""
    host, _, port = address.rpartition(":")
    handler = type("Handler", (_Handler,), {"metrics": metrics})
    try:
        server = ThreadingHTTPServer((host.strip("[]") or "127.0.0.1", int(port)), handler)
    except (OSError, ValueError, OverflowError) as error:
        raise SettingsError(f"metrics_address {address!r} can't be listened on: {error}; write HOST:PORT") from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="whodid-metrics", daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    metrics: Metrics
    timeout = 10
    server_version = "whodid"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._metrics()
        elif path == "/healthz":
            self._answer(self.metrics.why_dead())
        elif path == "/readyz":
            self._answer(self.metrics.why_not_ready())
        else:
            self._send(404, b"there are /metrics, /healthz and /readyz\n")

    def _metrics(self) -> None:
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        try:
            body = generate_latest(self.metrics.registry)
        except Exception as error:  # noqa: BLE001 (whatever a journal directory holds, Prometheus gets an answer)
            self._send(500, f"the journal directory can't be read: {type(error).__name__}\n".encode())
            return
        self._send(200, body, CONTENT_TYPE_LATEST)

    def _answer(self, why_not: str) -> None:
        self._send(503 if why_not else 200, f"{why_not or 'ok'}\n".encode())

    def _send(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Scrapes are not logged."""
