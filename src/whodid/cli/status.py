"""`whodid status`: where the journals, the shipping and the retention stand."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from ..cluster.connection import connect
from ..errors import OpenSearchError
from ..retention.outlook import retention_in_force
from ..settings import Settings
from ..shipping.status import DirectoryStatus, directory_status
from .options import json_option
from .output import print_table

__all__ = ["status"]


@click.command(
    epilog="""\b
Examples:
  whodid status                          people
  whodid status --json | jq .backlog     programs
  whodid status --local                  without asking the cluster

Exit 1 when there is something to look at: dead letters, damaged lines, missing entries, rejected or
lost calls, alarms, no answer."""
)
@click.option("--local", is_flag=True, help="Don't ask the cluster.")
@json_option
@click.pass_obj
def status(settings: Settings, local: bool, as_json: bool) -> None:
    """Show backlog, dead letters, alarms and the retention in force."""
    found = directory_status(settings.journal_dir)
    cluster = {} if local else _cluster(settings)
    if as_json:
        click.echo(json.dumps({**found.as_json(), **({} if local else {"cluster": cluster})}))
    else:
        _print(found, cluster)
    sys.exit(1 if found.problems or cluster.get("problem") else 0)


def _cluster(settings: Settings) -> dict[str, Any]:
    try:
        view = retention_in_force(connect(settings), settings)
    except OpenSearchError as error:
        return {"problem": str(error)}
    return {"retention": str(view), "enforced_by": view.enforced_by}


def _print(found: DirectoryStatus, cluster: dict[str, Any]) -> None:
    click.echo(f"journal directory {found.journal_dir}")
    rows = []
    for journal in found.journals:
        name = journal.journal + ("" if journal.current else " (ended)")
        numbers = (journal.last_seq, journal.acknowledged, journal.backlog, journal.segments, journal.bytes)
        rows.append((name, *(f"{number:,}" for number in numbers)))
    if rows:
        print_table(("journal", "entries", "shipped", "waiting", "segments", "bytes"), rows)
    else:
        click.echo("nothing was recorded here yet")
    for line in (*found.problems, *(str(cluster[key]) for key in ("retention", "problem") if key in cluster)):
        click.echo(line)
