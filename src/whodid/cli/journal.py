"""`whodid journal` and `whodid key`: lists and retires journals; creates, shows and rotates the signing key."""

from __future__ import annotations

from dataclasses import asdict

import click

from ..administration import retire_journal, rotate_key
from ..cluster.connection import connect
from ..cluster.partitions import StoredJournal, stored_journals
from ..errors import SettingsError
from ..proof.keys import new_key, signer_of
from ..settings import Settings
from ..shipping.status import JournalStatus, directory_status
from ..text import printable
from .options import json_option, reason_option
from .output import print_json, print_table

__all__ = ["journal", "key"]


@click.group(
    epilog="""\b
Examples:
  whodid journal list
  whodid journal list --cluster
  whodid journal retire 8f14e45fceea167a --reason "node web-3 died, its disk is lost\""""
)
def journal() -> None:
    """List journals, or retire one whose host is gone."""


@journal.command(
    name="list",
    epilog="""\b
Examples:
  whodid journal list
  whodid journal list --cluster
  whodid journal list --cluster --json | jq -r 'select(.closed or .retired | not) | [.host, .last_time] | @tsv'

A journal that is closed or retired gets no more entries. If another one gets none, it was lost or its shipper is down.
""",
)
@click.option("--cluster", is_flag=True, help="List the journals of all hosts, as stored in OpenSearch.")
@json_option
@click.pass_obj
def list_(settings: Settings, cluster: bool, as_json: bool) -> None:
    """List the journals of this host, or all journals in OpenSearch."""
    found = stored_journals(connect(settings), settings) if cluster else directory_status(settings.journal_dir).journals
    rows: list[tuple[str, ...]] = []
    for one in found:
        if as_json:
            print_json(asdict(one))
        else:
            rows.append(_stored_row(one) if isinstance(one, StoredJournal) else _local_row(one))
    if rows:
        print_table(_STORED if cluster else _LOCAL, rows)
    elif not as_json:
        click.echo("no journals")


_LOCAL = ("journal", "state", "entries", "shipped", "waiting", "bytes")
_STORED = ("journal", "state", "host", "service", "last entry", "entries")


def _local_row(one: JournalStatus) -> tuple[str, ...]:
    numbers = (one.last_seq, one.acknowledged, one.backlog, one.bytes)
    return (one.journal, "current" if one.current else "ended", *(f"{number:,}" for number in numbers))


def _stored_row(one: StoredJournal) -> tuple[str, ...]:
    state = "retired" if one.retired else "closed" if one.closed else "open"
    shown = (one.journal, state, one.host, one.service, one.last_time, f"{one.last_seq:,}")
    return tuple(printable(cell) for cell in shown)


@journal.command(
    epilog="""\b
Examples:
  whodid journal retire 8f14e45fceea167a --reason "node web-3 died, its disk is lost"

If the journal is in this journal directory, has ended and is completely shipped, it is also removed from the disk. A
journal that is being written to, or has entries that can still be shipped, can't be retired."""
)
@click.argument("id_", metavar="ID")
@reason_option
@json_option
@click.pass_obj
def retire(settings: Settings, id_: str, reason: str, as_json: bool) -> None:
    """Retire a journal whose host, pod or volume is gone."""
    done = retire_journal(settings, id_, reason)
    if as_json:
        print_json({"retired": id_, "removed": done.removed, **done.details})
    else:
        here = ", and removed from this host" if done.removed else ""
        click.echo(f"{id_} is retired after entry {done.details['last_seq']:,}{here}")


@click.group(
    epilog="""\b
Examples:
  whodid key new /etc/whodid/signing.pem         create the private key, and signing.pem.pub
  whodid key show                                show the public key in use
  whodid key rotate --to new.pem --reason yearly replace the key

Set signing_key_file to the private key, and give the public key to those who verify the signatures. For a key in a KMS
or HSM, set signing_command and signing_public_key."""
)
def key() -> None:
    """Create, show and rotate the key that signs checkpoints and exports."""


@key.command(
    epilog="""\b
Examples:
  whodid key new signing.pem
  whodid key new signing.pem --json"""
)
@click.argument("file")
@json_option
def new(file: str, as_json: bool) -> None:
    """Create an Ed25519 key: FILE (mode 0600) and FILE.pub. Existing files are not overwritten."""
    created = new_key(file)
    if as_json:
        print_json({"key": created.id, "private": file, "public": f"{file}.pub"})
    else:
        click.echo(f"key {created.id}: private in {file}, public in {file}.pub")


@key.command(
    epilog="""\b
Examples:
  whodid key show
  whodid key show --json | jq -r .pem > signing.pem.pub"""
)
@json_option
@click.pass_obj
def show(settings: Settings, as_json: bool) -> None:
    """Show the public key that belongs to the configured signing key."""
    signer = signer_of(settings)
    if signer is None:
        raise SettingsError("no signing key is configured: set signing_key_file; `whodid key new FILE` creates a key")
    if as_json:
        print_json({"key": signer.key.id, "pem": signer.key.pem})
    else:
        click.echo(f"key {signer.key.id}\n{signer.key.pem}", nl=False)


@key.command(
    epilog="""\b
Examples:
  whodid key new /etc/whodid/signing-2027.pem
  whodid key rotate --to /etc/whodid/signing-2027.pem --reason "yearly"
  whodid key rotate --to-command "kms-sign alias/audit" --to-public-key kms.pub --reason "moved to the KMS"

Run it on each host that ships, with the current key in the settings and the shipper stopped. Then configure the new key
and start the shipper again. The checkpoint signed by both keys extends the trust in one of them to the other; in later
checkpoints of this journal the old key is no longer valid. For a lost key see `whodid help integrity`."""
)
@click.option("--to", default="", metavar="FILE", help="The new private key (PEM), as created by `whodid key new`.")
@click.option(
    "--to-command", default="", metavar="COMMAND", help="Command that signs with the new key, instead of --to."
)
@click.option("--to-public-key", default="", metavar="FILE", help="Public key of that command (PEM).")
@reason_option
@json_option
@click.pass_obj
def rotate(settings: Settings, to: str, to_command: str, to_public_key: str, reason: str, as_json: bool) -> None:
    """Rotate the signing key; a checkpoint signed by both keys records it."""
    done = rotate_key(
        settings, reason, signing_key_file=to, signing_command=to_command, signing_public_key=to_public_key
    )
    if as_json:
        print_json({**asdict(done), "reason": reason})
    else:
        place = f"checkpoint {done.checkpoint} of journal {done.journal}"
        click.echo(f"{place}: signing key changed from {done.before} to {done.after}")
        named = f"signing_key_file = {to}" if to else "signing_command, signing_public_key"
        click.echo(f"configure the new key ({named}), and start the shipper again")
