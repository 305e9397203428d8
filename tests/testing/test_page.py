"""docs/how-to/testing.md: its application and tests run, and fail as it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.S)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The page's files, with the catalog of the tutorial."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    shop, conftest, tests, *_ = blocks("docs/how-to/testing.md", "python")
    pytester.makefile(".toml", events=blocks("docs/tutorial.md", "toml")[0])
    pytester.makepyfile(shop=shop, conftest=conftest, test_shop=tests)
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess("-p", "whodid", "-p", "no:cacheprovider", "-W", "error", *arguments)


def test_its_tests_pass(project: pytest.Pytester) -> None:
    run(project).assert_outcomes(passed=2)


def test_a_failure_is_as_shown(project: pytest.Pytester) -> None:
    test = project.path / "test_shop.py"
    test.write_text(test.read_text().replace('target="2026-117", principal="42")', 'principal="43")'))
    shown = blocks("docs/how-to/testing.md", "text")[0].splitlines()
    assert [line for line in run(project).outlines if line.startswith("E  ")] == shown
