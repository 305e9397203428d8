"""`whodid setup`: prepares the cluster for audit entries, or removes what it created there."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from ..cluster.connection import connect
from ..cluster.template import Change
from ..retention.enforcement import record_upcoming
from ..settings import Settings
from ..setup.dashboards import Dashboards, check_tab_url
from ..setup.dashboards import plan as plan_dashboards
from ..setup.dashboards import removals as removals_of_dashboards
from ..setup.setup import Removal, apply, plan, plan_partitions, removals
from .options import check_conflict, confirm, json_option, yes_option
from .output import print_json

__all__ = ["setup"]

_DONE = {
    "create": "created",
    "update": "updated",
    "unchanged": "unchanged",
    "unavailable": "not available",
    "differs": "differs",
}


@click.command(
    epilog="""\b
Examples:
  whodid setup --dry-run          show what would change; exit 1 when something would
  whodid setup                    apply the changes; running it again changes nothing
  whodid setup --force            also overwrite what was changed by hand since
  whodid setup --retention 400d --partition month
  whodid setup --partitions-only  daily, if the Security plugin does not allow shippers to create partitions
  whodid setup --dashboards https://dashboards.example:5601 --dashboards-tenant global --tab-url https://audit.example
  whodid setup --remove --dry-run show what would be removed; exit 1 when something would
  whodid setup --remove           remove it
  whodid setup --remove --force   also remove what was changed by hand since
  whodid setup --remove --dashboards https://dashboards.example:5601 --dashboards-tenant global

--remove removes the index template, the ISM policy and the roles, if `whodid setup` created them, and with --dashboards
also the objects that it installed there. Entries, holds and the ledger are kept. ISM keeps its copies of the policy, so
partitions are still deleted when they are due. Exit 1 also when this user may not remove something, such as the
roles."""
)
@click.option("--dry-run", is_flag=True, help="Show the differences and change nothing.")
@click.option("--remove", is_flag=True, help="Remove what setup created; entries are kept.")
@click.option("--dashboards", metavar="URL", help="Also install searches, charts and dashboards in this Dashboards.")
@click.option("--dashboards-tenant", metavar="NAME", help="Tenant of Dashboards to install into, such as global.")
@click.option("--tab-url", metavar="URL", help="Address of the Audit logs tab; entries in Dashboards link to it.")
@click.option("--force", is_flag=True, help="Overwrite or remove what was changed by hand since the last setup.")
@click.option("--partitions-only", is_flag=True, help="Only create the partitions of today and tomorrow.")
@click.option(
    "--create", multiple=True, metavar="NAME", help="Also create this partition, which entries are waiting for."
)
@yes_option
@json_option
@click.pass_obj
def setup(
    settings: Settings,
    dry_run: bool,
    remove: bool,
    dashboards: str | None,
    dashboards_tenant: str | None,
    tab_url: str | None,
    force: bool,
    partitions_only: bool,
    create: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> None:
    """Install or remove index template, retention policy, roles and dashboards."""
    for option, value in (("--dashboards-tenant", dashboards_tenant), ("--tab-url", tab_url)):
        if value and not dashboards:
            raise click.UsageError(f"{option} needs --dashboards, the address of Dashboards.")
    check_conflict("--remove", remove, {"--tab-url": tab_url, "--partitions-only": partitions_only, "--create": create})
    client = connect(settings)
    server = Dashboards(dashboards, settings, dashboards_tenant or "") if dashboards else None
    if remove:
        found = [*removals(client, settings), *(removals_of_dashboards(server, settings) if server else ())]
        _remove(found, dry_run, force, as_json)
    changes = plan_partitions(client, settings, create) if create or partitions_only else plan(client, settings)
    if server:
        changes += plan_dashboards(server, settings, check_tab_url(tab_url) if tab_url else "")
    if not dry_run:
        meant = (change for change in changes if force or not change.by_hand)
        confirm("; ".join(change.loses for change in meant if change.loses), yes)
    left = False
    for change in changes:
        made = not dry_run and (force or not change.by_hand)
        if made:
            apply((change,))
        left = left or change.kind == "differs" or (not made and change.kind in {"create", "update"})
        _print(change, made, as_json)  # before the next change, which may fail
    if not dry_run and any(change.loses for change in changes):
        record_upcoming(client, settings)  # before ISM deletes it
    sys.exit(1 if left else 0)


def _print(change: Change, made: bool, as_json: bool) -> None:
    if as_json:
        about = {name: getattr(change, name) for name in ("what", "kind", "by_hand", "difference", "note", "loses")}
        click.echo(json.dumps({**about, "applied": made}))
        return
    differs = change.kind in {"create", "update"}
    done = _DONE[change.kind] if made or not differs else f"to {change.kind}"
    click.echo(f"{change.what}: {done}" + (f" ({change.note})" if change.note else ""))
    if differs and not made:
        if change.by_hand and change.difference:
            click.echo("changed by hand since `whodid setup`: kept; --force overwrites it")
        elif change.by_hand:
            click.echo("kept: the policy was changed by hand, so no partition is moved to it")
        for text in (change.difference, change.loses):
            if text:
                click.echo(text)


def _remove(found: Sequence[Removal], dry_run: bool, force: bool, as_json: bool) -> NoReturn:
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
            done = ("would be removed" if dry_run else "removed") if goes else f"kept, {_WHY[one.stays]}"
            click.echo(f"{one.what}: {done}" + (f" ({one.note})" if one.note else ""))
    if not found and not as_json:
        click.echo("nothing to remove: `whodid setup` created nothing in this cluster")
    sys.exit(1 if (dry_run and would) or any(one.stays == "refused" for one in found) else 0)


_WHY = {
    "foreign": "whodid did not create it",
    "by hand": "it was changed by hand; --force removes it",
    "refused": "because this user may not see or remove it",
}
