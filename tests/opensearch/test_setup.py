"""The setup on a real cluster without ISM: what it makes, shows, leaves alone and refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.commands import whodid
from tests.live.corner import Corner, corner
from whodid.cluster.template import index_template, template_name
from whodid.entry import partition_name
from whodid.errors import OpenSearchError
from whodid.retention.schedule import retention_in_force
from whodid.setup.setup import apply, plan

pytestmark = pytest.mark.live


@pytest.fixture
def place(opensearch_url: str, tmp_path: Path) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path) as made:
        yield made


def kinds(place: Corner) -> list[str]:
    return [change.kind for change in plan(place.client, place.settings) if not change.what.startswith("role")]


def template(place: Corner) -> Any:
    name = template_name(place.settings)
    return place.client.indices.get_index_template(name=name)["index_templates"][0]["index_template"]


def run(place: Corner, *options: str) -> CompletedProcess[str]:
    return whodid(*place.arguments("setup"), *options)


def test_the_first_run_creates_and_the_second_changes_nothing(place: Corner) -> None:
    assert kinds(place) == ["create", "unavailable"]
    place.set_up()
    made = template(place)
    assert kinds(place) == ["unchanged", "unavailable"]
    place.set_up()
    assert template(place) == made


def test_a_partition_does_not_disturb_the_next_run(place: Corner) -> None:
    place.set_up()
    place.record(1)
    place.ship()
    assert kinds(place) == ["unchanged", "unavailable"]


def test_a_partition_of_an_older_version_gets_the_fields_that_came_since(place: Corner) -> None:
    [entry] = place.record(1, client_ip="203.0.113.9", forwarded_for="203.0.113.9, 10.0.0.1")
    index = partition_name(place.settings.index_prefix, "month", entry["creation_date"])
    older = deepcopy(index_template(place.settings)["template"]["mappings"])
    del older["properties"]["forwarded_for"]
    place.client.indices.create(index=index, body={"mappings": older})
    shown = run(place, "--dry-run")
    assert "new fields in 1 partitions: to update" in shown.stdout
    assert f'+  "{index}": [' in shown.stdout
    assert '+    "forwarded_for"' in shown.stdout
    place.set_up()
    assert kinds(place) == ["unchanged", "unavailable"]
    place.ship()
    [stored] = place.stored().values()
    assert stored["_source"]["forwarded_for"] == "203.0.113.9, 10.0.0.1"


def test_a_dry_run_shows_what_is_missing_and_changes_nothing(place: Corner) -> None:
    shown = run(place, "--dry-run")
    assert (shown.returncode, shown.stderr) == (1, "")
    assert f"index template {place.settings.index_prefix}: to create" in shown.stdout
    assert '+    "dynamic": "strict"' in shown.stdout.replace("      ", "    ")
    assert not place.client.indices.exists_index_template(name=template_name(place.settings))


def test_the_program_creates_and_then_says_unchanged(place: Corner) -> None:
    first, second, dry = run(place), run(place), run(place, "--dry-run", "--json")
    assert [done.returncode for done in (first, second, dry)] == [0, 0, 0]
    assert "created" in first.stdout
    assert "unchanged" in second.stdout
    assert [json.loads(line)["kind"] for line in dry.stdout.splitlines()] == ["unchanged", "unavailable", "unavailable"]


@pytest.mark.parametrize(
    ("drift", "shown"),
    [
        ({"priority": 7}, '+  "priority": 500'),
        ({"_meta": {"managed_by": "someone"}}, '+    "managed_by": "whodid"'),
        ({"index_patterns": ["{prefix}-2*"]}, '-    "{prefix}-2*"'),
        ({"composed_of": []}, ""),
    ],
)
def test_drift_is_shown_and_mended(place: Corner, drift: dict[str, Any], shown: str) -> None:
    place.set_up()
    prefix = place.settings.index_prefix
    changed = json.loads(json.dumps({**template(place), **drift}).replace("{prefix}", prefix))
    place.client.indices.put_index_template(name=template_name(place.settings), body=changed)
    change = plan(place.client, place.settings)[0]
    assert change.kind == ("update" if shown else "unchanged")
    assert shown.replace("{prefix}", prefix) in change.difference
    place.set_up()
    assert kinds(place)[0] == "unchanged"


def test_a_changed_setting_is_an_update(place: Corner) -> None:
    place.set_up()
    changes = plan(place.client, replace(place.settings, number_of_shards=3))
    assert changes[0].kind == "update"
    assert '+        "number_of_shards": "3"' in changes[0].difference
    apply(changes)
    assert template(place)["template"]["settings"]["index"]["number_of_shards"] == "3"


def test_a_data_stream_by_the_same_name_is_drift(place: Corner) -> None:
    place.set_up()
    place.client.indices.put_index_template(
        name=template_name(place.settings), body={**template(place), "data_stream": {}}
    )
    assert kinds(place)[0] == "update"
    place.set_up()
    assert "data_stream" not in template(place)


def test_an_index_that_is_not_ours_ends_the_setup_before_anything_is_changed(place: Corner) -> None:
    foreign = f"{place.settings.index_prefix}-somebodys"
    place.client.indices.create(index=foreign, body={"mappings": {"properties": {"a": {"type": "keyword"}}}})
    with pytest.raises(OpenSearchError, match=f"{foreign} match .* were not created by whodid"):
        place.set_up()
    done = run(place)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Choose another index_prefix" in done.stderr
    assert not place.client.indices.exists_index_template(name=template_name(place.settings))


@pytest.mark.parametrize("state", ["closed", "hidden"])
def test_a_foreign_index_is_seen_even_when_it_is_not_open(place: Corner, state: str) -> None:
    foreign = f"{place.settings.index_prefix}-somebodys"
    settings = {"index.hidden": True} if state == "hidden" else {}
    place.client.indices.create(index=foreign, body={"settings": settings})
    if state == "closed":
        place.client.indices.close(index=foreign)
    with pytest.raises(OpenSearchError, match="not created by whodid"):
        place.set_up()


def test_a_cluster_without_ism_is_said_plainly(place: Corner) -> None:
    done = run(place)
    assert f"ISM policy {place.settings.index_prefix}-retention: not available" in done.stdout
    assert "this cluster has no Index State Management; `whodid ship` deletes expired partitions" in done.stdout
    view = retention_in_force(place.client, place.settings)
    assert (view.asked_days, view.enforced_by, view.floor_days, view.ceiling_days) == (365, "whodid", 365, 398)
    assert "deleted by `whodid ship`, as this cluster has no Index State Management" in str(view)
    off = replace(place.settings, retention="off")
    assert "kept until someone deletes them" in str(retention_in_force(place.client, off))
    assert plan(place.client, off)[1].note == ""
