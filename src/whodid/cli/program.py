"""The program: the tree of commands, whose modules are imported on first use, and the handling of errors.

Each setting is also an option, before or after the name of the command: `whodid search --index-prefix demo`.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from ..errors import SettingsError, WhodidError
from ..settings import Settings, load_settings
from ..text import near, printable

__all__ = ["config_file", "program", "run"]

_COMMANDS = {
    "dead-letters": ("dead_letters", "Inspect, retry, export or discard entries that OpenSearch rejected."),
    "dev": ("dev", "Run a local OpenSearch for development."),
    "doctor": ("doctor", "Check disk, journal, cluster, rights and settings for problems."),
    "erase": ("erase", "Erase the personal values of one person; the log still verifies."),
    "events": ("events", "Look up event types and their rules, and check changes for compatibility."),
    "export": ("export", "Write entries to FILE, oldest first; - is standard output."),
    "get": ("search", "Show one entry by the ID of its receipt."),
    "help": ("help", "Show the documentation on the terminal."),
    "hold": ("hold", "Keep entries beyond their retention: set, list and release holds."),
    "import": ("export", "Record the rows of an older log as entries, each of them once; - is standard input."),
    "journal": ("journal", "List journals, or retire one whose host is gone."),
    "key": ("journal", "Create, show and rotate the key that signs checkpoints and exports."),
    "prove": ("verify", "Prove that an entry was in the log, or check such a proof."),
    "report": ("report", "Write the report of a period: NAME.html, NAME.json and their signature NAME.dsse."),
    "retention": ("retention", "Show, change or enforce how long entries are kept, or estimate what that needs."),
    "search": ("search", "Find entries, newest first, or follow new ones."),
    "setup": ("setup", "Install or remove index template, retention policy, roles and dashboards."),
    "ship": ("ship", "Send journalled entries to OpenSearch."),
    "stats": ("search", "Show how many entries match, in total, over time and by field."),
    "status": ("doctor", "Show backlog, dead letters, alarms and the retention in force."),
    "verify": ("verify", "Check that no stored entry was changed, removed, inserted or moved."),
    "web": ("web", "Serve the Audit logs tab."),
}
"""Command → its module in this package, and its summary, so that --help imports no command module."""

_WITHOUT_SETTINGS = frozenset({"dev", "help"})
"""Commands that read no settings, and so work even if these are invalid."""

_OVERRIDES = "whodid.settings"

_EPILOG = """\b
Examples:
  whodid dev up                          start an OpenSearch for development
  whodid setup                           prepare the cluster for audit entries
  whodid ship                            send journalled entries until stopped
  whodid search by:42 since:-7d          what a principal did
  whodid search about:6Yk2 --oldest      what happened to a target
  whodid search --follow                 new entries as they are stored
  whodid stats since:-24h                numbers over time and by field
  whodid export october.csv time:2026-10
  whodid import old.csv --dry-run        check the rows of an older log before they are recorded
  whodid verify                          check that nothing was changed or removed
  whodid report october --since 2026-10-01 --until 2026-11-01
  whodid retention show                  how long entries are kept, and what enforces it
  whodid doctor                          problems, and how to fix them
  whodid web                             the Audit logs tab, in a browser
  whodid help                            the documentation

Settings come from options, WHODID_… variables and a file (--config or WHODID_CONFIG), in that order; each setting of
config/whodid.toml is also an option of every command, such as --journal-dir or --opensearch-hosts.

Exit codes: 0 done, 1 found a problem or a difference, 2 usage."""


class _Program(click.Group):
    """A group that imports the module of a command when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        name = "import_" if cmd_name == "import" else cmd_name.replace("-", "_")
        command = getattr(import_module(f"{__package__}.{_COMMANDS[cmd_name][0]}"), name)
        if cmd_name not in _WITHOUT_SETTINGS:
            for each in command.commands.values() if isinstance(command, click.Group) else [command]:
                _add_settings(each)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _listed().format_commands(ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        named = [CompletionItem(name, help=about) for name, (_, about) in sorted(_COMMANDS.items())]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [item for item in named if item.value.startswith(incomplete)] + options

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            meant = near(args[0], _COMMANDS)
            if not meant or "Did you mean" in error.message:
                raise
            raise click.UsageError(f"{error.message} Did you mean {meant[0]!r}?", ctx) from None


def _listed() -> click.Group:
    """Return the commands with names and summaries only."""
    return click.Group(commands={name: click.Command(name, help=about) for name, (_, about) in _COMMANDS.items()})


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
    """Return the file given by `--config`, or an empty string."""
    return str(ctx.meta.get(_OVERRIDES, {}).get("config", ""))


def _setting_options() -> list[click.Option]:
    """Return `--config`, and a hidden option for each setting."""
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
    """Run the program and end the process; an error becomes one message on standard error."""
    if "_WHODID_COMPLETE" in os.environ:
        from .completion import register_bash

        register_bash()
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
        sys.stderr.close()  # prevents Python's own message when it flushes standard output
        sys.exit(1)
    except OSError as error:
        _report(f"{error.filename or 'this system'}: {error.strerror or error}")
        sys.exit(1)
    except SettingsError as error:
        _report(str(error))
        sys.exit(2)
    except WhodidError as error:
        _report(str(error))
        sys.exit(1)


def _report(problem: str) -> None:
    """Print an error, which may quote a file that somebody else wrote; it may have several lines."""
    click.echo("\n".join(map(printable, f"whodid: {problem}".split("\n"))), err=True)
