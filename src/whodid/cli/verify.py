"""`whodid verify` and `whodid prove`: checks the stored entries, and proves that single entries were in the log."""

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
from .options import against_option, json_option, query_errors, workers_option
from .output import print_json, progress

__all__ = ["prove", "verify"]

_SHOWN = 40
"""Maximum number of stretches per journal, and of findings, that are printed."""


@click.command(
    epilog="""\b
Examples:
  whodid verify                                       every journal
  whodid verify --since -30d                          the entries of a month
  whodid verify --against /mnt/worm/whodid --public-key signing.pem.pub
  whodid verify --journal 9945c185e61a3281 --json     verdict and findings, as one JSON object
  whodid verify --resume ~/verify.part                resumes if it was interrupted

Checkpoints are read from the cluster, from journal_dir of this host, from the witnesses in the settings, and from the
places given by --against. An administrator of the cluster can replace checkpoints that only the cluster has: configure
a witness, and check signatures with a public key.

Exit 1 when there is a finding. Needs only read access, but to all entries: for a user who may read one organization,
entries of other organizations appear to be removed. `whodid help integrity` explains the verdicts."""
)
@click.option("--journal", metavar="ID", help="Only this journal.")
@click.option("--since", metavar="TIME", help="Start time, inclusive: ISO 8601, -30d, 2026-11, yesterday.")
@click.option("--until", metavar="TIME", help="End time, exclusive.")
@against_option
@click.option(
    "--public-key",
    "public_keys",
    multiple=True,
    metavar="FILE",
    help="Trust only checkpoints signed with this key (PEM). May be given several times. [default: signing_public_key]",
)
@workers_option
@click.option("--resume", metavar="FILE", help="Save progress to FILE and resume from it; FILE is removed when done.")
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
    sys.setswitchinterval(SWITCH_INTERVAL)
    resume_state = ResumeState(resume, settings.index_prefix) if resume else None
    kept = _kept(resume_state) if resume_state else nullcontext()
    with query_errors():
        check_order(since, until)
    with query_errors(), AuditClient(settings) as client, kept, progress("verifying") as on_progress:
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
    """Keep the resume state if the verification is interrupted, and remove it when it is done."""
    try:
        with resume_state:
            yield
    except (KeyboardInterrupt, WhodidError):
        click.echo(f"progress is saved in {resume_state.path}; run the same command to resume", err=True)
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
        click.echo(f"… and {len(found.findings) - _SHOWN:,} more findings; --json has them all")
    for note in found.notes:
        click.echo(printable(f"note: {note}"), err=True)
    if not found.journals and found.intact:
        click.echo("no entries are stored, so there is nothing to verify")
        return
    conclusion = "intact" if found.intact else _count(len(found.findings), "finding")
    click.echo(f"{_count(found.entries, 'entry', 'entries')} in {_count(len(found.journals), 'journal')}: {conclusion}")
    click.echo(_trust(found))


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _trust(found: Verification) -> str:
    """Describe the checkpoints that the verdict is based on."""
    if not any(verdict.checkpoints for verdict in found.journals):
        return "no checkpoint was found: anyone who may write to the cluster could rebuild it (`whodid help integrity`)"
    where = ", ".join(found.sources)
    if not found.keys:
        return f"checkpoints from {where}; their signatures were not checked: use --public-key"
    return f"checkpoints from {where}, signed by {', '.join(found.keys)}"


def _print_journal(verdict: JournalVerdict) -> None:
    host = f" of {verdict.host}" if verdict.host else ""
    click.echo(printable(f"journal {verdict.journal}{host}: {_numbers(verdict.completeness)}"))
    for stretch in verdict.stretches[:_SHOWN]:
        about = f" ({stretch.about})" if stretch.about else ""
        last = f" to {stretch.last:,}" if stretch.last > stretch.first else ""
        click.echo(printable(f"  {stretch.verdict}: {stretch.first:,}{last}{about}"))
    if len(verdict.stretches) > _SHOWN:
        click.echo(f"  … and {len(verdict.stretches) - _SHOWN:,} more stretches")
    if verdict.checkpoints:
        entries = f"up to entry {verdict.sealed:,}" if verdict.sealed else "of no entry yet"
        click.echo(printable(f"  {verdict.checkpoints:,} checkpoints {entries}, the last of {verdict.sealed_at}"))


def _numbers(found: Completeness) -> str:
    """Return `12 recorded = 10 stored + 2 expired`, without numbers that are 0."""
    parts = {
        "stored": found.stored,
        "expired": found.expired,
        "dead letters": found.dead_letters,
        "discarded": found.dropped,
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

The file contains the entry, with its personal values, and hashes of other entries, which reveal nothing about them. It
can be checked without the cluster, and without whodid (tools/verify_log.py). An entry can be proven once a checkpoint
covers it, which takes up to an hour, and while the entries around it are stored."""
)
@click.argument("what", metavar="ENTRY_ID|FILE")
@click.option("--check", is_flag=True, help="Check the proof in FILE; - is standard input.")
@against_option
@click.option(
    "--public-key",
    "public_keys",
    multiple=True,
    metavar="FILE",
    help="Public key that must have signed the checkpoint (PEM).",
)
@json_option
@click.pass_obj
def prove(
    settings: Settings, what: str, check: bool, against: tuple[str, ...], public_keys: tuple[str, ...], as_json: bool
) -> None:
    """Prove that an entry was in the log, or check such a proof."""
    keys = trusted_keys(settings, public_keys)
    if not check:
        click.echo(_prove(settings, what, against, keys).to_json(), nl=False)
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
            click.echo(printable(f"not proven: {error}"), err=True)
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
    which = f"entry {entry.get('seq')} of journal {checkpoint.journal} ({entry.get('type')})"
    click.echo(printable(f"{which} was in the log"))
    signed = f"signed by {key.id}" if key else "whose signature was not checked: use --public-key"
    click.echo(f"when checkpoint {checkpoint.number} was created at {checkpoint.time}, {signed}")


def _prove(settings: Settings, entry_id: str, against: tuple[str, ...], keys: list[PublicKey]) -> Inclusion:
    with AuditClient(settings) as client:
        entry = client.get(entry_id, expired=True)
        if entry is None:
            raise ProofError(f"entry {entry_id} not found; `whodid search --columns entry_id` lists IDs")
        trusted = judged(sources(client, against), keys)
        return Prover(client, trusted).prove(entry)
