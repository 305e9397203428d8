"""`whodid verify`: checks the chains as they are stored in OpenSearch, and what checkpoints say of them.

`whodid prove`: a small file which shows that one entry was in the log, without showing any other.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click

from ..administration.sources import local_journals, sources, trusted_keys
from ..errors import ProofError, WhodidError
from ..proof.keys import PublicKey
from ..search import AuditClient, check_order
from ..search.requests import SWITCH_INTERVAL
from ..settings import Settings
from ..text import printable
from ..verify import Completeness, JournalVerdict, ResumeState, Verification, verify_stored
from ..verify.checkpoints import judged
from ..verify.inclusion import Inclusion, Prover, check_inclusion
from .options import against_option, json_option, question, workers_option
from .output import print_json, progress

__all__ = ["prove", "verify"]

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
    resume_state = ResumeState(resume, settings.index_prefix) if resume else None
    kept = _kept(resume_state) if resume_state else nullcontext()
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
            resume_state=resume_state,
            on_progress=on_progress,
        )
    if as_json:
        print_json(found.as_json())
    else:
        _print(found)
    sys.exit(0 if found.intact else 1)


@contextmanager
def _kept(resume_state: ResumeState) -> Iterator[None]:
    """Removes it after a verification that came to its end."""
    try:
        with resume_state:
            yield
    except (KeyboardInterrupt, WhodidError):
        click.echo(f"what is done is in {resume_state.path}; the same command goes on there", err=True)
        raise
    resume_state.remove()


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


@click.command(
    epilog="""\b
Examples:
  whodid prove 8f14e45fceea167a-000000000042-9c56cc51b374c3ba > proof.json
  whodid prove 8f14e45fceea167a-000000000042-9c56cc51b374c3ba --against /mnt/worm/whodid > proof.json
  whodid prove --check proof.json --public-key signing.pem.pub

The file holds the entry, with its personal values, and hashes of others, from which nothing can be read. It can be
checked without the cluster, and without whodid (tools/verify_proof.py). An entry can be proven once a checkpoint covers
it, which is within the hour, and as long as the entries around it are stored."""
)
@click.argument("what", metavar="ENTRY_ID|FILE")
@click.option("--check", is_flag=True, help="Check a proof: FILE, and no ENTRY_ID.")
@against_option
@click.option(
    "--public-key", "public_keys", multiple=True, metavar="FILE", help="Who must have signed the checkpoint (PEM)."
)
@json_option
@click.pass_obj
def prove(
    settings: Settings, what: str, check: bool, against: tuple[str, ...], public_keys: tuple[str, ...], as_json: bool
) -> None:
    """Prove that an entry was in the log at that time."""
    keys = trusted_keys(settings, public_keys)
    if not check:
        click.echo(_made(settings, what, against, keys).to_json(), nl=False)
        return

    try:
        proof = Inclusion.from_json(sys.stdin.buffer.read() if what == "-" else Path(what).read_bytes())
        checkpoint, key = check_inclusion(proof, keys)
    except OSError as error:
        raise WhodidError(f"{what} can't be read ({error.strerror})") from error
    except ProofError as error:
        if as_json:
            print_json({"proven": False, "why": str(error)})
        else:
            click.echo(f"it is not proven: {error}", err=True)
        sys.exit(1)
    if as_json:
        print_json(
            {
                "proven": True,
                "entry": proof.entry,
                "checkpoint": checkpoint.number,
                "time": checkpoint.time,
                "key": key.id if key else None,
            }
        )
        return
    entry = proof.entry
    click.echo(f"entry {entry.get('seq')} of journal {checkpoint.journal} ({entry.get('type')}) was in the log")
    signed = f"signed by {key.id}" if key else "whose signature was not checked: give --public-key"
    click.echo(f"when checkpoint {checkpoint.number} was closed at {checkpoint.time}, {signed}")


def _made(settings: Settings, entry_id: str, against: tuple[str, ...], keys: list[PublicKey]) -> Inclusion:
    with AuditClient(settings) as client:
        entry = client.get(entry_id, expired=True)
        if entry is None:
            raise ProofError(f"there is no entry {entry_id}; `whodid search --json` has the parts of an ID")
        trusted = judged(sources(client, against), keys)
        return Prover(client, trusted).prove(entry)
