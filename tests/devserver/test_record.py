"""The record of a node, and telling its processes from later ones with the same PID."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from whodid.devserver.folder import NodeRecord, ProcessMark, forget_record, read_record, write_record
from whodid.errors import DevServerError


def this_process() -> ProcessMark:
    mark = ProcessMark.of(os.getpid())
    assert mark is not None
    return mark


def test_record_is_read_back_as_written_and_for_the_owner_only(tmp_path: Path) -> None:
    record = NodeRecord(this_process(), ProcessMark(2, 3.25), 9200, "3.4.0", detached=True)
    write_record(tmp_path / "node.json", record)
    assert read_record(tmp_path / "node.json") == record
    assert (tmp_path / "node.json").stat().st_mode & 0o777 == 0o600
    assert record.url == "http://127.0.0.1:9200"


def test_absent_record_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path / "node.json") is None


def test_only_the_record_meant_is_forgotten(tmp_path: Path) -> None:
    record = NodeRecord(this_process(), ProcessMark(2, 3.25), 9200, "3.4.0", detached=True)
    write_record(tmp_path / "node.json", record)
    forget_record(tmp_path / "node.json", replace(record, port=9201))
    assert read_record(tmp_path / "node.json") == record
    forget_record(tmp_path / "node.json", record)
    assert read_record(tmp_path / "node.json") is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the start is on the wall clock")
def test_start_is_counted_from_boot_so_that_setting_the_clock_changes_nothing() -> None:
    assert 0 < this_process().started <= time.clock_gettime(time.CLOCK_BOOTTIME)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"node": 1}', "\xff"])
def test_unreadable_record_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "node.json").write_text(content, "latin-1")
    with pytest.raises(DevServerError, match=r"can't read .*node\.json"):
        read_record(tmp_path / "node.json")


def test_recycled_pid_is_not_taken_for_the_node_nor_signalled() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    mark = ProcessMark.of(process.pid)
    assert mark is not None
    earlier = replace(mark, started=mark.started - 100)
    assert not earlier.runs()
    earlier.send(signal.SIGKILL)
    assert mark.runs()
    mark.send(signal.SIGKILL)
    process.wait()


def test_process_that_ended_but_was_not_waited_for_does_not_run() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    mark = ProcessMark.of(process.pid)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert mark is None or not mark.runs()
    process.communicate()
