"""`whodid journal`: the journals of this host and of the cluster, and those that will never speak again."""

from __future__ import annotations

from dataclasses import asdict

import click

from ..administration import retire_journal
from ..cluster.connection import connect
from ..cluster.partitions import StoredJournal, stored_journals
from ..settings import Settings
from ..shipping.status import JournalStatus, directory_status
from ..text import printable
from .options import json_option, reason_option
from .output import print_json, print_table

__all__ = ["journal"]


@click.group(
    epilog="""\b
Examples:
  whodid journal list
  whodid journal list --cluster
  whodid journal retire 8f14e45fceea167a --reason "node web-3 died, its disk is lost\""""
)
def journal() -> None:
    """List journals; declare that one will never speak again."""


@journal.command(
    name="list",
    epilog="""\b
Examples:
  whodid journal list
  whodid journal list --cluster
  whodid journal list --cluster --json | jq -r 'select(.closed or .retired | not) | [.host, .last_time] | @tsv'

A journal that was closed or retired may be silent. One that is silent without was lost, or its shipper is down.""",
)
@click.option("--cluster", is_flag=True, help="Those that OpenSearch knows, of all hosts.")
@json_option
@click.pass_obj
def list_(settings: Settings, cluster: bool, as_json: bool) -> None:
    """List the journals of this directory, or all that are stored."""
    found = stored_journals(connect(settings), settings) if cluster else directory_status(settings.journal_dir).journals
    rows: list[tuple[str, ...]] = []
    for one in found:
        if as_json:
            print_json(asdict(one))
        else:
            rows.append(_stored_row(one) if isinstance(one, StoredJournal) else _local_row(one))
    if rows:
        print_table(_STORED if cluster else _LOCAL, rows)
    elif not as_json:
        click.echo("no journals")


_LOCAL = ("journal", "state", "entries", "shipped", "waiting", "bytes")
_STORED = ("journal", "state", "host", "service", "last entry", "number")


def _local_row(one: JournalStatus) -> tuple[str, ...]:
    numbers = (one.last_seq, one.acknowledged, one.backlog, one.bytes)
    return (one.journal, "current" if one.current else "ended", *(f"{number:,}" for number in numbers))


def _stored_row(one: StoredJournal) -> tuple[str, ...]:
    state = "retired" if one.retired else "closed" if one.closed else "open"
    shown = (one.journal, state, one.host, one.service, one.last_time, f"{one.last_seq:,}")
    return tuple(printable(cell) for cell in shown)


@journal.command(
    epilog="""\b
Examples:
  whodid journal retire 8f14e45fceea167a --reason "node web-3 died, its disk is lost"

An ended journal of this directory that is wholly shipped is also removed from the disk. One with entries that wait, or
that can be put back, and the one that is written to, are refused."""
)
@click.argument("id_", metavar="ID")
@reason_option
@json_option
@click.pass_obj
def retire(settings: Settings, id_: str, reason: str, as_json: bool) -> None:
    """Record that a journal will never speak again: its host, pod or volume is gone."""
    done = retire_journal(settings, id_, reason)
    if as_json:
        print_json({"retired": id_, "removed": done.removed, **done.details})
    else:
        here = ", and removed here" if done.removed else ""
        click.echo(f"{id_} is retired after entry {done.details['last_seq']:,}{here}")
