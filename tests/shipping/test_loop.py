"""The loop: what is acknowledged, what waits, what becomes a dead letter; with a send that does as the test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.live.corner import eventually
from whodid.cluster.bulk import Cause, Document, Verdict
from whodid.entry import Stamp
from whodid.errors import JournalDamaged, ShippingError
from whodid.integrity import Draft
from whodid.journal import Acknowledged, Journal, JournalDirectory, JournalReader, Position
from whodid.journal.damage import count_damaged
from whodid.journal.durable import DurableMark
from whodid.settings import Settings
from whodid.shipping import Progress, Shipper
from whodid.shipping.dead_letters import read_dead_letters
from whodid.shipping.delivery import Alive, Answered, Moved, Observer, ShippingEvent, Synced, Waiting
from whodid.shipping.partitioning import Dates

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
STORED, REFUSED, WAIT = (
    Verdict("stored"),
    Verdict("refused", "mapper_parsing_exception: no"),
    Verdict("wait", "busy", "throttled"),
)


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whodid.shipping.delivery.random.uniform", lambda _low, _high: 0.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(journal_dir=str(tmp_path / "journal"), poll_interval=0.02)


def record(settings: Settings, *targets: str, at: datetime = NOW) -> list[Position]:
    stamp = Stamp.from_ns(int(at.timestamp()) * 1_000_000_000)
    journal = Journal(settings.journal_dir, segment_bytes=settings.segment_bytes)
    dates = {"creation_date": stamp.creation_date, "@timestamp": stamp.timestamp}
    return [journal.append(Draft({"type": "t", "target": target, **dates}), "process") for target in targets]


def numbered(count: int) -> list[str]:
    return [f"{n:04d}" for n in range(count)]


class Cluster:
    """Stores what `judge` says is stored; an ID stored twice is counted."""

    def __init__(self, judge: Callable[[Document], Verdict] = lambda document: STORED) -> None:
        self.judge = judge
        self.requests: list[int] = []
        self.stored: dict[str, Document] = {}
        self.seen: list[str] = []

    def send(self, documents: Sequence[Document]) -> list[Verdict]:
        self.requests.append(len(documents))
        verdicts = [self.judge(document) for document in documents]
        for document, verdict in zip(documents, verdicts, strict=True):
            if verdict.kind == "stored":
                self.stored[document.id] = document
                self.seen.append(target(document))
        return verdicts


def target(document: Document) -> str:
    return document.raw.split(b'"target":"')[1].split(b'"')[0].decode()


def moves(tell: Callable[[Progress], object]) -> Observer:
    def observe(observation: ShippingEvent) -> None:
        if isinstance(observation, Moved):
            tell(observation.progress)

    return observe


def acknowledged(settings: Settings, journal: str) -> int:
    return Acknowledged.read(Path(settings.journal_dir) / journal).seq


def test_everything_is_sent_as_it_stands_in_the_journal_and_acknowledged(settings: Settings) -> None:
    positions = record(settings, *numbered(5))
    cluster = Cluster()
    assert Shipper(settings, cluster.send).run_once() == Progress(shipped=5)
    assert cluster.seen == numbered(5)
    assert acknowledged(settings, positions[0].journal) == 5
    lines = (Path(settings.journal_dir) / positions[0].journal / f"{1:020d}.ndjson").read_bytes().splitlines()
    assert [document.raw for document in cluster.stored.values()] == lines
    assert {document.partition for document in cluster.stored.values()} == {"whodid-audit-2026.11"}


def test_a_second_run_sends_only_what_is_new(settings: Settings) -> None:
    record(settings, "a", "b")
    Shipper(settings, Cluster().send).run_once()
    record(settings, "c")
    cluster = Cluster()
    assert Shipper(settings, cluster.send).run_once().shipped == 1
    assert cluster.seen == ["c"]


def test_a_batch_has_at_most_bulk_entries(settings: Settings) -> None:
    record(settings, *numbered(25))
    cluster = Cluster()
    Shipper(replace(settings, bulk_entries=10), cluster.send).run_once()
    assert sorted(cluster.requests) == [5, 10, 10]  # two are under way at once
    assert sorted(cluster.seen) == numbered(25)


def test_a_batch_has_about_bulk_bytes(settings: Settings) -> None:
    record(settings, *numbered(25))
    cluster = Cluster()
    Shipper(replace(settings, bulk_bytes=1000), cluster.send).run_once()
    assert max(cluster.requests) <= 3
    assert sorted(cluster.seen) == numbered(25)


def test_the_position_is_never_ahead_of_what_is_stored(settings: Settings) -> None:
    [first, *_] = record(settings, *numbered(30))
    cluster = Cluster()
    ahead: list[int] = []

    def send(documents: Sequence[Document]) -> list[Verdict]:
        before = acknowledged(settings, first.journal)
        ahead.append(before - len(cluster.stored))
        cluster.judge = lambda document: WAIT if int(target(document)) % 7 == len(ahead) % 7 else STORED
        return cluster.send(documents)

    Shipper(replace(settings, bulk_entries=10), send).run_once()
    assert max(ahead) == 0
    assert acknowledged(settings, first.journal) == 30 == len(cluster.stored)


def test_what_waits_is_sent_again_and_the_rest_is_not(settings: Settings) -> None:
    record(settings, *numbered(4))
    attempts: list[str] = []

    def judge(document: Document) -> Verdict:
        attempts.append(target(document))
        return WAIT if target(document) == "0002" and attempts.count("0002") < 5 else STORED

    cluster = Cluster(judge)
    assert Shipper(settings, cluster.send).run_once() == Progress(shipped=4)
    assert [attempts.count(name) for name in numbered(4)] == [1, 1, 5, 1]
    assert len(cluster.seen) == 4


def test_run_waits_for_ever_and_says_why(settings: Settings) -> None:
    record(settings, "a")
    cluster = Cluster(lambda _document: STORED if len(cluster.requests) > 200 else WAIT)
    said: list[str] = []
    shipper = Shipper(settings, cluster.send, observe=moves(lambda progress: said.append(progress.waiting)))
    thread = threading.Thread(target=shipper.run)
    thread.start()
    eventually(lambda: cluster.stored)
    shipper.stop.set()
    thread.join(10)
    assert (len(cluster.stored), said[0], said[-1]) == (1, "busy", "")


def test_each_step_is_told(settings: Settings) -> None:
    record(settings, "a", "b")
    told: list[ShippingEvent] = []
    cluster = Cluster(lambda _document: STORED if len(cluster.requests) > 1 else WAIT)
    Shipper(settings, cluster.send, observe=told.append).run_once()
    size = sum(len(document.raw) for document in cluster.stored.values())
    answered = [step for step in told if isinstance(step, Answered)]
    assert [(step.entries, step.bytes) for step in answered] == [(2, size)] * 2
    assert all(step.seconds >= 0 for step in answered)
    assert [step for step in told if isinstance(step, Waiting)] == [Waiting("throttled", "busy", 2)]
    assert [type(step) for step in told if isinstance(step, Synced)] == [Synced]
    assert told[-1] == Moved(Progress(shipped=2))


def test_once_gives_up_after_its_patience_and_leaves_all_in_the_journal(settings: Settings) -> None:
    [position] = record(settings, "a")
    progress = Shipper(settings, Cluster(lambda _document: WAIT).send).run_once(patience=0.1)
    assert progress == Progress(waiting="busy")
    assert acknowledged(settings, position.journal) == 0
    assert Shipper(settings, Cluster().send).run_once().shipped == 1


def test_patience_counts_the_time_that_requests_take(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    record(settings, "a")
    clock = [0.0]
    cluster = Cluster(lambda _document: WAIT)

    def hang(documents: Sequence[Document]) -> list[Verdict]:
        clock[0] += 30.0
        return cluster.send(documents)

    Shipper(settings, hang, monotonic=lambda: clock[0]).run_once(patience=50)
    assert len(cluster.requests) == 2


def test_a_refused_entry_is_a_dead_letter_before_the_position_passes_it(settings: Settings) -> None:
    positions = record(settings, *numbered(5))
    directory = JournalDirectory(settings.journal_dir)
    cluster = Cluster(lambda document: REFUSED if target(document) == "0002" else STORED)
    kept: list[tuple[int, int]] = []

    def note(_progress: Progress) -> None:
        kept.append((acknowledged(settings, positions[0].journal), len(read_dead_letters(directory))))

    shipper = Shipper(replace(settings, bulk_entries=3), cluster.send, observe=moves(note))
    assert shipper.run_once() == Progress(shipped=4, dead_letters=1)
    assert kept == [(3, 1), (5, 1)]
    [letter] = read_dead_letters(directory).values()
    assert letter.reason == "mapper_parsing_exception: no"
    assert letter.index == "whodid-audit-2026.11"
    assert '"target":"0002"' in letter.line


def test_a_crash_between_dead_letter_and_position_counts_it_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    [position] = record(settings, "a")
    cluster = Cluster(lambda _document: REFUSED)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Acknowledged, "write", crash)
        Shipper(settings, cluster.send).run_once()
    assert acknowledged(settings, position.journal) == 0
    Shipper(settings, cluster.send).run_once()
    assert len(read_dead_letters(JournalDirectory(settings.journal_dir))) == 1
    assert acknowledged(settings, position.journal) == 1


def test_a_dead_letter_that_can_not_be_kept_leaves_the_position_where_it_was(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    [position] = record(settings, "a")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("whodid.shipping.dead_letters.append_line", full)
    with pytest.raises((OSError, ShippingError), match="No space left"):
        Shipper(settings, Cluster(lambda _document: REFUSED).send).run_once()
    assert acknowledged(settings, position.journal) == 0


@pytest.mark.parametrize("cause", ["request", "configuration"])
def test_what_waits_for_an_operator_is_alarmed_once_and_never_a_dead_letter(settings: Settings, cause: Cause) -> None:
    [first, *_] = record(settings, *numbered(4))
    dropped = Verdict("wait", "OpenSearch answered 200 about '0001'", cause)
    cluster = Cluster(lambda document: dropped if target(document) == "0001" else STORED)
    shipper = Shipper(replace(settings, bulk_entries=1), cluster.send)
    assert shipper.run_once(patience=0.2) == Progress(shipped=1, waiting=dropped.reason)
    Shipper(replace(settings, bulk_entries=1), cluster.send).run_once(patience=0.2)
    directory = JournalDirectory(settings.journal_dir)
    [alarm] = directory.alarms()
    assert (alarm["alarm"], alarm["about"]) == ("not stored", "entries wait: OpenSearch answered 200 about …")
    assert acknowledged(settings, first.journal) == 1
    assert Shipper(settings, Cluster().send).run_once() == Progress(shipped=3)


def test_what_passes_by_itself_is_no_alarm(settings: Settings) -> None:
    record(settings, "a")
    Shipper(settings, Cluster(lambda _document: WAIT).send).run_once(patience=0.1)
    assert JournalDirectory(settings.journal_dir).alarms() == []


def test_a_stop_in_between_leaves_the_rest_for_the_next_start(settings: Settings) -> None:
    [first, *_] = record(settings, *numbered(30))
    stop = threading.Event()
    cluster = Cluster(lambda document: WAIT if target(document) == "0013" else STORED)
    shipper = Shipper(
        replace(settings, bulk_entries=10, drain_timeout=0.5),
        cluster.send,
        stop=stop,
        observe=moves(lambda progress: stop.set() if progress.waiting else None),
    )
    assert shipper.run() == Progress(shipped=10, waiting="busy")
    assert acknowledged(settings, first.journal) == 10
    again = Cluster()
    assert Shipper(settings, again.send).run_once().shipped == 20
    assert len(cluster.stored | again.stored) == 30


def segment_of(settings: Settings) -> Path:
    return max(Path(settings.journal_dir).glob("*/[0-9]*.ndjson"))


def damage(settings: Settings, name: str) -> None:
    segment = segment_of(settings)
    segment.write_bytes(segment.read_bytes().replace(f'"{name}"'.encode(), f'"{name[:-1]}x"'.encode()))


def test_a_damaged_line_is_kept_and_counted_and_stops_nothing(settings: Settings) -> None:
    [first, *_] = record(settings, *numbered(5))
    damage(settings, "0002")
    cluster = Cluster()
    assert Shipper(settings, cluster.send).run_once() == Progress(shipped=4, damaged=1)
    assert cluster.seen == ["0000", "0001", "0003", "0004"]
    directory = JournalDirectory(settings.journal_dir)
    assert count_damaged(directory) == 1
    assert [alarm["alarm"] for alarm in directory.alarms()] == ["damaged line"]
    assert acknowledged(settings, first.journal) == 5
    Shipper(settings, cluster.send).run_once()
    assert count_damaged(directory) == 1


def test_a_damaged_line_right_after_the_acknowledged_position_is_not_skipped(settings: Settings) -> None:
    record(settings, "0000", "0001")
    Shipper(settings, Cluster().send).run_once()
    record(settings, "0002", "0003")
    damage(settings, "0002")
    cluster = Cluster()
    assert Shipper(settings, cluster.send).run_once() == Progress(shipped=1, damaged=1)
    assert cluster.seen == ["0003"]
    assert count_damaged(JournalDirectory(settings.journal_dir)) == 1


def test_a_damaged_line_at_the_beginning_of_the_next_segment_is_not_skipped(settings: Settings) -> None:
    small = replace(settings, segment_bytes=400)
    record(small, "0000")
    Shipper(small, Cluster().send).run_once()
    record(small, "0001")
    assert int(segment_of(small).stem) == 2
    damage(small, "0001")
    assert Shipper(small, Cluster().send).run_once() == Progress(damaged=1)


def dates(retention: int | None = 365) -> Dates:
    return Dates(retention, lambda: NOW)


@pytest.mark.parametrize(
    ("age", "reason"),
    [
        (timedelta(days=-1, seconds=-1), "from the future"),
        (timedelta(days=-1), None),
        (timedelta(0), None),
        (timedelta(days=365), None),
        (timedelta(days=365, seconds=1), "expired on arrival"),
    ],
)
def test_an_entry_from_the_future_or_past_the_retention_is_a_dead_letter(
    settings: Settings, age: timedelta, reason: str | None
) -> None:
    record(settings, "odd", at=NOW - age)
    record(settings, "now")
    cluster = Cluster()
    progress = Shipper(settings, cluster.send, dates=dates()).run_once()
    letters = list(read_dead_letters(JournalDirectory(settings.journal_dir)).values())
    assert [letter.reason.split(":")[0] for letter in letters] == ([reason] if reason else [])
    assert progress.shipped == len(cluster.stored) == 2 - len(letters)


def test_without_a_retention_nothing_is_too_old(settings: Settings) -> None:
    record(settings, "old", at=NOW - timedelta(days=9000))
    assert Shipper(settings, Cluster().send, dates=dates(None)).run_once().shipped == 1


@pytest.mark.parametrize("date", [None, "yesterday", "2026-11-23", 7])
def test_an_entry_without_a_proper_date_is_a_dead_letter(settings: Settings, date: object) -> None:
    Journal(settings.journal_dir).append(Draft({"type": "t", "creation_date": date}), "process")
    assert Shipper(settings, Cluster().send).run_once() == Progress(dead_letters=1)


def test_of_two_shippers_one_works_and_the_other_takes_over(settings: Settings) -> None:
    record(settings, "a")
    first, second = Cluster(), Cluster()
    one, other = Shipper(settings, first.send), Shipper(settings, second.send)
    threads = [threading.Thread(target=one.run)]
    threads[0].start()
    eventually(lambda: first.stored)
    threads.append(threading.Thread(target=other.run))
    threads[1].start()
    eventually(lambda: "another shipper is active" in other.progress.waiting)
    with pytest.raises(ShippingError, match="already being shipped by"):
        Shipper(settings, second.send).run_once()
    one.stop.set()
    threads[0].join(10)
    record(settings, "b")
    eventually(lambda: second.stored)
    other.stop.set()
    threads[1].join(10)
    assert (first.seen, second.seen) == (["a"], ["b"])


def test_a_cluster_with_too_much_to_do_gets_smaller_requests(settings: Settings) -> None:
    record(settings, *numbered(400))
    cluster = Cluster(lambda _document: WAIT if cluster.requests[-1] > 120 else STORED)
    assert Shipper(settings, cluster.send).run_once() == Progress(shipped=400)
    assert cluster.requests[:3] == [400, 200, 99]
    assert max(cluster.requests[2:]) <= 130  # and a little more each time, to find out
    assert sorted(cluster.seen) == numbered(400)


@pytest.mark.parametrize("fits", [1000, 3])
def test_what_is_too_large_for_a_proxy_in_between_goes_in_smaller_requests(settings: Settings, fits: int) -> None:
    record(settings, *numbered(40))
    too_large = Verdict("wait", "HTTP 413", "too_large")
    cluster = Cluster(lambda _document: too_large if cluster.requests[-1] > fits else STORED)
    small = replace(settings, bulk_bytes=5 * 1024 * 1024 if fits == 1000 else 10_000)
    assert Shipper(small, cluster.send).run_once() == Progress(shipped=40)
    assert cluster.requests.count(40) <= 1
    assert sorted(cluster.seen) == numbered(40)


def test_one_entry_that_is_too_large_for_a_proxy_holds_up_no_other(settings: Settings) -> None:
    record(settings, *numbered(9))
    too_large = Verdict("wait", "HTTP 413", "too_large")
    cluster = Cluster(
        lambda document: too_large if target(document) == "0003" and len(cluster.requests) < 50 else STORED
    )
    assert Shipper(settings, cluster.send).run_once() == Progress(shipped=9)
    assert cluster.seen == [*(name for name in numbered(9) if name != "0003"), "0003"]


class Gate(Cluster):
    """A cluster that answers a request only once the test opens its gate."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[str, threading.Event] = {}

    def send(self, documents: Sequence[Document]) -> list[Verdict]:
        gate = self.waiting.setdefault(target(documents[0]), threading.Event())
        gate.wait(20)
        return super().send(documents)


