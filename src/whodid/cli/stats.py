"""`whodid stats`: how many entries match, in total, over time and by field."""

from __future__ import annotations

from typing import Any

import click

from ..search import FILTERS, AuditClient
from ..search.stats import Bar, Stats
from ..settings import Settings
from ..text import printable
from . import completion
from .options import QUERYING, TIMES, check_conflict, expired_option, filters, json_option, query_errors, query_filter
from .output import print_bars, print_counts, print_json

__all__ = ["stats"]

_WIDTH = 40
_FORMATS = {"second": "%Y-%m-%d %H:%M:%S", "minute": "%Y-%m-%d %H:%M", "hour": "%Y-%m-%d %H:00", "month": "%Y-%m"}


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
    print_json(found.as_json()) if as_json else _print(found)


def _print(found: Stats) -> None:
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
        click.echo(f"{field} is approximate (too many distinct values); --exact counts all of them", err=True)


def _named(interval: str, bar: Bar) -> str:
    return printable(bar.start.strftime(_FORMATS.get(interval, "%Y-%m-%d")))
