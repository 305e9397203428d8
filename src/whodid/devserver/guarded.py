"""The owner's side of the guard: start it, hear from it, hand it over or let it go."""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
from pathlib import Path

from whodid.devserver import guard
from whodid.errors import DevServerError

__all__ = ["GuardedProcess"]

# Guards that are meant to outlive this process.
_handed_over: list[subprocess.Popen[str]] = []


@atexit.register
def _forget_handed_over() -> None:
    """Keep subprocess from warning of them as leaks at exit: it does not for a process with a return code."""
    for process in _handed_over:
        process.returncode = process.poll() or 0


class GuardedProcess:
    """A guard and its node. While this object lives and has not detached, so does the node."""

    def __init__(self, command: list[str], lock: int, log: Path, folder: Path) -> None:
        """Start both; the node inherits `lock`, writes its output to `log` and runs in `folder`."""
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    guard.__file__,
                    str(os.getpid()),
                    str(lock),
                    str(log),
                    "--",
                    *command,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=[lock],
                start_new_session=True,
                cwd=folder,
                text=True,
                bufsize=1,
            )
        try:
            self.node_pid = self._hear_start()
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def has_ended(self) -> bool:
        """Whether the guard, and so the node, is gone."""
        return self._process.poll() is not None

    def detach(self) -> None:
        """Hand over: from now on the node outlives this process."""
        self._say("detach\n")
        if self._hear() != "detached":
            raise DevServerError("the node ended just as it was ready; see its log")
        _handed_over.append(self._process)
        self._close_pipes()

    def end(self) -> None:
        """End guard and node, and wait until they are gone."""
        self._close_pipes()
        self._process.terminate()
        self._process.wait()

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _hear_start(self) -> int:
        word, _, rest = self._hear().partition(" ")
        if word != "started":
            raise DevServerError(f"could not run Java: {rest or 'the guard process ended'}")
        return int(rest)

    def _hear(self) -> str:
        return self._process.stdout.readline().rstrip("\n") if self._process.stdout else ""

    def _say(self, line: str) -> None:
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(line)
                self._process.stdin.flush()
