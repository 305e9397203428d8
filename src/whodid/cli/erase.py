"""`whodid erase`: forgets a person, while the log still verifies."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import click

from ..administration import ErasureReport, plan_erasure, remove_from_files
from ..administration import erase as erase_person
from ..cluster.connection import connect
from ..settings import Settings
from ..text import printable
from .options import confirm, json_option, reason_option, yes_option
from .output import print_json, progress

__all__ = ["erase"]


@click.command(
    epilog="""\b
Examples:
  whodid erase --principal 42 --reason "request 4711" --dry-run
  whodid erase --principal 42 --reason "request 4711"
  whodid erase --principal 42 --reason "request 4711" --yes --json

Goes: the values of the fields that the catalog marks personal (client_ip, user_agent, principal_name, principal_email
and so on), with their salt, in OpenSearch and in the journal and dead letters of this host. Stays: who did what to
what, by ID, and the hashes, which still fit. It is recorded, with the reason. Run it on each host whose journal may
still hold entries of the person, while no shipper runs there. `whodid help erasure` says what it does not reach.

Then OpenSearch is asked to remove the old values from its files, which takes half a minute or more. Needs the role
whodid_eraser. Exit 1 when something is left."""
)
@click.option("--principal", required=True, metavar="ID", help="Whose entries: those by them, and those in their name.")
@reason_option
@click.option("--dry-run", is_flag=True, help="Only say what would be erased.")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=300.0,
    show_default=True,
    help="Seconds to wait until OpenSearch has removed old values from its files; 0 doesn't ask it to.",
)
@click.option("--despite-holds", is_flag=True, help="Also in partitions that a hold keeps.")
@yes_option
@json_option
@click.pass_obj
def erase(
    settings: Settings,
    principal: str,
    reason: str,
    dry_run: bool,
    wait: float,
    despite_holds: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove a person's personal values from the log; everything still verifies."""
    client = connect(settings)
    plan = plan_erasure(client, settings, principal, despite_holds=despite_holds)
    if dry_run:
        _say(ErasureReport.of(client, settings, principal, plan.found), {}, as_json, "would be erased")
        return
    confirm(f"personal values of {plan.found.count:,} stored entries of {principal} would be gone for good", yes)
    with progress("erasing") as on_progress:
        report = erase_person(client, settings, plan, reason, on_progress=on_progress)
    files: dict[str, str] = {}
    if wait:
        with progress("removing old values from the files of OpenSearch") as on_progress:
            files = remove_from_files(client, report.partitions, patience=wait, on_progress=on_progress)
    _say(report, files, as_json, "erased")
    sys.exit(1 if report.left or report.still_open or files else 0)


def _say(report: ErasureReport, files: dict[str, str], as_json: bool, word: str) -> None:
    if as_json:
        told: dict[str, Any] = asdict(report)
        del told["partitions"]
        print_json({**told, "files_of_the_cluster": files})
        return
    count = sum(report.stored.values())
    fields = f" ({', '.join(report.fields)})" if report.fields else ""
    click.echo(printable(f"{count:,} stored entries of {report.principal} {word}{fields}"))
    for partition, number in report.stored.items():
        click.echo(printable(f"  {partition}: {number:,}"))
    if report.on_host or report.dead_letters:
        click.echo(f"on this host: {report.on_host:,} journal lines, {report.dead_letters:,} dead letters")
    for left in report.left:
        click.echo(printable(f"left: {left.entries:,} entries in {left.partition}: {left.why}"), err=True)
    for partition, why in files.items():
        click.echo(printable(f"left: {partition}: {why}; give the same command again later"), err=True)
    for path in report.still_open:
        click.echo(printable(f"left: {path} is being written to; give the same command again"), err=True)
    for name in report.snapshots:
        click.echo(printable(f"still there: the snapshot {name}"))
    for export in report.exports:
        click.echo(printable(f"still there: what {export['by']} exported at {export['time']}: {export.get('query')}"))
    for path in report.files:
        click.echo(printable(f"look into {path}: it may hold more of it"))
    click.echo("exports that were not recorded (audit_reads), backups and other copies are not known here")