def test_several_requests_are_under_way_and_the_position_follows_the_oldest(settings: Settings) -> None:
    [first, *_] = record(settings, *numbered(60))
    cluster = Gate()
    shipper = Shipper(replace(settings, bulk_entries=10, bulks_in_flight=3), cluster.send)
    thread = threading.Thread(target=shipper.run)
    thread.start()
    eventually(lambda: len(cluster.waiting) == 3)
    for name in ("0020", "0010"):
        cluster.waiting[name].set()
    eventually(lambda: len(cluster.stored) == 20)
    assert (acknowledged(settings, first.journal), len(cluster.waiting)) == (0, 4)  # one more is held ready, no others
    cluster.waiting["0000"].set()
    eventually(lambda: acknowledged(settings, first.journal) == 30)
    eventually(lambda: len(cluster.waiting) == 6)
    for gate in cluster.waiting.values():
        gate.set()
    eventually(lambda: acknowledged(settings, first.journal) == 60)
    shipper.stop.set()
    thread.join(10)
    assert sorted(cluster.seen) == numbered(60)


def test_a_stop_ships_what_is_left_and_then_what_the_farewell_records(settings: Settings) -> None:
    [first, *_] = record(settings, *numbered(300))
    cluster = Cluster()
    stop = threading.Event()
    said: list[int] = []

    def on_drained() -> bool:
        said.append(acknowledged(settings, first.journal))
        record(settings, "goodbye")
        return True

    small = replace(settings, bulk_entries=10, drain_timeout=20.0)
    stopped_at_once = moves(lambda progress: stop.set())
    shipper = Shipper(small, cluster.send, stop=stop, observe=stopped_at_once, on_drained=on_drained)
    assert shipper.run() == Progress(shipped=301)
    assert (said, cluster.seen[-1], acknowledged(settings, first.journal)) == ([300], "goodbye", 301)


