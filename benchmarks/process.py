"""A process: what it is given, and what it took: its time, the kernel's account of its CPU, and its peak of memory.

The kernel's own account of the peak (`ru_maxrss`) would begin with the memory of whoever started the process, so the
peak is read from `/proc` while it runs.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Spent", "environment", "lasting", "peak_mb", "wait"]

_LOOK = 0.02


@dataclass(frozen=True)
class Spent:
    status: int
    seconds: float
    cpu: float
    peak_mb: float


def environment() -> dict[str, str]:
    """This one, without whodid's settings, and such that modules compiled once are kept, as installed ones are."""
    left_out = ("WHODID_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


def lasting() -> Path:
    """A folder on a disk: temporary files that survive a reboot lie there, the usual ones often in memory."""
    found = Path("/var/tmp")  # noqa: S108 (only as the parent of a fresh directory)
    return found if found.is_dir() else Path(tempfile.gettempdir())


def wait(process: subprocess.Popen[bytes], timeout: float) -> Spent:
    """Waits for the end of a process just started; kills it after `timeout` seconds."""
    begin = time.perf_counter()
    peak = 0.0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        seconds = time.perf_counter() - begin
        if pid:
            break
        peak = peak_mb(process.pid) or peak
        if seconds > timeout:
            process.kill()
        time.sleep(_LOOK)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Spent(process.returncode, seconds, usage.ru_utime + usage.ru_stime, peak)


def peak_mb(pid: int) -> float:
    """The most memory that a process had so far; 0 of one that has ended."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0
