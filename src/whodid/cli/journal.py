"""`whodid journal`: the journals of this host and of the cluster, and those that will never speak again.

`whodid key`: the key that signs.
"""

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
    """List journals; declare that one will never speak again."""


@journal.command(
    name="list",
    epilog="""\b
Examples:
  whodid journal list
  whodid journal list --cluster
  whodid journal list --cluster --json | jq -r 'select(.closed or .retired | not) | [.host, .last_time] | @tsv'

A journal that was closed or retired may be silent. One that is silent without was lost, or its shipper is down.""",
)
@click.option("--cluster", is_flag=True, help="Those that OpenSearch knows, of all hosts.")
@json_option
@click.pass_obj
def list_(settings: Settings, cluster: bool, as_json: bool) -> None:
    """List the journals of this directory, or all that are stored."""
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
_STORED = ("journal", "state", "host", "service", "last entry", "number")


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

An ended journal of this directory that is wholly shipped is also removed from the disk. One with entries that wait, or
that can be put back, and the one that is written to, are refused."""
)
@click.argument("id_", metavar="ID")
@reason_option
@json_option
@click.pass_obj
def retire(settings: Settings, id_: str, reason: str, as_json: bool) -> None:
    """Record that a journal will never speak again: its host, pod or volume is gone."""
    done = retire_journal(settings, id_, reason)
    if as_json:
        print_json({"retired": id_, "removed": done.removed, **done.details})
    else:
        here = ", and removed here" if done.removed else ""
        click.echo(f"{id_} is retired after entry {done.details['last_seq']:,}{here}")


@click.group(
    epilog="""\b
Examples:
  whodid key new /etc/whodid/signing.pem         the private key, and signing.pem.pub beside it
  whodid key show                                who signs here
  whodid key rotate --to new.pem --reason yearly from now on another one

Name the private key in the setting signing_key_file, and give the public one to whoever shall check what is signed.
A key that must not leave its KMS or HSM signs by a command: signing_command and signing_public_key."""
)
def key() -> None:
    """Make, show and rotate the key that signs checkpoints and exports."""


@key.command(
    epilog="""\b
Examples:
  whodid key new signing.pem
  whodid key new signing.pem --json"""
)
@click.argument("file")
@json_option
def new(file: str, as_json: bool) -> None:
    """Make a key of Ed25519: FILE (mode 0600) and FILE.pub. Nothing is overwritten."""
    made = new_key(file)
    if as_json:
        print_json({"key": made.id, "private": file, "public": f"{file}.pub"})
    else:
        click.echo(f"key {made.id}: private in {file}, public in {file}.pub")


@key.command(
    epilog="""\b
Examples:
  whodid key show
  whodid key show --json | jq -r .pem > signing.pem.pub"""
)
@json_option
@click.pass_obj
def show(settings: Settings, as_json: bool) -> None:
    """Show the public key of whoever signs by the settings."""
    signer = signer_of(settings)
    if signer is None:
        raise SettingsError("nobody signs here: set signing_key_file; `whodid key new FILE` makes a key")
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

Run it on each host that ships, with the key until now in the settings and the shipper stopped; then name the new key in
the settings, and start it again. A checkpoint that both keys sign says so: who trusts one of them trusts the other, and
behind it the old key counts for nothing in this journal. A key that is lost can't sign: `whodid help integrity`."""
)
@click.option("--to", default="", metavar="FILE", help="The new private key (PEM), as `whodid key new` makes it.")
@click.option("--to-command", default="", metavar="COMMAND", help="Or the command that signs by it.")
@click.option("--to-public-key", default="", metavar="FILE", help="The public key of what the command signs (PEM).")
@reason_option
@json_option
@click.pass_obj
def rotate(settings: Settings, to: str, to_command: str, to_public_key: str, reason: str, as_json: bool) -> None:
    """Let another key sign from now on, by a checkpoint that both sign."""
    done = rotate_key(
        settings, reason, signing_key_file=to, signing_command=to_command, signing_public_key=to_public_key
    )
    if as_json:
        print_json({**asdict(done), "reason": reason})
    else:
        place = f"checkpoint {done.checkpoint} of journal {done.journal}"
        click.echo(f"{place}: {done.after} signs from now on, instead of {done.before}")
        named = f"signing_key_file = {to}" if to else "signing_command, signing_public_key"
        click.echo(f"now name it in the settings ({named}), and start the shipper again")
