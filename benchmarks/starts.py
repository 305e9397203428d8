"""Starts: how long the command line takes before it does anything, beside an interpreter that does nothing."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from statistics import median
from typing import Any

from .corpus import Corpus, Progress
from .process import environment
from .table import table

__all__ = ["AIM_MS", "AIM_TIMES", "measure_starts", "starts_table"]

AIM_MS, AIM_TIMES = 250.0, 5.0
"""At most so many ms, or so many times what the interpreter takes, whichever is more."""

_NOTHING = "python -c pass"
_PROGRAMS = {
    _NOTHING: ("-c", "pass"),
    "python -m whodid search --help": ("-m", "whodid", "search", "--help"),
}
_LOOKS = 3
"""Starts of each in a round."""


def measure_starts(_corpus: Corpus, rounds: int, progress: Progress) -> dict[str, Any]:
    """A row for each program: medians over all starts, and over the ratios of neighbours in time."""
    results: list[dict[str, float]] = []
    for program in _PROGRAMS:
        _time(program)  # so that compiled modules are there
    for number in range(1, rounds * _LOOKS + 1):
        progress(f"start {number} of {rounds * _LOOKS}")
        results.append({program: _time(program) for program in random.sample(tuple(_PROGRAMS), len(_PROGRAMS))})
    rows = [_row(program, results) for program in _PROGRAMS]
    return {"looks": len(results), "aim_ms": max(AIM_MS, AIM_TIMES * rows[0]["ms"]), "rows": rows}


def _time(program: str) -> float:
    """Milliseconds from before the process begins until after its end."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, *_PROGRAMS[program]], env=environment(), stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - begin) * 1000


def _row(program: str, results: list[dict[str, float]]) -> dict[str, Any]:
    return {
        "program": program,
        "ms": median(measured[program] for measured in results),
        "ms_lowest": min(measured[program] for measured in results),
        "ms_highest": max(measured[program] for measured in results),
        "to_nothing": median(measured[program] / measured[_NOTHING] for measured in results),
    }


def starts_table(report: dict[str, Any]) -> str:
    head = ("a fresh process", "ms", "lowest – highest", "× nothing")
    rows = [
        (
            f"`{row['program']}`",
            f"{row['ms']:.0f}",
            f"{row['ms_lowest']:.0f} – {row['ms_highest']:.0f}",
            f"{row['to_nothing']:.1f}",
        )
        for row in report["rows"]
    ]
    return table(head, [*rows, ("aim for the command line", f"≤ {report['aim_ms']:.0f}", "", "")])
