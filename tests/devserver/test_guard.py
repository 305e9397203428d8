"""The guard ends its node when it should, with a stand-in for the node that only waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from whodid.devserver.folder import ProcessMark
from whodid.devserver.guarded import GuardedProcess
from whodid.errors import DevServerError
from whodid.locks import is_locked, take_lock

from .conftest import Wait

pytestmark = pytest.mark.timeout(60)

NODE = [sys.executable, "-c", "import signal; signal.pause()"]
OWNER = """
import os, sys
from pathlib import Path
from whodid.locks import take_lock
from whodid.devserver.guarded import GuardedProcess
folder = Path(sys.argv[1])
lock = take_lock(folder / "lock")
node = [sys.executable, "-c", "import signal; signal.pause()"]
guarded = GuardedProcess(node, lock, folder / "log", folder)
if "detach" in sys.argv:
    guarded.detach()
print(guarded.pid, guarded.node_pid, flush=True)
if "fork" in sys.argv and os.fork() == 0:
    os.close(1)
sys.stdin.read()
"""


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedProcess]:
    lock = take_lock(tmp_path / "lock")
    assert lock is not None
    process = GuardedProcess(NODE, lock, tmp_path / "log", tmp_path)
    os.close(lock)
    yield process
    process.end()


def marks(pids: list[int]) -> list[ProcessMark]:
    found = [ProcessMark.of(pid) for pid in pids]
    return [mark for mark in found if mark is not None]


def owner(folder: Path, environment: dict[str, str], *words: str) -> tuple[subprocess.Popen[str], list[ProcessMark]]:
    """A process that owns a guard; returns it with the marks of guard and node."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder), *words],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found = marks([int(pid) for pid in process.stdout.readline().split()])
    assert len(found) == 2
    return process, found


def finish(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_end_leaves_neither_guard_nor_node(guarded: GuardedProcess) -> None:
    found = marks([guarded.pid, guarded.node_pid])
    guarded.end()
    assert [mark.runs() for mark in found] == [False, False]


def test_lock_is_held_as_long_as_the_node_lives(guarded: GuardedProcess, tmp_path: Path) -> None:
    assert is_locked(tmp_path / "lock")
    guarded.end()
    assert not is_locked(tmp_path / "lock")


def test_guard_ends_when_its_node_ends(guarded: GuardedProcess, wait: Wait) -> None:
    os.kill(guarded.node_pid, signal.SIGKILL)
    wait(guarded.has_ended, 60)


def test_sigterm_to_the_guard_ends_the_node(guarded: GuardedProcess, wait: Wait) -> None:
    found = marks([guarded.node_pid])
    os.kill(guarded.pid, signal.SIGTERM)
    wait(guarded.has_ended, 60)
    assert not found[0].runs()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child when its parent is killed")
def test_guard_killed_with_9_takes_the_node_along(guarded: GuardedProcess, wait: Wait) -> None:
    found = marks([guarded.node_pid])
    os.kill(guarded.pid, signal.SIGKILL)
    wait(lambda: not found[0].runs(), 60)


def test_owner_killed_with_9_leaves_nothing(tmp_path: Path, environment: dict[str, str], wait: Wait) -> None:
    process, found = owner(tmp_path, environment)
    finish(process)
    wait(lambda: not any(mark.runs() for mark in found), 60)


def test_owner_killed_leaves_nothing_though_its_fork_keeps_the_pipe(
    tmp_path: Path, environment: dict[str, str], wait: Wait
) -> None:
    process, found = owner(tmp_path, environment, "fork")
    forks: list[psutil.Process] = []

    def forked() -> bool:
        forks[:] = [c for c in psutil.Process(process.pid).children() if c.pid != found[0].pid]
        return bool(forks)

    wait(forked, 60)
    process.kill()
    wait(lambda: not any(mark.runs() for mark in found), 60)
    assert forks[0].is_running()
    forks[0].kill()
    process.communicate()


def test_detached_node_outlives_its_owner(tmp_path: Path, environment: dict[str, str], wait: Wait) -> None:
    process, found = owner(tmp_path, environment, "detach")
    finish(process)
    assert [mark.runs() for mark in found] == [True, True]
    found[0].send(signal.SIGTERM)
    wait(lambda: not any(mark.runs() for mark in found), 60)


def test_program_that_cannot_be_run_is_reported(tmp_path: Path) -> None:
    lock = take_lock(tmp_path / "lock")
    assert lock is not None
    with pytest.raises(DevServerError, match=r"could not run Java: .*No such file"):
        GuardedProcess([str(tmp_path / "absent")], lock, tmp_path / "log", tmp_path)
    os.close(lock)
    assert not is_locked(tmp_path / "lock")
