"""`whodid ship`: sends journalled entries to OpenSearch."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from types import FrameType
from typing import TYPE_CHECKING

import click

from ..settings import Settings

if TYPE_CHECKING:
    from ..shipper.observation import Observation

__all__ = ["ship"]


@click.command(
    epilog="""\b
Examples:
  whodid ship                 until SIGTERM or Ctrl-C; what is left is shipped first
  whodid ship --once          what is there now; exit 1 when something could not be sent
  whodid ship --once --json   the numbers, as JSON

Only one shipper works on a journal directory; a second one waits for its turn. When it is stopped, it ships what is
there within drain_timeout, and records that the journal is closed; a second signal ends it at once. Stopping it at any
moment, kill -9 included, loses nothing and stores nothing twice."""
)
@click.option("--once", is_flag=True, help="Send what is there now, and end.")
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    help="With --once: seconds without an answer.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON at the end.")
@click.pass_obj
def ship(settings: Settings, once: bool, patience: float, as_json: bool) -> None:
    """Send journalled entries to OpenSearch."""
    from ..shipper.service import connected_shipper
    from ..status import directory_status

    stop = threading.Event()
    _stop_on_signals(stop)
    reporter = _Reporter(directory_status(settings.journal_dir).backlog if once else None)
    shipper = connected_shipper(
        settings, stop=stop, observe=reporter, tell=lambda text: click.echo(text, err=True), closing=not once
    )
    _collect_garbage_rarely()
    progress = shipper.run_once(patience) if once else shipper.run()
    backlog = directory_status(settings.journal_dir).backlog
    if as_json:
        click.echo(json.dumps({**asdict(progress), "backlog": backlog}))
    else:
        click.echo(f"{progress.shipped} entries shipped, {backlog} waiting", err=True)
    if progress.dead_letters:
        click.echo(f"{progress.dead_letters} dead letters: see `whodid status`", err=True)
    if backlog and once:
        click.echo(f"not everything was sent: {progress.waiting or 'stopped'}. It is safe in the journal", err=True)
    sys.exit(1 if once and (backlog or progress.dead_letters) else 0)


def _collect_garbage_rarely() -> None:
    """Tens of thousands of entries are held at once, none of them in a cycle: looking through them costs a fifth."""
    gc.freeze()
    gc.set_threshold(200_000, 10, 10)


def _stop_on_signals(stop: threading.Event) -> None:
    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():  # a second one: whoever sent it does not want to wait for what is left
            raise click.Abort
        stop.set()
        os.write(2, b"stopping: what is left is shipped first; a second signal ends this at once\n")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


class _Reporter:
    """Says on stderr how far the shipper is: a line in place on a terminal, and a line only for trouble elsewhere."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._waiting = ""

    def __call__(self, observation: Observation) -> None:
        from ..shipper.observation import Moved

        if not isinstance(observation, Moved):
            return
        progress = observation.progress
        if progress.waiting and progress.waiting != self._waiting:
            click.echo(f"waiting: {progress.waiting}", err=True)
        self._waiting = progress.waiting
        if sys.stderr.isatty() and not progress.waiting:
            of = f" of {self._total}" if self._total is not None else ""
            click.echo(f"\r{progress.shipped}{of} entries shipped ", err=True, nl=False)
