"""uWSGI: no thread where workers are forked, and nothing left to a thread that does not run."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

import whodid
from tests.recording import configured
from whodid.journal import Journal
from whodid.process import forks_unseen, suspends_threads


def inside(monkeypatch: pytest.MonkeyPatch, *, worker: int, master: int, has_threads: int = 1) -> None:
    """As in a process of uWSGI."""
    module = SimpleNamespace(worker_id=lambda: worker, masterpid=lambda: master, has_threads=has_threads)
    monkeypatch.setitem(sys.modules, "uwsgi", module)


def inside_of_master(monkeypatch: pytest.MonkeyPatch) -> None:
    inside(monkeypatch, worker=0, master=os.getpid())


def record() -> whodid.Receipt:
    return whodid.get_logger().audit("credentials_accessed", target="7", principal="42")


def synced(journal: Journal) -> bool:
    segment = journal._unsynced
    return segment is not None and segment._synced == segment.size


@pytest.mark.parametrize(
    ("worker", "master", "forks"),
    [(0, os.getpid(), True), (0, 0, True), (0, os.getppid(), False), (1, os.getppid(), False), (1, 0, False)],
    ids=["master", "before the fork, without a master", "mule or spooler", "worker", "worker without a master"],
)
def test_what_has_no_number_and_no_other_master_forks(
    worker: int, master: int, forks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside(monkeypatch, worker=worker, master=master)
    assert forks_unseen() is forks


def test_outside_of_uwsgi_threads_start_and_run() -> None:
    assert "uwsgi" not in sys.modules
    assert not forks_unseen()
    assert not suspends_threads()


def test_where_workers_are_forked_each_call_syncs_and_no_thread_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(tmp_path, echo=False, durability="process")
    inside_of_master(monkeypatch)
    before = set(threading.enumerate())
    journal = whodid.recording.runtime.recorder().journal
    for _ in range(3):
        assert record().recorded
        assert synced(journal)
    assert asyncio.run(whodid.get_logger().aaudit("credentials_accessed", target="7", principal="42")).recorded
    assert set(threading.enumerate()) <= before  # those of earlier tests may end meanwhile


def test_where_threads_do_not_run_between_requests_each_call_syncs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(tmp_path, echo=False, durability="process")
    inside(monkeypatch, worker=1, master=os.getppid(), has_threads=0)
    for _ in range(3):
        assert record().recorded
        assert synced(whodid.recording.runtime.recorder().journal)
