"""Verification: every entry of the corpus checked, by one process and by two, beside the plain export of the same."""

from __future__ import annotations

import random
from statistics import median
from typing import Any

from .corpus import Corpus, Progress
from .iteration import Run, read
from .table import table

__all__ = ["AIM", "AIM_OF_TWO", "measure_verification", "verification_table"]

AIM = 0.8
"""Of the entries a second that the export writes: at least this much, with one process."""
AIM_OF_TWO = 1.5
"""Of what one process does: at least this much, with two."""

_EXPORT, _ONE, _TWO = "ndjson", "verify-1", "verify-2"
_ABOUT = {
    _EXPORT: "`whodid.export` to NDJSON",
    _ONE: "`whodid verify`, one process",
    _TWO: "`whodid verify`, two processes",
}


def measure_verification(corpus: Corpus, rounds: int, progress: Progress) -> dict[str, Any]:
    """A row for each way: medians over the rounds, and over the rounds' own ratios; the highest of memory."""
    results: list[dict[str, Run]] = []
    for number in range(1, rounds + 1):
        measured: dict[str, Run] = {}
        for way in random.sample(tuple(_ABOUT), len(_ABOUT)):
            progress(f"round {number} of {rounds}: {_ABOUT[way]}")
            measured[way] = read(corpus, way, corpus.entries)
        results.append(measured)
    rows = [_row(way, corpus.entries, results) for way in _ABOUT]
    return {"aim": AIM, "aim_of_two": AIM_OF_TWO, "entries": corpus.entries, "rows": rows}


def _row(way: str, entries: int, results: list[dict[str, Run]]) -> dict[str, Any]:
    to_export = [measured[_EXPORT]["seconds"] / measured[way]["seconds"] for measured in results]
    to_one = [measured[_ONE]["seconds"] / measured[way]["seconds"] for measured in results]
    return {
        "way": way,
        "about": _ABOUT[way],
        "per_second": median(entries / measured[way]["seconds"] for measured in results),
        "to_export": median(to_export),
        "to_export_lowest": min(to_export),
        "to_export_highest": max(to_export),
        "to_one": median(to_one),
        "peak_mb": max(measured[way]["peak_mb"] for measured in results),
    }


def verification_table(report: dict[str, Any]) -> str:
    head = ("every entry checked", "a second", "× export", "lowest – highest", "× one process", "peak MB")
    rows = [
        (
            row["about"],
            f"{row['per_second']:,.0f}",
            f"{row['to_export']:.2f}",
            f"{row['to_export_lowest']:.2f} – {row['to_export_highest']:.2f}",
            f"{row['to_one']:.2f}" if row["way"] != _EXPORT else "",
            f"{row['peak_mb']:.0f}",
        )
        for row in report["rows"]
    ]
    return table(head, [*rows, ("aims", "", f"≥ {report['aim']}", "", f"≥ {report['aim_of_two']}", "")])
