"""systemd hears of a shipper what sd_notify(3) has it hear."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from whodid.shipping.delivery import Alive, Answered
from whodid.shipping.log import Systemd


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@whodid-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0", 1))
        listening.settimeout(5)
        yield listening, name


def test_it_is_ready_at_the_first_step_and_alive_as_often_as_is_wanted(manager: tuple[socket.socket, str]) -> None:
    listening, name = manager
    clock = [0.0]
    systemd = Systemd({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "20000000"}, lambda: clock[0])
    for moment in (0, 1, 9, 10, 11, 21):
        clock[0] = moment
        systemd.observe(Alive() if moment != 1 else Answered(0.1, 1, 1))
    systemd.notify("STOPPING=1")
    heard = [listening.recv(100) for _ in range(5)]
    assert heard == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_without_a_watchdog_only_readiness_is_told(manager: tuple[socket.socket, str]) -> None:
    listening, name = manager
    for environ in ({}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": str(os.getpid() + 1)}, {"WATCHDOG_USEC": "never"}):
        systemd = Systemd({"NOTIFY_SOCKET": name, **environ})
        for _ in range(3):
            systemd.observe(Alive())
        systemd.notify("STOPPING=1")
        assert [listening.recv(100), listening.recv(100)] == [b"READY=1", b"STOPPING=1"]


def test_without_systemd_and_with_one_that_is_gone_nothing_happens(tmp_path: Path) -> None:
    for environ in ({}, {"NOTIFY_SOCKET": str(tmp_path / "nobody")}):
        Systemd(environ).observe(Alive())
