"""Django: an entry is recorded after the commit of what it tells of, and never without it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recording import recorded

SHOP = Path(__file__).with_name("shop_on_django.py")
SCENARIOS = re.findall(r"^        (\w+),$", SHOP.read_text(), re.M)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_journal_has_what_was_committed(scenario: str, tmp_path: Path) -> None:
    """In a process of its own, as Django's settings are one a process."""
    done = subprocess.run([sys.executable, SHOP, scenario], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    recorded(tmp_path / "journal")


def test_every_scenario_is_tried() -> None:
    assert {"committed", "savepoints", "two_databases", "commit_fails", "threads"} < set(SCENARIOS)
