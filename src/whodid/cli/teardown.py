"""`whodid teardown`: takes away what `whodid setup` made; the entries stay."""

from __future__ import annotations

import sys

import click

from ..settings import Settings
from .output import print_json

__all__ = ["teardown"]


@click.command(
    epilog="""\b
Examples:
  whodid teardown --dry-run       what setup made, and what of it would go; exit 1 when something would
  whodid teardown                 take it away
  whodid teardown --force         also what somebody changed by hand since

Takes away the index template, the ISM policy and the roles, and only those that `whodid setup` made. Entries, holds and
the ledger stay. Partitions that ISM manages keep the copy of the policy that they have, and still go in time."""
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@click.option("--force", is_flag=True, help="Also what was changed by hand since the last setup.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, one a thing.")
@click.pass_obj
def teardown(settings: Settings, dry_run: bool, force: bool, as_json: bool) -> None:
    """Take away what setup made, and no entry."""
    from ..opensearch.connection import connect
    from ..opensearch.teardown import removals

    found = list(removals(connect(settings), settings))
    would = False
    for one in found:
        goes = not one.stays or (force and one.stays == "by hand")
        would = would or goes
        if goes and not dry_run:
            one.make()
        if as_json:
            why_not = "" if goes else one.stays
            print_json({"what": one.what, "goes": goes, "why_not": why_not, "done": goes and not dry_run})
        elif goes:
            click.echo(f"{one.what}: {'would go' if dry_run else 'gone'}")
        else:
            click.echo(f"{one.what}: stays, {_WHY[one.stays]}")
    if not found and not as_json:
        click.echo("nothing of whodid's setup is there")
    sys.exit(1 if dry_run and would else 0)


_WHY = {"foreign": "whodid did not make it", "by hand": "somebody changed it by hand; --force takes it away"}
