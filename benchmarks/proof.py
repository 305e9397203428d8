"""Proof: what it costs to commit to personal values at each call, and to close checkpoints over what is shipped.

The first is measured by pairs of variants in turns. The second by the shipper's own clock: it ships a journal, and the
time in which it puts entries under the open checkpoint and closes checkpoints is added up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from .backlog import make_backlog, rewind
from .carriers import whodid_environment
from .node import Node
from .rounds import run_rounds
from .table import table
from .variants import COMMITTING

__all__ = ["AIMS", "measure_proof", "proof_tables"]

AIMS = {"commitments": 1.2, "checkpoints": 0.01}
"""A call may take so many times what it takes without commitments; so much of the time of shipping may checkpoints."""

_NAMES = ("one", "four")

Progress = Callable[[str], None]


def measure_proof(
    node: Node, folder: Path, entries: int, calls: int, rounds: int, progress: Progress
) -> dict[str, Any]:
    """A row for each number of personal values, and one for the checkpoints."""
    results = run_rounds(rounds, calls, folder, progress, COMMITTING)
    make_backlog(folder / "journal", entries)
    shipped = []
    for number in range(1, rounds + 1):
        progress(f"round {number} of {rounds}: shipping {entries} entries under checkpoints")
        shipped.append(_ship(node, folder / "journal", entries))
    commitments = [
        {
            "about": COMMITTING[name].about,
            "us": median(measured[name] for measured in results),
            "us_plain": median(measured[f"{name}-plain"] for measured in results),
            "ratio": median(measured[name] / measured[f"{name}-plain"] for measured in results),
            "ratio_lowest": min(measured[name] / measured[f"{name}-plain"] for measured in results),
            "ratio_highest": max(measured[name] / measured[f"{name}-plain"] for measured in results),
        }
        for name in _NAMES
    ]
    shares = [run["sealing"] / run["seconds"] for run in shipped]
    checkpoints = {
        "closed": median(run["closed"] for run in shipped),
        "us": median(run["sealing"] / entries * 1e6 for run in shipped),
        "us_shipping": median(run["seconds"] / entries * 1e6 for run in shipped),
        "share": median(shares),
        "share_lowest": min(shares),
        "share_highest": max(shares),
    }
    return {"entries": entries, "rounds": rounds, "aims": AIMS, "commitments": commitments, "checkpoints": checkpoints}


def _ship(node: Node, journal: Path, entries: int) -> dict[str, float]:
    rewind(journal)
    with node.corner() as prefix:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.sealer"],
            cwd=Path(__file__).parents[1],
            env=whodid_environment(node, prefix, journal),
            stdout=subprocess.PIPE,
            check=True,
        )
        stored = node.stored(prefix)
    run: dict[str, float] = json.loads(done.stdout)
    assert stored == run["sealed"] == entries, f"{stored} stored and {run['sealed']} sealed of {entries} entries"
    return run


def proof_tables(report: dict[str, Any]) -> str:
    commitments = [
        (
            row["about"],
            f"{row['us']:.1f}",
            f"{row['us_plain']:.1f}",
            f"{row['ratio']:.2f}",
            f"{row['ratio_lowest']:.2f} – {row['ratio_highest']:.2f}",
        )
        for row in report["commitments"]
    ]
    one = report["checkpoints"]
    checkpoints = (
        f"{report['entries']:,} entries, {one['closed']:.0f} checkpoints",
        f"{one['us_shipping']:.1f}",
        f"{one['us']:.2f}",
        f"{one['share']:.2%}",
        f"{one['share_lowest']:.2%} – {one['share_highest']:.2%}",
    )
    aims = report["aims"]
    return "\n\n".join(
        (
            f"{report['rounds']} rounds",
            table(
                ("a call of `log.audit()`, process", "µs", "µs plain", "× plain", "lowest – highest"),
                [*commitments, ("aim", "", "", f"≤ {aims['commitments']}", "")],
            ),
            table(
                ("shipping under checkpoints", "µs an entry", "of it checkpoints", "share", "lowest – highest"),
                [checkpoints, ("aim", "", "", f"≤ {aims['checkpoints']:.0%}", "")],
            ),
        )
    )
