"""The prepared call: checked at once, recorded later, with who and from where as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

import whodid
from tests.catalogs import INVOICE
from tests.recording import configured, recorded
from whodid.integrations.request import PreparedCall

CATALOG = (
    INVOICE
    + """\
forbids = ["forwarded_for"]
"""
)


@pytest.fixture
def journal_dir(tmp_path: Path) -> Path:
    (tmp_path / "events.toml").write_text(CATALOG)
    return configured(tmp_path, catalog=str(tmp_path / "events.toml"))


def test_it_keeps_who_and_from_where_and_leaves_out_the_proxies_that_its_type_forbids(journal_dir: Path) -> None:
    with whodid.context(principal="42", client_ip="203.0.113.9", forwarded_for="203.0.113.9, 10.0.0.1"):
        prepared = PreparedCall("invoice_refunded", {"target": "7"})
        whodid.bind(principal="43")
    assert recorded(journal_dir) == []
    prepared.record()
    [entry] = recorded(journal_dir)
    assert (entry["principal"], entry["client_ip"], "forwarded_for" in entry) == ("42", "203.0.113.9", False)


def test_a_bad_call_is_refused_when_it_is_prepared(journal_dir: Path) -> None:
    with pytest.raises(whodid.InvalidEntry, match="principal is missing"):
        PreparedCall("invoice_refunded", {"target": "7"})
