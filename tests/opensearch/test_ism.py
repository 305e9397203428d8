"""ISM: the retention policy, and setup through a stand-in that answers as a recorded cluster did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opensearchpy import OpenSearch

from tests.opensearch.ism_stand_in import IsmStandIn
from whodid.cluster.template import MARK
from whodid.entry import Partitioning
from whodid.errors import OpenSearchError, SettingsError
from whodid.retention.ism import Ism, deletion_age, deletion_states, keeps_as_long, policy_body
from whodid.retention.moves import set_retention
from whodid.retention.schedule import retention_in_force
from whodid.settings import Settings
from whodid.setup.setup import apply, plan

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


def by_hand(*states: tuple[str, list[Any], list[Any]]) -> dict[str, Any]:
    """A policy of (name, actions, (next state, conditions) …)."""
    made = [
        {"name": name, "actions": actions, "transitions": [{"state_name": to, **rest} for to, rest in transitions]}
        for name, actions, transitions in states
    ]
    return {"default_state": states[0][0], "states": made}


DELETE: tuple[str, list[Any], list[Any]] = ("end", [{"delete": {}}], [])


@pytest.mark.parametrize(
    ("policy", "age"),
    [
        (policy_body(Settings())["policy"], timedelta(days=398)),
        (policy_body(Settings(retention="off"))["policy"], None),
        (by_hand(("hot", [], [("end", {"conditions": {"min_index_age": "168h"}})]), DELETE), timedelta(days=7)),
        (by_hand(("hot", [], [("end", {"conditions": {"min_index_age": "90m"}})]), DELETE), timedelta(minutes=90)),
        (by_hand(("hot", [], [("end", {"conditions": None})]), DELETE), timedelta(0)),
        (by_hand(("hot", [], [("end", {})]), DELETE), timedelta(0)),
        (by_hand(("hot", [], [("end", {"conditions": {"min_doc_count": 5}})]), DELETE), timedelta(0)),
        (by_hand(("hot", [], [("hot", {})]), DELETE), None),
        (by_hand(("now", [{"delete": {}}], [])), timedelta(0)),
        (
            by_hand(
                ("hot", [], [("cold", {"conditions": {"min_index_age": "30d"}})]),
                ("cold", [], [("end", {"conditions": {"min_index_age": "10d"}}), ("hot", {})]),
                DELETE,
            ),
            timedelta(days=30),
        ),
    ],
)
def test_the_age_at_which_a_policy_deletes_is_found_however_somebody_wrote_it(
    policy: dict[str, Any], age: timedelta | None
) -> None:
    assert deletion_age(policy) == age


SAVED = {"snapshot": {"repository": "r", "snapshot": "{{ctx.index}}"}, "retry": {"count": 3}, "timeout": "1h"}
REMOTE = {"repository": "r", "snapshot": "{{ctx.index}}"}


@pytest.mark.parametrize(
    ("action", "deletes"),
    [
        ({"delete": {}}, True),
        ({"convert_index_to_remote": {**REMOTE, "delete_original_index": True}}, True),
        ({"convert_index_to_remote": {**REMOTE, "delete_original_index": "false"}}, True),
        ({"convert_index_to_remote": REMOTE}, True),  # before OpenSearch 3.3
        ({"convert_index_to_remote": None}, True),
        ({"convert_index_to_remote": {**REMOTE, "delete_original_index": False}}, False),
        ({"custom": {"forget": {}}}, True),
        ({"an_action_of_tomorrow": {}, "retry": {"count": 3}}, True),
        ({"shrink": {"num_new_shards": 1}}, False),
        ({"close": {}, "timeout": "1h"}, False),
        ({"search_only": {}}, False),
        ({}, False),
    ],
)
def test_an_action_deletes_unless_it_is_known_to_keep_the_index(action: dict[str, Any], deletes: bool) -> None:
    cold = ("cold", {"conditions": {"min_index_age": "10d"}})
    policy = by_hand(("hot", [], [cold]), ("cold", [SAVED, action], []))
    assert deletion_age(policy) == (timedelta(days=10) if deletes else None)
    assert keeps_as_long(policy, policy_body(Settings())["policy"]) is not deletes
    assert deletion_states(policy) == ({"cold"} if deletes else set())


def test_a_policy_that_deletes_earlier_than_another_does_not_keep_as_long() -> None:
    year, week, off = (policy_body(Settings(retention=each))["policy"] for each in ("365d", "7d", "off"))
    assert keeps_as_long(year, week)
    assert keeps_as_long(off, year)
    assert keeps_as_long(off, off)
    assert not keeps_as_long(week, year)
    assert not keeps_as_long(year, off)


def test_a_policy_without_conditions_ends_no_command(cluster: IsmStandIn, client: OpenSearch) -> None:
    """`"conditions": null` is a transition at once."""
    policy = by_hand(("live", [], [("delete", {"conditions": None})]), ("delete", [{"delete": {}}], []))
    Ism(client).put_policy(NAME, {"policy": {**policy, "description": "by hand"}}, None)
    view = retention_in_force(client, Settings(), NOW)
    assert (view.floor_days, view.ceiling_days) == (0, 0)
    assert "the setting asks for 365 days, the policy keeps 0 days" in str(view)


@pytest.mark.parametrize("age", ["9999999d", "99999999999999999999d"])
def test_an_age_beyond_the_calendar_is_never(cluster: IsmStandIn, client: OpenSearch, age: str) -> None:
    policy = by_hand(("live", [], [("end", {"conditions": {"min_index_age": age}})]), DELETE)
    Ism(client).put_policy(NAME, {"policy": {**policy, "description": "by hand"}}, None)
    cluster.create_index(INDEX, policy=NAME, mark=MARK)
    [one] = retention_in_force(client, Settings(), NOW).partitions
    assert (one.ceiling, one.problem) == (None, "")


def test_the_priority_of_the_policy_is_a_setting(cluster: IsmStandIn, client: OpenSearch) -> None:
    apply(plan(client, Settings(policy_priority=7)))
    assert cluster.policies.stored[NAME]["policy"]["ism_template"][0]["priority"] == 7
    with pytest.raises(SettingsError, match="policy_priority must not be negative"):
        Settings(policy_priority=-1)


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


def test_without_the_policy_ism_still_deletes_by_the_copies_and_the_view_says_so(
    cluster: IsmStandIn, client: OpenSearch
) -> None:
    apply(plan(client, Settings()))
    cluster.advance(1)
    cluster.create_index(INDEX, policy=NAME, mark=MARK)
    Ism(client).delete_policy(NAME)
    view = retention_in_force(client, Settings(), NOW)
    assert (view.enforced_by, view.floor_days, view.still_deleted) == ("nothing", None, 1)
    assert "ISM still deletes partitions (1) by the copies in its jobs" in str(view)
    [one] = view.partitions
    assert one.ceiling == one.created + timedelta(days=398)
    kept = view.kept_until("2026-11-23T04:43:09Z", INDEX)
    assert kept == (datetime(2027, 11, 23, 4, 43, 9, tzinfo=UTC), one.ceiling)
    assert view.kept_until("2027-01-23T04:43:09Z", "whodid-audit-2027.01") is None, "nothing deletes new ones"
    cluster.advance(400 * 86_400)
    cluster.advance(300)
    cluster.advance(300)
    assert cluster.indices == {}


def test_one_red_index_anywhere_stops_every_job_and_the_view_says_so(cluster: IsmStandIn, client: OpenSearch) -> None:
    apply(plan(client, Settings()))
    cluster.create_index(INDEX, policy=NAME, mark=MARK)
    assert not retention_in_force(client, Settings(), NOW).red
    cluster.create_index("somebody-elses").health = "red"
    view = retention_in_force(client, Settings(), NOW)
    assert (view.red, "the cluster is red, and ISM deletes nothing" in str(view)) == (True, True)
    cluster.advance(500 * 86_400)
    assert INDEX in cluster.indices


def test_a_short_policy_promises_nothing_rather_than_a_negative_age(cluster: IsmStandIn, client: OpenSearch) -> None:
    apply(plan(client, Settings()))
    known = Ism(client).policy(NAME)
    assert known
    states = json.loads(json.dumps(known.policy["states"]))
    states[0]["transitions"][0]["conditions"]["min_index_age"] = "7d"
    Ism(client).put_policy(NAME, {"policy": {**known.policy, "states": states}}, known)
    cluster.create_index(INDEX, policy=NAME, mark=MARK)
    view = retention_in_force(client, Settings(), NOW)
    assert (view.floor_days, view.ceiling_days) == (0, 7)
    assert "entries are kept 0 to 7 days" in str(view)
    assert [one.days for one in view.partitions] == [0]


def test_from_months_to_days_nothing_is_wrong_when_the_last_month_is_gone(
    cluster: IsmStandIn, client: OpenSearch
) -> None:
    """The policy has the margin of months until setup is run again, which keeps nothing shorter than promised."""
    apply(plan(client, Settings()))
    cluster.create_index("whodid-audit-2026.11.22", policy=NAME, mark=MARK)
    view = retention_in_force(client, Settings(partition="day"), NOW)
    assert (view.floor_days, view.ceiling_days, view.problems) == (365, 398, ())
    longer = retention_in_force(client, Settings(partition="day", retention="360d"), NOW)
    assert longer.problems == ("the setting asks for 360 days, the policy keeps 395 days",)


def test_an_action_that_ism_tries_again_is_said_before_it_has_given_up(cluster: IsmStandIn, client: OpenSearch) -> None:
    apply(plan(client, Settings()))
    cluster.create_index(INDEX, policy=NAME, mark=MARK, age=399).settings["index.blocks.read_only"] = "true"
    cluster.advance(300)
    [one] = retention_in_force(client, Settings(), NOW).partitions
    assert one.problem.startswith("ISM failed and is retrying: Failed to delete index")
    for _ in range(6):
        cluster.advance(1200)
    [one] = retention_in_force(client, Settings(), NOW).partitions
    assert one.problem.startswith("its ISM job has failed for good: Failed to delete index")


def test_a_repository_that_is_not_there_is_said_before_anything_is_changed(
    cluster: IsmStandIn, client: OpenSearch
) -> None:
    """ISM would never delete anything: its snapshots fail, and then its jobs give up."""
    settings = Settings(snapshot_repository="backups")
    with pytest.raises(OpenSearchError, match="no snapshot repository 'backups'"):
        plan(client, settings)
    cluster.repositories["backups"] = {}
    apply(plan(client, settings))
    del cluster.repositories["backups"]
    cluster.writes.clear()
    with pytest.raises(OpenSearchError, match="no snapshot repository 'backups'"):
        set_retention(client, replace(settings, retention="400d"), tries=1, pause=lambda: None)
    assert cluster.writes == []


def test_a_setup_that_was_planned_moves_nothing_onto_a_policy_changed_since(
    cluster: IsmStandIn, client: OpenSearch
) -> None:
    cluster.create_index(INDEX, mark=MARK)
    changes = plan(client, Settings())
    apply(changes[:2])
    known = Ism(client).policy(NAME)
    assert known
    shorter = policy_body(Settings(retention="7d"))
    Ism(client).put_policy(NAME, shorter, known)
    with pytest.raises(OpenSearchError, match="was not moved: the policy"):
        apply(changes[2:])
    assert cluster.managed() == {INDEX: None}
