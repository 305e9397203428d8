"""`whodid key`: the key that signs."""

from __future__ import annotations

from dataclasses import replace

import click

from ..errors import SettingsError
from ..settings import Settings
from .asking import json_option
from .confirmation import reason_option
from .output import print_json
from .standstill import standstill

__all__ = ["key"]


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
    from ..proof.keys import new_key

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
    from ..proof.keys import signer_of

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
    from ..own import record_operation
    from ..proof.keys import signer_of
    from ..shipper.sealing import Sealing

    if bool(to) == bool(to_command):
        raise SettingsError("say which key is to sign from now on: --to FILE, or --to-command with --to-public-key")
    later = replace(
        settings,
        signing_key="",
        signing_key_file=to,
        signing_command=to_command,
        signing_public_key=to_public_key,
    )
    old, new = signer_of(settings), signer_of(later)
    if old is None or new is None:
        raise SettingsError("nobody signs here yet: name the key in signing_key_file, and there is nothing to rotate")
    if old.key == new.key:
        raise SettingsError(f"that is the key {old.key.id}, which signs here already; `whodid key new` makes another")
    with standstill(settings, "or it would go on by the key until now") as directory:
        about = {"reason": reason, "before": old.key.id, "after": new.key.id}
        closed = Sealing(directory, settings, old).change_key(new).checkpoint
        record_operation(settings, "audit_log_key_rotated", new.key.id, about)
    if as_json:
        print_json({"journal": closed.journal, "checkpoint": closed.number, **about})
    else:
        place = f"checkpoint {closed.number} of journal {closed.journal}"
        click.echo(f"{place}: {new.key.id} signs from now on, instead of {old.key.id}")
        click.echo(f"now name it in the settings ({_named(to)}), and start the shipper again")


def _named(to: str) -> str:
    return f"signing_key_file = {to}" if to else "signing_command, signing_public_key"
