"""`python -m benchmarks`: all tables, in one run of about a minute."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .imports import measure_imports
from .rounds import run_rounds, summary
from .throughput import measure_throughput
from .validators import measure_validators

_PACKAGES = ("structlog", "python-json-logger", "orjson", "jsonschema-rs", "fastjsonschema", "msgspec")


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="whodid-bench-", dir=arguments.dir) as folder:
        results = run_rounds(arguments.rounds, arguments.calls, Path(folder).resolve(), _progress)
        throughput = measure_throughput(arguments.rounds, Path(folder).resolve(), _progress)
    _progress("validators")
    report = {
        "machine": _machine(),
        "rounds": arguments.rounds,
        "calls": arguments.calls,
        "recording": summary(results),
        "throughput": throughput,
        "imports": measure_imports(arguments.rounds, _progress),
        "validators": measure_validators(arguments.rounds, arguments.calls),
    }
    _progress("")
    print(json.dumps(report, indent=2, ensure_ascii=False) if arguments.json else _tables(report))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measures the cost of a call of whodid beside plain logging."
    )
    parser.add_argument(
        "--rounds", type=_positive, default=7, help="times that every variant is measured (%(default)s)"
    )
    parser.add_argument(
        "--calls",
        type=_positive,
        default=5000,
        help="calls a round; a tenth where each waits for the disk (%(default)s)",
    )
    parser.add_argument(
        "--dir", type=Path, default=_disk(), help="where to write: on a real disk, not tmpfs (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _disk() -> Path:
    """Temporary files that survive a reboot lie on a disk; the usual ones often in memory."""
    lasting = Path("/var/tmp")  # noqa: S108 (only as the parent of a fresh directory)
    return lasting if lasting.is_dir() else Path(tempfile.gettempdir())


def _progress(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)
    elif what:
        print(what, file=sys.stderr)


def _machine() -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "cores": cores,
        "packages": {name: version(name) for name in _PACKAGES},
    }


def _tables(report: dict[str, Any]) -> str:
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
            _table(("one event of 14 fields", "µs a call", "lowest – highest", "× structlog", "× logging"), recording),
            "",
            _table(
                ("entries on disk", "a second", "× one thread", "longest call, ms", "longest of all rounds, ms"),
                throughput,
            ),
            "",
            _table(("a fresh interpreter", "ms", "× structlog"), imports),
            "",
            _table(("one entry checked", "µs", "broken entries refused", "accepted though broken"), validators),
        )
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """As Markdown, so that it can go into docs/benchmarks.md as it is."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(cells: tuple[str, ...]) -> str:
        first, *others = (
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join((first, *others))} |"

    rule = tuple("-" * width if number == 0 else "-" * (width - 1) + ":" for number, width in enumerate(widths))
    return "\n".join(line(row) for row in (head, rule, *rows))


if __name__ == "__main__":
    main()
