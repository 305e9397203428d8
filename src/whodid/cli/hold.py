"""`whodid hold`: protects partitions from deletion until the hold is released."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime

import click

from ..administration import HoldChange, loss_of_release, release_hold, set_hold
from ..cluster.connection import connect
from ..retention.holds import Hold, held, holds
from ..settings import Settings
from ..text import printable
from .options import confirm, json_option, query_errors, reason_option, yes_option
from .output import print_json, print_table

__all__ = ["hold"]


@click.group(
    epilog="""\b
Examples:
  whodid hold set --reason "case 4711" --since 2026-03-01 --until 2026-06-01
  whodid hold list
  whodid hold release h-3f9c21d07b55 --reason "case 4711 is closed"

A hold protects whole partitions from deletion by Index State Management and by `whodid retention enforce`, whatever the
retention is. It does not prevent an administrator of the cluster from deleting an index by hand."""
)
def hold() -> None:
    """Keep entries beyond their retention: set, list and release holds."""


@hold.command(
    "set",
    epilog="""\b
Examples:
  whodid hold set --reason "case 4711" --partition whodid-audit-2026.03 --partition whodid-audit-2026.04
  whodid hold set --reason "case 4711" --since 2026-03-01 --until 2026-06-01
  whodid hold set --reason "merger, until further notice" --since 2026-01-01 --json

Dates are in UTC; times may have a zone. --until is exclusive. A hold over a period covers every partition that overlaps
it, including those created later. Who sets a hold, and why, is recorded in the audit log.""",
)
@reason_option
@click.option("--partition", "partitions", multiple=True, metavar="NAME", help="A partition; may be repeated.")
@click.option("--since", metavar="TIME", help="All partitions with entries from this time on.")
@click.option("--until", metavar="TIME", help="All partitions with entries before this time.")
@json_option
@click.pass_obj
def set_(
    settings: Settings, reason: str, partitions: tuple[str, ...], since: str | None, until: str | None, as_json: bool
) -> None:
    """Keep partitions until the hold is released."""
    with query_errors():
        change = set_hold(connect(settings), settings, reason, partitions=partitions, since=since, until=until)
    if change.hold.covers_later(datetime.now(UTC)):
        click.echo("run `whodid retention enforce` daily: it applies the hold to partitions created later", err=True)
    _finish(change, as_json)


def _finish(change: HoldChange, as_json: bool) -> None:
    meant, applied = change.hold, change.applied
    if as_json:
        print_json({**asdict(meant), **asdict(applied)})
    else:
        click.echo(f"{meant.id}: {meant.meant()}")
        for word, names in (("held", applied.held), ("under retention again", applied.released)):
            for name in names:
                click.echo(f"{name}: {word}")
    for name, why in applied.problems.items():
        click.echo(printable(f"{name}: FAILED: {why}; `whodid doctor --fix` retries"), err=True)
    sys.exit(1 if applied.problems else 0)


@hold.command(
    "list",
    epilog="""\b
Examples:
  whodid hold list
  whodid hold list --all                 including released holds
  whodid hold list --json | jq -r .reason""",
)
@click.option("--all", "released", is_flag=True, help="Include released holds.")
@json_option
@click.pass_obj
def list_(settings: Settings, released: bool, as_json: bool) -> None:
    """Show the holds, and the partitions that each protects now."""
    client = connect(settings)
    on = held(client, settings)
    known = holds(client, settings)
    found = [(one, [name for name, ids in on.items() if one.id in ids]) for one in known if one.in_force or released]
    lost = sorted({id_ for ids in on.values() for id_ in ids} - {one.id for one in known})
    if as_json:
        for one, names in found:
            print_json({**asdict(one), "keeps": names})
    elif found:
        print_table(("hold", "state", "set", "by", "keeps", "reason"), (_row(*each) for each in found))
    else:
        click.echo("no holds")
    for id_ in lost:
        marked = ", ".join(name for name, ids in on.items() if id_ in ids)
        click.echo(f"{id_}: not in the ledger, but {marked} are marked with it, and are kept", err=True)


def _row(one: Hold, names: list[str]) -> tuple[str, ...]:
    state = "in force" if one.in_force else f"released {one.released[:10]}"
    keeps = ", ".join(names) or ("nothing yet" if one.in_force else "nothing")
    cells = (one.id, state, one.time[:10], one.by, keeps, one.reason)
    return tuple(printable(cell) for cell in cells)


@hold.command(
    epilog="""\b
Examples:
  whodid hold release h-3f9c21d07b55 --reason "case 4711 is closed"
  whodid hold release h-3f9c21d07b55 --reason "…" --yes      without confirmation, even if entries will be deleted

Retention applies to its partitions again, unless another hold covers them; those past their retention are deleted soon.
"""
)
@click.argument("id_", metavar="ID")
@reason_option
@yes_option
@json_option
@click.pass_obj
def release(settings: Settings, id_: str, reason: str, yes: bool, as_json: bool) -> None:
    """End a hold."""
    client = connect(settings)
    confirm(loss_of_release(client, settings, id_), yes)
    _finish(release_hold(client, settings, id_, reason), as_json)
