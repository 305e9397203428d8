"""The pytest plugin: the fixture `audit_entries`, and how much of the catalog the tests exercise (`--audit-coverage`).

A module beside the package: pytest imports it in every run on this Python, and `import whodid` would load structlog and
more. whodid is imported once a test asks for the fixture.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from whodid.testing import AuditEntries

__all__ = ["audit_entries"]

_NAME = "whodid_audit_coverage"
"""Of the coverage among plugins, and of what an xdist worker sends."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("whodid", "audit log")
    group.addoption(
        "--audit-coverage",
        action="store_true",
        help="list the event types of the catalog that no test recorded through audit_entries",
    )
    group.addoption(
        "--audit-coverage-fail-under",
        type=_percent,
        metavar="PERCENT",
        help="fail when fewer of the event types were recorded",
    )


def _percent(text: str) -> float:
    try:
        percent = float(text)
    except ValueError:
        percent = math.nan
    if not 0 <= percent <= 100:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 100, not {text!r}")
    return percent


def pytest_configure(config: pytest.Config) -> None:
    fail_under = config.getoption("audit_coverage_fail_under")
    if config.getoption("audit_coverage") or fail_under is not None:
        config.pluginmanager.register(Coverage(config, fail_under or 0.0), _NAME)


@pytest.fixture
def audit_entries(pytestconfig: pytest.Config) -> Iterator[AuditEntries]:
    """What the test records: entries in memory, oldest first, with assertions. See `whodid help testing`."""
    from whodid import testing

    with testing.audit_entries() as entries:
        yield entries
    coverage = pytestconfig.pluginmanager.get_plugin(_NAME)
    if isinstance(coverage, Coverage) and (recorded := {entry["type"] for entry in entries.journal.entries}):
        coverage.add(entries.catalog.current, recorded)


class Coverage:
    """Which event types the catalogs in force have, and which of them were recorded, in all processes of a run."""

    def __init__(self, config: pytest.Config, fail_under: float) -> None:
        self._config = config
        self._fail_under = fail_under
        self._known: set[str] = set()
        self._recorded: set[str] = set()
        self._crashed: list[str] = []

    def add(self, known: Iterable[str], recorded: Iterable[str]) -> None:
        self._recorded.update(recorded)
        self._known.update(known, self._recorded)

    @property
    def _percent(self) -> float:
        return 100 * len(self._recorded) / len(self._known) if self._known else 100.0

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """An xdist worker ended."""
        try:
            self.add(*node.workeroutput[_NAME])
        except (AttributeError, KeyError):
            self._crashed.append(node.gateway.id)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[_NAME] = [sorted(self._known), sorted(self._recorded)]
        elif self._reports(session.exitstatus):
            self._know_something()
            if self._percent < self._fail_under and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _reports(self, exitstatus: int) -> bool:
        return exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not self._config.option.collectonly

    def _know_something(self) -> None:
        """Without any entry recorded, the catalog is what the environment says."""
        if self._known:
            return
        from whodid import WhodidError
        from whodid.catalog import Catalog
        from whodid.settings import load_settings

        try:
            settings = load_settings()
            self._known.update(Catalog.load(settings.catalog).current)
        except WhodidError as error:
            pytest.exit(f"--audit-coverage: {error}", pytest.ExitCode.USAGE_ERROR)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        if not self._reports(exitstatus):
            return
        missing = sorted(self._known - self._recorded)
        terminalreporter.write_sep("=", "audit coverage")
        count, percent = len(self._known), math.floor(10 * self._percent) / 10
        terminalreporter.write_line(
            f"{count} event type{'s' * (count != 1)}, {len(self._recorded)} exercised: {percent:g} %"
            + ("; no test recorded:" if missing else "")
        )
        for name in missing:
            terminalreporter.write_line(f"  {name}")
        for worker in self._crashed:
            terminalreporter.write_line(f"worker {worker} crashed: what its tests recorded is not counted", yellow=True)
        if percent < self._fail_under:
            terminalreporter.write_line(f"FAILED: less than --audit-coverage-fail-under={self._fail_under:g}", red=True)
