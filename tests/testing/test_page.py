"""docs/how-to/testing.md: its application and tests run, and fail as it shows."""

from __future__ import annotations

import http.client
import re
from pathlib import Path
from typing import Any

import pytest

from whodid.testing import faults

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


class _Shop:
    """An application that sends to OpenSearch in the background, and answers whatever becomes of that."""

    status = 200

    def start(self, *, WHODID_OPENSEARCH_HOSTS: str) -> None:  # noqa: N803 (the variable's name)
        connection = http.client.HTTPConnection(WHODID_OPENSEARCH_HOSTS.removeprefix("http://"), timeout=0.3)
        connection.request("POST", "/_bulk", body=b"{}")
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()

    def get(self, _path: str) -> _Shop:
        return self


def test_the_faults_are_those_that_there_are_and_happen() -> None:
    *_, test, process = blocks("docs/how-to/testing.md", "python")
    made: dict[str, Any] = {}
    exec(test, made)  # noqa: S102 (our own page)
    made["test_a_request_is_answered_although_opensearch_hangs"]("http://127.0.0.1:9", _Shop())
    exec(process, {})  # noqa: S102 (our own page)
    named = set(re.findall(r"`(\w+)\(", (ROOT / "docs/how-to/testing.md").read_text().split("## Faults")[1]))
    assert set(faults.__all__) - {"Answer", "Exchange", "Fault"} <= named | {"FaultProxy", "ControlledProcess"}
