"""`whodid retention`: how long entries are kept, shown, changed, and enforced where the cluster can't do it itself."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import click

from ..errors import OpenSearchError
from ..settings import Settings
from .confirmation import confirm, yes_option
from .output import print_json, print_table

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from ..opensearch.retention import Partition, RetentionView
    from ..opensearch.retention_change import Report

__all__ = ["retention"]

_PAUSE = 2.0

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(
    epilog="""\b
Examples:
  whodid retention show
  whodid retention set 400d
  whodid retention enforce --dry-run"""
)
def retention() -> None:
    """Show, change or enforce how long entries are kept."""


@retention.command(
    epilog="""\b
Examples:
  whodid retention show
  whodid retention show --json | jq '.partitions[] | select(.problem != "")'

Exit 1 when a partition would not be deleted as promised."""
)
@json_option
@click.pass_obj
def show(settings: Settings, as_json: bool) -> None:
    """Show floor and ceiling, and the dates of each partition."""
    from ..opensearch.connection import connect
    from ..opensearch.retention import retention_in_force

    view = retention_in_force(connect(settings), settings)
    if as_json:
        print_json(view.as_json())
    else:
        _print(view)
    sys.exit(1 if view.problems else 0)


def _print(view: RetentionView) -> None:
    click.echo(str(replace(view, partitions=())))
    rows = [(one.name, _date(one.created), _date(one.floor), _date(one.ceiling), _note(one)) for one in view.partitions]
    if rows:
        print_table(("partition", "made", "entries go from", "all gone on", ""), rows)


def _note(one: Partition) -> str:
    return "; ".join(part for part in (f"held by {', '.join(one.holds)}" if one.holds else "", one.problem) if part)


def _date(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "never"


@retention.command(
    "set",
    epilog="""\b
Examples:
  whodid retention set 400d
  whodid retention set off                  nothing is deleted any more
  whodid retention set 90d --yes            without asking, though entries will go

The policy is replaced, and every partition is moved to its new version and followed until it runs it: ISM looks every
five minutes. Exit 1 names those that did not get there. Set `retention` in the settings as well, or the next `whodid
setup` sets it back.""",
)
@click.argument("age")
@click.option("--take-over", is_flag=True, help="Also move partitions that are under another policy.")
@click.option("--force", is_flag=True, help="Overwrite the policy though somebody changed it by hand.")
@click.option(
    "--timeout", type=click.FloatRange(0), default=1200.0, show_default=True, help="Seconds to follow; 0 doesn't."
)
@yes_option
@json_option
@click.pass_obj
def set_(settings: Settings, age: str, take_over: bool, force: bool, timeout: float, yes: bool, as_json: bool) -> None:
    """Change how long entries are kept, such as 400d, or off."""
    from ..opensearch.clock import cluster_now
    from ..opensearch.connection import connect
    from ..opensearch.ism import policy_name
    from ..opensearch.retention_change import doomed, in_words, set_retention
    from ..own import record_operation

    wanted = replace(settings, retention=age)
    client = connect(wanted)
    confirm(in_words(doomed(client, wanted, cluster_now(client), take_over=take_over)), yes)
    about = {"retention": age, "was": settings.retention, "policy": policy_name(wanted)}
    moved = {"take_over": True} if take_over else {}
    record_operation(settings, "audit_log_retention_set", policy_name(wanted), {**about, **moved})
    report = set_retention(
        client,
        wanted,
        take_over=take_over,
        force=force,
        tries=int(timeout / _PAUSE) + 1,
        pause=lambda: time.sleep(_PAUSE),
        on_progress=_Progress(),
    )
    _tell(report, wanted, as_json)
    if settings.retention != age:
        click.echo(f'set retention = "{age}" in the settings too, or the next `whodid setup` sets it back', err=True)
    sys.exit(1 if report.problems else 0)


def _tell(report: Report, settings: Settings, as_json: bool) -> None:
    if as_json:
        print_json({"retention": settings.retention, "running": report.running, "problems": report.problems})
        return
    click.echo(f"retention {settings.retention}: in force for {len(report.running)} partitions")
    for index, problem in sorted(report.problems.items()):
        click.echo(f"{index}: {problem}", err=True)


class _Progress:
    """Says on stderr how many partitions run the new version, whenever that changes."""

    def __init__(self) -> None:
        self._told = ""

    def __call__(self, running: int, total: int) -> None:
        text = f"{running} of {total} partitions run the new version"
        if text != self._told:
            click.echo(text, err=True)
        self._told = text


@retention.command(
    epilog="""\b
Examples:
  whodid retention enforce --dry-run        what would go; exit 1 when something would
  whodid retention enforce                  delete it
  whodid retention enforce --snapshot-repository backups

Run it daily as an administrator; `whodid ship` does the same every hour, if its user may. Without Index State
Management it deletes whole partitions, past the retention, their own length and two days, that whodid made and nobody
holds; what each held is written into the ledger first, and kept in a snapshot where a repository is named. With Index
State Management, which deletes by itself, it writes those records two weeks ahead."""
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@json_option
@click.pass_obj
def enforce(settings: Settings, dry_run: bool, as_json: bool) -> None:
    """Do whodid's part of retention: delete what is past its time, or record what ISM will delete."""
    from ..opensearch.connection import connect
    from ..opensearch.holds import apply_holds
    from ..opensearch.ism import Ism

    client = connect(settings)
    problems = dict(apply_holds(client, settings).problems) if not dry_run else {}
    if Ism(client).available():
        _record_ahead(client, settings, dry_run, as_json)
        found = False
    else:
        found = _delete(client, settings, dry_run, as_json, problems)
    for name, why in problems.items():
        click.echo(f"{name}: {why}", err=True)
    sys.exit(1 if problems or (dry_run and found) else 0)


def _record_ahead(client: OpenSearch, settings: Settings, dry_run: bool, as_json: bool) -> None:
    from ..opensearch.enforcement import record_ahead

    if dry_run:
        click.echo("this cluster deletes by itself; without --dry-run, what will go is recorded", err=True)
        return
    written = record_ahead(client, settings)
    for record in written:
        if as_json:
            about = {"partition": record.partition, "entries": record.account.entries, "due": record.due}
            print_json({**about, "deleted": record.deleted, "snapshot": record.snapshot})
        else:
            what = "deleted by ISM" if record.deleted else f"is deleted on {record.due[:10]}"
            click.echo(f"{record.partition}: {what}, {record.account.entries:,} entries on record")
    if not written and not as_json:
        click.echo("nothing is deleted within two weeks")


def _delete(client: OpenSearch, settings: Settings, dry_run: bool, as_json: bool, problems: dict[str, str]) -> bool:
    """Whether anything is past its time."""
    from ..opensearch.enforcement import destroy, expired
    from ..own import record_operation

    found = expired(client, settings)
    for partition in found:
        if not dry_run:
            try:
                record = destroy(client, settings, partition)
            except OpenSearchError as error:
                problems[partition.index] = str(error)
                continue
            if record:
                record_operation(settings, "audit_log_partition_destroyed", record.partition, record.brief())
        if as_json:
            print_json({"partition": partition.index, "entries": partition.entries, "deleted": not dry_run})
        else:
            done = "would be deleted" if dry_run else "deleted"
            click.echo(f"{partition.index}: {done}, {partition.entries:,} entries, due since {partition.due:%Y-%m-%d}")
    if not found and not as_json:
        click.echo("nothing is past its time")
    return bool(found)
