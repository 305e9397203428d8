"""`whodid search`, `get` and `stats`: the commands that find entries, follow new ones, and count them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

import click

from ..catalog import sentence
from ..catalog.model import load
from ..entry import FIELDS
from ..errors import CatalogError, OpenSearchUnavailable
from ..journal.reader import follow_journal
from ..search import FILTERS, AuditClient, Filter
from ..search.stats import Bar, Stats
from ..settings import Settings
from ..text import printable
from . import completion
from .options import (
    QUERYING,
    TIMES,
    check_conflict,
    expired_option,
    filters,
    json_option,
    query_errors,
    query_filter,
)
from .output import (
    COLUMNS,
    columns_of,
    print_bars,
    print_counts,
    print_entries,
    print_entry,
    print_json,
    print_lines,
)

__all__ = ["get", "search", "stats"]

_SHOWN = 50
"""Default number of entries in a table."""
_LATEST = 10
"""Default number of entries to start with when following."""
_BAR = 40
"""Maximum length of a bar, in characters."""
_FORMATS = {"second": "%Y-%m-%d %H:%M:%S", "minute": "%Y-%m-%d %H:%M", "hour": "%Y-%m-%d %H:00", "month": "%Y-%m"}
_SHORT = {"-f": "--follow", "-n": "--limit"}


class _Search(click.Command):
    """Accepts short options on their own; click would also find the f of `-foo`, which is part of the query."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [_SHORT.get(word, word) for word in args])


@click.command(
    cls=_Search,
    context_settings=QUERYING,
    epilog=f"""\b
Examples:
  whodid search since:-24h
  whodid search by:42 type:credentials_* -status:ok
  whodid search about:6Yk2 --oldest --json | jq .before,.after
  whodid search 'client_ip:10.0.0.0/8 (outcome:failure or status:failed)' --since -7d
  whodid search --type 'credentials_*' --target 6Yk2
  whodid search Lovelace --columns creation_date,type,target_name,details.region
  whodid search --columns creation_date,type,entry_id about:6Yk2
  whodid search --orphans --until -1h
  whodid search --follow outcome:failure   the last ten entries, and new ones as they are stored, until Ctrl-C
  whodid search --follow --local           from the journal of this host, before they are shipped

{TIMES}""",
)
@filters
@click.option(
    "--orphans", is_flag=True, help="Only intents without an outcome: actions that were interrupted or still run."
)
@click.option(
    "--follow", is_flag=True, help="Print the latest entries, oldest first, and new ones as they arrive (-f)."
)
@click.option("--local", is_flag=True, help="Read the latest entries from the journal of this host, not OpenSearch.")
@click.option("--oldest", is_flag=True, help="Oldest first; the same as --sort oldest.")
@click.option(
    "--sort",
    help="newest, oldest, a field, or -field. [default: newest]",
    shell_complete=completion.offered(("newest", "oldest", *FILTERS, *(f"-{name}" for name in FILTERS))),
)
@click.option(
    "--limit",
    type=click.IntRange(0),
    help=f"Maximum number of entries (-n). [default: {_SHOWN}; with --follow or --local {_LATEST}; with --json all]",
)
@click.option(
    "--columns",
    metavar="FIELD,…",
    shell_complete=completion.listed((*FIELDS, "entry_id")),
    help=f"Fields to show, or entry_id. [default: as many as fit of {', '.join(COLUMNS.values())}]",
)
@expired_option
@json_option
@click.pass_obj
def search(
    settings: Settings,
    /,
    query: tuple[str, ...],
    orphans: bool,
    follow: bool,
    local: bool,
    oldest: bool,
    sort: str | None,
    limit: int | None,
    columns: str | None,
    expired: bool,
    as_json: bool,
    since: str | None,
    until: str | None,
    **given: Any,
) -> None:
    """Find entries, newest first, or follow new ones."""
    order = {"--oldest": oldest, "--sort": sort}
    check_conflict("--oldest", oldest, {"--sort": sort})
    check_conflict("--orphans", orphans, {**order, "--expired": expired})
    for option, value in (("--follow", follow), ("--local", local)):
        check_conflict(option, value, {**order, "--orphans": orphans, "--expired": expired})
    with query_errors():
        shown = columns_of(columns)
        where = query_filter(query, since, until, given)
        check_conflict("--local", local, {"a query": str(where) != "*"})
        if follow or local:
            _print_latest(settings, where, _LATEST if limit is None else limit, follow, local, shown, as_json)
            return
        with AuditClient(settings) as client:
            most = _SHOWN if limit is None and not as_json else limit
            found = (
                client.orphans(where, limit=most)
                if orphans
                else client.search(where, sort="oldest" if oldest else sort or "newest", limit=most, expired=expired)
            )
            if as_json:
                print_lines(found, as_json=True)
                return
            number = print_entries(found, shown)
            if not number:
                click.echo(client.why_nothing(where), err=True)
            if not orphans:
                _print_rest(client, where, number, expired)
            elif number == most:
                click.echo(f"the newest {number}; --limit shows more", err=True)


