"""`whodid erase`: forgets a person, while the log still verifies."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from ..display import printable
from ..errors import OpenSearchError, WhodidError
from ..settings import Settings
from .confirmation import confirm, reason_option, yes_option
from .output import print_json, progress
from .standstill import standstill

if TYPE_CHECKING:
    from ..client import AuditClient
    from ..erasure import Erased, HostErased
    from ..journal import JournalDirectory

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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
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
    from ..client import AuditClient
    from ..erasure import erase_stored

    if not principal.strip():
        raise WhodidError("--principal is empty; say whose values are to be removed")
    quiet = replace(settings, audit_reads=False)  # what is done is recorded anyway
    with AuditClient(quiet) as client:
        spare = {} if despite_holds else _held(client, settings)
        planned = erase_stored(client, principal, spare=spare, dry_run=True)
        if fixed := _immutable(client, planned):
            spare |= fixed
            planned = erase_stored(client, principal, spare=spare, dry_run=True)
        if dry_run:
            _say(_report(client, planned, None, settings, principal), as_json, "would be erased")
            return
        confirm(f"personal values of {planned.count:,} stored entries of {principal} would be gone for good", yes)
        with standstill(settings, "or it would send what is being erased") as directory:
            here, done = _erase(client, directory, settings, principal, reason, spare)
        files = _remove_from_files(client, done, wait) if wait else {}
        report = _report(client, done, here, settings, principal) | {"files_of_the_cluster": files}
    _say(report, as_json, "erased")
    sys.exit(1 if done.left or here.open or files else 0)


def _remove_from_files(client: AuditClient, done: Erased, wait: float) -> dict[str, str]:
    from ..erasure import remove_from_files

    with progress("removing old values from the files of OpenSearch") as on_progress:
        touched = {*done.entries, *done.before}
        return remove_from_files(client.connection, touched, patience=wait, on_progress=on_progress)


def _held(client: AuditClient, settings: Settings) -> dict[str, str]:
    from ..opensearch.holds import held
    from ..opensearch.partitions import marks

    on_hold = held(client.connection, settings)
    holds = marks(client.connection, settings) if on_hold else {}
    return {name: f"a hold keeps it ({', '.join(holds.get(name, ()))}): --despite-holds" for name in on_hold}


def _immutable(client: AuditClient, planned: Erased) -> dict[str, str]:
    from ..erasure import IMMUTABLE
    from ..opensearch.partitions import is_immutable

    return {name: IMMUTABLE for name in planned.entries if is_immutable(client.connection, name)}


def _erase(
    client: AuditClient,
    directory: JournalDirectory,
    settings: Settings,
    principal: str,
    reason: str,
    spare: dict[str, str],
) -> tuple[HostErased, Erased]:
    """Records the intent, which closes the segment that is written to; erases; and records what was erased."""
    from ..erasure import erase_on_host, erase_stored
    from ..opensearch.erasures import ERASED, write_erasure
    from ..operator import operator
    from ..own import record_operation

    about = {"reason": reason, "step": "begun"}
    record_operation(replace(settings, segment_bytes=1), ERASED, principal, about)
    here = erase_on_host(directory, principal)
    try:
        with progress("erasing") as on_progress:
            done = erase_stored(client, principal, spare=spare, on_progress=on_progress)
    except OpenSearchError as error:
        raise WhodidError(f"nothing more was erased: {error}. Give the same command again to go on") from error
    for journal, seq in here.entries:
        done.places.add(journal, seq)
    details: dict[str, Any] = {"reason": reason, "step": "done", "stored": done.count, "on_host": len(here.entries)}
    if len(done.places):
        where = done.places.written()
        page = write_erasure(client.connection, settings, principal, reason, operator(), done.fields, where)
        details |= {"ledger": f"erasure-{page.id}", "digest": page.digest}
    record_operation(settings, ERASED, principal, details | {"letters": here.letters, "left": len(done.left)})
    return here, done


def _report(
    client: AuditClient, done: Erased, here: HostErased | None, settings: Settings, principal: str
) -> dict[str, Any]:
    from ..erasure import exported_since, snapshots_with, what_else_holds
    from ..journal import JournalDirectory

    partitions = {*done.entries, *(left.partition for left in done.left)}
    return {
        "principal": principal,
        "stored": dict(sorted(done.entries.items())),
        "fields": sorted(done.fields),
        "on_host": len(here.entries) if here else 0,
        "dead_letters": here.letters if here else 0,
        "left": [asdict(left) for left in done.left],
        "still_open": list(here.open) if here else [],
        "snapshots": snapshots_with(client.connection, partitions) if partitions else [],
        "exports": exported_since(client, done.first) if done.first else [],
        "files": what_else_holds(JournalDirectory(settings.journal_dir), principal),
    }


def _say(report: dict[str, Any], as_json: bool, word: str) -> None:
    if as_json:
        print_json(report)
        return
    count = sum(report["stored"].values())
    fields = f" ({', '.join(report['fields'])})" if report["fields"] else ""
    click.echo(printable(f"{count:,} stored entries of {report['principal']} {word}{fields}"))
    for partition, number in report["stored"].items():
        click.echo(printable(f"  {partition}: {number:,}"))
    if report["on_host"] or report["dead_letters"]:
        click.echo(f"on this host: {report['on_host']:,} journal lines, {report['dead_letters']:,} dead letters")
    for left in report["left"]:
        click.echo(printable(f"left: {left['entries']:,} entries in {left['partition']}: {left['why']}"), err=True)
    for partition, why in report.get("files_of_the_cluster", {}).items():
        click.echo(printable(f"left: {partition}: {why}; give the same command again later"), err=True)
    for path in report["still_open"]:
        click.echo(printable(f"left: {path} is being written to; give the same command again"), err=True)
    for name in report["snapshots"]:
        click.echo(printable(f"still there: the snapshot {name}"))
    for export in report["exports"]:
        click.echo(printable(f"still there: what {export['by']} exported at {export['time']}: {export.get('query')}"))
    for path in report["files"]:
        click.echo(printable(f"look into {path}: it may hold more of it"))
    click.echo("exports that were not recorded (audit_reads), backups and other copies are not known here")
