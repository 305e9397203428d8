"""`whodid key`: the key that signs."""

from __future__ import annotations

import click

from ..errors import SettingsError
from ..settings import Settings
from .asking import json_option
from .output import print_json

__all__ = ["key"]


@click.group(
    epilog="""\b
Examples:
  whodid key new /etc/whodid/signing.pem         the private key, and signing.pem.pub beside it
  whodid key show                                who signs here

Name the private key in the setting signing_key_file, and give the public one to whoever shall check what is signed.
A key that must not leave its KMS or HSM signs by a command: signing_command and signing_public_key."""
)
def key() -> None:
    """Make and show the key that signs exports."""


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
