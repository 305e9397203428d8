"""`whodid verify`: checks the chains as they are stored in OpenSearch."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ..display import printable
from ..settings import Settings

if TYPE_CHECKING:
    from ..verify import Verification

__all__ = ["verify"]


@click.command(
    epilog="""\b
Examples:
  whodid verify                     every journal
  whodid verify --journal 9945c185e61a3281
  whodid verify --json              verdict and findings, as one JSON object

Exit 1 when anything was altered, removed, inserted or stored under another ID. Needs read rights only, but to all
entries: to a reader of one organization those of the others look removed."""
)
@click.option("--journal", metavar="ID", help="Only this journal.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def verify(settings: Settings, journal: str | None, as_json: bool) -> None:
    """Check that no stored entry was changed, removed or inserted."""
    from ..client import AuditClient
    from ..verify import verify_stored

    with AuditClient(settings) as client:
        found = verify_stored(client, journal=journal, on_progress=_progress)
    if as_json:
        click.echo(json.dumps({**asdict(found), "entries": found.entries, "intact": found.intact}))
    else:
        _print(found)
    sys.exit(0 if found.intact else 1)


def _progress(done: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{done:,} entries checked ", err=True, nl=False)


def _print(found: Verification) -> None:
    if sys.stderr.isatty():
        click.echo(err=True)
    for verdict in found.journals:
        expired = f", {verdict.expired:,} before them expired by policy" if verdict.expired else ""
        click.echo(printable(f"journal {verdict.journal}: entries {verdict.first:,} to {verdict.last:,}{expired}"))
    for finding in found.findings:
        click.echo(printable(f"{finding.kind}: journal {finding.journal}, entry {finding.seq}: {finding.about}"))
    if not found.journals and found.intact:
        click.echo("nothing is stored, so there is nothing to verify")
        return
    conclusion = "intact" if found.intact else f"{len(found.findings)} findings"
    click.echo(f"{found.entries:,} entries in {len(found.journals)} journals: {conclusion}")
