"""Processes under control: started by a test, ended or suspended at its word, and never left behind."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

__all__ = ["ControlledProcess"]


class ControlledProcess:
    """A program as a context manager, killed at the end of the block if it still runs.

    `command` and `env` as for `subprocess.Popen`. What it writes goes to a file, so that it never waits for a reader.
    """

    def __init__(
        self, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: str | Path | None = None
    ) -> None:
        self._command = [str(part) for part in command]
        self._env = dict(env) if env is not None else None
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ControlledProcess:
        self._folder = tempfile.TemporaryDirectory()
        self.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.kill()
        self._folder.cleanup()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the process was not started; use it as a context manager")
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        """What it wrote so far, standard output and error together, over all its starts."""
        return (Path(self._folder.name) / "output").read_text(errors="replace")

    def start(self) -> None:
        """Starts it again, after it has ended."""
        with (Path(self._folder.name) / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=subprocess.STDOUT, env=self._env, cwd=self._cwd
            )

    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """kill -9, and waits for its end; also where it is suspended, or has ended already."""
        self.process.kill()
        self.process.wait()

    def suspend(self) -> None:
        """SIGSTOP: it keeps its locks and connections, and does nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM: asks it to end."""
        self.process.terminate()

    def wait(self, timeout: float = 120.0) -> int:
        """The exit status, once it has ended; raises `TimeoutError`."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self._command[0]} still runs after {timeout:g} s:\n{self.output[-2000:]}") from None

    def until(self, condition: Callable[[], object], timeout: float = 120.0) -> None:
        """Waits until the condition holds; raises `TimeoutError`, or `RuntimeError` when the process ended before."""
        deadline = time.monotonic() + timeout
        while not condition():
            if not self.running():
                if condition():  # it became true just before the process ended
                    return
                raise RuntimeError(f"{self._command[0]} ended with {self.process.returncode}:\n{self.output[-2000:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not so within {timeout:g} s; it said:\n{self.output[-2000:]}")
            time.sleep(0.01)
