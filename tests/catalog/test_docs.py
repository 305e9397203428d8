"""The catalog's page: its event types load, and its Python records one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import structlog

import whodid
from tests.recording import configured, recorded
from whodid.catalog import Catalog
from whodid.recording.masking import HIDDEN

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "catalog.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_each_toml_of_the_page_is_a_catalog(tmp_path: Path, block: str) -> None:
    path = tmp_path / "events.toml"
    path.write_text(block, encoding="utf-8")
    [name] = re.findall(r"\[types\.(\w+)\]", block)
    assert name in Catalog.load(path).types


def test_the_page_s_python_records_the_page_s_event_type_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WHODID_JOURNAL_DIR", str(tmp_path / "journal"))
    (tmp_path / "events.toml").write_text(BLOCKS[0], encoding="utf-8")
    try:
        own, *others = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        exec(own, {"whodid": whodid})  # noqa: S102 (our own page)
        whodid.configure()  # those of the other sections are of the platform
        for snippet in others:
            exec(snippet, {"whodid": whodid})  # noqa: S102 (our own page)
    finally:
        structlog.reset_defaults()
        configured(tmp_path / "other")
    entry, image = recorded(tmp_path / "journal")
    assert (image["before"], image["after"]) == ({"token": HIDDEN}, {"token": HIDDEN})
    assert (entry["type"], entry["target_type"], entry["target"]) == ("invoice_refunded", "invoice", "2026-17")
