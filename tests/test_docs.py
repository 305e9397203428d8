"""The pages: what they name exists, and their snippets run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import whodid
from tests.recording import WHO, configured, recorded

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("opensearch/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_test_that_the_reliability_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "reliability.md").read_text())
    assert len(named) > 10
    for path, function in named:
        wanted = rf"def {function}\b" if function else r"def test_|^Test\w+ = "
        assert re.search(wanted, (ROOT / path).read_text(), re.M), (path, function)


def test_every_path_that_contributing_names_exists() -> None:
    for path in re.findall(r"`((?:src|tests|config|examples)/[\w./-]*)`", (ROOT / "CONTRIBUTING.md").read_text()):
        assert (ROOT / path).exists(), path


@pytest.mark.live
def test_the_search_page_s_python_runs(opensearch_url: str) -> None:
    [snippet] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "search.md").read_text(), re.S)
    exec(snippet.replace("http://127.0.0.1:9200", opensearch_url), {})  # noqa: S102 (our own page)


def test_the_tab_page_s_python_runs() -> None:
    [snippet] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "tab.md").read_text(), re.S)
    made: dict[str, Any] = {}
    exec(snippet, made)  # noqa: S102 (our own page)
    assert [route.path for route in made["app"].routes if route.path.startswith("/admin")] == ["/admin/audit-logs"]


def test_the_integrations_page_s_python_runs(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path)
    celery, sqlalchemy = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "integrations.md").read_text(), re.S)
    made: dict[str, Any] = {"__name__": "shop"}
    exec(celery, made)  # noqa: S102 (our own page)
    made["app"].conf.task_always_eager = True
    with whodid.context(**WHO):
        made["rotate"].delay("6Yk2")
    exec(sqlalchemy, {})  # noqa: S102 (our own page)
    assert [entry["type"] for entry in recorded(journal_dir)] == ["credentials_updated", "credentials_created"]
    assert {entry["principal"] for entry in recorded(journal_dir)} == {"42"}


def test_every_test_that_the_seed_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "seed.md").read_text())
    assert len(named) > 25
    for path, function in named:
        wanted = rf"def {function}\b" if function else r"def test_|^Test\w+ = "
        assert re.search(wanted, (ROOT / path).read_text(), re.M), (path, function)
