"""`whodid stats` and `whodid tail`: counts of matching entries, and the latest entries."""

from __future__ import annotations

import re
import sys
import time
from typing import Any

import click

from ..errors import OpenSearchUnavailable
from ..journal.reader import follow_journal
from ..search import FILTERS, AuditClient, Filter
from ..search.filter import ordered
from ..search.stats import Bar, Stats
from ..settings import Settings
from ..text import printable
from . import completion
from .options import QUERYING, TIMES, expired_option, filters, json_option, query_argument, query_errors, query_filter
from .output import print_bars, print_counts, print_json

__all__ = ["stats", "tail"]

_WIDTH = 40
_FORMATS = {"second": "%Y-%m-%d %H:%M:%S", "minute": "%Y-%m-%d %H:%M", "hour": "%Y-%m-%d %H:00", "month": "%Y-%m"}


@click.command(
    context_settings=QUERYING,
    epilog=f"""\b
Examples:
  whodid stats since:-24h
  whodid stats --by type --by organization_id time:last-month
  whodid stats outcome:failure --interval day --since -30d --json

{TIMES}""",
)
@filters
@click.option(
    "--by",
    multiple=True,
    metavar="FIELD",
    help="Count the most frequent values of this field. [default: type, principal]",
    shell_complete=completion.offered(FILTERS),
)
@click.option(
    "--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="Maximum number of values per field."
)
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
    by: tuple[str, ...],
    top: int,
    interval: str,
    expired: bool,
    as_json: bool,
    since: str | None,
    until: str | None,
    **given: Any,
) -> None:
    """Show the number of matching entries over time and by field."""
    with query_errors(), AuditClient(settings) as client:
        where = query_filter(query, since, until, given)
        found = client.stats(where, by=by or ("type", "principal"), top=top, interval=interval, expired=expired)
    print_json(found.as_json()) if as_json else _print(found)


def _print(found: Stats) -> None:
    if not found.total:
        click.echo("no entry matches", err=True)
        return
    entries = "entry" if found.total == 1 else "entries"
    principals = "principal" if found.principals == 1 else "principals"
    click.echo(
        f"{found.total:,} {entries} by {found.principals:,} {principals}, "
        f"{found.first:%Y-%m-%d} to {found.last:%Y-%m-%d}"
    )
    click.echo()
    bars = [(_named(found.interval, bar), bar.count) for bar in found.histogram]
    print_bars(f"{found.interval} (UTC)", bars, _WIDTH)
    for field, counts in found.top.items():
        click.echo()
        print_counts(field, counts)
    for field in found.approximate:
        click.echo(f"{field} is approximate (too many distinct values); `whodid count --by {field}` is exact", err=True)


def _named(interval: str, bar: Bar) -> str:
    return printable(bar.start.strftime(_FORMATS.get(interval, "%Y-%m-%d")))


_NEGATED = re.compile(r'-[A-Za-z_.]+:|-[("]')


class _Tail(click.Command):
    """Passes `-status:ok` on as part of the query; click would parse it as `-s -t -a …`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [f"not {word[1:]}" if _NEGATED.match(word) else word for word in args])


@click.command(
    cls=_Tail,
    epilog="""\b
Examples:
  whodid tail                       the last ten entries
  whodid tail -f                    and new ones as they are stored, until Ctrl-C
  whodid tail -f outcome:failure    entries that match a query
  whodid tail -f --local            from the journal of this host, before they are shipped""",
)
@query_argument
@click.option("-f", "--follow", is_flag=True, help="Print new entries as they arrive.")
@click.option(
    "-n", "number", type=click.IntRange(0), default=10, show_default=True, help="Number of entries to start with."
)
@click.option("--local", is_flag=True, help="Read the journal of this host instead of OpenSearch.")
@json_option
@click.pass_obj
def tail(settings: Settings, query: tuple[str, ...], follow: bool, number: int, local: bool, as_json: bool) -> None:
    """Show the latest entries, and follow new ones."""
    pause = (lambda: time.sleep(settings.poll_interval)) if follow else None
    try:
        if local:
            if query:
                raise click.UsageError("--local can't be combined with a query")
            for batch in follow_journal(settings, number, pause):
                _show(batch, as_json)
            return

        with query_errors(), AuditClient(settings) as client:
            asked = ordered(Filter.parse(" ".join(query)))
            outage = _Outage()
            for batch in client.follow(asked, last=number, pause=pause, on_away=outage.report):
                outage.end()
                _show(batch, as_json)
    except KeyboardInterrupt:
        return


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


def _show(batch: list[dict[str, Any]], as_json: bool) -> None:
    for entry in batch:
        print_json(entry) if as_json else click.echo(_line(entry))
    sys.stdout.flush()


def _line(entry: dict[str, Any]) -> str:
    who = f"{printable(entry.get('principal'))} {printable(entry.get('client_ip', '-'))}"
    fields = (entry.get("creation_date"), entry.get("type"), entry.get("target"), who, entry.get("status"))
    return "  ".join(printable(field) for field in fields if field is not None)
