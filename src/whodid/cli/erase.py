"""`whodid erase`: removes the personal values of one person from the log, which still verifies."""

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

Erased: the values of the fields that the catalog marks as personal (client_ip, user_agent, principal_name,
principal_email and so on) and their salt, in OpenSearch and in the journal and dead letters of this host. Kept: who did
what to what, by ID, and the hashes, which still verify. The erasure and its reason are recorded. Run it on each host
whose journal may still contain entries of the person, while no shipper runs there. `whodid help erasure` lists the
copies that it can't erase.

OpenSearch is then asked to remove the old values from its files, which takes half a minute or more. This needs the role
whodid_eraser. Exit 1 when something could not be erased."""
)
@click.option("--principal", required=True, metavar="ID", help="The person: entries by them and on their behalf.")
@reason_option
@click.option("--dry-run", is_flag=True, help="Show what would be erased, and change nothing.")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=300.0,
    show_default=True,
    help="Seconds to wait until OpenSearch has removed old values from its files; 0 skips that.",
)
@click.option("--despite-holds", is_flag=True, help="Also erase in partitions under a hold.")
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
    """Erase the personal values of one person; the log still verifies."""
    client = connect(settings)
    plan = plan_erasure(client, settings, principal, despite_holds=despite_holds)
    if dry_run:
        _print(ErasureReport.of(client, settings, principal, plan.found), {}, as_json, "would be erased")
        return
    confirm(f"personal values of {plan.found.count:,} stored entries of {principal} will be erased for good", yes)
    with progress("erasing") as on_progress:
        report = erase_person(client, settings, plan, reason, on_progress=on_progress)
    files: dict[str, str] = {}
    if wait:
        with progress("removing old values from the files of OpenSearch") as on_progress:
            files = remove_from_files(client, report.partitions, patience=wait, on_progress=on_progress)
    _print(report, files, as_json, "erased")
    sys.exit(1 if report.left or report.still_open or files else 0)


def _print(report: ErasureReport, files: dict[str, str], as_json: bool, word: str) -> None:
    if as_json:
        values: dict[str, Any] = asdict(report)
        del values["partitions"]
        print_json({**values, "files_of_the_cluster": files})
        return
    count = sum(report.stored.values())
    fields = f" ({', '.join(report.fields)})" if report.fields else ""
    click.echo(printable(f"{count:,} stored entries of {report.principal} {word}{fields}"))
    for partition, number in report.stored.items():
        click.echo(printable(f"  {partition}: {number:,}"))
    if report.on_host or report.dead_letters:
        click.echo(f"on this host: {report.on_host:,} journal lines, {report.dead_letters:,} dead letters")
    for left in report.left:
        click.echo(printable(f"not erased: {left.entries:,} entries in {left.partition}: {left.why}"), err=True)
    for partition, why in files.items():
        click.echo(printable(f"not erased: {partition}: {why}; run the same command again later"), err=True)
    for path in report.still_open:
        click.echo(printable(f"not erased: {path} is being written to; run the same command again"), err=True)
    for name in report.snapshots:
        click.echo(printable(f"still contains the values: snapshot {name}"))
    for export in report.exports:
        click.echo(
            printable(f"still contains the values: export by {export['by']} at {export['time']}: {export.get('query')}")
        )
    for path in report.files:
        click.echo(printable(f"check {path}: it may contain more such values"))
    click.echo("unrecorded exports (audit_reads is off), backups and other copies are not known to whodid")
