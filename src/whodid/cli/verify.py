"""`whodid verify`: checks the chains as they are stored in OpenSearch, and what checkpoints say of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import click

from ..administration.sources import local_journals, sources, trusted_keys
from ..errors import WhodidError
from ..search import AuditClient, check_order
from ..search.requests import SWITCH_INTERVAL
from ..settings import Settings
from ..text import printable
from ..verify import Completeness, JournalVerdict, Notebook, Verification, verify_stored
from .asking import question
from .options import against_option, json_option, workers_option
from .output import print_json, progress

__all__ = ["verify"]

_SHOWN = 40
"""Stretches of a journal, and findings, that a person is shown."""


@click.command(
    epilog="""\b
Examples:
  whodid verify                                       every journal
  whodid verify --since -30d                          the entries of a month
  whodid verify --against /mnt/worm/whodid --public-key signing.pem.pub
  whodid verify --journal 9945c185e61a3281 --json     verdict and findings, as one JSON object
  whodid verify --resume ~/verify.part                goes on there when it was stopped

Checkpoints are read from the cluster, from this host's journal_dir, from the witnesses in the settings, and from where
--against says. What only the cluster holds, its administrator can replace: keep a witness, and check by a public key.

Exit 1 when something does not hold. Needs read rights only, but to all entries: to a reader of one organization those
of the others look removed. What each word means, and what is shown by what: `whodid help integrity`."""
)
@click.option("--journal", metavar="ID", help="Only this journal.")
@click.option("--since", metavar="TIME", help="Only entries since then: ISO 8601, -30d, 2026-11, yesterday.")
@click.option("--until", metavar="TIME", help="Only entries before then.")
@against_option
@click.option(
    "--public-key",
    "public_keys",
    multiple=True,
    metavar="FILE",
    help="Trust only checkpoints signed by this key (PEM). May be given several times. [default: signing_public_key]",
)
@workers_option
@click.option("--resume", metavar="FILE", help="Keep what is done there, and go on from it; removed at the end.")
@json_option
@click.pass_obj
def verify(
    settings: Settings,
    journal: str | None,
    since: str | None,
    until: str | None,
    against: tuple[str, ...],
    public_keys: tuple[str, ...],
    workers: int,
    resume: str | None,
    as_json: bool,
) -> None:
    """Check that no stored entry was changed, removed, inserted or moved."""
    keys = trusted_keys(settings, public_keys)
    sys.setswitchinterval(SWITCH_INTERVAL)  # nothing else runs in this process
    notebook = Notebook(resume, settings.index_prefix) if resume else None
    kept = _kept(notebook) if notebook else nullcontext()
    with question():
        check_order(since, until)
    with question(), AuditClient(settings) as client, kept, progress("verifying") as on_progress:
        found = verify_stored(
            client,
            journal=journal,
            since=since,
            until=until,
            sources=sources(client, against),
            keys=keys,
            local=local_journals(settings),
            workers=workers,
            notebook=notebook,
            on_progress=on_progress,
        )
    if as_json:
        print_json(found.as_json())
    else:
        _print(found)
    sys.exit(0 if found.intact else 1)


@contextmanager
def _kept(notebook: Notebook) -> Iterator[None]:
    """Removes it after a verification that came to its end."""
    try:
        with notebook:
            yield
    except (KeyboardInterrupt, WhodidError):
        click.echo(f"what is done is in {notebook.path}; the same command goes on there", err=True)
        raise
    notebook.remove()


def _print(found: Verification) -> None:
    for verdict in found.journals:
        _print_journal(verdict)
    for finding in found.findings[:_SHOWN]:
        proven = f" (proven by a checkpoint of {finding.proven})" if finding.proven else ""
        click.echo(printable(f"{finding.kind}: {finding.place}: {finding.about}{proven}"))
        if finding.entries:
            click.echo(printable(f"    {', '.join(finding.entries[:3])}"))
    if len(found.findings) > _SHOWN:
        click.echo(f"… and {len(found.findings) - _SHOWN:,} findings more; --json has them all")
    for note in found.notes:
        click.echo(printable(f"note: {note}"), err=True)
    if not found.journals and found.intact:
        click.echo("nothing is stored, so there is nothing to verify")
        return
    conclusion = "intact" if found.intact else _count(len(found.findings), "finding")
    click.echo(f"{_count(found.entries, 'entry', 'entries')} in {_count(len(found.journals), 'journal')}: {conclusion}")
    click.echo(_trust(found))


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _trust(found: Verification) -> str:
    """What the verdict rests on."""
    if not any(verdict.checkpoints for verdict in found.journals):
        return "no checkpoint was found: who may write to the cluster could have rebuilt all (`whodid help integrity`)"
    where = ", ".join(found.sources)
    if not found.keys:
        return f"checkpoints from {where}; their signatures were not checked: give --public-key"
    return f"checkpoints from {where}, signed by {', '.join(found.keys)}"


def _print_journal(verdict: JournalVerdict) -> None:
    host = f" of {verdict.host}" if verdict.host else ""
    click.echo(printable(f"journal {verdict.journal}{host}: {_numbers(verdict.completeness)}"))
    for stretch in verdict.stretches[:_SHOWN]:
        about = f" ({stretch.about})" if stretch.about else ""
        last = f" to {stretch.last:,}" if stretch.last > stretch.first else ""
        click.echo(printable(f"  {stretch.verdict}: {stretch.first:,}{last}{about}"))
    if len(verdict.stretches) > _SHOWN:
        click.echo(f"  … and {len(verdict.stretches) - _SHOWN:,} stretches more")
    if verdict.checkpoints:
        entries = f"up to entry {verdict.sealed:,}" if verdict.sealed else "of no entry yet"
        click.echo(printable(f"  {verdict.checkpoints:,} checkpoints {entries}, the last of {verdict.sealed_at}"))


def _numbers(found: Completeness) -> str:
    """`12 recorded = 10 stored + 2 expired`, without what is nought."""
    parts = {
        "stored": found.stored,
        "expired": found.expired,
        "dead letters": found.dead_letters,
        "given up": found.dropped,
        "damaged": found.damaged,
        "in the backlog": found.backlog,
        "missing": found.missing,
    }
    sum_ = " + ".join(f"{count:,} {what}" for what, count in parts.items() if count or what == "stored")
    return f"{found.recorded:,} recorded = {sum_}"
