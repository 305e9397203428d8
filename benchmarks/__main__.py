"""`python -m benchmarks`: the cost of a call, of shipping and of reading, disk space, or what is lost by kills."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .carriers import CARRIERS
from .disk import disk_table, measure_disk
from .losses import CANDIDATES, losses_table, measure_losses
from .node import Node, OwnNode
from .process import lasting
from .proof import measure_proof, proof_tables
from .reading import measure_reading, reading_tables
from .recording import measure_recording, recording_tables
from .shipping import measure_shipping, shipping_table
from .tab import measure_tab, tab_table

_EXAMPLES = """\
examples:
  python -m benchmarks             the cost of a call: a minute
  python -m benchmarks shipping    the speed of shipping, beside others: three minutes
  python -m benchmarks shipping --entries 5000000 --rounds 1 --only whodid    is the memory flat? needs 15 GB of disk
  python -m benchmarks losses      what kills lose and double: a quarter of an hour
  python -m benchmarks disk        bytes that an entry takes in OpenSearch, beside dynamic mapping: ten minutes
  python -m benchmarks reading     finding entries, and the command line's start, beside the bare client: five minutes
  python -m benchmarks proof       what commitments and checkpoints cost: two minutes
  python -m benchmarks tab         the tab's pages in a browser, over 1,000 entries and 1,000,000: ten minutes

Shipping, losses, disk, reading, proof and tab start an OpenSearch of their own, on 127.0.0.1, and end it.
"""


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="whodid-bench-", dir=arguments.dir) as folder:
        report, tables = _measure(arguments, Path(folder).resolve())
    _progress("")
    print(json.dumps(report, indent=2, ensure_ascii=False) if arguments.json else tables)


def _measure(arguments: argparse.Namespace, folder: Path) -> tuple[Any, str]:
    """The report, and how it reads."""
    rounds, entries, only = arguments.rounds, arguments.entries, arguments.only
    if arguments.what == "recording":
        report = measure_recording(rounds or 7, arguments.calls, folder, _progress)
        return report, recording_tables(report)
    with _node(arguments.url, folder) as node:
        if arguments.what == "shipping":
            shipping = measure_shipping(node, folder, entries or 100_000, rounds or 5, only, _progress, arguments.limit)
            return shipping, shipping_table(shipping)
        if arguments.what == "disk":
            disk = measure_disk(node, folder, entries or 200_000, rounds or 3, _progress)
            return disk, disk_table(disk)
        if arguments.what == "reading":
            reading = measure_reading(node, folder, entries or 100_000, rounds or 7, _progress)
            return reading, reading_tables(reading)
        if arguments.what == "proof":
            proof = measure_proof(node, folder, entries or 100_000, arguments.calls, rounds or 9, _progress)
            return proof, proof_tables(proof)
        if arguments.what == "tab":
            tab = measure_tab(node, folder, entries or 1_000_000, rounds or 3, _progress)
            return tab, tab_table(tab)
        losses = measure_losses(node, folder, entries or 20_000, rounds or 3, only, _progress)
        return losses, losses_table(losses)


@contextmanager
def _node(url: str | None, folder: Path) -> Iterator[Node]:
    if url:
        yield Node(url)
        return
    _progress("starting OpenSearch")
    node = OwnNode(folder / "node")
    try:
        yield node
    finally:
        node.stop()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures whodid beside others.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what",
        nargs="?",
        default="recording",
        choices=("recording", "shipping", "losses", "disk", "reading", "proof", "tab"),
        help="the cost of a call (the default), the speed of shipping, what kills lose and double, disk space, the "
        "cost of reading, of proof, or of the tab",
    )
    parser.add_argument("--rounds", type=_positive, help="times that everything is measured (7; 5; 3; 3; 7; 9; 3)")
    parser.add_argument(
        "--calls",
        type=_positive,
        default=5000,
        help="recording: calls a round; a tenth where each waits for the disk (%(default)s)",
    )
    parser.add_argument(
        "--entries",
        type=_positive,
        help="entries a round (shipping and proof 100000, losses 20000, disk 200000), or stored "
        "for reading (100000) and the tab (1000000)",
    )
    names = sorted({*CARRIERS, *CANDIDATES})
    parser.add_argument(
        "--only", action="append", default=[], choices=names, help="shipping and losses: only these; may be repeated"
    )
    parser.add_argument(
        "--limit",
        nargs=2,
        type=_positive,
        metavar=("BATCH", "CONNECTIONS"),
        help="shipping: what is fastest here, from an earlier run",
    )
    parser.add_argument("--url", help="an OpenSearch that runs already; it is not killed, so losses leave that out")
    parser.add_argument(
        "--dir", type=Path, default=lasting(), help="where to write: on a real disk, not tmpfs (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _progress(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)
    elif what:
        print(what, file=sys.stderr)


if __name__ == "__main__":
    main()
