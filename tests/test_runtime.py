"""The runtime: one recorder a process, and what comes in the middle of setting it up: forks, signals, warnings."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import whodid
from tests.recording import recorded
from whodid.journal import Journal
from whodid.journal.lock import Hold
from whodid.recording import runtime


def take(seconds: float) -> bool:
    hold = Hold(runtime._lock())
    try:
        return hold.take(seconds)
    finally:
        hold.give_back()


@pytest.mark.parametrize("seen", [True, False], ids=["seen by Python", "unseen"])
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_child_forked_while_another_thread_configures_can_configure_as_well(seen: bool) -> None:
    fork = os.fork if seen else ctypes.PyDLL(None).fork
    holding = threading.Event()
    over: list[bool] = []

    def configuring() -> None:
        with Hold(runtime._lock()):
            holding.set()
            time.sleep(0.2)  # the fork has to come within; one that Python sees waits
            over.append(True)

    thread = threading.Thread(target=configuring)
    thread.start()
    holding.wait()
    child = fork()
    if child == 0:
        os._exit(0 if take(10) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert over or not seen
    thread.join()
    assert take(60)


IN_THE_FIRST_CALL = """
import os, signal, sys, warnings
import whodid

def record(target):
    return whodid.get_logger().audit("credentials_created", target=target, principal="system").seq

def try_to_record(*_, **__):
    try:
        print("inside:", record("inside"))
    except whodid.JournalLocked as error:
        print("inside:", type(error).__name__)

def fork(*_):
    child = os.fork()
    if child == 0:
        sys.settrace(None)
        try_to_record()
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)

if sys.argv[1] == "a warnings hook records":
    os.environ["WHODID_TYPO"] = "1"
    warnings.showwarning = try_to_record
else:
    signal.signal(signal.SIGTERM, fork if "forks" in sys.argv[1] else try_to_record)
    def trace(frame, *_):
        if frame.f_code.co_name == "load_settings":
            sys.settrace(None)
            os.kill(os.getpid(), signal.SIGTERM)
    sys.settrace(trace)
print("first:", record("first"))
"""


@pytest.mark.parametrize(
    ("event", "inside", "first"),
    [
        ("a warnings hook records", "1", "2"),
        ("a signal handler records", "JournalLocked", "1"),
        ("a signal handler forks", "JournalLocked", "1"),
    ],
)
def test_the_first_call_never_waits_for_itself(tmp_path: Path, event: str, inside: str, first: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_THE_FIRST_CALL, event],
        env={**os.environ, "WHODID_JOURNAL_DIR": str(tmp_path / "journal"), "WHODID_ECHO": "false"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == f"inside: {inside}\nfirst: {first}\n", done.stderr


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
