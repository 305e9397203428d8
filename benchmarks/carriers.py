"""The carriers: ways to bring a journal's entries into OpenSearch, each measured in processes of its own.

Each is given the same journal and a prefix of its own. `stored` is asked of the node afterwards. What starts up before
the first entry is taken off where it can be: of `whodid ship` by a run on an empty journal each time.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .node import Node, until
from .omelasticsearch import omelasticsearch
from .process import Spent, peak_mb, wait

__all__ = ["CARRIERS", "Carrier", "Run", "Task", "limit_run", "whodid_environment"]

_ROOT = Path(__file__).parents[1]
_LONGEST = 120.0


@dataclass(frozen=True)
class Task:
    """A journal of `entries`, to be stored under `prefix`; `scratch` is an empty folder."""

    node: Node
    prefix: str
    journal: Path
    entries: int
    scratch: Path
    batch: int
    connections: int

    @property
    def longest(self) -> float:
        """Seconds after which a carrier has failed."""
        return _LONGEST + self.entries / 1000


@dataclass(frozen=True)
class Run:
    """Seconds from the first to the last of the entries, CPU seconds of that, and the process's peak memory in MB."""

    entries: int
    seconds: float
    cpu: float
    peak_mb: float

    @property
    def per_second(self) -> float:
        return self.entries / self.seconds


@dataclass(frozen=True)
class Carrier:
    about: str
    run: Callable[[Task], Run]
    installed: bool = True


def limit_run(node: Node, prefix: str, journal: Path, batch: int, connections: int) -> Run:
    return _reporting("benchmarks.limit", node.url, prefix, str(journal), str(batch), str(connections))


def _limit(task: Task) -> Run:
    return limit_run(task.node, task.prefix, task.journal, task.batch, task.connections)


def _whodid(task: Task) -> Run:
    empty = _ship(task, task.scratch / "empty")
    spent = _ship(task, task.journal)
    return Run(task.entries, spent.seconds - empty.seconds, spent.cpu - empty.cpu, spent.peak_mb)


def _ship(task: Task, journal: Path) -> Spent:
    process = subprocess.Popen(
        [sys.executable, "-m", "whodid", "ship", "--once", "--json"],
        env=whodid_environment(task.node, task.prefix, journal),
        stdout=subprocess.DEVNULL,
    )
    spent = wait(process, task.longest)
    assert spent.status == 0, "not everything was shipped"
    return spent


def whodid_environment(node: Node, prefix: str, journal: Path) -> dict[str, str]:
    """For `whodid ship`; segments stay, as the next carrier needs them, too."""
    settings = {"JOURNAL_DIR": str(journal), "OPENSEARCH_HOSTS": node.url, "INDEX_PREFIX": prefix, "KEEP_DAYS": "30"}
    ours = {f"WHODID_{name}": value for name, value in settings.items()}
    return {name: value for name, value in os.environ.items() if not name.startswith("WHODID_")} | ours


def _rsyslog(task: Task) -> Run:
    command = omelasticsearch(task.scratch, task.node.port, task.prefix, task.journal)
    begin = time.perf_counter()
    process = subprocess.Popen(command)
    try:
        whole = until(lambda: task.node.stored(task.prefix) >= task.entries, task.longest)
        assert whole, f"rsyslog stored {task.node.stored(task.prefix)} of {task.entries} entries; see {task.scratch}"
        seconds, peak = time.perf_counter() - begin, peak_mb(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        spent = wait(process, _LONGEST)
    return Run(task.entries, seconds, spent.cpu, peak)


def _opensearch_logger(task: Task) -> Run:
    return _reporting("benchmarks.opensearch_logger", task.node.url, f"logger-{task.prefix}-own", str(task.journal))


def _reporting(module: str, *arguments: str) -> Run:
    """A program of ours that prints what it measured."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=_ROOT, stdout=subprocess.PIPE)
    with process:
        output, _ = process.communicate()
    assert process.returncode == 0, f"{module} failed"
    return Run(**json.loads(output))


CARRIERS = {
    "limit": Carrier("`client.bulk`, ready-made bytes: the limit", _limit),
    "whodid": Carrier("`whodid ship --once`", _whodid),
    "rsyslog": Carrier("rsyslog, omelasticsearch", _rsyslog, shutil.which("rsyslogd") is not None),
    "opensearch-logger": Carrier("opensearch-logger", _opensearch_logger, find_spec("opensearch_logger") is not None),
}
"""By name; the first is what the others are compared with."""
