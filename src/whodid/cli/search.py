"""`whodid search`, `count`, `get` and `tail`: finding entries."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from ..display import printable
from ..entry import FIELDS
from ..errors import QueryError
from ..query import FILTERS
from ..settings import Settings
from .output import print_counts, print_entries, print_entry, print_json

__all__ = ["count", "get", "search", "tail"]

Command = TypeVar("Command", bound=Callable[..., Any])

_TIMES = """\b
Times: 2026-11-23, 2026-11-23T08:00:00Z, or a span back from now: -30m, -24h, -7d, -4w.
A filter may be given several times: any of its values matches. A value that ends in * is a prefix."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")


def _filters(command: Command) -> Command:
    """The options --since and --until, and one for each field that can be searched by."""
    for name in reversed(FILTERS):
        option = f"--{name.replace('_', '-')}"
        command = click.option(option, name, multiple=True, metavar="VALUE", help=FIELDS[name].about)(command)
    command = click.option("--until", metavar="TIME", help="Before this time.")(command)
    return click.option("--since", metavar="TIME", help="From this time on.")(command)


def _given(filters: dict[str, Any]) -> dict[str, Any]:
    return {name: list(values) for name, values in filters.items() if values}


@contextmanager
def _question() -> Iterator[None]:
    """A question that can't be asked is wrong usage, as an unknown option is."""
    try:
        yield
    except QueryError as error:
        raise click.UsageError(str(error)) from error


@click.command(
    epilog=f"""\b
Examples:
  whodid search --since -24h
  whodid search --principal 42 --since -7d
  whodid search --type 'credentials_*' --target 6Yk2
  whodid search --client-ip 10.0.0.0/8 --json | jq .user_agent
  whodid search --orphans --until -1h

{_TIMES}"""
)
@_filters
@click.option("--orphans", is_flag=True, help="Only intents without an outcome: actions cut off, or still under way.")
@click.option("--limit", type=click.IntRange(1), help="At most so many. [default: 50, with --json all]")
@json_option
@click.pass_obj
def search(
    settings: Settings, /, orphans: bool, limit: int | None, as_json: bool, since: Any, until: Any, **filters: Any
) -> None:
    """Find entries, newest first."""
    from ..client import AuditClient

    with _question(), AuditClient(settings) as client:
        find = client.orphans if orphans else client.search
        found = find(since=since, until=until, limit=limit or (None if as_json else 50), **_given(filters))
        if as_json:
            for entry in found:
                print_json(entry)
            return
        shown = print_entries(found)
        matching = shown if orphans else client.count(since=since, until=until, **_given(filters))
    if orphans and shown == (limit or 50):
        click.echo(f"the newest {shown}; --limit shows more", err=True)
    elif matching > shown:
        click.echo(f"{shown} of {matching:,} entries; --limit shows more", err=True)
    elif not shown:
        click.echo("no entry matches", err=True)


@click.command(
    epilog=f"""\b
Examples:
  whodid count --since -24h
  whodid count --by type --organization-id 7
  whodid count --by principal --type credentials_accessed --json

{_TIMES}"""
)
@_filters
@click.option("--by", metavar="FIELD", help="Count for each value of a field.")
@json_option
@click.pass_obj
def count(settings: Settings, /, by: str | None, as_json: bool, since: Any, until: Any, **filters: Any) -> None:
    """Count entries."""
    from ..client import AuditClient

    with _question(), AuditClient(settings) as client:
        if by:
            counts = client.counts_by(by, since=since, until=until, **_given(filters))
            print_json(counts) if as_json else print_counts(by, counts)
        else:
            number = client.count(since=since, until=until, **_given(filters))
            print_json({"count": number}) if as_json else click.echo(f"{number:,}")


@click.command(
    epilog="""\b
Examples:
  whodid get 9945c185e61a3281-000000000001-45e03b45f1cb2929
  whodid get --json 9945c185e61a3281-000000000001-45e03b45f1cb2929 | jq .details

Exit 1 when there is no such entry."""
)
@click.argument("entry_id")
@json_option
@click.pass_obj
def get(settings: Settings, entry_id: str, as_json: bool) -> None:
    """Show one entry by the ID of its receipt."""
    from ..client import AuditClient

    with AuditClient(settings) as client:
        entry = client.get(entry_id)
    if entry is None:
        click.echo(f"there is no entry {entry_id}; it may not be shipped yet: see `whodid status`", err=True)
        sys.exit(1)
    print_json(entry) if as_json else print_entry(entry)


@click.command(
    epilog="""\b
Examples:
  whodid tail                  the last ten entries
  whodid tail -f               and new ones as they are stored; Ctrl-C ends it
  whodid tail -f --local       from the journal of this host, before they are shipped"""
)
@click.option("-f", "--follow", is_flag=True, help="Go on with new entries as they come.")
@click.option("-n", "number", type=click.IntRange(0), default=10, show_default=True, help="How many to begin with.")
@click.option("--local", is_flag=True, help="Read this host's journal instead of OpenSearch.")
@json_option
@click.pass_obj
def tail(settings: Settings, follow: bool, number: int, local: bool, as_json: bool) -> None:
    """Show the last entries, and follow."""
    pause = (lambda: time.sleep(settings.poll_interval)) if follow else None
    try:
        if local:
            from ..journal.tail import follow_journal

            for batch in follow_journal(settings, number, pause):
                _show(batch, as_json)
            return
        from ..client import AuditClient

        with AuditClient(settings) as client:
            for batch in client.follow(last=number, pause=pause):
                _show(batch, as_json)
    except KeyboardInterrupt:
        return


def _show(batch: list[dict[str, Any]], as_json: bool) -> None:
    for entry in batch:
        print_json(entry) if as_json else click.echo(_line(entry))
    sys.stdout.flush()


def _line(entry: dict[str, Any]) -> str:
    who = f"{entry.get('principal', '')} {entry.get('client_ip', '-')}"
    fields = (entry.get("creation_date"), entry.get("type"), entry.get("target"), who, entry.get("status"))
    return "  ".join(printable(field) for field in fields if field is not None)
