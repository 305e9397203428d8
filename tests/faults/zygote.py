"""The zygote: a process that has imported everything, and forks recorders and shippers that a test kills.

A victim so costs milliseconds instead of a second. `python -m tests.faults.zygote` reads one JSON object a line (`role`
and the role's arguments) and answers each with the PID of the victim. What victims say goes to its standard error.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.faults.victims import ROLES

__all__ = ["Victim", "Zygote"]


class Victim:
    """A process that was forked to be killed. `marks` is the file in which it says what it is doing.

    It is known by a descriptor: of thousands of victims, the numbers of the first are soon those of other processes.
    """

    def __init__(self, pid: int, role: str, marks: Path) -> None:
        self.role = role
        self._process: int | None = None
        with suppress(ProcessLookupError):  # it has ended already
            self._process = os.pidfd_open(pid)
        self._marks = os.open(marks, os.O_RDONLY)

    def phase(self) -> str:
        return os.pread(self._marks, 32, 0).rstrip(b" \0").decode()

    def alive(self) -> bool:
        return self._process is not None and not _ended(self._process, 0)

    def kill(self) -> None:
        """kill -9, unless it has ended."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
            _ended(self._process, None)
            os.close(self._process)
            self._process = None

    def kill_in(self, phase: str, after: float, patience: float) -> str:
        """kill -9, `after` seconds into a phase if that comes within `patience`; where it was hit, in its own words."""
        deadline = time.monotonic() + patience
        while phase and self.phase() != phase and time.monotonic() < deadline and self.alive():
            pass
        now = time.perf_counter()
        while time.perf_counter() < now + after:
            pass
        self.kill()
        hit = self.phase()
        os.close(self._marks)
        return hit


def _ended(process: int, milliseconds: int | None) -> bool:
    """Waits until a process has ended; `select` knows no more than 1,024 descriptors."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(milliseconds))


class Zygote:
    """As a context manager. `said` is what its victims wrote to standard error: nothing, if all is well."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._victims: list[Victim] = []

    def __enter__(self) -> Zygote:
        self._log = (self._folder / "said").open("w")
        command = [sys.executable, "-m", "tests.faults.zygote"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        return self

    def fork(self, role: str, **arguments: Any) -> Victim:
        """A new victim, which goes to work at once."""
        self._count += 1
        marks = self._folder / f"marks-{self._count}"
        marks.touch()
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps({"role": role, "marks": str(marks), **arguments}), file=self._process.stdin, flush=True)
        victim = Victim(int(self._process.stdout.readline()), role, marks)
        self._victims.append(victim)
        return victim

    def said(self) -> str:
        return (self._folder / "said").read_text()

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        for victim in self._victims:
            victim.kill()
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(20)
        assert self._process.stdout
        self._process.stdout.close()
        self._log.close()


@contextmanager
def _marked(marks: int, phase: str) -> Iterator[None]:
    before = os.pread(marks, 32, 0)
    os.pwrite(marks, phase.ljust(32).encode(), 0)
    yield
    os.pwrite(marks, before or b" " * 32, 0)


def _work(*, role: str, marks: str, **arguments: Any) -> None:
    file = os.open(marks, os.O_RDWR)
    ROLES[role](lambda phase: _marked(file, phase), **arguments)


def _serve() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for victims: the kernel forgets them
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(2, 1)
            _work(**order)
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    _serve()
