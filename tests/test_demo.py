"""The demo, as `make demo` runs it: twice, with everything it promises checked by itself and what it prints by us."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

DEMO = Path(__file__).parents[1] / "examples" / "demo" / "demo.py"


@pytest.mark.live
def test_the_demo_holds_at_the_first_run_and_at_the_second(tmp_path: Path) -> None:
    command = [sys.executable, str(DEMO), "--home", str(tmp_path / "demo")]
    try:
        first = subprocess.run(command, capture_output=True, text=True, check=False)
        assert first.returncode == 0, first.stdout + first.stderr
        url = re.search(r"Audit logs tab: (http://127.0.0.1:[0-9]+/)", first.stdout.splitlines()[-1])
        assert url
        assert "<strong>54</strong> entries" in httpx.get(url[1]).text
    finally:
        second = subprocess.run([*command, "--stop"], capture_output=True, text=True, check=False)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url[1])
    assert second.returncode == 0, second.stdout + second.stderr
    for output, entries in ((first.stdout, 54), (second.stdout, 108)):
        assert f"54 entries recorded, {entries} since the first run" in output
        assert f"{entries} entries in 1 journal: intact" in output
        assert "deleted by `whodid ship`, as this cluster has no Index State Management" in output
        assert "All of it held." in output
    assert "whodid dev down --data-dir" in first.stdout
