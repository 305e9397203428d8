"""`whodid dead-letters`: entries that OpenSearch rejected permanently."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import Any

import click

from ..administration import drop_dead_letters, export_dead_letters, retry_dead_letters
from ..errors import WhodidError
from ..files import grant_owner
from ..journal import JournalDirectory
from ..settings import Settings
from ..shipping.dead_letters import find_dead_letters, grouped, without_values
from ..text import printable
from .options import confirm, json_option, reason_option, yes_option
from .output import print_entry, print_json, print_table

__all__ = ["dead_letters"]

like_option = click.option(
    "--like", metavar="TEXT", help="Only dead letters whose reason contains this text (ignoring case)."
)
ids_argument = click.argument("ids", metavar="[ID]...", nargs=-1)


@click.group(
    name="dead-letters",
    epilog="""\b
Examples:
  whodid dead-letters list                       the reasons, and the number of entries for each
  whodid dead-letters get 8f14e45fceea167a-000000000042-9c56cc51b374c3ba
  whodid dead-letters retry                      after the mapping was fixed
  whodid dead-letters drop --like "from the future" --reason "test host with a wrong clock"
  whodid dead-letters export letters.ndjson

A dead letter is an entry that OpenSearch rejected; it is kept on this host. Every change to dead letters is recorded in
the audit log.""",
)
def dead_letters() -> None:
    """Inspect, retry, export or discard entries that OpenSearch rejected."""


@dead_letters.command(
    name="list",
    epilog="""\b
Examples:
  whodid dead-letters list
  whodid dead-letters list --each --json | jq -r .id

Exit 1 when there are dead letters.""",
)
@click.option("--each", is_flag=True, help="List each dead letter instead of each reason.")
@like_option
@json_option
@click.pass_obj
def list_(settings: Settings, each: bool, like: str | None, as_json: bool) -> None:
    """List the reasons, most frequent first, without values of entries."""
    letters = find_dead_letters(JournalDirectory(settings.journal_dir), like)
    found = 0
    if each:
        for letter in letters:
            found += 1
            row = {"id": letter.id, "time": letter.time, "reason": without_values(letter.reason)}
            print_json(row) if as_json else click.echo(printable("  ".join(row.values())))
    else:
        groups = grouped(letters)
        found = len(groups)
        if as_json:
            for group in groups:
                print_json(asdict(group))
        elif groups:
            rows = [(f"{one.count:,}", one.first, one.last, printable(one.reason), one.example) for one in groups]
            print_table(("dead letters", "first", "last", "reason", "example"), rows)
    if not found and not as_json:
        click.echo("no dead letters")
    sys.exit(1 if found else 0)


@dead_letters.command(
    epilog="""\b
Examples:
  whodid dead-letters get 8f14e45fceea167a-000000000042-9c56cc51b374c3ba
  whodid dead-letters get 8f14e45fceea167a-000000000042-9c56cc51b374c3ba --json | jq .entry"""
)
@click.argument("id_", metavar="ID")
@json_option
@click.pass_obj
def get(settings: Settings, id_: str, as_json: bool) -> None:
    """Show one dead letter: the entry with all its values, and the reason that OpenSearch gave."""
    letter = next(find_dead_letters(JournalDirectory(settings.journal_dir), ids=(id_,)))
    about = {"id": letter.id, "index": letter.index, "time": letter.time, "reason": letter.reason}
    entry = letter.entry
    if as_json:
        print_json({**about, "entry": entry})
        return
    print_table(("dead letter", ""), [(name, printable(value)) for name, value in about.items()])
    click.echo()
    print_entry(entry)


@dead_letters.command(
    epilog="""\b
Examples:
  whodid dead-letters retry
  whodid dead-letters retry --like strict_dynamic_mapping
  whodid dead-letters retry 8f14e45fceea167a-000000000042-9c56cc51b374c3ba --json

Exit 1 when dead letters remain, because they were rejected again or not processed."""
)
@ids_argument
@like_option
@json_option
@click.pass_obj
def retry(settings: Settings, ids: tuple[str, ...], like: str | None, as_json: bool) -> None:
    """Send dead letters to OpenSearch again, with the same IDs, so that none is stored twice."""
    letters = find_dead_letters(JournalDirectory(settings.journal_dir), like, ids)
    done = retry_dead_letters(settings, letters, on_progress=_show_progress)
    if as_json:
        counts = {"stored": len(done.stored), "refused": len(done.refused), "waiting": done.waiting}
        print_json({**counts, "why_waiting": done.why_waiting})
    else:
        click.echo(f"{len(done.stored):,} stored, {len(done.refused):,} rejected again")
        if done.waiting:
            click.echo(f"the others were not processed: {printable(done.why_waiting)}", err=True)
    sys.exit(1 if done.refused or done.waiting else 0)


@dead_letters.command(
    epilog="""\b
Examples:
  whodid dead-letters drop --like "expired on arrival" --reason "restored a year-old volume, ticket 4711"
  whodid dead-letters drop 8f14e45fceea167a-000000000042-9c56cc51b374c3ba --reason "…" --yes

Who discards which dead letters, and why, is recorded before they are removed. Export them first if in doubt."""
)
@ids_argument
@like_option
@reason_option
@yes_option
@json_option
@click.pass_obj
def drop(settings: Settings, ids: tuple[str, ...], like: str | None, reason: str, yes: bool, as_json: bool) -> None:
    """Discard dead letters; their entries are lost for good."""
    if not ids and not like and not yes:
        click.echo("neither IDs nor --like were given: this applies to all dead letters", err=True)
    names = {letter.id for letter in find_dead_letters(JournalDirectory(settings.journal_dir), like, ids)}
    if names:
        confirm(f"{len(names):,} dead letters will be discarded; their entries will be lost for good", yes)
        drop_dead_letters(settings, names, reason)
    print_json({"dropped": len(names)}) if as_json else click.echo(f"{len(names):,} discarded")


@dead_letters.command(
    epilog="""\b
Examples:
  whodid dead-letters export letters.ndjson
  whodid dead-letters export - --like strict_dynamic_mapping | jq -r '.line | fromjson | .type'

The file must not exist. It is created with mode 0600, because it contains the entries with all their values."""
)
@click.argument("file")
@like_option
@json_option
@click.pass_obj
def export(settings: Settings, file: str, like: str | None, as_json: bool) -> None:
    """Write dead letters as NDJSON: `id`, `index`, `reason`, `time` and `line`, the entry as journalled."""
    with _new_file(file) as out:
        letters = find_dead_letters(JournalDirectory(settings.journal_dir), like)
        count = export_dead_letters(settings, letters, out, file)
    if as_json and file != "-":
        print_json({"exported": count})
    else:
        click.echo(f"{count:,} exported", err=True)


def _new_file(name: str) -> Any:
    if name == "-":
        return click.open_file("-", "w")
    try:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        grant_owner(fd, 0o600)
    except FileExistsError as error:
        raise WhodidError(f"{name} already exists; choose another file, or remove it") from error
    except OSError as error:
        raise WhodidError(f"{name} can't be written: {error.strerror}") from error
    return os.fdopen(fd, "w", encoding="utf-8")


def _show_progress(done: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{done:,} dead letters processed ", err=True, nl=False)
