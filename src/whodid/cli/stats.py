"""`whodid stats`: how many entries match, when, and of what, as a picture."""

from __future__ import annotations

from typing import Any

import click

from ..search import FILTERS, AuditClient
from ..search.stats import Bar, Stats
from ..settings import Settings
from ..text import printable
from . import completion
from .asking import QUERYING, TIMES, asked, expired_option, filters, question
from .options import json_option
from .output import print_bars, print_counts, print_json

__all__ = ["stats"]

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
