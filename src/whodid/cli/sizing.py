"""`whodid sizing`: from entries a day and retention to disk, partitions, shards, network and the hosts' journals."""

from __future__ import annotations

import click

from ..cluster.connection import connect
from ..cluster.partitions import bytes_per_entry
from ..retention.sizing import BYTES_PER_ENTRY, Need, Sizing, parse_count, size
from ..settings import Settings, parse_age
from .options import json_option
from .output import print_json, print_table

__all__ = ["sizing"]


@click.command(
    epilog="""\b
Examples:
  whodid sizing --per-day 2M --retention 365d
  whodid sizing --per-day 500k --hosts 4 --outage 72h
  whodid sizing --per-day 20M --from-cluster             as large as the entries that are there
  whodid sizing --per-day 2M --json | jq .disk_bytes

Numbers may end in k, M or G. A GB is 1,000,000,000 bytes. Bytes per entry were measured on made-up entries of all
default event types (`whodid help benchmarks`); measure your own with --from-cluster when there are some."""
)
@click.option("--per-day", required=True, metavar="NUMBER", help="Entries recorded a day, such as 2M.")
@click.option("--retention", metavar="AGE", help="How long they are kept. [default: the setting]")
@click.option(
    "--replicas",
    type=click.IntRange(0, 1),
    default=1,
    show_default=True,
    help="The template has one replica wherever there is a second node.",
)
@click.option("--hosts", type=click.IntRange(1), default=1, show_default=True, help="Hosts that record, equally much.")
@click.option("--outage", default="24h", show_default=True, help="How long the journals must hold what can't be sent.")
@click.option(
    "--peak", type=click.IntRange(1, 1000), default=3, show_default=True, help="The busiest hour, times the average."
)
@click.option("--bytes-per-entry", metavar="NUMBER", help="In OpenSearch, one copy. [default: as measured]")
@click.option("--from-cluster", is_flag=True, help="Measure the bytes per entry on the partitions that are there.")
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
    """Say what so many entries a day need, and which settings fit."""
    if from_cluster and bytes_per_entry:
        raise click.UsageError("--bytes-per-entry and --from-cluster say the same thing twice; leave one of them out")
    measured = _measured(settings) if from_cluster else BYTES_PER_ENTRY
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
    if as_json:
        print_json(found.as_json())
        return
    _print(found, outage)


def _measured(settings: Settings) -> int:
    return bytes_per_entry(connect(settings), settings)


def _print(found: Sizing, outage: str) -> None:
    days = f"{found.floor_days} to {found.ceiling_days} days"
    rows = [
        ("entries kept", f"{found.floor_entries:,} to {found.ceiling_entries:,}", days),
        (
            "stored, one copy",
            f"{_words(found.floor_bytes)} to {_words(found.ceiling_bytes)}",
            f"{found.bytes_per_entry:,} bytes an entry",
        ),
        ("disk of the cluster", _words(found.disk_bytes), "with replicas, merges, and 15 % free"),
        ("partitions", f"{found.partitions:,}", f"one a {found.partition}"),
        ("shards", f"{found.shards:,}", f"with replicas, {_words(found.shard_bytes)} each"),
        (
            "entries a second",
            f"{found.entries_per_second:,.1f}",
            f"{found.peak_entries_per_second:,.1f} in the busiest hour",
        ),
        ("network", f"{_words(found.peak_network_bytes_per_second)} a second", "in the busiest hour, all hosts"),
        ("journal's disk", _words(found.journal_bytes), f"each host, for {outage} without OpenSearch"),
    ]
    print_table(("needed", "how much", ""), rows)
    click.echo("\n".join(("", "# whodid.toml", *found.settings_lines())))


def _words(number: int) -> str:
    """Bytes, in a unit that leaves up to four digits."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= factor:
            return f"{number / factor:,.1f} {unit}"
    return f"{number} bytes"
