"""The guard as seen by its owner: starts it, reads its messages, and detaches or stops it."""

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

# Guards that outlive this process.
_detached: list[subprocess.Popen[str]] = []


@atexit.register
def _suppress_warnings() -> None:
    """Set return codes, so that subprocess does not report detached guards as leaks at exit."""
    for process in _detached:
        process.returncode = process.poll() or 0


class GuardedProcess:
    """A guard and its node, which runs as long as this object exists, or longer after `detach`."""

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
            self.node_pid = self._read_start()
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def has_ended(self) -> bool:
        """Return whether the guard, and therefore the node, has ended."""
        return self._process.poll() is not None

    def detach(self) -> None:
        """Let the node outlive this process."""
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write("detach\n")
                self._process.stdin.flush()
        if self._read() != "detached":
            raise DevServerError("the node ended just as it was ready; see its log")
        _detached.append(self._process)
        self._close_pipes()

    def end(self) -> None:
        """Stop guard and node, and wait until they have ended."""
        self._close_pipes()
        self._process.terminate()
        self._process.wait()

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _read_start(self) -> int:
        word, _, rest = self._read().partition(" ")
        if word != "started":
            raise DevServerError(f"could not run Java: {rest or 'the guard process ended'}")
        return int(rest)

    def _read(self) -> str:
        return self._process.stdout.readline().rstrip("\n") if self._process.stdout else ""
