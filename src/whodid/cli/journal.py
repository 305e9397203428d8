"""`whodid journal`: the journals of this host and of the cluster, and those that will never speak again."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..display import printable
from ..errors import WhodidError
from ..settings import Settings
from .confirmation import reason_option
from .output import print_json, print_table

if TYPE_CHECKING:
    from ..journal import JournalDirectory, Missing
    from ..opensearch.journals import StoredJournal
    from ..status import JournalStatus

__all__ = ["journal"]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


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
    rows: list[tuple[str, ...]] = []
    for one in _stored(settings) if cluster else _local(settings):
        if as_json:
            print_json(asdict(one))
        else:
            rows.append(_stored_row(one) if cluster else _local_row(one))
    if rows:
        print_table(_STORED if cluster else _LOCAL, rows)
    elif not as_json:
        click.echo("no journals")


_LOCAL = ("journal", "state", "entries", "shipped", "waiting", "bytes")
_STORED = ("journal", "state", "host", "service", "last entry", "number")


def _local_row(one: Any) -> tuple[str, ...]:
    numbers = (one.last_seq, one.acknowledged, one.backlog, one.bytes)
    return (one.journal, "current" if one.current else "ended", *(f"{number:,}" for number in numbers))


def _stored_row(one: Any) -> tuple[str, ...]:
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
    from ..journal import Acknowledged, JournalDirectory
    from ..journal.damage import remove_missing
    from ..own import record_operation
    from ..status import missing_entries

    local = next((one for one in _local(settings) if one.journal == id_), None)
    directory, missing = JournalDirectory(settings.journal_dir), []
    if local is not None:
        known = Acknowledged.read(directory.journal(id_))
        _refuse_if_needed(local)
        missing = [gap for gap in missing_entries(directory) if gap.journal == id_]
        _refuse_if_restorable(directory, missing)
        details: dict[str, Any] = {"last_seq": known.seq, "last_hash": known.hash}
        if missing:
            details["missing"] = [[gap.first, gap.last] for gap in missing[:100]]
    else:
        stored = next((one for one in _stored(settings) if one.journal == id_), None)
        if stored is None:
            raise WhodidError(f"there is no journal {id_} here or in OpenSearch; `whodid journal list --cluster`")
        details = {"last_seq": stored.last_seq, "last_hash": stored.last_hash, "host": stored.host}
    record_operation(settings, "audit_log_journal_retired", id_, {"reason": reason, **details})
    if local is not None:
        shutil.rmtree(directory.journal(id_))
        remove_missing(directory, missing)
    removed = local is not None
    if as_json:
        print_json({"retired": id_, "removed": removed, **details})
    else:
        click.echo(f"{id_} is retired after entry {details['last_seq']:,}" + (", and removed here" if removed else ""))


def _refuse_if_needed(local: JournalStatus) -> None:
    if local.current:
        raise WhodidError(f"{local.journal} is the journal that new entries go to; only one that has ended can retire")
    if local.backlog:
        raise WhodidError(
            f"{local.journal} has {local.backlog:,} entries that are not in OpenSearch; run `whodid ship --once` first"
        )


def _refuse_if_restorable(directory: JournalDirectory, missing: Sequence[Missing]) -> None:
    """Raises `WhodidError` while a file below the directory has entries that were not shipped."""
    from ..journal.damage import find_stray, in_words

    for gap in missing:
        if find_stray(directory, gap):
            raise WhodidError(in_words(directory, gap))


def _local(settings: Settings) -> list[JournalStatus]:
    from ..status import directory_status

    return list(directory_status(settings.journal_dir).journals)


def _stored(settings: Settings) -> list[StoredJournal]:
    from ..opensearch.connection import connect
    from ..opensearch.journals import stored_journals

    return list(stored_journals(connect(settings), settings))
