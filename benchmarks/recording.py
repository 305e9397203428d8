"""Recording: what a call costs, beside plain logging: all tables, in one run of about a minute."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .imports import measure_imports
from .rounds import run_rounds, summary
from .table import table
from .throughput import measure_throughput
from .validators import measure_validators

__all__ = ["measure_recording", "recording_tables"]

_PACKAGES = ("structlog", "python-json-logger", "orjson", "jsonschema-rs", "fastjsonschema", "msgspec")


def measure_recording(rounds: int, calls: int, folder: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    """Every variant, many at once, the import and the validators."""
    results = run_rounds(rounds, calls, folder, progress)
    throughput = measure_throughput(rounds, folder, progress)
    progress("validators")
    return {
        "machine": _machine(),
        "rounds": rounds,
        "calls": calls,
        "recording": summary(results),
        "throughput": throughput,
        "imports": measure_imports(rounds, progress),
        "validators": measure_validators(rounds, calls),
    }


def _machine() -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "cores": cores,
        "packages": {name: version(name) for name in _PACKAGES},
    }


def recording_tables(report: dict[str, Any]) -> str:
    machine = report["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    recording = [
        (
            row["about"],
            f"{row['us']:.1f}",
            f"{row['us_lowest']:.1f} – {row['us_highest']:.1f}",
            f"{row['to_structlog']:.2f}",
            f"{row['to_stdlib']:.2f}",
        )
        for row in report["recording"]
    ]
    throughput = [
        (
            row["case"],
            f"{row['per_second']:,.0f}",
            f"{row['to_one']:.2f}",
            f"{row['longest_ms']:.1f}",
            f"{row['longest_ms_of_all']:.1f}",
        )
        for row in report["throughput"]
    ]
    imports = [(row["program"], f"{row['ms']:.0f}", f"{row['to_structlog']:.2f}") for row in report["imports"]]
    validators = [
        (
            row["validator"],
            f"{row['us']:.2f}",
            f"{row['broken'] - len(row['accepts'])} of {row['broken']}",
            "; ".join(row["accepts"]) or "–",
        )
        for row in report["validators"]
    ]
    return "\n".join(
        (
            f"Python {machine['python']}, {machine['system']}, {machine['cores']} cores; {packages}",
            f"{report['rounds']} rounds of {report['calls']} calls; medians over the rounds\n",
            table(("one event of 14 fields", "µs a call", "lowest – highest", "× structlog", "× logging"), recording),
            "",
            table(
                ("entries on disk", "a second", "× one thread", "longest call, ms", "longest of all rounds, ms"),
                throughput,
            ),
            "",
            table(("a fresh interpreter", "ms", "× structlog"), imports),
            "",
            table(("one entry checked", "µs", "broken entries refused", "accepted though broken"), validators),
        )
    )
