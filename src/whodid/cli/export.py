"""`whodid export` and `whodid import`: writes entries into a file, and records the rows of an older log as entries."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import click

from ..administration.older_log import OlderLog, Row
from ..administration.sources import sources, trusted_keys
from ..errors import NotRecorded, QueryError, WhodidError
from ..export import FORMS, Manifest, check, form_of, pieces
from ..export import export as write
from ..files import name_new, open_owned
from ..proof.keys import read_public_key
from ..search import AuditClient, Filter
from ..search.requests import SWITCH_INTERVAL
from ..settings import Settings
from ..text import printable, valid
from ..verify.checkpoints import TrustedCheckpoints, judged
from . import completion
from .options import QUERYING, TIMES, check_conflict, expired_option, filters, json_option, query_errors, query_filter
from .output import print_json, progress

__all__ = ["export", "import_"]


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
  .cef                Common Event Format (ArcSight)   --format cef
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


_SHOWN = 20
"""Number of problems that are printed, unless all were asked for."""


def _pairs(_: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    for text in given:
        if not text.partition("=")[0] or "=" not in text:
            raise click.UsageError(f"{param.opts[0]} takes OLD=NEW, not {text!r}")
    return {old: new for old, _, new in (text.partition("=") for text in given)}


@click.command(
    "import",
    epilog="""\b
Examples:
  whodid import old.csv --dry-run             check every row, and record nothing
  whodid import old.csv --from platform-2025
  whodid import old.ndjson --rename user=principal --rename id= --type login=user_sign_in
  whodid import old.csv --skip-invalid refused.csv
  zcat old.csv.gz | whodid import - --format csv --from platform-2025

Columns of CSV, or keys of JSON objects: type, target, principal, creation_date (required), status, organization_id,
organization_name, workspace_id, workspace_name, client_ip, and any other field of an entry. An export by `whodid
export` can be imported as it is; what whodid fills itself, such as seq and hash, is left out.

The old creation_date becomes occurred_at, in UTC. A time without a zone is taken as UTC. The entry's creation_date is
the time of the import: retention counts from it. Each entry has --from as imported_from.

All rows are checked before the first one is recorded. Run the same command again to resume an interrupted import, on
the same host; no row of a file is recorded twice. Faster, with a sync a thousand rows: --durability process.

Exit 1 when a row is refused.""",
)
@click.argument("file", metavar="FILE", shell_complete=completion.files)
@click.option("--from", "name", metavar="NAME", help="Name of the older log. [default: the name of FILE]")
@click.option("--format", "form", metavar="NAME", help="csv or ndjson. [default: from the suffix of FILE]")
@click.option(
    "--rename",
    multiple=True,
    metavar="OLD=NEW",
    callback=_pairs,
    help="The field that a column is for; OLD= leaves it out. May be repeated.",
)
@click.option(
    "--type", "types", multiple=True, metavar="OLD=NEW", callback=_pairs, help="Rename an event type. May be repeated."
)
@click.option("--details-from-unknown", "unknown", is_flag=True, help="Keep columns that are not fields in details.")
@click.option("--skip-invalid", "skip", metavar="REFUSED", help="Write refused rows to this file; record the others.")
@click.option("--dry-run", is_flag=True, help="Print every problem, and record nothing.")
@json_option
@click.pass_obj
def import_(
    settings: Settings,
    file: str,
    name: str | None,
    form: str | None,
    rename: dict[str, str],
    types: dict[str, str],
    unknown: bool,
    skip: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Record the rows of an older log as entries, each of them once; - is standard input."""
    check_conflict("--dry-run", dry_run, {"--skip-invalid": skip})
    if file == "-" and not (name and form):
        raise click.UsageError("reading standard input needs --from and --format")
    if skip and os.path.lexists(skip):
        raise WhodidError(f"{skip} already exists; choose another file, or move it away")
    problems = 0

    def on_problem(row: Row) -> None:
        nonlocal problems
        problems += 1
        if refused is not None:
            refused.write((log.head if problems == 1 else b"") + row.raw.rstrip(b"\r\n") + b"\n")
        if as_json:
            print_json({"line": row.line, "problem": row.problem})
        elif dry_run or problems <= _SHOWN:
            click.echo(printable(f"line {row.line:,}: {row.problem}"), err=not dry_run)

    part = Path(f"{skip}.part")
    with query_errors(), _older_log(file) as source, _new_file(part) if skip else nullcontext() as refused:
        chosen, compressed = form_of(file, form)
        if chosen.name not in {"csv", "ndjson"} or compressed:
            raise QueryError("only CSV and NDJSON can be imported, uncompressed: see the examples of --help")
        log = OlderLog(settings, source, valid(name or Path(file).name), chosen.name, rename, types, unknown)
        with progress("checking bytes") as on_progress:
            checked = log.check(on_problem=on_problem, on_progress=on_progress)
        recorded = 0
        if checked.rows and not dry_run and (skip or not checked.refused):
            with _resumable(), progress("recording bytes") as on_progress:
                recorded = log.record(checked, on_progress=on_progress)
    if skip:
        name_new(part, Path(skip)) if checked.refused else part.unlink()
    before = 0 if dry_run or (checked.refused and not skip) else checked.rows - checked.refused - recorded
    if as_json:
        print_json({"rows": checked.rows, "refused": checked.refused, "recorded": recorded, "recorded_before": before})
    else:
        click.echo(f"{checked.rows:,} rows: {checked.refused:,} refused, {recorded:,} recorded, {before:,} before")
        if checked.refused and not (dry_run or skip):
            click.echo("nothing was recorded: correct the file (see --dry-run), or use --skip-invalid", err=True)
    sys.exit(1 if checked.refused or not checked.rows else 0)


@contextmanager
def _older_log(file: str) -> Iterator[BinaryIO]:
    """Open a file that can be read twice: for a pipe, a temporary copy."""
    with nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as source:
        if file != "-" and source.seekable():
            yield source
        else:
            with TemporaryFile() as copy:
                copyfileobj(source, copy)
                copy.flush()
                yield copy


def _new_file(path: Path) -> BinaryIO:
    return os.fdopen(open_owned(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb")


@contextmanager
def _resumable() -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, NotRecorded):
        click.echo("progress is saved; run the same command to resume", err=True)
        raise
