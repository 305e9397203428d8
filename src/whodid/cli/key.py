"""`whodid key`: the key that signs."""

from __future__ import annotations

from dataclasses import asdict

import click

from ..administration import rotate_key
from ..errors import SettingsError
from ..proof.keys import new_key, signer_of
from ..settings import Settings
from .options import json_option, reason_option
from .output import print_json

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
