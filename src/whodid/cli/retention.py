"""`whodid retention`: how long entries are kept, shown, changed, and enforced where the cluster can't do it itself."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime

import click

from ..administration import enforce_retention, loss_of_retention, set_retention
from ..cluster.connection import connect
from ..retention.destruction import Destruction
from ..retention.enforcement import Expired
from ..retention.moves import Report
from ..retention.outlook import Partition, RetentionView, retention_in_force
from ..settings import Settings
from .options import confirm, json_option, yes_option
from .output import print_json, print_table

__all__ = ["retention"]


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
    client = connect(settings)
    confirm(loss_of_retention(client, settings, age, take_over=take_over), yes)
    report = set_retention(
        client, settings, age, take_over=take_over, force=force, timeout=timeout, on_progress=_Progress()
    )
    _tell(report, age, as_json)
    if settings.retention != age:
        click.echo(f'set retention = "{age}" in the settings too, or the next `whodid setup` sets it back', err=True)
    sys.exit(1 if report.problems else 0)


def _tell(report: Report, age: str, as_json: bool) -> None:
    if as_json:
        print_json({"retention": age, "running": report.running, "problems": report.problems})
        return
    click.echo(f"retention {age}: in force for {len(report.running)} partitions")
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

    def tell(partition: Expired) -> None:
        if as_json:
            print_json({"partition": partition.index, "entries": partition.entries, "deleted": not dry_run})
        else:
            done = "would be deleted" if dry_run else "deleted"
            click.echo(f"{partition.index}: {done}, {partition.entries:,} entries, due since {partition.due:%Y-%m-%d}")

    done = enforce_retention(connect(settings), settings, dry_run=dry_run, on_expired=tell)
    for record in done.recorded:
        _print_record(record, as_json)
    if done.ism and dry_run:
        click.echo("this cluster deletes by itself; without --dry-run, what will go is recorded", err=True)
    elif not (done.recorded or done.expired or as_json):
        click.echo("nothing is deleted within two weeks" if done.ism else "nothing is past its time")
    for name, why in done.problems.items():
        click.echo(f"{name}: {why}", err=True)
    sys.exit(1 if done.problems or (dry_run and done.expired) else 0)


def _print_record(record: Destruction, as_json: bool) -> None:
    if as_json:
        about = {"partition": record.partition, "entries": record.account.entries, "due": record.due}
        print_json({**about, "deleted": record.deleted, "snapshot": record.snapshot})
    else:
        what = "deleted by ISM" if record.deleted else f"is deleted on {record.due[:10]}"
        click.echo(f"{record.partition}: {what}, {record.account.entries:,} entries on record")
