"""The guard: a small process that is the parent of the node, and stops it when the owner ends.

It is run by path (`python -I -S guard.py OWNER LOCK_FD LOG -- COMMAND…`), and imports only the standard library.

- Standard input is a pipe whose other end only the owner has. Its end-of-file means that the owner has ended, even by
  `kill -9`, and the node is stopped. A change of the parent process means the same, in case a fork of the owner keeps
  the pipe open. After the line `detach`, guard and node no longer depend on the owner.
- Standard output is `started PID` or `failed REASON`, then `detached`.
- SIGTERM and SIGINT stop the node. The guard ends when the node has ended.
- LOCK_FD holds the lock of the data directory; node and guard inherit it, so it is held while either of them runs.
- On Linux the kernel kills the node when the guard dies (PR_SET_PDEATHSIG). On other systems a node whose guard was
  killed keeps running and keeps the lock until the next `stop`.

The guard runs in its own session, so Ctrl-C in the terminal of the owner does not reach guard or node.
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
    """Have the kernel kill this process, the future node, when the guard dies."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != guard:
        os._exit(1)


def launch(command: list[str], lock: int, log: str) -> subprocess.Popen[bytes]:
    """Start the node with its output in the log file."""
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
    """Stop the node with SIGTERM, or with SIGKILL if it does not end in time."""
    node.terminate()
    try:
        node.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        node.kill()
        node.wait()


def say(line: str) -> None:
    """Send a line to the owner, which may have ended."""
    with contextlib.suppress(OSError):
        os.write(1, f"{line}\n".encode())


def wakeup_pipe() -> int:
    """Return a descriptor that receives the number of each signal as one byte."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return reader


def watch(node: subprocess.Popen[bytes], owner: int, signals: int) -> None:
    """Return when the node has ended or must be stopped."""
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
    sys.stderr.write(f"node ended with code {node.returncode} after {time.monotonic() - started:.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
