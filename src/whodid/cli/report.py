"""`whodid report`: writes and checks the report of a period, as signed HTML and JSON."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from ..administration.sources import local_journals, sources, trusted_keys
from ..proof.keys import read_public_key, signer_of
from ..report import Checked, Pack, Report, check_pack, make_report, period_of, write_pack
from ..search import AuditClient
from ..search.requests import SWITCH_INTERVAL
from ..settings import Settings
from ..text import printable
from .options import against_option, json_option, query_errors, workers_option
from .output import print_json, progress

if TYPE_CHECKING:
    from pathlib import Path


__all__ = ["report"]

_SHOWN = 20
"""Maximum number of findings that are printed; the report has all of them."""

_UNSIGNED = "not signed: anyone who can replace one of the files can replace them all"


@click.command(
    epilog="""\b
Examples:
  whodid report october --since 2026-10-01 --until 2026-11-01
  whodid report october --since 2026-10-01 --until 2026-11-01 --against /mnt/worm/whodid --public-key signing.pem.pub
  whodid report week --since last-week --until this-week --json
  whodid report october --check --public-key signing.pem.pub

NAME.html is one printable file without scripts. NAME.json has the same content for programs (`whodid help format`). If
a signing key is configured (see `whodid key`), NAME.dsse signs both. An existing file is never replaced.

The report contains completeness and integrity as found by `whodid verify`, with their evidence; retention and its
changes, holds, deleted partitions and erasures; administrative actions and reads of the log; and findings.

Exit 1 when there are findings; the report is written nevertheless. Needs only read access, but to all entries: the role
whodid_auditor."""
)
@click.argument("name", metavar="NAME")
@click.option("--since", metavar="TIME", help="Start time, inclusive: ISO 8601, 2026-10, -30d, last-month.")
@click.option("--until", metavar="TIME", help="End time, exclusive. [default: now]")
@against_option
@click.option(
    "--public-key",
    "public_keys",
    multiple=True,
    metavar="FILE",
    help="Trust only checkpoints signed with this key (PEM); with --check, the key that must have signed the report. "
    "May be given several times. [default: signing_public_key; with --check, none]",
)
@workers_option
@click.option("--check", is_flag=True, help="Write nothing; check the report NAME, and exit 1 if it was changed.")
@json_option
@click.pass_obj
def report(
    settings: Settings,
    name: str,
    since: str | None,
    until: str | None,
    against: tuple[str, ...],
    public_keys: tuple[str, ...],
    workers: int,
    check: bool,
    as_json: bool,
) -> None:
    """Write the report of a period: NAME.html, NAME.json and their signature NAME.dsse."""
    pack = Pack.named(name)
    if check:
        if since or until or against:
            raise click.UsageError("--check takes a report and no period")
        _check(pack, public_keys, as_json)
    else:
        _write(settings, pack, since, until, against, public_keys, workers, as_json)


def _write(
    settings: Settings,
    pack: Pack,
    since: str | None,
    until: str | None,
    against: tuple[str, ...],
    public_keys: tuple[str, ...],
    workers: int,
    as_json: bool,
) -> None:
    with query_errors():
        period = period_of(since, until, datetime.now(UTC))
    pack.check_free()  # before the cluster is queried
    signer, keys = signer_of(settings), trusted_keys(settings, public_keys)
    sys.setswitchinterval(SWITCH_INTERVAL)
    with AuditClient(settings) as client, progress("verifying") as on_progress:
        made = make_report(
            client,
            period,
            sources=sources(client, against),
            keys=keys,
            local=local_journals(settings),
            workers=workers,
            signed_by=signer.key.id if signer else "",
            on_progress=on_progress,
        )
    files = write_pack(pack, made, signer)
    _print(made, files, as_json)
    sys.exit(1 if made.findings else 0)


def _print(made: Report, files: tuple[Path, ...], as_json: bool) -> None:
    if as_json:
        whole = made.as_json()
        content = {name: whole[name] for name in ("period", "summary", "findings", "notes")}
        print_json({"files": [str(path) for path in files], "signed_by": made.made.signed_by, **content})
        return
    for one in made.findings[:_SHOWN]:
        click.echo(printable(f"{one.kind}: {_place(one.journal, one.first, one.last)}{one.about}"))
    if len(made.findings) > _SHOWN:
        click.echo(f"… and {len(made.findings) - _SHOWN:,} more findings; the report has them all")
    for note in made.notes:
        click.echo(printable(f"note: {note}"), err=True)
    entries = f"{made.numbers.total:,} {'entry' if made.numbers.total == 1 else 'entries'}"
    journals = f"{len(made.journals):,} {'journal' if len(made.journals) == 1 else 'journals'}"
    click.echo(f"{entries} in {journals}: {made.verdict}")
    click.echo(f"written: {', '.join(map(str, files))}")
    if not made.made.signed_by:
        click.echo(f"{_UNSIGNED}; `whodid key new` creates a key", err=True)


def _place(journal: str, first: int, last: int) -> str:
    if not journal:
        return ""
    entries = f", entries {first:,} to {last:,}" if last > first else f", entry {first:,}" if first else ""
    return f"journal {journal}{entries}: "


def _check(pack: Pack, public_keys: tuple[str, ...], as_json: bool) -> None:
    checked = check_pack(pack, [read_public_key(key) for key in public_keys])
    if as_json:
        content = {name: checked.content[name] for name in ("period", "summary")}
        signed = {"signed_by": checked.signed_by, "trusted": checked.trusted}
        print_json({"report": str(pack.path), **signed, "differences": list(checked.findings), **content})
    elif checked.findings:
        for finding in checked.findings:
            click.echo(printable(f"{pack.path} differs from the report that was written: {finding}"), err=True)
    else:
        _print_checked(pack, checked)
    sys.exit(1 if checked.findings else 0)


def _print_checked(pack: Pack, checked: Checked) -> None:
    content = checked.content
    period, made, count = content["period"], content["made"], content["summary"]["findings"]
    findings = f"{count:,} {'finding' if count == 1 else 'findings'}" if count else "no findings"
    of = f"the report of {period['since']} to {period['until']}, written at {made['at']}"
    click.echo(printable(f"{pack.path} is {of}: {findings}"))
    if checked.trusted:
        click.echo(f"signed by {checked.signed_by}")
    elif checked.signed_by:
        click.echo(
            printable(f"it names the key {checked.signed_by}, but the signature was not verified: use --public-key")
        )
    else:
        click.echo(_UNSIGNED)
