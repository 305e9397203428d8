"""The sizing: its arithmetic, its choice of partitions, and that its factors are those that were measured."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.live.corner import Corner, corner
from whodid.cli.retention import retention
from whodid.cluster.bulk import Document, send_bulk
from whodid.cluster.partitions import bytes_per_entry
from whodid.entry import document_id
from whodid.errors import OpenSearchError, SettingsError
from whodid.retention.sizing import (
    ACTION_BYTES,
    BYTES_PER_ENTRY,
    JOURNAL_BYTES_PER_ENTRY,
    LARGEST_SHARD,
    SMALLEST_SHARD,
    Need,
    Sizing,
    parse_count,
    size,
)
from whodid.settings import Settings, load_settings

ROOT = Path(__file__).parents[1]


def run(*arguments: str, settings: Settings | None = None) -> Result:
    return CliRunner().invoke(retention, ["sizing", *arguments], obj=settings or Settings())


def sized(per_day: str, retention: str = "365d", **more: Any) -> Sizing:
    return size(Need(per_day=parse_count(per_day), retention=retention, **{"bytes_per_entry": 1000, **more}))


def test_the_factors_are_those_of_the_benchmarks_page() -> None:
    page = (ROOT / "docs" / "explanation" / "benchmarks.md").read_text()
    [stored] = re.findall(r"^\| whodid's template +\| +([\d,]+) \|", page, re.M)
    [journalled] = re.findall(r"in the journal, ([\d,]+) bytes each", page)
    assert int(stored.replace(",", "")) == BYTES_PER_ENTRY
    assert int(journalled.replace(",", "")) == JOURNAL_BYTES_PER_ENTRY


class Cluster:
    """Stores what it is sent, and keeps the body."""

    body = b""

    def bulk(self, body: bytes, **_: object) -> dict[str, Any]:
        self.body = body
        return {"errors": False, "items": [{"create": {"status": 201}}]}


def test_the_line_before_an_entry_is_as_long_as_the_shipper_s() -> None:
    cluster: Any = Cluster()
    entry = b"{}"
    send_bulk(cluster, [Document(document_id("0" * 16, 1, "0" * 64), "whodid-audit-2026.11", entry)], 1.0)
    assert len(cluster.body) == ACTION_BYTES + len(entry + b"\n")


def test_two_million_a_day_for_a_year() -> None:
    found = sized("2M")
    assert (found.floor_days, found.ceiling_days) == (365, 374)
    assert (found.floor_entries, found.ceiling_entries) == (730_000_000, 748_000_000)
    assert (found.floor_bytes, found.ceiling_bytes) == (730 * 10**9, 748 * 10**9)
    assert (found.partition, found.number_of_shards, found.shard_bytes) == ("week", 1, 14 * 10**9)
    assert (found.partitions, found.shards) == (54, 108)
    assert found.disk_bytes == 2 * (748 + 14) * 10**9 * 100 // 85
    assert found.settings_lines() == ('partition = "week"', "number_of_shards = 1", 'retention = "365d"')


def test_an_outage_is_counted_at_the_rate_of_the_busiest_hour() -> None:
    one = sized("864k", peak=1, outage_seconds=3600)
    assert one.entries_per_second == 10
    assert one.peak_network_bytes_per_second == 10 * (JOURNAL_BYTES_PER_ENTRY + ACTION_BYTES)
    assert one.journal_bytes == 36_000 * JOURNAL_BYTES_PER_ENTRY
    assert sized("864k", peak=3, outage_seconds=3600, hosts=3).journal_bytes == one.journal_bytes


@pytest.mark.parametrize(
    ("per_day", "partition", "shards"),
    [
        ("1", "month", 1),
        ("1.6M", "month", 1),
        ("1.7M", "week", 1),
        ("7.1M", "week", 1),
        ("7.2M", "week", 2),
        ("10M", "day", 1),
        ("50M", "day", 1),
        ("51M", "day", 2),
        ("1G", "day", 20),
    ],
)
def test_the_longest_partition_that_fits_is_chosen(per_day: str, partition: str, shards: int) -> None:
    found = sized(per_day)
    assert (found.partition, found.number_of_shards) == (partition, shards)


def test_shards_are_neither_waste_nor_slow_to_move_once_there_is_enough() -> None:
    for per_day in range(500_000, 300_000_000, 377_777):
        assert SMALLEST_SHARD <= sized(str(per_day)).shard_bytes <= LARGEST_SHARD, per_day


@pytest.mark.parametrize(
    ("partition", "per_day", "ceiling", "most"), [("month", "1M", 398, 14), ("day", "20M", 368, 369)]
)
def test_as_many_partitions_as_can_be_there_at_once(partition: str, per_day: str, ceiling: int, most: int) -> None:
    found = sized(per_day)
    assert (found.partition, found.ceiling_days, found.partitions) == (partition, ceiling, most)


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("2000000", 2_000_000), ("500k", 500_000), ("2M", 2_000_000), ("1.5G", 1_500_000_000)],
)
def test_numbers_may_have_a_unit(text: str, number: int) -> None:
    assert parse_count(text) == parse_count(text.lower()) == number


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "many", "2 millions", "2MB", "1e9", "nan", "0.4", "1001G", "9" * 400, "٢", "1_000"]
)
def test_nonsense_is_told_what_to_write(text: str) -> None:
    with pytest.raises(SettingsError, match=r"write one such as 2000000, 500k, 2M or 1\.5G"):
        parse_count(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--per-day", "lots"), "'lots' is not a number"),
        (("--per-day", "2M", "--retention", "off"), "give --retention, such as --retention 365d"),
        (("--per-day", "2M", "--retention", "a year"), "retention must be a number of days such as 365d"),
        (("--per-day", "2M", "--outage", "long"), "'long' is not an age"),
        (("--per-day", "2M", "--bytes-per-entry", "big"), "'big' is not a number"),
    ],
)
def test_the_command_says_what_to_change(arguments: tuple[str, ...], said: str) -> None:
    error = run(*arguments).exception
    assert isinstance(error, SettingsError)
    assert said in str(error)


def test_two_sources_of_one_number_are_refused() -> None:
    result = run("--per-day", "2M", "--from-cluster", "--bytes-per-entry", "700")
    assert result.exit_code == 2
    assert "can't be combined" in result.stderr


def test_the_json_has_every_figure_and_nothing_else_is_on_stdout() -> None:
    result = run("--per-day", "2M", "--bytes-per-entry", "1k", "--retention", "365d", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == sized("2M").as_json()


def test_the_printed_lines_are_settings(tmp_path: Path) -> None:
    output = run("--per-day", "2M", "--bytes-per-entry", "1k").stdout
    config = tmp_path / "whodid.toml"
    config.write_text(output.partition("\n# whodid.toml\n")[2])
    settings = load_settings(config)
    assert (settings.partition, settings.number_of_shards, settings.retention) == ("week", 1, "365d")
    assert "748,000,000" in output
    assert "1.8 TB" in output


def test_the_retention_is_that_of_the_settings_unless_given() -> None:
    short = json.loads(run("--per-day", "1k", "--json", settings=Settings(retention="30d")).stdout)
    assert (short["floor_days"], short["ceiling_days"]) == (30, 63)


@pytest.fixture
def place(opensearch_url: str, tmp_path: Path) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path) as made:
        made.set_up()
        yield made


@pytest.mark.live
def test_the_cluster_tells_what_its_own_entries_take(place: Corner) -> None:
    place.record(1500)
    place.ship()
    stored = place.client.indices.stats(index=f"{place.settings.index_prefix}-*", metric="store")
    expected = -(-stored["_all"]["primaries"]["store"]["size_in_bytes"] // 1500)
    arguments = ("--per-day", "2M", "--from-cluster", "--json")
    assert json.loads(run(*arguments, settings=place.settings).stdout)["bytes_per_entry"] == expected


@pytest.mark.live
def test_a_few_entries_tell_nothing(place: Corner) -> None:
    with pytest.raises(OpenSearchError, match="hold 0 entries"):
        bytes_per_entry(place.client, place.settings)
    place.record(3)
    place.ship()
    with pytest.raises(OpenSearchError, match=r"hold 3 entries.*leave --from-cluster out"):
        bytes_per_entry(place.client, place.settings)
