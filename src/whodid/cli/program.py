"""The program: the tree of commands, loaded when they are needed, and what every command has in common.

Each setting is also an option, before or after the command's name: `whodid search --index-prefix demo`.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from importlib import import_module
from typing import Any

import click

from ..errors import SettingsError, WhodidError
from ..settings import Settings, load_settings
from ..spelling import near

__all__ = ["config_file", "program", "run"]

_COMMANDS = {
    "count": "search",
    "dead-letters": "dead_letters",
    "dev": "dev",
    "doctor": "doctor",
    "erase": "erase",
    "events": "events",
    "export": "export",
    "get": "search",
    "help": "help",
    "history": "search",
    "hold": "hold",
    "journal": "journal",
    "key": "key",
    "prove": "prove",
    "report": "report",
    "retention": "retention",
    "search": "search",
    "setup": "setup",
    "ship": "ship",
    "sizing": "sizing",
    "stats": "stats",
    "status": "status",
    "tail": "tail",
    "teardown": "teardown",
    "trail": "search",
    "verify": "verify",
    "web": "web",
}
"""Command → the module of this package that has it under its own name."""

_WITHOUT_SETTINGS = frozenset({"dev", "help"})
"""Commands that need no settings, and so work although those are wrong."""

_OVERRIDES = "whodid.settings"

_EPILOG = """\b
Examples:
  whodid dev up                          start an OpenSearch for development
  whodid setup                           prepare the cluster for audit entries
  whodid ship                            send journalled entries, until stopped
  whodid search principal:42 since:-7d
  whodid stats since:-24h               how many, when, and of what
  whodid export october.csv time:2026-10
  whodid verify                          check that nothing was changed or removed
  whodid report october --since 2026-10-01 --until 2026-11-01
  whodid retention show                  how long entries are kept, and who sees to it
  whodid doctor                          what is wrong, and what to do
  whodid web                             the Audit logs tab, in a browser
  whodid help                            the documentation

Settings come from options, WHODID_… variables and a file (--config or WHODID_CONFIG), in that order; each setting of
config/whodid.toml is also an option of every command, such as --journal-dir or --opensearch-hosts.

Exit codes: 0 done, 1 found a problem or a difference, 2 usage."""


class _Program(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(f"{__package__}.{_COMMANDS[cmd_name]}"), cmd_name.replace("-", "_"))
        if cmd_name not in _WITHOUT_SETTINGS:
            for each in command.commands.values() if isinstance(command, click.Group) else [command]:
                _add_settings(each)
        return command if isinstance(command, click.Command) else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            meant = near(args[0], _COMMANDS)
            if not meant or "Did you mean" in error.message:
                raise
            raise click.UsageError(f"{error.message} Did you mean {meant[0]!r}?", ctx) from None


def _remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value in (None, ()):
        return
    overrides = ctx.meta.setdefault(_OVERRIDES, {})
    overrides[str(param.name)] = value
    ctx.obj = _load(overrides)


def _load(overrides: dict[str, Any]) -> Settings:
    config = overrides.get("config")
    return load_settings(config, from_text={name: text for name, text in overrides.items() if name != "config"})


def config_file(ctx: click.Context) -> str:
    """What `--config` names; empty without it."""
    return str(ctx.meta.get(_OVERRIDES, {}).get("config", ""))


def _setting_options() -> list[click.Option]:
    """One hidden option a setting, and `--config`."""
    options = [
        click.Option(
            [f"--{field.name.replace('_', '-')}", field.name],
            metavar="VALUE",
            hidden=True,
            expose_value=False,
            callback=_remember,
        )
        for field in dataclasses.fields(Settings)
        if field.repr  # a password on a command line would show in the process list
    ]
    config = click.Option(
        ["--config", "config"],
        metavar="FILE",
        help="Settings file (TOML).",
        expose_value=False,
        callback=_remember,
        is_eager=True,
    )
    return [config, *options]


def _add_settings(command: click.Command) -> None:
    taken = {name for param in command.params for name in (*param.opts, param.name)}
    command.params += [option for option in _setting_options() if not taken & {*option.opts, option.name}]


@click.command(cls=_Program, epilog=_EPILOG, params=[*_setting_options()])
@click.version_option(package_name="whodid", message="%(prog)s %(version)s")
@click.pass_context
def program(ctx: click.Context) -> None:
    """Who did what, to what, when, from where, and can you prove it?"""
    if ctx.obj is None and ctx.invoked_subcommand not in _WITHOUT_SETTINGS:
        ctx.obj = _load({})


def run(args: list[str] | None = None) -> None:
    """Runs the program and ends the process; what goes wrong becomes one message on stderr."""
    if "_WHODID_COMPLETE" in os.environ:
        from .completion import teach_bash

        teach_bash()
    try:
        program.main(args, prog_name="whodid", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; Python's own complaint helps nobody
        sys.exit(1)
    except OSError as error:
        click.echo(f"whodid: {error.filename or 'this system'}: {error.strerror or error}", err=True)
        sys.exit(1)
    except SettingsError as error:
        click.echo(f"whodid: {error}", err=True)
        sys.exit(2)
    except WhodidError as error:
        click.echo(f"whodid: {error}", err=True)
        sys.exit(1)
