"""`whodid stats`: how many entries match, when, and of what, as a picture.

`whodid tail`: the last entries, and new ones as they come.
"""

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
from .options import QUERYING, TIMES, asked, expired_option, filters, json_option, query_argument, question
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
    help="Most frequent values of a field. [default: type, principal]",
    shell_complete=completion.offered(FILTERS),
)
@click.option("--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many of them.")
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
    """Show how many entries match, when, and of what."""
    with question(), AuditClient(settings) as client:
        where = asked(query, since, until, given)
        found = client.stats(where, by=by or ("type", "principal"), top=top, interval=interval, expired=expired)
    if as_json:
        print_json(found.as_json())
        return
    _print(found)


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
        click.echo(f"{field} has so many values that these may not be the right ones; count --by {field} is", err=True)


def _named(interval: str, bar: Bar) -> str:
    return printable(bar.start.strftime(_FORMATS.get(interval, "%Y-%m-%d")))


_NEGATED = re.compile(r'-[A-Za-z_.]+:|-[("]')


class _Tail(click.Command):
    """Takes `-status:ok` as a part of the query, which click would read as `-s -t -a …`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [f"not {word[1:]}" if _NEGATED.match(word) else word for word in args])


@click.command(
    cls=_Tail,
    epilog="""\b
Examples:
  whodid tail                       the last ten entries
  whodid tail -f                    and new ones as they are stored; Ctrl-C ends it
  whodid tail -f outcome:failure    those that match, in the search language
  whodid tail -f --local            from the journal of this host, before they are shipped""",
)
@query_argument
@click.option("-f", "--follow", is_flag=True, help="Go on with new entries as they come.")
@click.option("-n", "number", type=click.IntRange(0), default=10, show_default=True, help="How many to begin with.")
@click.option("--local", is_flag=True, help="Read this host's journal instead of OpenSearch.")
@json_option
@click.pass_obj
def tail(settings: Settings, query: tuple[str, ...], follow: bool, number: int, local: bool, as_json: bool) -> None:
    """Show the last entries, and follow."""
    pause = (lambda: time.sleep(settings.poll_interval)) if follow else None
    try:
        if local:
            if query:
                raise click.UsageError("--local shows every entry of the journal; leave the query out")

            for batch in follow_journal(settings, number, pause):
                _show(batch, as_json)
            return

        with question(), AuditClient(settings) as client:
            asked = ordered(Filter.parse(" ".join(query)))
            away = _Away()
            for batch in client.follow(asked, last=number, pause=pause, on_away=away.told):
                away.over()
                _show(batch, as_json)
    except KeyboardInterrupt:
        return


class _Away:
    """A cluster that can't be asked: said once, and when it is back."""

    def __init__(self) -> None:
        self._now = False

    def told(self, error: OpenSearchUnavailable) -> None:
        if not self._now:
            click.echo(f"{error}; it is asked again", err=True)
        self._now = True

    def over(self) -> None:
        if self._now:
            click.echo("OpenSearch answers again", err=True)
        self._now = False


def _show(batch: list[dict[str, Any]], as_json: bool) -> None:
    for entry in batch:
        print_json(entry) if as_json else click.echo(_line(entry))
    sys.stdout.flush()


def _line(entry: dict[str, Any]) -> str:
    who = f"{printable(entry.get('principal'))} {printable(entry.get('client_ip', '-'))}"
    fields = (entry.get("creation_date"), entry.get("type"), entry.get("target"), who, entry.get("status"))
    return "  ".join(printable(field) for field in fields if field is not None)
