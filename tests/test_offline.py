"""Recording never waits for the network: it has none."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import structlog

import whodid
from tests.live.corner import eventually
from tests.recording import WHO, configured, recorded
from whodid.settings import Settings
from whodid.shipping.background import stop_background_shipping
from whodid.shipping.status import directory_status


def test_recording_opens_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal_dir = configured(tmp_path, opensearch_hosts="https://search.invalid:9200")

    def refuse(*_: Any) -> None:
        raise AssertionError("recording tried to use the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with whodid.context(**WHO):
        structlog.get_logger().audit("credentials_created", target="1")
        whodid.get_logger().audit("credentials_created", target="2")
    assert [entry["target"] for entry in recorded(journal_dir)] == ["1", "2"]


@pytest.mark.live
def test_an_application_can_ship_by_itself(tmp_path: Path, opensearch_url: str) -> None:
    from whodid.cluster.connection import connect
    from whodid.setup.setup import apply, plan

    settings = Settings(
        journal_dir=str(tmp_path / "journal"),
        opensearch_hosts=(opensearch_url,),
        index_prefix="shipped-by-the-application",
        ship=True,
        poll_interval=0.05,
    )
    apply(plan(connect(settings), settings))
    whodid.configure(settings=settings)
    with whodid.context(**WHO):
        receipt = whodid.get_logger().audit("credentials_created", target="6Yk2")
    eventually(lambda: not directory_status(settings.journal_dir).backlog)
    with whodid.AuditClient(settings) as client:
        entry = eventually(lambda: client.get(receipt.entry_id))
    stop_background_shipping()
    assert entry == recorded(tmp_path / "journal")[0]


def test_a_failing_background_shipper_says_so_and_leaves_the_application_alone(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path, ship=True, opensearch_hosts="http://127.0.0.1:1", poll_interval=0.05)
    with whodid.context(**WHO):
        for number in range(20):
            assert whodid.get_logger().audit("credentials_created", target=str(number)).recorded
    stop_background_shipping()
    assert directory_status(str(journal_dir)).backlog == 20
