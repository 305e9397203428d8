"""Years with one cluster: a mapping that lacks a field meets today's whodid, and the length of a partition changes."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import orjson
import pytest

from tests.commands import whodid
from tests.doctor.examined import examined
from tests.live.corner import Corner, corner
from whodid.cluster.bulk import Verdict
from whodid.cluster.template import index_template, template_name
from whodid.entry import SCHEMA_VERSION, Stamp, partition_name
from whodid.integrity import Draft
from whodid.journal import Journal
from whodid.settings import Settings
from whodid.shipping import Shipper

pytestmark = pytest.mark.live

THEN = datetime.now(UTC).replace(day=10) - timedelta(days=70)


@pytest.fixture
def place(opensearch_url: str, tmp_path: Path) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path, host="web-1", service="shop", keep_days=1.0) as made:
        yield made


def run(place: Corner, *command: str) -> CompletedProcess[str]:
    return whodid(*place.arguments(*command))


def record_at(settings: Settings, moment: datetime, *targets: str) -> None:
    stamp = Stamp.from_ns(int(moment.timestamp()) * 1_000_000_000)
    about = {"type": "team_created", "principal": "42", "client_ip": "203.0.113.9", "details": {"rows": 1.5}}
    about |= {"creation_date": stamp.creation_date, "@timestamp": stamp.timestamp, "schema_version": SCHEMA_VERSION}
    journal = Journal(settings.journal_dir)
    for target in targets:
        journal.append(Draft({**about, "target": target}, ["client_ip"]), "process")
    journal.close()


def partitions(place: Corner) -> dict[str, str]:
    """By target of the entry."""
    return {hit["_source"]["target"]: hit["_index"] for hit in place.stored().values()}


def index(place: Corner, moment: datetime, length: Any = "month") -> str:
    return partition_name(place.settings.index_prefix, length, f"{moment:%Y-%m-%d}")


def released_first(place: Corner) -> None:
    """A template without `forwarded_for`, as a minor version before this one would have, and three entries of then."""
    body = copy.deepcopy(index_template(place.settings))
    del body["template"]["mappings"]["properties"]["forwarded_for"]
    del body["_meta"]["setup"]
    place.client.indices.put_index_template(name=template_name(place.settings), body=body)
    record_at(place.settings, THEN, "a", "b", "c")
    place.ship()


def test_the_first_released_mapping_with_entries_in_it_is_brought_up_to_date(place: Corner) -> None:
    released_first(place)
    old, new = index(place, THEN), index(place, datetime.now(UTC))
    assert "forwarded_for" not in place.client.indices.get_mapping(index=old)[old]["mappings"]["properties"]

    done = run(place, "setup")
    assert (done.returncode, done.stderr) == (0, "")
    assert "new fields in 1 partitions" in done.stdout
    assert run(place, "setup", "--dry-run").returncode == 0

    record_at(place.settings, THEN, "late")
    place.record(1, client_ip="203.0.113.9", forwarded_for="203.0.113.9, 10.0.0.1")
    place.ship()
    mappings = {
        name: about["mappings"] for name, about in place.client.indices.get_mapping(index=f"{old},{new}").items()
    }
    assert mappings[old]["properties"] == mappings[new]["properties"]
    assert {about["_meta"]["schema_version"] for about in mappings.values()} == {SCHEMA_VERSION}
    assert partitions(place) == {**dict.fromkeys(("a", "b", "c", "late"), old), "0": new}

    verified = json.loads(run(place, "verify", "--json").stdout)
    assert (verified["entries"], verified["intact"], verified["findings"]) == (5, True, [])
    exported = [orjson.loads(line) for line in run(place, "search", "--json").stdout.splitlines()]
    assert exported == sorted(place.journalled(), key=lambda entry: (entry["@timestamp"], entry["seq"]), reverse=True)
    found = run(place, "search", "--json", "--client-ip", "203.0.113.0/24").stdout.splitlines()
    assert len(found) == 5


def test_sorting_by_a_new_field_finds_the_entries_of_older_partitions_too(place: Corner) -> None:
    released_first(place)
    for order in ("forwarded_for", "-forwarded_for"):
        found = run(place, "search", "--json", "--sort", order)
        assert [json.loads(line)["target"] for line in found.stdout.splitlines()] == ["c", "b", "a"], found.stderr


def test_an_entry_with_a_new_field_waits_for_the_setup_in_the_dead_letters_at_worst(place: Corner) -> None:
    """Nothing is lost by shipping before `whodid setup`: it is retried once the old partition knows the field."""
    released_first(place)
    stamp = Stamp.from_ns(int(THEN.timestamp()) * 1_000_000_000)
    dates = {"creation_date": stamp.creation_date, "@timestamp": stamp.timestamp, "schema_version": SCHEMA_VERSION}
    journal = Journal(place.settings.journal_dir)
    journal.append(Draft({"type": "t", "target": "new", "principal": "1", "forwarded_for": "::1", **dates}), "process")
    journal.close()
    assert place.ship().dead_letters == 1
    assert run(place, "setup").returncode == 0
    retried = run(place, "dead-letters", "retry")
    assert retried.returncode == 0, retried.stderr
    assert partitions(place)["new"] == index(place, THEN)
    assert json.loads(run(place, "verify", "--json").stdout)["intact"]


def test_another_length_of_partition_is_for_new_entries_and_both_live_on(place: Corner) -> None:
    now = datetime.now(UTC)
    place.set_up()
    record_at(place.settings, THEN, "old")
    record_at(place.settings, now, "before")
    place.ship()

    def ignore_progress(documents: Any) -> list[Verdict]:
        place.send(documents)
        raise KeyboardInterrupt

    record_at(place.settings, now, "stored, but nobody heard")
    with pytest.raises(KeyboardInterrupt):
        Shipper(place.settings, ignore_progress).run_once()
    weekly = replace(place, settings=replace(place.settings, partition="week"))
    record_at(place.settings, now, "waiting")
    weekly.set_up()
    weekly.ship()
    record_at(place.settings, now, "after")
    weekly.ship()

    month, week = index(place, now), index(place, now, "week")
    hits = list(place.stored().values())
    assert len(hits) == len({hit["_id"] for hit in hits}) == 5
    assert place.client.count(index=f"{place.settings.index_prefix}-*")["count"] == 5
    assert partitions(place) == {
        "old": index(place, THEN),
        **dict.fromkeys(("before", "stored, but nobody heard", "waiting"), month),
        "after": week,
    }
    verified = json.loads(run(weekly, "verify", "--json").stdout)
    assert (verified["entries"], verified["intact"]) == (5, True)

    shown = json.loads(run(weekly, "retention", "show", "--json", "--partition=week").stdout or "{}")
    assert {one["name"] for one in shown["partitions"]} == {index(place, THEN), month, week}
    assert (shown["problems"], shown["floor_days"], shown["ceiling_days"]) == ([], 365, 398)
    told = [one for one in examined(weekly.settings, "retention") if one.on in (month, week)]
    assert {one.on: one.severity for one in told} == {month: "ok", week: "ok"}
