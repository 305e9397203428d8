"""What all tests share: a clean environment, and the real OpenSearch for those that need it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.live.corner import Corner

pytest_plugins = ["pytester", "tests.opensearch_node"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Tests in the background of a shell: what they start would inherit that Ctrl-C is ignored, and it is tested.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("whodid", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("whodid")  # the load of the machine fails no test

_KEPT = ("WHODID_CACHE_DIR", "WHODID_MAVEN_MIRROR", "WHODID_TEST_")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No `WHODID_` variable and no journal of the machine's reaches a test."""
    for name in list(os.environ):
        if name.startswith("WHODID_") and not name.startswith(_KEPT):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def turned_into_errors(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Warnings of whodid's that the filter `error` met. They raise nothing, so a test that expects one takes it out."""
    said: list[str] = []
    monkeypatch.setattr("whodid.process._show", lambda message, *_: said.append(str(message)))
    yield said
    assert said == []


@pytest.fixture
def no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread syncs in the background, of this test's journals or of an earlier test's: for tests that replace the
    system's sync, as all journals of the process then use what replaces it.
    """
    monkeypatch.setattr("whodid.journal.writer._FLUSH_AFTER", 3600)
    from whodid.journal.writer import _at_exit

    _at_exit()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `soak` take minutes each: only `make soak` runs them. The longest files come first: the many short
    tests then fill up what is left, and no worker ends long before the others.
    """
    items.sort(key=_place_in_line)
    if os.environ.get("WHODID_TEST_SOAK"):
        return
    soaking = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=soaking)
    items[:] = [item for item in items if item not in soaking]


LONG = (
    "tests/faults",
    "tests/integrations",
    "tests/devserver/test_node.py",
    "tests/test_demo.py",
    "tests/test_packaging.py",
)
"""Files and folders whose tests take long though they use no node, or start one of their own."""


def _place_in_line(item: pytest.Item) -> int:
    """Those that one worker has to do alone, those that are long, what needs the node, and the rest."""
    from tests.opensearch_node import uses_accounts  # loaded as a plugin, which has to come first

    if uses_accounts(item.path):
        return 0
    if item.nodeid.startswith(LONG):
        return 1
    return 2 if item.get_closest_marker("live") else 3


@pytest.fixture
def place(opensearch_url: str, tmp_path: Path) -> Iterator[Corner]:
    """A corner of the real cluster for this test alone, set up and empty."""
    from tests.live.corner import corner  # the client library is slow to import, and most tests need none

    with corner(opensearch_url, tmp_path) as made:
        made.set_up()
        yield made
