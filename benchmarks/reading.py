"""Reading: what it costs through whodid, beside the bare client: all tables, in one run, on one corpus in one node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from .corpus import Corpus, Progress, corpus
from .exports import exports_table, measure_exports
from .iteration import iteration_table, measure_iteration
from .node import Node
from .pages import measure_pages, pages_table
from .starts import measure_starts, starts_table
from .verification import measure_verification, verification_table

__all__ = ["measure_reading", "reading_tables"]


class _Kind(NamedTuple):
    measure: Callable[[Corpus, int, Progress], dict[str, Any]]
    table: Callable[[dict[str, Any]], str]


_KINDS = {
    "iteration": _Kind(measure_iteration, iteration_table),
    "exports": _Kind(measure_exports, exports_table),
    "verification": _Kind(measure_verification, verification_table),
    "pages": _Kind(measure_pages, pages_table),
    "starts": _Kind(measure_starts, starts_table),
}
"""What is measured, by its name in the report, in the order of the tables."""


def measure_reading(node: Node, folder: Path, entries: int, rounds: int, progress: Progress) -> dict[str, Any]:
    """The report of each kind."""
    with corpus(node, folder, entries, progress) as stored:
        measured = {name: kind.measure(stored, rounds, progress) for name, kind in _KINDS.items()}
    return {"entries": entries, "rounds": rounds, **measured}


def reading_tables(report: dict[str, Any]) -> str:
    about = f"{report['entries']:,} entries, {report['rounds']} rounds"
    return "\n\n".join((about, *(kind.table(report[name]) for name, kind in _KINDS.items())))
