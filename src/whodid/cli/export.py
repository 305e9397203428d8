"""`whodid export`: entries into a file, with a manifest that says what is in it."""

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
from ..verify.checkpoints import TrustedCheckpoints, judged
from . import completion
from .options import QUERYING, TIMES, asked, expired_option, filters, json_option, question
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

Forms, chosen by the end of FILE or by --format:
  .ndjson .jsonl      entries as they were journalled
  .csv                a table for spreadsheets
  .parquet            columns with types, for analysis (pip install "whodid[parquet]")
  .ecs.ndjson         Elastic Common Schema            --format ecs
  .ocsf.ndjson        OCSF                             --format ocsf
  .cloudevents.ndjson CloudEvents                      --format cloudevents
  .otlp.ndjson        OpenTelemetry logs, OTLP/JSON    --format otlp
  .gz behind it       compressed

FILE.manifest.json says the question, the count, the times and the SHA-256; where the settings name a key (see
`whodid key`), FILE.manifest.dsse is the same, signed. A file that is there already is never replaced. An export that
was stopped goes on when the same command is given again.

{TIMES}""",
)
@click.argument("file", metavar="FILE", shell_complete=completion.files)
@click.option(
    "--format",
    "form",
    metavar="NAME",
    help="The form. [default: as the end of FILE says]",
    shell_complete=completion.offered(_forms),
)
@click.option("--proofs", is_flag=True, help="Write checkpoints and proofs beside it: FILE.evidence.ndjson.")
@click.option("--check", is_flag=True, help="Write nothing; check FILE against its manifest, exit 1 on a difference.")
@click.option("--public-key", "keys", multiple=True, metavar="PEM", help="With --check: who must have signed it.")
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
    """Write entries into FILE, oldest first; FILE may be - for standard output."""
    with question():
        where = asked(query, since, until, given)
        if check:
            if file == "-" or str(where) != "*":
                raise click.UsageError("--check takes a file and no question")
            _check(file, keys, as_json)
        elif keys:
            raise click.UsageError("--public-key goes with --check")
        elif file == "-":
            if proofs:
                raise click.UsageError("--proofs needs a file to stand beside")
            _stream(settings, where, form, expired)
        else:
            _write(settings, where, file, form, expired, proofs, as_json)


def _write(
    settings: Settings, where: Filter, file: str, form: str | None, expired: bool, proofs: bool, as_json: bool
) -> None:
    form_of(file, form)  # before anything is asked
    sys.setswitchinterval(SWITCH_INTERVAL)  # nothing else runs in this process
    with AuditClient(settings) as client, progress("exporting") as on_progress:
        try:
            trusted = _trusted(client) if proofs else None
            manifest = write(client, where, file, form=form, expired=expired, trusted=trusted, on_progress=on_progress)
        except (KeyboardInterrupt, WhodidError):
            if os.path.lexists(f"{file}.part.json"):
                click.echo(f"what is done is in {file}.part; the same command goes on there", err=True)
            raise
    if as_json:
        print_json(dataclasses.asdict(manifest))
        return
    _say(file, manifest)


def _trusted(client: AuditClient) -> TrustedCheckpoints:
    """The checkpoints that are trusted here."""
    return judged(sources(client, ()), trusted_keys(client.settings, ()))


def _say(file: str, manifest: Manifest) -> None:
    entries = "entry" if manifest.count == 1 else "entries"
    click.echo(f"{manifest.count:,} {entries}, {manifest.bytes:,} bytes, in {file}")
    click.echo(f"{file}.manifest.json says what was asked, and the SHA-256 {manifest.sha256}")
    if manifest.matching_at_end != manifest.count:
        click.echo(
            f"{manifest.matching_at_end:,} match now: the others came late, or went, while this was written", err=True
        )


def _stream(settings: Settings, where: Filter, form: str | None, expired: bool) -> None:
    if form is None:
        raise QueryError("say in which form with --format, as - has no name to tell it")
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
            click.echo(f"{file} is not what was exported: {finding}", err=True)
    else:
        click.echo(
            f"{file} is what was exported at {manifest.finished}: {manifest.count:,} entries of {manifest.query}"
        )
    sys.exit(1 if findings else 0)
