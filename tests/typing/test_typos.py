"""A misspelt setting, field or filter, and a value of the wrong type, is an error to mypy and to pyright."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from tests.typing.checkers import CHECKERS, Lines

RIGHT = dedent(
    '''
    import logging
    from datetime import UTC, datetime
    from pathlib import Path
    from typing import Unpack
    from unittest.mock import ANY

    import structlog
    from sqlalchemy.orm import Session

    import whodid
    import whodid.testing
    from whodid.integrations.sqlalchemy import audit_on_commit
    from whodid.search import Filter
    from whodid.typing import CallFields, EntryFields

    settings: whodid.Settings = whodid.configure(
        "whodid.toml", journal_dir=Path("/tmp/journal"), segment_age=60, trusted_proxies=["10.0.0.0/8"], service=None
    )
    whodid.configure(settings=whodid.Settings(service="shop", durability="process"))


    class Logger(whodid.AuditMixin, structlog.stdlib.BoundLogger):
        """As applications write it."""


    structlog.configure(wrapper_class=whodid.audited(structlog.stdlib.BoundLogger))
    structlog.configure(wrapper_class=Logger, processors=[whodid.AuditProcessor()])
    logging.getLogger().addHandler(whodid.AuditHandler(logging.INFO))
    slog: Logger = structlog.get_logger()
    slog.bind(organization_id="7").audit("user_sign_in", target="x").entry_id.upper()
    slog.info("ordinary")
    log: whodid.AuditLogger = whodid.get_logger(__name__)
    receipt: whodid.Receipt = log.audit("user_sign_in", target="x", status=None, details={"by": 1}, outcome="failure")
    log.audit("user_sign_in", target="x", once="a").entry_id.upper()
    log.audit("team_updated", target="x", **whodid.changes({"a": 1}, {"a": 2}))


    def record(event_type: str, **fields: Unpack[EntryFields]) -> whodid.Receipt:
        return log.audit(event_type, **fields)


    def record_once(event_type: str, **fields: Unpack[CallFields]) -> whodid.Receipt:
        return slog.audit(event_type, **fields)


    @whodid.context(organization_id="7")
    async def recording() -> None:
        with whodid.context(principal="42", client_ip="203.0.113.9"), whodid.system(correlation_id="night"):
            whodid.bind(principal_name="Ada")
            (await log.aaudit("user_sign_in", target="x", once=None)).entry_id.upper()
            with log.auditing("team_deleted", target="9") as operation:
                operation.add(details={"rows": 4}, status="done")
            async with slog.aauditing("team_deleted", target="9", details={"rows": 4}) as operation:
                operation.id.upper()


    def asking(client: whodid.AuditClient, where: Filter) -> None:
        next(client.search("type:user_*", principal=["42", "43"], since="-7d", seq=7, details=True))["type"]
        client.search(where & ~Filter.of(until=datetime.now(UTC), client_ip="10.0.0.0/8"), sort="oldest", limit=3)
        client.page(principal="42", after="x", cursor="y", size=7, expired=True).ids.clear()
        client.count(principal={"42"}, expired=True).bit_length()
        client.counts_by("principal", type="user_*")
        client.stats(group_by=["type"], by="42", type="user_*", since="2026", exact=True).as_json()
        client.search(about="6Yk2", since="-90d", principal="42", expired=True)
        client.search(by={"42", "43"}, until=datetime.now(UTC), type=("user_*", "team_*"))
        client.follow(type="user_*", last=3, since="-7d")
        client.orphans(type="user_*", until="-1h")


    def connected() -> whodid.AuditClient:
        return whodid.AuditClient(opensearch_hosts=["https://search.example:9200"], opensearch_timeout=5)


    def testing(entries: whodid.testing.AuditEntries, session: Session) -> None:
        audit_on_commit(session, "user_sign_in", target="x", once="a")
        entries.assert_recorded(type="user_sign_in", target="x", hash=ANY, details={"by": 1})["target"]
        entries.assert_recorded(times=2, principal="42")[0]["target"]
        entries.assert_not_recorded(principal=None)
    '''
)

WRONG = [
    'whodid.configure(journl_dir="/tmp/journal")',
    'whodid.configure(durability="disc")',
    'whodid.configure(segment_bytes="64 MiB")',
    "whodid.configure(path=7)",
    'whodid.Settings(journl_dir="/tmp/journal")',
    'whodid.AuditClient(opensearch_host="https://search.example:9200")',
    'whodid.context(prinicpal="42")',
    "whodid.context(principal=42)",
    'whodid.context(type="user_sign_in")',
    'whodid.bind(prinicpal="42")',
    'whodid.bind(once="a")',
    'whodid.context(once="a")',
    'whodid.system(once="a")',
    'log.audit("user_sign_in", target="x", once=7)',
    'log.auditing("user_sign_in", target="x", once="a")',
    'log.auditing("user_sign_in").__enter__().add(once="a")',
    'whodid.system(principal="42")',
    'log.audit("user_sign_in", tagret="x")',
    'log.audit("user_sign_in", target="x", creation_date="2026-11-23")',
    'log.audit("user_sign_in", target="x", outcome="succes")',
    'log.audit("user_sign_in", target="x", details="by hand")',
    '_ = log.aaudit("user_sign_in", tagret="x")',
    'log.auditing("user_sign_in", tagret="x")',
    'log.auditing("user_sign_in", target="x", outcome="success")',
    'log.aauditing("user_sign_in", tagret="x")',
    'log.auditing("user_sign_in").__enter__().add(detials={})',
    'slog.audit("user_sign_in", tagret="x")',
    '_ = slog.aaudit("user_sign_in", tagret="x")',
    'slog.auditing("user_sign_in", tagret="x")',
    'slog.aauditing("user_sign_in", tagret="x")',
    'slog.bind(organization_id="7").audit("user_sign_in", tagret="x")',
    'record("user_sign_in", tagret="x")',
    "whodid.get_logger(nmae='x')",
    "whodid.AuditHandler(levle=20)",
    "whodid.audited(structlog.stdlib.BoundLogger, level=20)",
    'connected().search(prinicpal="42")',
    "connected().search(principal=42)",
    "connected().search(seq=[1.5])",
    'connected().search(sicne="-7d")',
    "connected().search(since=7)",
    'connected().page(prinicpal="42")',
    'connected().count(prinicpal="42")',
    'connected().counts_by("type", prinicpal="42")',
    'connected().stats(prinicpal="42")',
    'connected().search(abuot="6Yk2")',
    "connected().search(by=42)",
    'connected().follow(prinicpal="42")',
    "connected().follow(expired=True)",
    'Filter.of(by="42", expired=True)',
    'connected().orphans(prinicpal="42")',
    'connected().hidden(prinicpal="42")',
    'connected().note_export(form="csv", prinicpal="42")',
    'Filter.of(prinicpal="42")',
    'whodid.testing.AuditEntries.assert_recorded(entries, tagret="x")',
    "whodid.testing.AuditEntries.assert_recorded(entries, tims=2)",
    'whodid.testing.AuditEntries.assert_not_recorded(entries, tagret="x")',
    'audit_on_commit(Session(), "user_sign_in", tagret="x")',
]


@pytest.mark.parametrize("check", CHECKERS)
def test_each_typo_is_an_error_and_each_right_call_is_none(tmp_path: Path, check: Callable[[Path, str], Lines]) -> None:
    right = f"{RIGHT}\n\nentries: whodid.testing.AuditEntries\n"
    first = right.count("\n") + 1
    found = check(tmp_path, right + "\n".join(WRONG))
    wrong = dict(enumerate(WRONG, first))
    assert {line: said for line, said in found.items() if line not in wrong} == {}
    assert [call for line, call in wrong.items() if line not in found] == []
