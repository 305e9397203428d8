"""What all tests share: a clean environment, and the real OpenSearch for those that need it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["tests.opensearch_node"]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No `WHODID_` variable and no journal of the machine's reaches a test."""
    for name in list(os.environ):
        if name.startswith("WHODID_") and name not in {"WHODID_CACHE_DIR", "WHODID_MAVEN_MIRROR"}:
            if name.startswith("WHODID_TEST_"):
                continue
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
