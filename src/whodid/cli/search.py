"""`whodid search`, `history`, `trail`, `count` and `get`: the commands that find entries."""

from __future__ import annotations

import sys
from typing import Any

import click

from ..entry import FIELDS
from ..search import FILTERS, AuditClient
from ..settings import Settings
from . import completion
from .options import (
    QUERYING,
    TIMES,
    expired_option,
    filters,
    json_option,
    query_errors,
    query_filter,
    since_option,
    until_option,
)
from .output import COLUMNS, columns_of, print_counts, print_entries, print_entry, print_json

__all__ = ["count", "get", "history", "search", "trail"]

_SHOWN = 50
"""Default number of entries in a table."""
_COUNTED = 1000
"""Maximum number of values of a field that are counted."""

limit_option = click.option(
    "--limit", type=click.IntRange(1), help="Maximum number of entries. [default: 50; with --json all]"
)
columns_option = click.option(
    "--columns",
    metavar="FIELD,…",
    shell_complete=completion.listed((*FIELDS, "entry_id")),
    help=f"Fields to show, or entry_id. [default: as many as fit of {', '.join(COLUMNS.values())}]",
)


@click.command(
    context_settings=QUERYING,
    epilog=f"""\b
Examples:
  whodid search since:-24h
  whodid search principal:42 type:credentials_* -status:ok
  whodid search 'client_ip:10.0.0.0/8 (outcome:failure or status:failed)' --since -7d
  whodid search --type 'credentials_*' --target 6Yk2
  whodid search Lovelace --columns creation_date,type,target_name,details.region
  whodid search --client-ip 10.0.0.0/8 --json | jq .user_agent
  whodid search --columns creation_date,type,entry_id target:6Yk2
  whodid search --orphans --until -1h

{TIMES}""",
)
@filters
@click.option(
    "--orphans", is_flag=True, help="Only intents without an outcome: actions that were interrupted or still run."
)
@click.option(
    "--sort",
    default="newest",
    show_default=True,
    help="newest, oldest, a field, or -field.",
    shell_complete=completion.offered(("newest", "oldest", *FILTERS, *(f"-{name}" for name in FILTERS))),
)
@limit_option
@columns_option
@expired_option
@json_option
@click.pass_obj
def search(
    settings: Settings,
    /,
    query: tuple[str, ...],
    orphans: bool,
    sort: str,
    limit: int | None,
    columns: str | None,
    expired: bool,
    as_json: bool,
    since: str | None,
    until: str | None,
    **given: Any,
) -> None:
    """Find entries, newest first."""
    if orphans and sort != "newest":
        raise click.UsageError("--orphans can't be combined with --sort")
    with query_errors(), AuditClient(settings) as client:
        shown = columns_of(columns)
        where = query_filter(query, since, until, given)
        most = limit or (None if as_json else _SHOWN)
        found = (
            client.orphans(where, limit=most)
            if orphans
            else client.search(where, sort=sort, limit=most, expired=expired)
        )
        if as_json:
            for entry in found:
                print_json(entry)
            return
        number = print_entries(found, shown)
        if orphans:
            if number == most:
                click.echo(f"the newest {number}; --limit shows more", err=True)
        elif number and (matching := client.count(where, expired=expired)) > number:
            click.echo(f"{number} of {matching:,} entries; --limit shows more", err=True)
        if not number:
            click.echo("no entry matches", err=True)
        if not orphans and not expired and (hidden := client.hidden(where)):
            click.echo(f"{hidden:,} more are past their retention and not deleted yet; --expired shows them", err=True)


@click.command(
    epilog="""\b
Examples:
  whodid history 6Yk2
  whodid history 6Yk2 --json | jq .before,.after"""
)
@click.argument("target")
@limit_option
@columns_option
@expired_option
@json_option
@click.pass_obj
def history(
    settings: Settings, target: str, limit: int | None, columns: str | None, expired: bool, as_json: bool
) -> None:
    """Show what happened to a target, oldest first."""
    with query_errors(), AuditClient(settings) as client:
        most = limit or _SHOWN
        found = client.history(target, limit=limit if as_json else most + 1, expired=expired)
        _show(found, columns, as_json, most)


@click.command(
    epilog="""\b
Examples:
  whodid trail 42
  whodid trail 42 --since last-week --json"""
)
@click.argument("principal")
@since_option
@until_option
@limit_option
@columns_option
@expired_option
@json_option
@click.pass_obj
def trail(
    settings: Settings,
    principal: str,
    since: str | None,
    until: str | None,
    limit: int | None,
    columns: str | None,
    expired: bool,
    as_json: bool,
) -> None:
    """Show what a principal did, or others did on their behalf, oldest first."""
    with query_errors(), AuditClient(settings) as client:
        most = limit or _SHOWN
        at_most = limit if as_json else most + 1
        found = client.trail(principal, since=since, until=until, limit=at_most, expired=expired)
        _show(found, columns, as_json, most)


def _show(found: Any, columns: str | None, as_json: bool, most: int | None = None) -> None:
    shown = columns_of(columns)
    if as_json:
        for entry in found:
            print_json(entry)
        return
    entries = list(found)
    if not print_entries(entries[:most], shown):
        click.echo("no entry matches", err=True)
    elif most and len(entries) > most:
        click.echo(f"the first {most}; --limit shows more", err=True)


@click.command(
    context_settings=QUERYING,
    epilog=f"""\b
Examples:
  whodid count since:-24h
  whodid count --by type organization_id:7
  whodid count --by principal --type credentials_accessed --json

{TIMES}""",
)
@filters
@click.option(
    "--by", metavar="FIELD", help="Count for each value of a field.", shell_complete=completion.offered(FILTERS)
)
@expired_option
@json_option
@click.pass_obj
def count(
    settings: Settings,
    /,
    query: tuple[str, ...],
    by: str | None,
    expired: bool,
    as_json: bool,
    since: str | None,
    until: str | None,
    **given: Any,
) -> None:
    """Count entries."""
    with query_errors(), AuditClient(settings) as client:
        where = query_filter(query, since, until, given)
        if by:
            counts = client.counts_by(by, where, limit=_COUNTED, expired=expired)
            print_json(counts) if as_json else print_counts(by, counts)
            if len(counts) == _COUNTED:
                click.echo(f"only the {_COUNTED:,} most frequent values are shown; use a narrower query", err=True)
        else:
            number = client.count(where, expired=expired)
            print_json({"count": number}) if as_json else click.echo(f"{number:,}")


@click.command(
    epilog="""\b
Examples:
  whodid get 9945c185e61a3281-000000000001-45e03b45f1cb2929
  whodid get --json 9945c185e61a3281-000000000001-45e03b45f1cb2929 | jq .details
  whodid get --related 9945c185e61a3281-000000000001-45e03b45f1cb2929

Exit 1 if the entry does not exist."""
)
@click.argument("entry_id")
@click.option(
    "--related", is_flag=True, help="Also show the other entries of its cascade, operation, request or trace."
)
@expired_option
@json_option
@click.pass_obj
def get(settings: Settings, entry_id: str, related: bool, expired: bool, as_json: bool) -> None:
    """Show one entry by the ID of its receipt."""
    with AuditClient(settings) as client:
        entry = client.get(entry_id, expired=expired)
        if entry is None:
            click.echo(f"entry {entry_id} not found; it may not be shipped yet: see `whodid status`", err=True)
            sys.exit(1)
        print_json(entry) if as_json else print_entry(entry)
        if related:
            _show(client.correlated(entry), None, as_json)
