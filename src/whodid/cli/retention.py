"""`whodid retention`: shows, changes and enforces retention, and estimates disk and shards."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime

import click

from ..administration import enforce_retention, loss_of_retention, set_retention
from ..cluster.connection import connect
from ..cluster.partitions import bytes_per_entry as entry_bytes
from ..retention.destruction import Destruction
from ..retention.enforcement import Expired
from ..retention.moves import Report
from ..retention.schedule import Partition, RetentionView, retention_in_force
from ..retention.sizing import BYTES_PER_ENTRY, Need, Sizing, parse_count, size
from ..settings import Settings, parse_age
from .options import confirm, json_option, yes_option
from .output import print_json, print_table

__all__ = ["retention"]


@click.group(
    epilog="""\b
Examples:
  whodid retention show
  whodid retention set 400d
  whodid retention enforce --dry-run
  whodid retention sizing --per-day 2M"""
)
def retention() -> None:
    """Show, change or enforce how long entries are kept, or estimate what that needs."""


@retention.command(
    epilog="""\b
Examples:
  whodid retention show
  whodid retention show --json | jq '.partitions[] | select(.problem != "")'

Exit 1 when a partition will not be deleted on its date."""
)
@json_option
@click.pass_obj
def show(settings: Settings, as_json: bool) -> None:
    """Show the minimum and maximum retention, and the dates of each partition."""
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
        print_table(("partition", "created", "deleted from", "deleted by", ""), rows)


def _note(one: Partition) -> str:
    return "; ".join(part for part in (f"held by {', '.join(one.holds)}" if one.holds else "", one.problem) if part)


def _date(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "never"


@retention.command(
    "set",
    epilog="""\b
Examples:
  whodid retention set 400d
  whodid retention set off                  delete nothing
  whodid retention set 90d --yes            without confirmation, even if entries will be deleted

This replaces the policy, moves every partition to its new version, and waits until each one uses it: ISM checks every
five minutes. Exit 1 when some partitions do not use it; they are listed. Set `retention` in the settings as well, or
the next `whodid setup` restores the old one.""",
)
@click.argument("age")
@click.option("--take-over", is_flag=True, help="Also move partitions that have another policy.")
@click.option("--force", is_flag=True, help="Overwrite the policy even if it was changed by hand.")
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    default=1200.0,
    show_default=True,
    help="Seconds to wait for the partitions; 0 does not wait.",
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
    _print_moves(report, age, as_json)
    if settings.retention != age:
        click.echo(
            f'set retention = "{age}" in the settings too, or the next `whodid setup` restores the old one', err=True
        )
    sys.exit(1 if report.problems else 0)


def _print_moves(report: Report, age: str, as_json: bool) -> None:
    if as_json:
        print_json({"retention": age, "running": report.running, "problems": report.problems})
        return
    click.echo(f"retention {age}: in force for {len(report.running)} partitions")
    for index, problem in sorted(report.problems.items()):
        click.echo(f"{index}: {problem}", err=True)


class _Progress:
    """Prints the number of partitions that use the new version to standard error when it changes."""

    def __init__(self) -> None:
        self._printed = ""

    def __call__(self, running: int, total: int) -> None:
        text = f"{running} of {total} partitions use the new version"
        if text != self._printed:
            click.echo(text, err=True)
        self._printed = text


@retention.command(
    epilog="""\b
Examples:
  whodid retention enforce --dry-run        show what would be deleted; exit 1 when something would
  whodid retention enforce                  delete it
  whodid retention enforce --snapshot-repository backups

Run it daily as an administrator; `whodid ship` does the same every hour, if its user may. Without Index State
Management (ISM), it deletes whole partitions that whodid created and that are under no hold, once they are older than
the retention plus their own length plus two days. It first records the content of each in the ledger, and takes a
snapshot if a repository is configured. With ISM, which deletes partitions itself, it writes these records two weeks in
advance."""
)
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and change nothing.")
@json_option
@click.pass_obj
def enforce(settings: Settings, dry_run: bool, as_json: bool) -> None:
    """Delete partitions past their retention, or record those that ISM will delete."""

    def print_expired(partition: Expired) -> None:
        if as_json:
            print_json({"partition": partition.index, "entries": partition.entries, "deleted": not dry_run})
        else:
            done = "would be deleted" if dry_run else "deleted"
            click.echo(f"{partition.index}: {done}, {partition.entries:,} entries, due since {partition.due:%Y-%m-%d}")

    done = enforce_retention(connect(settings), settings, dry_run=dry_run, on_expired=print_expired)
    for record in done.recorded:
        _print_record(record, as_json)
    if done.ism and dry_run:
        click.echo(
            "ISM deletes partitions in this cluster; without --dry-run, upcoming deletions are recorded", err=True
        )
    elif not (done.recorded or done.expired or as_json):
        click.echo("no partition is due within two weeks" if done.ism else "no partition is past its retention")
    for name, why in done.problems.items():
        click.echo(f"{name}: {why}", err=True)
    sys.exit(1 if done.problems or (dry_run and done.expired) else 0)


def _print_record(record: Destruction, as_json: bool) -> None:
    if as_json:
        about = {"partition": record.partition, "entries": record.account.entries, "due": record.due}
        print_json({**about, "deleted": record.deleted, "missing": record.missing, "snapshot": record.snapshot})
    else:
        what = "was deleted by ISM" if record.deleted else f"is deleted on {record.due[:10]}"
        what = f"disappeared before it was due on {record.due[:10]}" if record.missing else what
        click.echo(f"{record.partition}: {what}, {record.account.entries:,} entries on record")


@retention.command(
    epilog="""\b
