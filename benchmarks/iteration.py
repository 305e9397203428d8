"""Iteration: all entries of the corpus once through, each time in a process of its own, beside the bare client's loop.

Of a tenth of the entries only the memory counts: it must not grow with what is read.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from .corpus import Corpus, Progress
from .process import environment
from .table import table

__all__ = ["AIM", "BARE", "Run", "iteration_table", "measure_iteration", "read"]

AIM = 0.8
"""Of the entries a second that the bare loop reads: at least this much."""

BARE = "bare"
_ABOUT = {
    BARE: "opensearch-py: a point in time and `search_after`",
    "whodid": "`AuditClient.search(limit=None)`",
}
_SHARE = 10

Run = dict[str, float]


def measure_iteration(corpus: Corpus, rounds: int, progress: Progress) -> dict[str, Any]:
    """A row for each way: medians over the rounds, and over the rounds' own ratios; the highest of memory."""
    few = max(1, corpus.entries // _SHARE)
    cases = [(way, entries) for way in _ABOUT for entries in (corpus.entries, few)]
    results: list[dict[tuple[str, int], Run]] = []
    for number in range(1, rounds + 1):
        measured: dict[tuple[str, int], Run] = {}
        for way, entries in random.sample(cases, len(cases)):
            progress(f"round {number} of {rounds}: {_ABOUT[way]}, {entries} entries")
            measured[way, entries] = read(corpus, way, entries)
        results.append(measured)
    rows = [_row(way, corpus.entries, few, results) for way in _ABOUT]
    return {"aim": AIM, "entries": corpus.entries, "few": few, "rows": rows}


def read(corpus: Corpus, way: str, entries: int) -> Run:
    """Seconds, entries and peak of memory of a reader that takes that way."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.reader", way, corpus.url, corpus.prefix, str(entries)],
        cwd=Path(__file__).parents[1],
        env=environment(),
        stdout=subprocess.PIPE,
        check=True,
    )
    run: Run = json.loads(done.stdout)
    assert run["entries"] == entries, f"{way} read {run['entries']} of {entries} entries"
    return run


def _row(way: str, many: int, few: int, results: list[dict[tuple[str, int], Run]]) -> dict[str, Any]:
    ratios = [measured[BARE, many]["seconds"] / measured[way, many]["seconds"] for measured in results]
    return {
        "way": way,
        "about": _ABOUT[way],
        "per_second": median(many / measured[way, many]["seconds"] for measured in results),
        "to_bare": median(ratios),
        "to_bare_lowest": min(ratios),
        "to_bare_highest": max(ratios),
        "peak_mb_of_few": max(measured[way, few]["peak_mb"] for measured in results),
        "peak_mb": max(measured[way, many]["peak_mb"] for measured in results),
    }


def iteration_table(report: dict[str, Any]) -> str:
    memory = (f"peak MB of {report['few']:,}", f"of {report['entries']:,}")
    head = ("every entry, newest first", "a second", "× bare", "lowest – highest", *memory)
    rows = [
        (
            row["about"],
            f"{row['per_second']:,.0f}",
            f"{row['to_bare']:.2f}",
            f"{row['to_bare_lowest']:.2f} – {row['to_bare_highest']:.2f}",
            f"{row['peak_mb_of_few']:.0f}",
            f"{row['peak_mb']:.0f}",
        )
        for row in report["rows"]
    ]
    return table(head, [*rows, ("aim for `AuditClient`", "", f"≥ {report['aim']}", "", "", "the same")])
