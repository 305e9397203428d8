"""The runtime: one recorder a process, and a fork in the middle of setting it up."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

import whodid
from tests.recording import recorded
from whodid.journal import Journal
from whodid.recording import runtime


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_child_forked_while_another_thread_configures_can_configure_as_well() -> None:
    holding = threading.Event()

    def configuring() -> None:
        with runtime._lock:
            holding.set()
            time.sleep(0.2)  # the fork has to come within; it waits

    thread = threading.Thread(target=configuring)
    thread.start()
    holding.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if runtime._lock.acquire(timeout=60) else 1)
    assert os.waitpid(child, 0)[1] == 0
    thread.join()
    assert runtime._lock.acquire(timeout=60)
    runtime._lock.release()


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_relative_journal_stays_where_it_was_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "start").mkdir()
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "start")
    whodid.configure(journal_dir="journal", echo=False)
    direct = Journal("journal")
    monkeypatch.chdir(tmp_path / "other")
    with whodid.context(principal="42"):
        whodid.get_logger().audit("credentials_accessed", target="1")
        child = os.fork()
        if child == 0:
            try:
                whodid.get_logger().audit("credentials_accessed", target="2")
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert [entry["target"] for entry in recorded(tmp_path / "start/journal")] == ["1", "2"]
    assert direct.path == tmp_path / "start/journal"
    assert list((tmp_path / "other").iterdir()) == []
