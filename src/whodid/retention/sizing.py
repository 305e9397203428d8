"""The sizing: estimates disk, shards, network and settings for a daily volume and a retention.

It is arithmetic alone and needs no cluster. Sizes are in bytes, and a GB is 1,000,000,000 bytes.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from ..entry import Partitioning
from ..errors import SettingsError
from ..settings import Settings, retention_days
from .ism import margin_days

__all__ = ["BYTES_PER_ENTRY", "JOURNAL_BYTES_PER_ENTRY", "Need", "Sizing", "parse_count", "size"]

BYTES_PER_ENTRY = 692
"""Bytes in the primary store of OpenSearch without forced merges, measured by `python -m benchmarks disk`.

The table is in docs/explanation/benchmarks.md, and a test compares them.
"""

JOURNAL_BYTES_PER_ENTRY = 1_015
"""Bytes of a line in the journal, which is also what is sent, measured by the same command."""

ACTION_BYTES = 68
"""Bytes of the line before each entry in a bulk request, with the default prefix and monthly partitions."""

SMALLEST_SHARD, LARGEST_SHARD = 10 * 10**9, 50 * 10**9
"""The range of shard sizes that OpenSearch recommends for logs."""

WATERMARK_PERCENT = 85
"""OpenSearch allocates no shards to a node whose disk is fuller (`cluster.routing.allocation.disk.watermark.low`)."""

_DAYS: dict[Partitioning, int] = {"month": 31, "week": 7, "day": 1}
_MOST_A_DAY = 10**12
_COUNT = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)([kmg]?)", re.ASCII | re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The requirements. `peak` is the busiest hour as a multiple of the average, also assumed during an outage."""

    per_day: int
    retention: str
    replicas: int = 1
    hosts: int = 1
    outage_seconds: int = _DAY_SECONDS
    peak: int = 3
    bytes_per_entry: int = BYTES_PER_ENTRY


@dataclass(frozen=True, slots=True)
class Sizing:
    """The estimate. `floor` and `ceiling` values are the least and the most that is kept, without replicas.

    `shards` counts primaries and replicas of all partitions; `disk_bytes` is for the whole cluster, `journal_bytes` for
    each host.
    """

    per_day: int
    bytes_per_entry: int
    floor_days: int
    ceiling_days: int
    floor_entries: int
    ceiling_entries: int
    floor_bytes: int
    ceiling_bytes: int
    partition: Partitioning
    number_of_shards: int
    shard_bytes: int
    partitions: int
    shards: int
    disk_bytes: int
    entries_per_second: float
    peak_entries_per_second: float
    peak_network_bytes_per_second: int
    journal_bytes: int

    def settings_lines(self) -> tuple[str, ...]:
        """The lines for whodid.toml."""
        lines = f'partition = "{self.partition}"', f"number_of_shards = {self.number_of_shards}"
        return (*lines, f'retention = "{self.floor_days}d"')

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def size(need: Need) -> Sizing:
    """Estimates a cluster. Raises `SettingsError` if nothing is ever deleted, since its size has no limit."""
    floor = retention_days(need.retention)
    if floor is None:
        raise SettingsError("retention = off has no maximum size; give --retention, such as --retention 365d")
    partition, shards = _partition(need.per_day * need.bytes_per_entry)
    ceiling = floor + margin_days(Settings(partition=partition))
    shard_bytes = need.per_day * need.bytes_per_entry * _DAYS[partition] // shards
    partitions = _partitions(partition, ceiling)
    copies = 1 + need.replicas
    kept = need.per_day * ceiling * need.bytes_per_entry
    # A shard needs twice its size while it is merged, which happens in the partition that is written to.
    stored = copies * (kept + shards * shard_bytes)
    peak = need.per_day * need.peak / _DAY_SECONDS
    waiting = need.per_day * need.peak * need.outage_seconds * JOURNAL_BYTES_PER_ENTRY // _DAY_SECONDS
    return Sizing(
        per_day=need.per_day,
        bytes_per_entry=need.bytes_per_entry,
        floor_days=floor,
        ceiling_days=ceiling,
        floor_entries=need.per_day * floor,
        ceiling_entries=need.per_day * ceiling,
        floor_bytes=need.per_day * floor * need.bytes_per_entry,
        ceiling_bytes=kept,
        partition=partition,
        number_of_shards=shards,
        shard_bytes=shard_bytes,
        partitions=partitions,
        shards=partitions * shards * copies,
        disk_bytes=stored * 100 // WATERMARK_PERCENT,
        entries_per_second=need.per_day / _DAY_SECONDS,
        peak_entries_per_second=peak,
        peak_network_bytes_per_second=round(peak * (JOURNAL_BYTES_PER_ENTRY + ACTION_BYTES)),
        journal_bytes=-(-waiting // need.hosts),
    )


def parse_count(text: str) -> int:
    """A number such as `2000000`, `500k`, `2M` or `1.5G`. Raises `SettingsError`."""
    match = _COUNT.fullmatch(text.strip())
    number = int(Decimal(match[1]) * _UNITS[match[2].lower()]) if match else 0
    if not 1 <= number <= _MOST_A_DAY:
        raise SettingsError(f"{text!r} is not a number from 1 to 1000G; write one such as 2000000, 500k, 2M or 1.5G")
    return number


def _partition(bytes_a_day: int) -> tuple[Partitioning, int]:
    """The longest partition that fits into one shard, and the number of shards; several shards if none fits."""
    lengths: tuple[Partitioning, ...] = ("month", "week")
    for partition in lengths:
        if bytes_a_day * _DAYS[partition] <= LARGEST_SHARD:
            return partition, 1
    partition = "day" if bytes_a_day >= SMALLEST_SHARD else "week"
    return partition, -(-bytes_a_day * _DAYS[partition] // LARGEST_SHARD)


def _partitions(partition: Partitioning, ceiling_days: int) -> int:
    """The maximum number of partitions: those that started within the ceiling, and the present one."""
    if partition == "month":
        return ceiling_days * 48 // 1461 + 1  # a month is 1461/48 days on average
    return ceiling_days // _DAYS[partition] + 1
