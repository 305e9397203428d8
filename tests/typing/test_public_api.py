"""The public API as a user calls it: mypy checks this file with the others, and it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog

import whodid
import whodid.testing


def test_calls_are_typed(tmp_path: Path) -> None:
    settings: whodid.Settings = whodid.configure(journal_dir=tmp_path / "journal", echo=False)
    log: whodid.AuditLogger = whodid.get_logger()
    with whodid.context(principal="42", client_ip="203.0.113.9"):
        whodid.bind(organization_id="7")
        receipt: whodid.Receipt = log.audit("credentials_created", target="6Yk2", details={"by": "cli"}, once="a")
    entry_id: str = receipt.entry_id
    wrapper: type[structlog.stdlib.BoundLogger] = whodid.audited(structlog.stdlib.BoundLogger)
    assert (settings.echo, entry_id[:16]) == (False, receipt.journal)
    assert wrapper.__name__ == "AuditedBoundLogger"


def test_assertions_about_entries_are_typed() -> None:
    with whodid.testing.audit_entries() as entries:
        whodid.get_logger().audit("credentials_created", target="6Yk2", principal="42")
    one: dict[str, Any] = entries.assert_recorded(type="credentials_created")
    several: list[dict[str, Any]] = entries.assert_recorded(times=1, principal="42")
    assert [one] == several == entries.of_type("credentials_created")
