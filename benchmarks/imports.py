"""Imports: what `import whodid` takes beside `import structlog`, in fresh interpreters whose own start is taken off."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from .process import environment

__all__ = ["measure_imports"]

_BARE = "import sys; sys.modules['rich'] = None; "
"""Without rich, which structlog imports where it is installed: whodid's base install does not bring it."""
_PROGRAMS = {
    "nothing": "pass",
    "import structlog": _BARE + "import structlog",
    "import whodid": _BARE + "import whodid; whodid.configure",  # which imports what records
}


def measure_imports(rounds: int, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """A row for each import: medians over the rounds."""
    results: list[dict[str, float]] = []
    for number in range(1, rounds + 1):
        progress(f"round {number} of {rounds}: imports")
        measured = {name: _time(_PROGRAMS[name]) for name in random.sample(tuple(_PROGRAMS), len(_PROGRAMS))}
        results.append({name: took - measured["nothing"] for name, took in measured.items()})
    return [
        {
            "program": name,
            "ms": median(measured[name] for measured in results),
            "to_structlog": median(measured[name] / measured["import structlog"] for measured in results),
        }
        for name in _PROGRAMS
        if name != "nothing"
    ]


def _time(program: str) -> float:
    begin = time.perf_counter_ns()
    subprocess.run([sys.executable, "-c", program], env=environment(), check=True)
    return (time.perf_counter_ns() - begin) / 1e6
