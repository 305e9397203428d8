"""`whodid export`: writes entries into a file, with a manifest that describes its content."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterable
from typing import Any

import click

from ..administration.sources import sources, trusted_keys
from ..errors import QueryError, WhodidError
from ..export import FORMS, Manifest, check, form_of, pieces
from ..export import export as write
from ..proof.keys import read_public_key
from ..search import AuditClient, Filter
from ..search.requests import SWITCH_INTERVAL
from ..settings import Settings
from ..text import printable
from ..verify.checkpoints import TrustedCheckpoints, judged
from . import completion
from .options import QUERYING, TIMES, expired_option, filters, json_option, query_errors, query_filter
from .output import print_json, progress

__all__ = ["export"]


def _forms() -> Iterable[str]:
    return FORMS


@click.command(
    context_settings=QUERYING,
    epilog=f"""\b
Examples:
  whodid export october.csv time:2026-10
  whodid export failures.ndjson.gz outcome:failure since:-30d
  whodid export evidence.parquet type:credentials_* organization_id:7
  whodid export siem.ocsf.ndjson since:yesterday
  whodid export --format ecs - since:-1h | gzip > last-hour.gz
  whodid export october.csv --check
  whodid export october.csv --check --public-key signing.pem.pub

Formats, chosen by the suffix of FILE or by --format:
  .ndjson .jsonl      entries as they were journalled
  .csv                a table for spreadsheets
  .parquet            columns with types, for analysis (pip install "whodid[parquet]")
  .ecs.ndjson         Elastic Common Schema            --format ecs
  .ocsf.ndjson        OCSF                             --format ocsf
  .cloudevents.ndjson CloudEvents                      --format cloudevents
  .otlp.ndjson        OpenTelemetry logs, OTLP/JSON    --format otlp
  with .gz appended   compressed

FILE.manifest.json contains the query, the count, the times and the SHA-256. If a signing key is configured (see
`whodid key`), FILE.manifest.dsse is the signed manifest. An existing file is never replaced. Run the same command
again to resume an interrupted export.

{TIMES}""",
)
@click.argument("file", metavar="FILE", shell_complete=completion.files)
@click.option(
    "--format",
    "form",
    metavar="NAME",
    help="File format. [default: from the suffix of FILE]",
    shell_complete=completion.offered(_forms),
)
@click.option("--proofs", is_flag=True, help="Also write checkpoints and proofs: FILE.evidence.ndjson.")
@click.option(
    "--check", is_flag=True, help="Write nothing; compare FILE with its manifest, and exit 1 on a difference."
)
@click.option(
    "--public-key", "keys", multiple=True, metavar="PEM", help="With --check: public key that must have signed it."
)
@filters
@expired_option
@json_option
@click.pass_obj
def export(
    settings: Settings,
    /,
    file: str,
    form: str | None,
    proofs: bool,
    check: bool,
    keys: tuple[str, ...],
    query: tuple[str, ...],
    expired: bool,
    as_json: bool,
    since: str | None,
    until: str | None,
    **given: Any,
) -> None:
    """Write entries to FILE, oldest first; - is standard output."""
    with query_errors():
        where = query_filter(query, since, until, given)
        if check:
            if file == "-" or str(where) != "*":
                raise click.UsageError("--check takes a file and no query")
            _check(file, keys, as_json)
        elif keys:
            raise click.UsageError("--public-key needs --check")
        elif file == "-":
            if proofs:
                raise click.UsageError("--proofs can't be used with standard output")
            _stream(settings, where, form, expired)
        else:
            _write(settings, where, file, form, expired, proofs, as_json)


def _write(
    settings: Settings, where: Filter, file: str, form: str | None, expired: bool, proofs: bool, as_json: bool
) -> None:
    form_of(file, form)  # reports an unknown format before the cluster is queried
    sys.setswitchinterval(SWITCH_INTERVAL)
    with AuditClient(settings) as client, progress("exporting") as on_progress:
        try:
            trusted = _trusted(client) if proofs else None
            manifest = write(client, where, file, form=form, expired=expired, trusted=trusted, on_progress=on_progress)
        except (KeyboardInterrupt, WhodidError):
            if os.path.lexists(f"{file}.part.json"):
                click.echo(f"progress is saved in {file}.part; run the same command to resume", err=True)
            raise
    if as_json:
        print_json(dataclasses.asdict(manifest))
        return
    _print(file, manifest)


def _trusted(client: AuditClient) -> TrustedCheckpoints:
    """The checkpoints that are trusted here."""
    return judged(sources(client, ()), trusted_keys(client.settings, ()))


def _print(file: str, manifest: Manifest) -> None:
    entries = "entry" if manifest.count == 1 else "entries"
    click.echo(f"{manifest.count:,} {entries}, {manifest.bytes:,} bytes, in {file}")
    click.echo(f"{file}.manifest.json has the query, and the SHA-256 {manifest.sha256}")
    if manifest.matching_at_end != manifest.count:
        click.echo(
            f"{manifest.matching_at_end:,} entries match now: some were stored or deleted during the export", err=True
        )


def _stream(settings: Settings, where: Filter, form: str | None, expired: bool) -> None:
    if form is None:
        raise QueryError("writing to standard output needs --format")
    chosen, _ = form_of("-", form)
    with AuditClient(settings) as client:
        client.note_export(where, form=chosen.name)
        for piece in pieces(chosen, client.search(where, sort="oldest", expired=expired)):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def _check(file: str, keys: tuple[str, ...], as_json: bool) -> None:
    manifest, findings = check(file, [read_public_key(key) for key in keys])
    if as_json:
        print_json({"file": file, "manifest": dataclasses.asdict(manifest), "findings": findings})
    elif findings:
        for finding in findings:
            click.echo(printable(f"{file} differs from the export: {finding}"), err=True)
    else:
        entries = f"{manifest.count:,} entries for {manifest.query}"
        click.echo(printable(f"{file} matches the export of {manifest.finished}: {entries}"))
    sys.exit(1 if findings else 0)
