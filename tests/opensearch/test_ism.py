"""ISM: the retention policy, and setup through a stand-in that answers as a recorded cluster did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from opensearchpy import OpenSearch

from tests.opensearch.ism_stand_in import IsmStandIn
from whodid.entry import Partitioning
from whodid.errors import OpenSearchError
from whodid.opensearch.ism import Ism, policy_body
from whodid.opensearch.retention import retention_in_force
from whodid.opensearch.setup import apply, plan
from whodid.opensearch.template import MARK
from whodid.settings import Settings

NAME = "whodid-audit-retention"
INDEX = "whodid-audit-2026.11"
NOW = datetime(2026, 11, 23, tzinfo=UTC)
THEIRS: dict[str, Any] = {
    "policy": {
        "description": "somebody else's",
        "default_state": "hot",
        "states": [{"name": "hot", "actions": [], "transitions": [{"state_name": "hot"}]}],
    }
}


@pytest.fixture
def client(cluster: IsmStandIn) -> Iterator[OpenSearch]:
    with closing(OpenSearch(hosts=[cluster.url], max_retries=0)) as made:
        yield made


def states(settings: Settings) -> dict[str, Any]:
    return {state["name"]: state for state in policy_body(settings)["policy"]["states"]}


@pytest.mark.parametrize(
    ("partition", "retention", "age"),
    [
        ("month", "365d", "398d"),
        ("week", "365d", "374d"),
        ("day", "365d", "368d"),
        ("month", "30d", "63d"),
        ("day", "1d", "4d"),
    ],
)
def test_a_partition_goes_once_its_youngest_entry_is_as_old_as_the_retention_and_two_days(
    partition: Partitioning, retention: str, age: str
) -> None:
    found = states(Settings(partition=partition, retention=retention))
    assert found["live"]["transitions"] == [{"state_name": "delete", "conditions": {"min_index_age": age}}]
    assert [list(action) for action in found["delete"]["actions"]] == [["retry", "delete"]]


def test_partitions_of_an_earlier_length_keep_their_entries_as_long_as_promised() -> None:
    """The policy is one for all of them: the longest counts."""
    shorter = Settings(partition="day", retention="365d")
    for names, age in ((["whodid-audit-2026.11.22"], "368d"), (["whodid-audit-2026.10", "x"], "398d")):
        [live, _] = policy_body(shorter, names)["policy"]["states"]
        assert live["transitions"] == [{"state_name": "delete", "conditions": {"min_index_age": age}}]


def test_off_deletes_nothing() -> None:
    found = states(Settings(retention="off"))
    assert list(found) == ["live"]
    assert (found["live"]["actions"], found["live"]["transitions"]) == ([], [])


def kinds(client: OpenSearch, settings: Settings) -> list[str]:
    return [change.kind for change in plan(client, settings) if not change.what.startswith("role")]


@pytest.mark.parametrize("retention", ["365d", "off"])
def test_setup_creates_the_policy_and_the_second_run_changes_nothing(
    cluster: IsmStandIn, client: OpenSearch, retention: str
) -> None:
    settings = Settings(retention=retention)
    apply(plan(client, settings))
    assert set(cluster.policies.stored) == {NAME}
    cluster.writes.clear()
    assert kinds(client, settings) == ["unchanged", "unchanged"]
    apply(plan(client, settings))
    assert cluster.writes == []


def test_a_plan_writes_nothing(cluster: IsmStandIn, client: OpenSearch) -> None:
    assert kinds(client, Settings()) == ["create", "create"]
    assert cluster.writes == []


def test_a_changed_retention_replaces_exactly_the_version_that_was_seen(
    cluster: IsmStandIn, client: OpenSearch
) -> None:
    apply(plan(client, Settings()))
    changes = plan(client, Settings(retention="400d"))
    assert changes[1].kind == "update"
    assert '+            "min_index_age": "433d"' in changes[1].difference
    apply(changes)
    view = retention_in_force(client, Settings(retention="400d"))
    assert (view.enforced_by, view.floor_days, view.ceiling_days) == ("ism", 400, 433)
    with pytest.raises(OpenSearchError, match="version conflict"):
        apply(changes[1:])


def test_an_index_made_before_the_policy_is_put_under_it(cluster: IsmStandIn, client: OpenSearch) -> None:
    cluster.create_index(INDEX, mark=MARK)
    changes = plan(client, Settings())
    assert changes[2].what == f"{INDEX} under {NAME}"
    apply(changes)
    assert cluster.managed() == {INDEX: NAME}
    assert kinds(client, Settings()) == ["unchanged", "unchanged"]
    assert retention_in_force(client, Settings(), NOW).problems == ()


def test_an_index_under_another_policy_is_shown_as_not_under_ours(cluster: IsmStandIn, client: OpenSearch) -> None:
    apply(plan(client, Settings()))
    Ism(client).put_policy("theirs", THEIRS, None)
    cluster.create_index(INDEX, policy="theirs", mark=MARK)
    view = retention_in_force(client, Settings(), NOW)
    assert view.problems == (f"{INDEX}: under another policy, theirs",)
    assert f"{INDEX}: under another policy, theirs" in str(view)
    assert kinds(client, Settings()) == ["unchanged", "unchanged", "unavailable"]


def test_setup_again_before_ism_has_seen_the_index_is_no_error(cluster: IsmStandIn, client: OpenSearch) -> None:
    cluster.create_index(INDEX, mark=MARK)
    apply(plan(client, Settings()))
    cluster.indices[INDEX].job, cluster.lazy = None, True
    apply(plan(client, Settings()))
    assert cluster.managed() == {INDEX: NAME}


def test_an_index_that_another_policy_took_first_is_an_error(cluster: IsmStandIn, client: OpenSearch) -> None:
    cluster.create_index(INDEX, mark=MARK)
    changes = plan(client, Settings())
    apply(changes[:2])
    Ism(client).put_policy("theirs", THEIRS, None)
    Ism(client).add(INDEX, "theirs")
    with pytest.raises(OpenSearchError, match="already has a policy"):
        apply(changes[2:])


def test_an_attachment_that_fails_is_an_error_although_the_answer_is_200(
    cluster: IsmStandIn, client: OpenSearch
) -> None:
    cluster.create_index(INDEX, mark=MARK)
    cluster.refuse_add = "index is immutable"
    with pytest.raises(OpenSearchError, match=f"{INDEX} could not be put under the policy {NAME}: index is immutable"):
        apply(plan(client, Settings()))


def test_an_attachment_that_matches_no_index_is_an_error(cluster: IsmStandIn, client: OpenSearch) -> None:
    apply(plan(client, Settings()))
    with pytest.raises(OpenSearchError, match="no index matched"):
        Ism(client).add("whodid-audit-2020.01", NAME)
    with pytest.raises(OpenSearchError, match="Could not find policy=other"):
        Ism(client).add(INDEX, "other")


@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 45])
def test_explain_tells_of_every_index_however_many_there_are(
    cluster: IsmStandIn, client: OpenSearch, count: int
) -> None:
    apply(plan(client, Settings()))
    names = [f"whodid-audit-2026.11.{day:02d}" for day in range(count)]
    for name in names:
        cluster.create_index(name, policy=NAME, mark=MARK)
    cluster.create_index("other", mark=MARK)
    found = Ism(client).explain("whodid-audit-*")
    assert {name: about["policy_id"] for name, about in found.items()} == dict.fromkeys(names, NAME)


def test_a_cluster_without_the_plugin_is_told_from_one_that_refuses() -> None:
    with closing(IsmStandIn(plugin=False)) as bare, closing(OpenSearch(hosts=[bare.url], max_retries=0)) as client:
        assert not Ism(client).available()
        assert kinds(client, Settings()) == ["create", "unavailable"]
        assert retention_in_force(client, Settings()).enforced_by == "whodid"


def test_a_policy_that_is_missing_is_none(cluster: IsmStandIn, client: OpenSearch) -> None:
    assert Ism(client).policy(NAME) is None
    assert retention_in_force(client, Settings()).enforced_by == "nothing"
