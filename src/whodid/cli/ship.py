"""`whodid ship`: sends journalled entries to OpenSearch."""

from __future__ import annotations

import gc
import json
import signal
import sys
import threading
from dataclasses import asdict
from types import FrameType
from typing import Literal

import click

from ..settings import Settings
from ..shipping.dead_letters import without_values
from ..shipping.delivery import Moved, Observer, ShippingEvent
from ..shipping.log import ShipperLog, Systemd
from ..shipping.service import connected_shipper
from ..shipping.status import directory_status
from ..text import printable

__all__ = ["ship"]


@click.command(
    epilog="""\b
Examples:
  whodid ship                 run until SIGTERM or Ctrl-C, and ship the remaining entries before exiting
  whodid ship --once          ship all entries of now; exit 1 while some wait, are dead letters, damaged or missing
  whodid ship --once --json   the numbers, as JSON
  whodid ship --log-format json --metrics-address 127.0.0.1:9464

Only one shipper at a time works on a journal directory; a second one waits. When it is stopped, it ships the remaining
entries within drain_timeout, and records that the journal is closed; a second signal stops it immediately. No entry is
lost or stored twice whenever it is stopped, even by kill -9."""
)
@click.option("--once", is_flag=True, help="Send all entries of now, and exit.")
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    help="With --once: seconds to wait for OpenSearch to answer.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Format of log lines on standard error.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the final numbers as JSON.")
@click.pass_obj
def ship(settings: Settings, once: bool, patience: float, log_format: Literal["text", "json"], as_json: bool) -> None:
    """Send journalled entries to OpenSearch."""
    log = ShipperLog(lambda line: click.echo(printable(line), err=True), log_format)
    stop = threading.Event()
    _stop_on_signals(stop, log)
    observers: list[Observer] = [log]
    if sys.stderr.isatty() and log_format == "text":
        observers.append(_Counter(directory_status(settings.journal_dir).backlog if once else None))
    if not once:
        observers += _watchers(settings)
        log.say("started", f"shipping {settings.journal_dir}", journal_dir=settings.journal_dir)
    shipper = connected_shipper(
        settings,
        stop=stop,
        observe=lambda observation: _notify(observers, observation),
        notify=lambda text: log.say("retention", text),
        closing=not once,
    )
    _collect_garbage_rarely()
    progress = shipper.run_once(patience) if once else shipper.run()
    status = directory_status(settings.journal_dir)
    backlog = status.backlog
    if as_json:
        click.echo(json.dumps({**asdict(progress), "backlog": backlog}))
    if not as_json or not once:
        text = f"{progress.shipped} entries shipped, {backlog} waiting"
        log.say("stopped", text, shipped=progress.shipped, backlog=backlog)
    if backlog and once:
        why = without_values(progress.waiting) or "stopped"
        click.echo(f"not all entries were sent: {why}. They are safe in the journal", err=True)
    for one in status.not_stored if once else ():
        click.echo(printable(one), err=True)
    sys.exit(1 if once and (backlog or status.not_stored) else 0)


def _watchers(settings: Settings) -> list[Observer]:
    """Return the observers for systemd, and for Prometheus if it is configured."""
    watchers: list[Observer] = [Systemd().observe]
    if settings.metrics_address:
        from ..shipping.metrics import Metrics, serve_metrics

        metrics = Metrics(settings)
        serve_metrics(metrics, settings.metrics_address)
        watchers.append(metrics.observe)
    return watchers


def _notify(observers: list[Observer], observation: ShippingEvent) -> None:
    """Pass an observation to all observers, even if one fails, such as the log after standard error was closed."""
    failed: Exception | None = None
    for observe in observers:
        try:
            observe(observation)
        except Exception as error:  # noqa: BLE001 (raised again below)
            failed = error
    if failed:
        raise failed


def _collect_garbage_rarely() -> None:
    """Collect garbage rarely: scanning thousands of entries, none of them in a cycle, costs a fifth of the time."""
    gc.freeze()
    gc.set_threshold(200_000, 10, 10)


def _stop_on_signals(stop: threading.Event, log: ShipperLog) -> None:
    """Set `stop` at SIGTERM or Ctrl-C. Another signal after that raises `KeyboardInterrupt`.

    A handler runs in the middle of whatever the main thread does. That may hold the lock of `stop`, which `stop.wait`
    takes, or be writing a line: a handler that wanted the same would wait for itself. So a thread does both.
    """
    stopping = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:  # do not wait for the remaining entries
            raise KeyboardInterrupt  # not an `Exception`, which would be handled as a failure of the shipper
        stopping = True
        threading.Thread(target=end, daemon=True).start()

    def end() -> None:
        stop.set()
        Systemd().notify("STOPPING=1")
        log.say("stopping", "stopping after the remaining entries are shipped; a second signal stops immediately")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


class _Counter:
    """Shows the number of shipped entries on a terminal, on one line that is overwritten."""

    def __init__(self, total: int | None) -> None:
        self._of = f" of {total}" if total is not None else ""

    def __call__(self, observation: ShippingEvent) -> None:
        if isinstance(observation, Moved) and not observation.progress.waiting:
            click.echo(f"\r{observation.progress.shipped}{self._of} entries shipped ", err=True, nl=False)
