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
  whodid ship                 until SIGTERM or Ctrl-C; what is left is shipped first
  whodid ship --once          what is there now; exit 1 when something is left, damaged or missing
  whodid ship --once --json   the numbers, as JSON
  whodid ship --log-format json --metrics-address 127.0.0.1:9464

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
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Lines on standard error for people, or as JSON for programs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON at the end.")
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
        observe=lambda observation: _tell_all(observers, observation),
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
        click.echo(f"not everything was sent: {why}. It is safe in the journal", err=True)
    for one in status.missing if once else ():
        click.echo(printable(one), err=True)
    sys.exit(1 if once and (backlog or progress.dead_letters or progress.damaged or status.missing) else 0)


def _watchers(settings: Settings) -> list[Observer]:
    """systemd, and Prometheus where it is asked for."""
    watchers: list[Observer] = [Systemd().observe]
    if settings.metrics_address:
        from ..shipping.metrics import Metrics, serve_metrics

        metrics = Metrics(settings)
        serve_metrics(metrics, settings.metrics_address)
        watchers.append(metrics.observe)
    return watchers


def _tell_all(observers: list[Observer], observation: ShippingEvent) -> None:
    """One that fails (standard error is closed, say) keeps no other from hearing of it, systemd's watchdog least."""
    failed: Exception | None = None
    for observe in observers:
        try:
            observe(observation)
        except Exception as error:  # noqa: BLE001 (raised again below, for the shipper's guard)
            failed = error
    if failed:
        raise failed


def _collect_garbage_rarely() -> None:
    """Thousands of entries are held at once, none of them in a cycle: looking through them costs a fifth."""
    gc.freeze()
    gc.set_threshold(200_000, 10, 10)


def _stop_on_signals(stop: threading.Event, log: ShipperLog) -> None:
    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():  # a second one: whoever sent it does not want to wait for what is left
            raise KeyboardInterrupt  # as Ctrl-C does: no `Exception`, so that no guard takes it for a fault
        stop.set()
        # In a thread: the signal may have interrupted a line that is just being written.
        threading.Thread(target=_say_stopping, args=(log,), daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


def _say_stopping(log: ShipperLog) -> None:
    Systemd().notify("STOPPING=1")
    log.say("stopping", "stopping: what is left is shipped first; a second signal ends this at once")


class _Counter:
    """Says on a terminal how many entries were shipped, in place."""

    def __init__(self, total: int | None) -> None:
        self._of = f" of {total}" if total is not None else ""

    def __call__(self, observation: ShippingEvent) -> None:
        if isinstance(observation, Moved) and not observation.progress.waiting:
            click.echo(f"\r{observation.progress.shipped}{self._of} entries shipped ", err=True, nl=False)
