"""The checkpoint_delivery: each witness is told of each checkpoint, once, and one that fails keeps nobody waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.corner import eventually
from tests.shipping.test_loop import Cluster, record
from whodid.errors import WitnessError
from whodid.journal import JournalDirectory
from whodid.proof.checkpoint import SignedCheckpoint
from whodid.settings import Settings
from whodid.shipping import Shipper
from whodid.shipping.checkpoint_delivery import CheckpointDelivery, Destination
from whodid.shipping.checkpointing import closed_checkpoints
from whodid.shipping.status import directory_status


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(journal_dir=str(tmp_path / "journal"), poll_interval=0.02)


def ship(settings: Settings, keep: Callable[[SignedCheckpoint], None], told: list[str] | None = None) -> None:
    said = [] if told is None else told
    checkpoint_delivery = CheckpointDelivery(
        JournalDirectory(settings.journal_dir, create=True), [Destination("w", keep)], said.append
    )
    Shipper(settings, Cluster().send, checkpoint_delivery=checkpoint_delivery).run_once()


def test_each_is_told_once(settings: Settings) -> None:
    told: list[SignedCheckpoint] = []
    for target in "abc":
        record(settings, target)
        ship(settings, told.append)
    assert told == list(closed_checkpoints(JournalDirectory(settings.journal_dir)))
    assert len(told) == 4


def test_a_lost_note_costs_a_repetition(settings: Settings) -> None:
    record(settings, "a")
    told: list[SignedCheckpoint] = []
    ship(settings, told.append)
    (Path(settings.journal_dir) / "witnessed.json").write_text("{")
    ship(settings, told.append)
    assert len(told) == 2 * len({one.key for one in told}) == 4


def test_one_that_fails_is_shown_by_status_and_told_later(settings: Settings) -> None:
    record(settings, "a")
    said: list[str] = []

    def refuse(sealed: SignedCheckpoint) -> None:
        raise WitnessError("the witness w can't keep it: Read-only file system")

    ship(settings, refuse, said)
    [problem] = directory_status(settings.journal_dir).problems
    assert "checkpoints could not be delivered to w since" in problem
    assert "Read-only file system" in problem
    assert len(said) == 1
    told: list[SignedCheckpoint] = []
    ship(settings, told.append, said)
    assert len(told) == 2
    assert directory_status(settings.journal_dir).problems == ()
    assert said[-1] == "delivery of checkpoints to w recovered"


def test_one_that_hangs_keeps_nobody_waiting_for_long(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whodid.shipping.loop._GRACE", 0.1)
    record(settings, "a")
    hanging, free = threading.Event(), threading.Event()

    def hang(sealed: SignedCheckpoint) -> None:
        hanging.set()
        free.wait(30)

    began = time.monotonic()
    try:
        ship(settings, hang)
        assert hanging.is_set()
        assert time.monotonic() - began < 10
    finally:
        free.set()


def test_one_that_comes_back_is_told_while_the_shipper_runs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whodid.shipping.checkpoint_delivery._PAUSES", (0.05,))
    record(settings, "a")
    told: list[SignedCheckpoint] = []
    failures = iter(range(3))

    def keep(sealed: SignedCheckpoint) -> None:
        if next(failures, None) is not None:
            raise WitnessError("away")
        told.append(sealed)

    stop = threading.Event()
    checkpoint_delivery = CheckpointDelivery(
        JournalDirectory(settings.journal_dir, create=True), [Destination("w", keep)], print
    )
    thread = threading.Thread(
        target=Shipper(settings, Cluster().send, stop=stop, checkpoint_delivery=checkpoint_delivery).run
    )
    thread.start()
    try:
        eventually(lambda: told)
    finally:
        stop.set()
        thread.join(10)
    assert [one.checkpoint.why for one in told] == ["begun", "stop"]


def test_where_no_thread_could_start_the_next_checkpoint_tries_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: object) -> None:
        raise RuntimeError("can't start new thread")

    record(settings, "a")
    ship(settings, lambda sealed: None)
    told: list[SignedCheckpoint] = []
    checkpoint_delivery = CheckpointDelivery(
        JournalDirectory(settings.journal_dir), [Destination("v", told.append)], print
    )
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        checkpoint_delivery.start()
    checkpoint_delivery.finish(0)
    assert told == []
    checkpoint_delivery.wake()
    checkpoint_delivery.finish(60)
    assert told == list(closed_checkpoints(JournalDirectory(settings.journal_dir)))