Examples:
  whodid retention sizing --per-day 2M --retention 365d
  whodid retention sizing --per-day 500k --hosts 4 --outage 72h
  whodid retention sizing --per-day 20M --from-cluster             measure the size of stored entries
  whodid retention sizing --per-day 2M --json | jq .disk_bytes

Numbers may end in k, M or G. A GB is 1,000,000,000 bytes. The default bytes per entry were measured with generated
entries of all event types of the platform (`whodid help benchmarks`); use --from-cluster to measure your own."""
)
@click.option("--per-day", required=True, metavar="NUMBER", help="Entries recorded per day, such as 2M.")
@click.option("--retention", metavar="AGE", help="How long entries are kept. [default: the setting]")
@click.option(
    "--replicas",
    type=click.IntRange(0, 1),
    default=1,
    show_default=True,
    help="Replicas; the template has one if the cluster has a second node.",
)
@click.option(
    "--hosts",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Hosts that record, each the same number of entries.",
)
@click.option(
    "--outage", default="24h", show_default=True, help="Longest outage of OpenSearch that the journals must buffer."
)
@click.option(
    "--peak",
    type=click.IntRange(1, 1000),
    default=3,
    show_default=True,
    help="Busiest hour, as a multiple of the average.",
)
@click.option(
    "--bytes-per-entry",
    metavar="NUMBER",
    help="Size of an entry in OpenSearch, without replicas. [default: as measured]",
)
@click.option("--from-cluster", is_flag=True, help="Measure the bytes per entry in the existing partitions.")
@json_option
@click.pass_obj
def sizing(
    settings: Settings,
    per_day: str,
    retention: str | None,
    replicas: int,
    hosts: int,
    outage: str,
    peak: int,
    bytes_per_entry: str | None,
    from_cluster: bool,
    as_json: bool,
) -> None:
    """Estimate disk, shards and settings for a daily volume."""
    if from_cluster and bytes_per_entry:
        raise click.UsageError("--bytes-per-entry and --from-cluster can't be combined")
    measured = entry_bytes(connect(settings), settings) if from_cluster else BYTES_PER_ENTRY
    found = size(
        Need(
            per_day=parse_count(per_day),
            retention=retention or settings.retention,
            replicas=replicas,
            hosts=hosts,
            outage_seconds=parse_age(outage),
            peak=peak,
            bytes_per_entry=parse_count(bytes_per_entry) if bytes_per_entry else measured,
        )
    )
    print_json(found.as_json()) if as_json else _print_estimate(found, outage)


def _print_estimate(found: Sizing, outage: str) -> None:
    days = f"{found.floor_days} to {found.ceiling_days} days"
    rows = [
        ("entries kept", f"{found.floor_entries:,} to {found.ceiling_entries:,}", days),
        (
            "stored, one copy",
            f"{_words(found.floor_bytes)} to {_words(found.ceiling_bytes)}",
            f"{found.bytes_per_entry:,} bytes per entry",
        ),
        ("disk of the cluster", _words(found.disk_bytes), "including replicas, merges and 15 % free space"),
        ("partitions", f"{found.partitions:,}", f"one per {found.partition}"),
        ("shards", f"{found.shards:,}", f"with replicas, {_words(found.shard_bytes)} each"),
        (
            "entries per second",
            f"{found.entries_per_second:,.1f}",
            f"{found.peak_entries_per_second:,.1f} in the busiest hour",
        ),
        ("network", f"{_words(found.peak_network_bytes_per_second)} per second", "in the busiest hour, all hosts"),
        ("journal's disk", _words(found.journal_bytes), f"per host, for {outage} without OpenSearch"),
    ]
    print_table(("requirement", "amount", ""), rows)
    click.echo("\n".join(("", "# whodid.toml", *found.settings_lines())))


def _words(number: int) -> str:
    """Format a number of bytes in the largest unit that fits."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= factor:
            return f"{number / factor:,.1f} {unit}"
    return f"{number} bytes"
