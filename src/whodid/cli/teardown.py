"""`whodid teardown`: removes what `whodid setup` created; the entries stay."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from ..cluster.connection import connect
from ..settings import Settings
from ..setup.dashboards import Dashboards
from ..setup.dashboards import removals as removals_of_dashboards
from ..setup.setup import Removal, removals
from .options import json_option
from .output import print_json

__all__ = ["teardown"]


@click.command(
    epilog="""\b
Examples:
  whodid teardown --dry-run       what setup created, and what of it would be removed; exit 1 when something would
  whodid teardown                 remove it
  whodid teardown --force         also what somebody changed by hand since
  whodid teardown --dashboards https://dashboards.example:5601 --dashboards-tenant global

Removes the index template, the ISM policy and the roles, and only those that `whodid setup` created. Entries, holds and
the ledger stay. ISM's jobs keep their copies of the policy: partitions are still deleted when they are due. With
--dashboards also the objects that `whodid setup --dashboards` installed, and no others of Dashboards. Exit 1 also when
this user may not remove something, such as the roles."""
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and change nothing.")
@click.option("--dashboards", metavar="URL", help="Also remove what setup installed in this Dashboards.")
@click.option("--dashboards-tenant", metavar="NAME", help="Tenant of Dashboards it is in, such as global.")
@click.option("--force", is_flag=True, help="Also what was changed by hand since the last setup.")
@json_option
@click.pass_obj
def teardown(
    settings: Settings,
    dry_run: bool,
    dashboards: str | None,
    dashboards_tenant: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Remove what `whodid setup` created; entries are kept."""
    if dashboards_tenant and not dashboards:
        raise click.UsageError("--dashboards-tenant needs --dashboards, the address of Dashboards.")
    found = list(removals(connect(settings), settings))
    if dashboards:
        found += _dashboards(dashboards, dashboards_tenant or "", settings)
    would = False
    for one in found:
        goes = not one.stays or (force and one.stays == "by hand")
        would = would or goes
        if goes and not dry_run:
            one.make()
        if as_json:
            about = {"what": one.what, "goes": goes, "why_not": "" if goes else one.stays, "note": one.note}
            print_json({**about, "done": goes and not dry_run})
        else:
            done = ("would be removed" if dry_run else "removed") if goes else f"stays, {_WHY[one.stays]}"
            click.echo(f"{one.what}: {done}" + (f" ({one.note})" if one.note else ""))
    if not found and not as_json:
        click.echo("nothing of whodid's setup is there")
    sys.exit(1 if (dry_run and would) or any(one.stays == "refused" for one in found) else 0)


def _dashboards(url: str, tenant: str, settings: Settings) -> Iterator[Removal]:
    return removals_of_dashboards(Dashboards(url, settings, tenant), settings)


_WHY = {
    "foreign": "whodid did not create it",
    "by hand": "somebody changed it by hand; --force removes it",
    "refused": "as this user may not see or remove them",
}