def _print_rest(client: AuditClient, where: Filter, number: int, expired: bool) -> None:
    """Print how many entries match besides the `number` that were shown."""
    if number and (matching := client.count(where, expired=expired)) > number:
        click.echo(f"{number} of {matching:,} entries; --limit shows more", err=True)
    if not expired and (hidden := client.hidden(where)):
        click.echo(f"{hidden:,} more are past their retention and not deleted yet; --expired shows them", err=True)


def _print_latest(
    settings: Settings,
    where: Filter,
    last: int,
    follow: bool,
    local: bool,
    columns: Iterable[str] | None,
    as_json: bool,
) -> None:
    """Print the `last` entries, oldest first, and with `follow` new ones until Ctrl-C."""
    pause = (lambda: time.sleep(settings.poll_interval)) if follow else None
    outage = _Outage()
    with suppress(KeyboardInterrupt), ExitStack() as ended:
        if local:
            batches = follow_journal(settings, last, pause)
        else:
            client = ended.enter_context(AuditClient(settings))
            batches = client.follow(where, last=last, pause=pause, on_away=outage.report)
        for batch in batches:
            outage.end()
            print_lines(batch, columns, as_json=as_json)


class _Outage:
    """Prints the start and the end of an outage of the cluster once."""

    def __init__(self) -> None:
        self._reported = False

    def report(self, error: OpenSearchUnavailable) -> None:
        if not self._reported:
            click.echo(f"{error}; retrying", err=True)
        self._reported = True

    def end(self) -> None:
        if self._reported:
            click.echo("OpenSearch is available again", err=True)
        self._reported = False


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
        if as_json:
            print_json(entry)
        else:
            click.echo(f"{_sentence(settings, entry)}\n")
            print_entry(entry)
        if related and as_json:
            print_lines(client.correlated(entry), as_json=True)
        elif related and not print_entries(client.correlated(entry)):
            click.echo("no entry matches", err=True)


def _sentence(settings: Settings, entry: Mapping[str, Any]) -> str:
    """Return the entry in words, also if the catalog can't be read here."""
    try:
        return sentence(load(settings.catalog).types, entry)
    except CatalogError as error:
        click.echo(f"{error}; the sentence is made without it", err=True)
        return sentence({}, entry)


@click.command(
    context_settings=QUERYING,
    epilog=f"""\b
Examples:
  whodid stats since:-24h
  whodid stats --total by:42 since:-24h
  whodid stats --group-by type --group-by organization_id time:last-month
  whodid stats --group-by target --exact --top 1000 type:credentials_accessed
  whodid stats outcome:failure --interval day --since -30d --json

{TIMES}""",
)
@filters
@click.option("--total", is_flag=True, help="Only the total, which is much faster.")
@click.option(
    "--group-by",
    multiple=True,
    metavar="FIELD",
    help="Count the most frequent values of this field. [default: type, principal]",
    shell_complete=completion.offered(FILTERS),
)
@click.option(
    "--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="Maximum number of values per field."
)
@click.option("--exact", is_flag=True, help="Count every value of a field with very many, which takes longer.")
@click.option(
    "--interval",
    default="auto",
    show_default=True,
    help="second, minute, hour, day, week or month.",
    shell_complete=completion.offered(("second", "minute", "hour", "day", "week", "month")),
)
@expired_option
@json_option
@click.pass_obj
def stats(
    settings: Settings,
    /,
    query: tuple[str, ...],
    total: bool,
    group_by: tuple[str, ...],
    top: int,
    exact: bool,
    interval: str,
    expired: bool,
    as_json: bool,
    since: str | None,
    until: str | None,
    **given: Any,
) -> None:
    """Show how many entries match, in total, over time and by field."""
    check_conflict("--total", total, {"--group-by": group_by, "--exact": exact})
    with query_errors(), AuditClient(settings) as client:
        where = query_filter(query, since, until, given)
        if total:
            number = client.count(where, expired=expired)
            print_json({"total": number}) if as_json else click.echo(f"{number:,}")
            if not (number or as_json):
                click.echo(client.why_nothing(where), err=True)
            return
        fields = group_by or ("type", "principal")
        found = client.stats(where, group_by=fields, top=top, exact=exact, interval=interval, expired=expired)
        if not (found.total or as_json):
            click.echo(client.why_nothing(where), err=True)
            return
    print_json(found.as_json()) if as_json else _print_stats(found)


def _print_stats(found: Stats) -> None:
    entries = "entry" if found.total == 1 else "entries"
    principals = "principal" if found.principals == 1 else "principals"
    click.echo(
        f"{found.total:,} {entries} by {found.principals:,} {principals}, "
        f"{found.first:%Y-%m-%d} to {found.last:%Y-%m-%d}"
    )
    click.echo()
    bars = [(_named(found.interval, bar), bar.count) for bar in found.histogram]
    print_bars(f"{found.interval} (UTC)", bars, _BAR)
    for field, counts in found.top.items():
        click.echo()
        print_counts(field, counts)
    for field in found.approximate:
        click.echo(f"{field} is approximate (too many distinct values); --exact counts all of them", err=True)


def _named(interval: str, bar: Bar) -> str:
    return printable(bar.start.strftime(_FORMATS.get(interval, "%Y-%m-%d")))
