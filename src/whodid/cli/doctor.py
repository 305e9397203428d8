"""`whodid doctor` and `whodid status`: problems of this installation, and the state of journals and shipping."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from ..cluster.connection import connect
from ..doctor import Finding, Subject, examine
from ..errors import OpenSearchError, WhodidError
from ..retention.schedule import retention_in_force
from ..settings import Settings
from ..shipping.status import DirectoryStatus, directory_status
from ..text import printable
from .options import json_option
from .output import print_json, print_table
from .program import config_file

__all__ = ["doctor", "status"]

_NAMES = (
    *("disk", "journal", "shipping", "clock", "connection", "rights", "template", "retention"),
    *("versions", "settings", "secrets"),
)
"""The areas in order; a test compares them with those of `whodid.doctor`."""


@click.command(
    epilog="""\b
Examples:
  whodid doctor                                 problems and warnings, and what to do
  whodid doctor --verbose                       also checks that passed
  whodid doctor --only disk --only journal      without connecting to the cluster
  whodid doctor --only retention --verbose      every partition: entries, dates, policy, deletion
  whodid doctor --fix                           fix what can be fixed without losing an entry
  whodid doctor --json | jq -r 'select(.severity == "problem") | .what'

Without --fix nothing is changed. Exit 1 when there is a problem (with --fix, one that remains); warnings alone exit 0.
"""
)
@click.option(
    "--only",
    "only",
    multiple=True,
    type=click.Choice(_NAMES),
    metavar="AREA",
    help=f"One of {', '.join(_NAMES)}; may be repeated.",
)
@click.option("--fix", is_flag=True, help="Fix what is safe to fix and report it.")
@click.option("--verbose", is_flag=True, help="Also show checks that passed.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 600),
    default=4.0,
    show_default=True,
    help="Maximum seconds for the checks of this host, and again for those of the cluster.",
)
@json_option
@click.pass_context
def doctor(ctx: click.Context, only: tuple[str, ...], fix: bool, verbose: bool, timeout: float, as_json: bool) -> None:
    """Check disk, journal, cluster, rights and settings for problems."""
    settings = ctx.find_object(Settings) or Settings()
    found = examine(Subject(settings, config_file(ctx) or os.environ.get("WHODID_CONFIG", ""), timeout=timeout), only)
    fixed = _fix(found, settings) if fix else {}
    left = 0
    for finding in found:
        outcome = fixed.get(finding)
        left += finding.severity == "problem" and outcome != ""
        if verbose or finding.severity != "ok":
            _print_json(finding, outcome) if as_json else _print(finding, outcome)
    problems, warnings = (sum(one.severity == severity for one in found) for severity in ("problem", "warning"))
    if not as_json:
        done = f", fixed: {sum(outcome == '' for outcome in fixed.values())}" if fix else ""
        click.echo(f"problems: {problems}, warnings: {warnings}, ok: {len(found) - problems - warnings}{done}")
    sys.exit(1 if left else 0)


def _fix(found: tuple[Finding, ...], settings: Settings) -> dict[Finding, str]:
    """Fix each finding that can be fixed; return why that failed, which is empty for success."""
    fixes = [(finding, finding.fix) for finding in found if finding.fix]
    if not fixes:
        return {}
    client = connect(settings)
    outcomes: dict[Finding, str] = {}
    for finding, fix in fixes:
        try:
            fix.make(client)
        except WhodidError as error:
            outcomes[finding] = str(error)
        else:
            outcomes[finding] = ""
    return outcomes


def _print_json(finding: Finding, outcome: str | None) -> None:
    done = {} if outcome is None else {"mended": outcome == "", **({"why_not": outcome} if outcome else {})}
    print_json({**finding.as_json(), **done})


def _print(finding: Finding, outcome: str | None) -> None:
    click.echo(printable(f"{finding.severity}: {finding.area}: {finding.on}: {finding.what}"))
    if outcome == "" and finding.fix:
        click.echo(printable(f"    fixed: {finding.fix.says}"))
    elif outcome:
        click.echo(printable(f"    not fixed: {outcome}"))
    elif finding.advice:
        click.echo(printable(f"    {finding.advice}"))


@click.command(
    epilog="""\b
Examples:
  whodid status
  whodid status --json | jq .backlog
  whodid status --local                  without connecting to the cluster

Exit 1 when something needs attention: dead letters, damaged lines, missing entries, rejected or lost calls, alarms, or
a cluster that does not answer."""
)
@click.option("--local", is_flag=True, help="Do not connect to the cluster.")
@json_option
@click.pass_obj
def status(settings: Settings, local: bool, as_json: bool) -> None:
    """Show backlog, dead letters, alarms and the retention in force."""
    found = directory_status(settings.journal_dir)
    cluster = {} if local else _cluster(settings)
    if as_json:
        click.echo(json.dumps({**found.as_json(), **({} if local else {"cluster": cluster})}))
    else:
        _print_status(found, cluster)
    sys.exit(1 if found.problems or cluster.get("problem") else 0)


def _cluster(settings: Settings) -> dict[str, Any]:
    try:
        view = retention_in_force(connect(settings), settings)
    except OpenSearchError as error:
        return {"problem": str(error)}
    return {"retention": str(view), "enforced_by": view.enforced_by}


def _print_status(found: DirectoryStatus, cluster: dict[str, Any]) -> None:
    click.echo(f"journal directory {found.journal_dir}")
    rows = []
    for journal in found.journals:
        name = journal.journal + ("" if journal.current else " (ended)")
        numbers = (journal.last_seq, journal.acknowledged, journal.backlog, journal.segments, journal.bytes)
        rows.append((name, *(f"{number:,}" for number in numbers)))
    if rows:
        print_table(("journal", "entries", "shipped", "waiting", "segments", "bytes"), rows)
    else:
        click.echo("no entry was recorded here yet")
    shown = (str(cluster[key]) for key in ("retention", "problem") if key in cluster)
    for line in (*found.problems, *found.reduced, *shown):
        click.echo(line)
