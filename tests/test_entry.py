"""The entry: its stamps, its identity, its partition."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whodid.entry import FIELDS, PLATFORM_FIELDS, Partitioning, Stamp, document_id, partition_name, partition_start


def test_the_platform_s_ten_fields_are_there_in_its_order() -> None:
    assert tuple(FIELDS)[:10] == PLATFORM_FIELDS


def test_a_stamp_is_utc_and_cut_to_seconds_and_microseconds() -> None:
    stamp = Stamp.from_ns(1_795_419_999_999_999_999)
    assert (stamp.creation_date, stamp.timestamp) == ("2026-11-23T07:46:39Z", "2026-11-23T07:46:39.999999Z")


def test_the_document_id_is_the_same_at_each_retry_and_another_for_other_content() -> None:
    assert document_id("ab12", 7, "f" * 64) == "ab12-000000000007-ffffffffffffffff"
    assert document_id("ab12", 7, "e" * 64) != document_id("ab12", 7, "f" * 64)


@pytest.mark.parametrize(
    ("partitioning", "date", "name"),
    [
        ("month", "2026-11-23T07:46:39Z", "a-2026.11"),
        ("day", "2026-11-23T07:46:39Z", "a-2026.11.23"),
        ("week", "2026-11-23T07:46:39Z", "a-2026.w48"),
        ("week", "2027-01-01T00:00:00Z", "a-2026.w53"),
    ],
)
def test_the_partition_is_a_function_of_the_creation_date(partitioning: Partitioning, date: str, name: str) -> None:
    assert partition_name("a", partitioning, date) == name


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.sampled_from(["month", "week", "day"]))  # noqa: DTZ001 (made aware below)
def test_an_entry_is_never_older_than_the_start_of_its_partition(moment: datetime, partitioning: Partitioning) -> None:
    moment = moment.replace(tzinfo=UTC)
    name = partition_name("whodid-audit", partitioning, moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
    start = partition_start("whodid-audit", name)
    assert start is not None
    longest = {"month": 31, "week": 7, "day": 1}[partitioning]
    assert 0 <= (moment - start).total_seconds() < longest * 86400


def test_another_index_is_no_partition() -> None:
    assert partition_start("whodid-audit", "whodid-audit-copy") is None
