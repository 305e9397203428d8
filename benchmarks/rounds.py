"""Rounds: every variant once a round, in an order shuffled each time, and what the rounds say together.

A slow minute of the machine then hits all variants alike, and a ratio is taken between neighbours in time.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from .variants import EVERY, VARIANTS

__all__ = ["run_rounds", "summary"]

BASELINES = ("structlog", "stdlib")
_DISK_SHARE = 10
"""A variant that waits for the disk makes a tenth of the calls: each of them takes ten times as long."""

Round = dict[str, float]
"""Microseconds a call, by variant."""


def run_rounds(
    rounds: int, calls: int, folder: Path, progress: Callable[[str], None], variants: Collection[str] = tuple(VARIANTS)
) -> list[Round]:
    """Measures each of the variants `rounds` times."""
    results: list[Round] = []
    for number in range(1, rounds + 1):
        names = random.sample(tuple(variants), len(variants))
        measured: Round = {}
        for name in names:
            progress(f"round {number} of {rounds}: {name}")
            measured[name] = _measure(name, calls, folder)
        results.append(measured)
    return results


def _measure(name: str, calls: int, folder: Path) -> float:
    if EVERY[name].waits_for_disk:
        calls = max(1, calls // _DISK_SHARE)
    with tempfile.TemporaryDirectory(prefix="round-", dir=folder) as scratch:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.worker", name, str(calls), scratch],
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return float(done.stdout)


def summary(results: Sequence[Round]) -> list[dict[str, Any]]:
    """A row for each variant: medians over the rounds, and over the rounds' own ratios."""
    return [
        {
            "variant": name,
            "about": VARIANTS[name].about,
            "us": median(measured[name] for measured in results),
            "us_lowest": min(measured[name] for measured in results),
            "us_highest": max(measured[name] for measured in results),
            **{f"to_{base}": median(measured[name] / measured[base] for measured in results) for base in BASELINES},
        }
        for name in VARIANTS
    ]
