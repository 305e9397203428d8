"""The guard: a tiny process that is the node's parent for its whole life, and ends it with its owner.

Run by path (`python -I -S guard.py OWNER LOCK_FD LOG -- COMMAND…`), so it imports the standard library only
and works however whodid was made importable.

- Standard input is a pipe whose other end only the owner holds. Before hand-over, its end-of-file means that
  the owner is gone, however it went (`kill -9` too), and the node is ended. A change of parent process means
  the same, for the case that a fork of the owner keeps the pipe open. The line `detach` hands over: from then
  on the guard and its node belong to nobody and stay.
- Standard output says `started PID` or `failed REASON`, then `detached`.
- SIGTERM and SIGINT end the node. The guard ends when the node has ended.
- LOCK_FD holds the data directory's lock; node and guard inherit it, so it is held as long as either lives.
- On Linux the node asks the kernel for a SIGKILL when the guard dies (PR_SET_PDEATHSIG). Elsewhere a node
  whose guard was killed with -9 stays, keeps the lock, and is ended by the next `stop`.

It runs in its own session: Ctrl-C in the owner's terminal reaches neither guard nor node directly.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

GRACE_SECONDS = 10.0
OWNER_CHECK_SECONDS = 1.0
PR_SET_PDEATHSIG = 1


def die_with_guard(guard: int) -> None:
    """In the node's process, before its program is loaded: have the kernel end it when the guard dies."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != guard:
        os._exit(1)


def launch(command: list[str], lock: int, log: str) -> subprocess.Popen[bytes]:
    """Start the node, its output going to the log file."""
    guard = os.getpid()
    with open(log, "ab", buffering=0) as output:  # noqa: PTH123 - the guard starts faster without pathlib
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[lock],
            preexec_fn=(lambda: die_with_guard(guard)) if sys.platform == "linux" else None,
        )


def end(node: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL to a node that has not ended in time."""
    node.terminate()
    try:
        node.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        node.kill()
        node.wait()


def say(line: str) -> None:
    """Tell the owner, who may be gone."""
    with contextlib.suppress(OSError):
        os.write(1, f"{line}\n".encode())


def wakeup_pipe() -> int:
    """A descriptor that gets one byte, the signal's number, for each signal that arrives."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return reader


def watch(node: subprocess.Popen[bytes], owner: int, signals: int) -> None:
    """Return once the node has ended or must be ended."""
    owned = True
    while node.poll() is None:
        if owned:
            ready, _, _ = select.select([0, signals], [], [], OWNER_CHECK_SECONDS)
        else:
            ready, _, _ = select.select([signals], [], [])
        if signals in ready and {signal.SIGTERM, signal.SIGINT} & set(os.read(signals, 64)):
            return
        if owned and 0 in ready:
            if os.read(0, 64) != b"detach\n":
                return
            owned = False
            say("detached")
        if owned and os.getppid() != owner:
            return


def main(arguments: list[str]) -> int:
    owner, lock, log, separator, *command = arguments
    if separator != "--":
        return 2
    signals = wakeup_pipe()
    try:
        node = launch(command, int(lock), log)
    except OSError as error:
        say(f"failed {error}")
        return 1
    started = time.monotonic()
    say(f"started {node.pid}")
    watch(node, int(owner), signals)
    end(node)
    # For whoever reads the log of a node that did not last.
    sys.stderr.write(f"node ended with code {node.returncode} after {time.monotonic() - started:.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
