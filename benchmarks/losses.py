"""Losses: what is lost and what is doubled when OpenSearch, the shipper or the application is killed and starts again.

Counted in the cluster, at the end: a call that returned and whose entry is not found is lost, an entry found more than
once is doubled. The kills come at random moments of the same run of calls for everyone; all is started again at once.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.faults.kit import ControlledProcess

from .application import noted, numbers
from .carriers import whodid_environment
from .node import Node, OwnNode, until
from .omelasticsearch import omelasticsearch
from .table import table

__all__ = ["FAULTS", "losses_table", "measure_losses"]

FAULTS = ("OpenSearch", "shipper", "application")
"""Who is killed."""

_ROOT = Path(__file__).parents[1]
_PACE = 1000
_KILLS, _BETWEEN = 5, 100
"""Of a process, in one run, with so many calls between them on average; OpenSearch, slow to start, is killed once."""
_SETTLED, _LONGEST = 15.0, 120.0
"""Seconds without a change in what is stored, after which nothing more is waited for."""

Ship = Callable[[Node, str, Path], Iterator[ControlledProcess | None]]


def _ship(node: Node, prefix: str, folder: Path) -> Iterator[ControlledProcess | None]:
    command = [sys.executable, "-m", "whodid", "ship"]
    with ControlledProcess(command, env=whodid_environment(node, prefix, folder / "journal")) as process:
        yield process


def _rsyslog(node: Node, prefix: str, folder: Path) -> Iterator[ControlledProcess | None]:
    with ControlledProcess(omelasticsearch(folder / "scratch", node.port, prefix, folder / "journal")) as process:
        yield process


def _rsyslog_without_ids(node: Node, prefix: str, folder: Path) -> Iterator[ControlledProcess | None]:
    command = omelasticsearch(folder / "scratch", node.port, prefix, folder / "journal", ids=False)
    with ControlledProcess(command) as process:
        yield process


def _none(_node: Node, _prefix: str, _folder: Path) -> Iterator[ControlledProcess | None]:
    yield None


@dataclass(frozen=True)
class Candidate:
    """An application, and what ships its entries where that is a process of its own."""

    about: str
    application: str
    shipper: Ship
    installed: bool = True

    @property
    def faults(self) -> tuple[str, ...]:
        return tuple(fault for fault in FAULTS if fault != "shipper" or self.shipper is not _none)


_HAS_RSYSLOG = shutil.which("rsyslogd") is not None
CANDIDATES = {
    "whodid": Candidate("whodid", "whodid", _ship),
    "rsyslog": Candidate("rsyslog, IDs made of whodid's entries", "whodid", _rsyslog, _HAS_RSYSLOG),
    "rsyslog-without-ids": Candidate("rsyslog, no IDs (its default)", "whodid", _rsyslog_without_ids, _HAS_RSYSLOG),
    "opensearch-logger": Candidate(
        "opensearch-logger", "opensearch-logger", _none, find_spec("opensearch_logger") is not None
    ),
}


def measure_losses(
    node: Node, folder: Path, calls: int, rounds: int, only: Collection[str], progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row for each candidate and fault: sums over the rounds. A node that isn't our own is not killed."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    wanted = {name: candidate for name, candidate in CANDIDATES.items() if name in (only or CANDIDATES)}
    for name, candidate in wanted.items():
        for fault in candidate.faults:
            rows[name, fault] = {"candidate": name, "about": candidate.about, "killed": fault}
    cases = [
        (name, fault)
        for name, fault in rows
        if CANDIDATES[name].installed and (fault != "OpenSearch" or isinstance(node, OwnNode))
    ]
    for number in range(1, rounds + 1):
        for name, fault in random.sample(cases, len(cases)):
            progress(f"round {number} of {rounds}: {CANDIDATES[name].about}, {fault} killed")
            for key, value in _run(CANDIDATES[name], fault, node, folder, calls).items():
                rows[name, fault][key] = rows[name, fault].get(key, 0) + value
    return list(rows.values())


def _run(candidate: Candidate, fault: str, node: Node, parent: Path, calls: int) -> dict[str, int]:
    with node.corner() as prefix, tempfile.TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        (folder / "journal").mkdir(mode=0o700)
        (folder / "scratch").mkdir()
        kills = _killed(candidate, fault, node, prefix, folder, calls)
        found, recorded = node.found(prefix), numbers(folder / "notes")
    lost = sum(number not in found for number in recorded)
    doubled = sum(times - 1 for times in found.values())
    return {"kills": kills, "recorded": len(recorded), "lost": lost, "doubled": doubled}


def _killed(candidate: Candidate, fault: str, node: Node, prefix: str, folder: Path, calls: int) -> int:
    """Has the calls made and carried on, with the fault in the middle; returns when all has ended orderly."""
    where = str(folder / "journal") if candidate.application == "whodid" else f"{node.url},logger-{prefix}-own"
    notes = folder / "notes"
    command = (sys.executable, "-m", "benchmarks.application", candidate.application, where, calls, _PACE, notes)
    with ExitStack() as stack:
        shipper = stack.enter_context(contextmanager(candidate.shipper)(node, prefix, folder))
        application = stack.enter_context(ControlledProcess([str(part) for part in command], cwd=_ROOT))
        kills = _strike(fault, node, shipper, application, notes, calls)
        application.wait(calls / _PACE + _LONGEST)
        _settle(node, prefix, noted(notes))
        if shipper is not None:
            shipper.terminate()
            shipper.wait(_LONGEST)
    return kills


def _strike(
    fault: str,
    node: Node,
    shipper: ControlledProcess | None,
    application: ControlledProcess,
    notes: Path,
    calls: int,
) -> int:
    """Kills, and starts again what was killed; how often."""
    if fault == "OpenSearch":
        assert isinstance(node, OwnNode)
        _after(application, notes, random.randrange(calls // 10, calls // 4))
        node.kill()
        node.start_again()
        return 1
    victim = application if fault == "application" else shipper
    assert victim is not None
    moments = sorted(random.sample(range(calls // 10, calls * 9 // 10), min(_KILLS, calls // _BETWEEN)))
    for moment in moments:
        _after(application, notes, moment)
        victim.kill()
        victim.start()
    return len(moments)


def _after(application: ControlledProcess, notes: Path, calls: int) -> None:
    application.until(lambda: noted(notes) >= calls, _LONGEST)


def _settle(node: Node, prefix: str, expected: int) -> None:
    """Waits until so many are found, or nothing more comes."""
    found, changed = -1, time.monotonic()

    def settled() -> bool:
        nonlocal found, changed
        before, found = found, node.count(prefix)
        if found != before:
            changed = time.monotonic()
        return found >= expected or time.monotonic() - changed > _SETTLED

    until(settled, _LONGEST)


def losses_table(rows: list[dict[str, Any]]) -> str:
    head = ("killed with `kill -9` and started again", "killed", "kills", "recorded", "lost", "doubled")
    return table(head, [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    if "recorded" not in row:
        return (row["about"], row["killed"], "not tried", "", "", "")
    numbers = (f"{row[key]:,}" for key in ("kills", "recorded", "lost", "doubled"))
    return (row["about"], row["killed"], *numbers)
