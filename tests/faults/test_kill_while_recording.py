"""kill -9 of processes in a loop of `log.audit()`: no entry whose call returned is lost, and the chain is whole."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import whodid
from tests.recording import WHO, configured, recorded

_LOOP = """
import sys
import structlog
import whodid
path, durability, name = sys.argv[1:]
whodid.configure(journal_dir=path, durability=durability, echo=False, segment_bytes=20_000)
log, number = structlog.get_logger(), 0
with whodid.context(principal="42", client_ip="203.0.113.9"):
    while True:
        number += 1
        target = f"{name}-{number}"
        log.audit("credentials_created", target=target, details={"padding": "x" * 700})
        print(target, flush=True)
"""


@pytest.mark.parametrize("durability", ["disk", "process"])
def test_no_entry_whose_call_returned_is_lost(tmp_path: Path, durability: str) -> None:
    journal_dir = configured(tmp_path)
    returned: list[str] = []
    for worker in range(5):
        command = [sys.executable, "-c", _LOOP, str(journal_dir), durability]
        processes = [subprocess.Popen([*command, f"{worker}-{n}"], stdout=subprocess.PIPE, text=True) for n in range(2)]
        for process in processes:
            assert process.stdout
            returned += [process.stdout.readline().strip() for _ in range(15 + 7 * worker)]
        for process in processes:
            process.send_signal(signal.SIGKILL)
        for process in processes:
            with process:
                assert process.stdout
                rest = process.stdout.read()
                returned += rest[: rest.rfind("\n") + 1].split()
    with whodid.context(**WHO):
        whodid.get_logger().audit("credentials_created", target="after all of them")
    found = [entry["target"] for entry in recorded(journal_dir)]
    assert sorted(set(returned) - set(found)) == []
    assert len(found) == len(set(found))
    assert len(returned) > 200