def test_a_stop_without_a_cluster_ends_after_the_drain_timeout_without_a_farewell(settings: Settings) -> None:
    record(settings, "a")
    stop = threading.Event()
    shipper = Shipper(
        replace(settings, drain_timeout=0.3),
        Cluster(lambda _document: WAIT).send,
        stop=stop,
        observe=moves(lambda progress: stop.set()),
        on_drained=pytest.fail,
    )
    assert shipper.run() == Progress(waiting="busy")


def test_a_request_that_hangs_at_a_stop_is_left_behind(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whodid.shipping.loop._GRACE", 0.1)
    [first] = record(settings, "a")
    cluster = Gate()
    shipper = Shipper(replace(settings, drain_timeout=0.0), cluster.send)
    thread = threading.Thread(target=shipper.run)
    thread.start()
    eventually(lambda: cluster.waiting)
    shipper.stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert acknowledged(settings, first.journal) == 0
    cluster.waiting["a"].set()


@pytest.mark.usefixtures("no_flush")
def test_while_the_cluster_is_waited_for_what_dead_processes_left_to_the_kernel_is_synced(settings: Settings) -> None:
    record(settings, "a")
    cluster, stop = Gate(), threading.Event()
    shipper = Shipper(replace(settings, bulk_entries=1, bulks_in_flight=1, drain_timeout=0.0), cluster.send, stop=stop)
    thread = threading.Thread(target=shipper.run, daemon=True)
    thread.start()
    eventually(lambda: cluster.waiting)
    record(settings, "b")
    [last] = record(settings, "c")
    directory = JournalDirectory(settings.journal_dir)
    segment = max(directory.journal(last.journal).glob("[0-9]*.ndjson"))
    mark = DurableMark(directory.durable)
    eventually(lambda: mark.read(f"{last.journal}/{segment.stem}") == segment.stat().st_size)
    stop.set()
    for gate in cluster.waiting.values():
        gate.set()
    thread.join(30)
    assert not thread.is_alive()


def test_a_full_disk_at_the_acknowledgement_costs_no_second_request(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    [first, *_] = record(settings, *numbered(5))
    cluster = Cluster()
    write, failures = Acknowledged.write, iter(range(4))  # the first is that of the checkpoint

    def full(position: Acknowledged, journal: Path) -> None:
        if next(failures, None) is not None:
            raise OSError(28, "No space left on device")
        write(position, journal)

    monkeypatch.setattr(Acknowledged, "write", full)
    said: list[str] = []
    shipper = Shipper(settings, cluster.send, observe=moves(lambda progress: said.append(progress.waiting)))
    thread = threading.Thread(target=shipper.run)
    thread.start()
    eventually(lambda: acknowledged(settings, first.journal) == 5)
    shipper.stop.set()
    thread.join(10)
    assert cluster.requests == [5]
    assert [line.rpartition(": ")[2] for line in said] == ["No space left on device"] * 3 + [""]


def test_closed_segments_go_once_all_of_them_is_acknowledged(settings: Settings) -> None:
    small = replace(settings, segment_bytes=2000)
    [first, *_] = record(small, *numbered(40))
    directory = Path(small.journal_dir) / first.journal
    before = sorted(directory.glob("[0-9]*.ndjson"))
    assert len(before) > 3
    cluster = Cluster(lambda document: STORED if target(document) < "0020" else WAIT)
    Shipper(replace(small, bulk_entries=1), cluster.send).run_once(patience=0.05)
    kept = sorted(directory.glob("[0-9]*.ndjson"))
    assert int(kept[0].stem) <= 21 < int(kept[1].stem)
    Shipper(small, Cluster().send).run_once()
    assert sorted(directory.glob("[0-9]*.ndjson")) == before[-1:]
    record(small, "after")
    last = Cluster()
    assert Shipper(small, last.send).run_once().shipped == 1
    assert last.seen == ["after"]


def test_keep_days_keeps_shipped_segments(settings: Settings) -> None:
    small = replace(settings, segment_bytes=2000, keep_days=1.0)
    record(small, *numbered(40))
    before = sorted(Path(small.journal_dir).glob("*/[0-9]*.ndjson"))
    Shipper(small, Cluster().send).run_once()
    assert sorted(Path(small.journal_dir).glob("*/[0-9]*.ndjson")) == before


def test_an_ended_journal_is_shipped_beside_its_successor(settings: Settings) -> None:
    record(settings, "a")
    segment = segment_of(settings)
    segment.write_bytes(segment.read_bytes() + b'{"edited":"by hand"}\n')
    record(settings, "b")
    cluster = Cluster()
    assert Shipper(settings, cluster.send).run_once().shipped == 2
    assert sorted(cluster.seen) == ["a", "b"]


def test_the_lock_is_free_after_whatever_end(settings: Settings) -> None:
    record(settings, "a")

    def fail(_documents: Sequence[Document]) -> Any:
        raise RuntimeError("a bug")

    with pytest.raises(ShippingError, match="unexpected RuntimeError"):
        Shipper(settings, fail).run_once()
    assert Shipper(settings, Cluster().send).run_once().shipped == 1


def test_what_was_waited_for_is_no_longer_told_once_there_is_nothing_to_ship(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(settings, "a")
    failures = iter(range(5))
    read = JournalReader.read

    def failing(reader: JournalReader, max_bytes: int) -> Any:
        found = read(reader, max_bytes)
        if not found and next(failures, None) is not None:
            raise OSError(5, "Input/output error")
        return found

    monkeypatch.setattr(JournalReader, "read", failing)
    told: list[ShippingEvent] = []
    shipper = Shipper(settings, Cluster().send, observe=told.append)
    thread = threading.Thread(target=shipper.run)
    thread.start()
    eventually(lambda: Alive(idle=True) in told)
    shipper.stop.set()
    thread.join(10)
    assert shipper.progress == Progress(shipped=1)
    said = [step.progress.waiting.rpartition(": ")[2] for step in told if isinstance(step, Moved)]
    assert (set(said), said[-1]) == ({"", "Input/output error"}, "")


def test_shipping_continues_after_any_unexpected_error(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A send, a chore and an observer each raise what no boundary should let through."""
    monkeypatch.setattr("whodid.shipping.guard._FIRST_PAUSE", 0.01)
    record(settings, "a", "b")
    cluster = Cluster()
    failures = [KeyError("items"), OverflowError("1e400"), AttributeError("get")]

    def send(documents: Sequence[Document]) -> list[Verdict]:
        if failures:
            raise failures.pop()
        return cluster.send(documents)

    def fail(*_: object) -> Any:
        raise ZeroDivisionError

    told: list[str] = []
    shipper = Shipper(settings, send, observe=fail, maintenance=fail, on_drained=fail, notify=told.append)
    thread = threading.Thread(target=shipper.run)
    thread.start()
    eventually(lambda: cluster.seen == ["a", "b"])
    record(settings, "c")
    eventually(lambda: cluster.seen == ["a", "b", "c"])
    shipper.stop.set()
    thread.join(30)
    assert shipper.progress == Progress(shipped=3)
    assert {text.partition(" at ")[0] for text in told} == {
        "shipping: unexpected KeyError",
        "shipping: unexpected OverflowError",
        "shipping: unexpected AttributeError",
        "retention: unexpected ZeroDivisionError",
        "the log: unexpected ZeroDivisionError",
        "closing the journal: unexpected ZeroDivisionError",
    }


def test_a_journal_that_can_not_be_read_keeps_no_other_from_being_shipped(settings: Settings) -> None:
    record(settings, "a")
    segment = segment_of(settings)
    segment.write_bytes(segment.read_bytes() + b'{"edited":"by hand"}\n')
    record(settings, "b")
    partitioning = segment.parent / "partitioning"
    partitioning.write_text("[[1e400, []]]")
    cluster = Cluster()
    with pytest.raises(JournalDamaged, match="partitioning is damaged"):
        Shipper(settings, cluster.send).run_once()
    assert cluster.seen == ["b"]
    partitioning.unlink()
    assert Shipper(settings, cluster.send).run_once().shipped == 1
