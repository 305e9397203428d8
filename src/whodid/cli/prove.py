"""`whodid prove`: a small file which shows that one entry was in the log, without showing any other."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..administration.sources import sources, trusted_keys
from ..errors import ProofError, WhodidError
from ..proof.keys import PublicKey
from ..search import AuditClient
from ..settings import Settings
from ..verify.checkpoints import judged
from ..verify.inclusion import Inclusion, Prover, check_inclusion
from .options import against_option, json_option
from .output import print_json

__all__ = ["prove"]


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
        statements = judged(sources(client, against), keys)
        return Prover(client, statements).prove(entry)
