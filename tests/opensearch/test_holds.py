"""Holds: what is held stays, on a cluster with ISM (the stand-in) and on a real one without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from subprocess import CompletedProcess
from typing import Any

import pytest
from opensearchpy import OpenSearch

from tests.commands import whodid
from tests.live.corner import Corner
from tests.opensearch.ism_stand_in import IsmStandIn
from tests.opensearch.ism_stand_in.indices import FLOOD_STAGE
from tests.opensearch.ism_stand_in.jobs import READ_ONLY
from tests.opensearch.test_ism import NAME
from whodid.cluster.ledger import Ledger, ledger_name
from whodid.cluster.template import MARK
from whodid.errors import OpenSearchError
from whodid.retention.enforcement import Expired, destroy, expired
from whodid.retention.holds import (
    Hold,
    Step,
    all_steps,
    apply_holds,
    held,
    holds,
    new_hold,
    release_hold,
    set_hold,
    steps,
)
from whodid.retention.ism import Ism, managed, policy_body
from whodid.retention.moves import ImmediateDeletion, deletions_by_release, set_retention
from whodid.retention.schedule import retention_in_force
from whodid.settings import Settings
from whodid.setup.setup import apply, plan

DAY = 86_400
OCTOBER, NOVEMBER = "whodid-audit-2026.10", "whodid-audit-2026.11"
SETTINGS = Settings()


@pytest.fixture
def client(cluster: IsmStandIn) -> Iterator[OpenSearch]:
    with closing(OpenSearch(hosts=[cluster.url], max_retries=0)) as made:
        apply(plan(made, SETTINGS))
        cluster.create_index(OCTOBER, policy=NAME, mark=MARK, entries=10, age=54)
        cluster.create_index(NOVEMBER, policy=NAME, mark=MARK, entries=10, age=23)
        yield made


def pass_years(cluster: IsmStandIn, years: int) -> None:
    for _ in range(12 * years):
        cluster.advance(31 * DAY)


def partitions(cluster: IsmStandIn) -> list[str]:
    return [name for name in cluster.indices if name != ledger_name(SETTINGS)]


def test_what_is_held_stays_for_years_and_goes_when_it_is_released(cluster: IsmStandIn, client: OpenSearch) -> None:
    applied = set_hold(client, SETTINGS, hold := new_hold("case 4711", "alice", partitions=[OCTOBER]))
    assert (applied.held, applied.problems) == ((OCTOBER,), {})
    pass_years(cluster, 3)
    assert partitions(cluster) == [OCTOBER]
    assert release_hold(client, SETTINGS, hold.id, by="bob", reason="closed").released == (OCTOBER,)
    pass_years(cluster, 1)
    assert partitions(cluster) == []
    [kept] = holds(client, SETTINGS)
    assert (kept.reason, kept.by, kept.why_released, kept.released_by) == ("case 4711", "alice", "closed", "bob")


def test_a_hold_survives_every_change_of_retention(cluster: IsmStandIn, client: OpenSearch) -> None:
    set_hold(client, SETTINGS, new_hold("case 4711", "alice", partitions=[OCTOBER]))
    for retention in ("30d", "off", "7d"):
        wanted = Settings(retention=retention)
        report = set_retention(client, wanted, tries=5, pause=lambda: cluster.advance(300), take_over=True)
        assert (report.problems, OCTOBER in report.running) == ({}, False)
        apply(plan(client, wanted))
        pass_years(cluster, 1)
    assert partitions(cluster) == [OCTOBER]


def test_a_hold_over_days_reaches_partitions_that_are_made_later(cluster: IsmStandIn, client: OpenSearch) -> None:
    later = datetime.fromtimestamp(cluster.now / 1000, UTC) + timedelta(days=30)
    set_hold(client, SETTINGS, new_hold("merger", "alice", since=later))
    december = "whodid-audit-2026.12"
    cluster.advance(15 * DAY)
    cluster.create_index(december, mark=MARK, entries=1)
    cluster.advance(600)
    assert [(step.partition, step.managed) for step in steps(client, SETTINGS)] == [(december, True)]
    apply(plan(client, SETTINGS))  # as `whodid setup` does
    pass_years(cluster, 2)
    assert partitions(cluster) == [december]


def test_a_partition_that_ism_has_not_seen_yet_is_held_too(cluster: IsmStandIn, client: OpenSearch) -> None:
    cluster.lazy = True
    cluster.now += 1000
    cluster.create_index("whodid-audit-2026.12", mark=MARK, entries=1)
    set_hold(client, SETTINGS, new_hold("case", "alice", partitions=["whodid-audit-2026.12"]))
    cluster.lazy = False
    pass_years(cluster, 2)
    assert partitions(cluster) == ["whodid-audit-2026.12"]


def test_a_hold_ends_only_with_the_last_that_covers_a_partition(cluster: IsmStandIn, client: OpenSearch) -> None:
    first = new_hold("one", "alice", partitions=[OCTOBER])
    second = new_hold("two", "alice", since=datetime(2026, 9, 1, tzinfo=UTC), until=datetime(2026, 10, 2, tzinfo=UTC))
    for hold in (first, second):
        set_hold(client, SETTINGS, hold)
    assert held(client, SETTINGS) == {OCTOBER: tuple(sorted((first.id, second.id)))}
    assert release_hold(client, SETTINGS, first.id, by="bob", reason="r").released == ()
    assert held(client, SETTINGS) == {OCTOBER: (second.id,)}
    pass_years(cluster, 2)
    assert partitions(cluster) == [OCTOBER]


def test_a_lost_ledger_frees_nothing(cluster: IsmStandIn, client: OpenSearch) -> None:
    set_hold(client, SETTINGS, hold := new_hold("case 4711", "alice", partitions=[OCTOBER]))
    del cluster.indices[ledger_name(SETTINGS)]
    assert held(client, SETTINGS) == {OCTOBER: (hold.id,)}
    apply(plan(client, SETTINGS))
    set_retention(client, Settings(retention="7d"), tries=5, pause=lambda: cluster.advance(300))
    pass_years(cluster, 2)
    assert partitions(cluster) == [OCTOBER]
    week = Settings(retention="7d")
    assert release_hold(client, week, hold.id, by="bob", reason="r").released == (OCTOBER,)
    assert held(client, SETTINGS) == {}


def test_who_puts_a_held_partition_under_a_policy_again_is_undone(cluster: IsmStandIn, client: OpenSearch) -> None:
    set_hold(client, SETTINGS, new_hold("case 4711", "alice", partitions=[OCTOBER]))
    Ism(client).add(OCTOBER, NAME)
    cluster.advance(300)
    view = retention_in_force(client, SETTINGS, datetime.fromtimestamp(cluster.now / 1000, UTC))
    assert [one.problem for one in view.partitions if one.name == OCTOBER] == [
        f"held, but still under the policy {NAME}, which may delete it"
    ]
    assert apply_holds(client, SETTINGS).held == (OCTOBER,)
    assert apply_holds(client, SETTINGS).held == ()
    assert OCTOBER not in str(retention_in_force(client, SETTINGS).problems)


def test_what_ism_refuses_is_told_and_tried_again(
    cluster: IsmStandIn, client: OpenSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Ism, index: str) -> None:
        raise OpenSearchError(f"{index} could not be removed from its policy: busy")

    hold = new_hold("case 4711", "alice", partitions=[OCTOBER, NOVEMBER])
    with monkeypatch.context() as patched:
        patched.setattr(Ism, "remove", refuse)
        applied = set_hold(client, SETTINGS, hold)
    assert applied.held == ()
    assert set(applied.problems) == {OCTOBER, NOVEMBER}
    assert apply_holds(client, SETTINGS).held == (OCTOBER, NOVEMBER)


@pytest.mark.parametrize("block", [READ_ONLY, FLOOD_STAGE])
def test_a_blocked_partition_is_protected_first_and_marked_when_the_block_is_gone(
    cluster: IsmStandIn, client: OpenSearch, block: str
) -> None:
    cluster.indices[OCTOBER].settings[block] = "true"
    applied = set_hold(client, SETTINGS, hold := new_hold("case 4711", "alice", partitions=[OCTOBER]))
    assert applied.held == ()
    assert applied.problems[OCTOBER].startswith("it is protected, but could not be marked yet: marking")
    assert "lacks the right" not in str(applied.problems)
    assert cluster.managed()[OCTOBER] is None
    assert held(client, SETTINGS) == {OCTOBER: (hold.id,)}
    del cluster.indices[OCTOBER].settings[block]
    pass_years(cluster, 3)
    assert partitions(cluster) == [OCTOBER]
    assert apply_holds(client, SETTINGS).held == (OCTOBER,)
    assert cluster.indices[OCTOBER].mark == {**MARK, "holds": [hold.id]}


def test_a_closed_partition_that_ism_may_still_delete_is_said_loudly(cluster: IsmStandIn, client: OpenSearch) -> None:
    """ISM refuses to let go of what is closed, and its job still runs."""
    client.indices.close(index=OCTOBER)
    applied = set_hold(client, SETTINGS, new_hold("case 4711", "alice", partitions=[OCTOBER]))
    assert applied.problems[OCTOBER].startswith("ISM MAY STILL DELETE IT: ")
    assert applied.problems[OCTOBER].endswith("This index is closed; open it first")
    client.indices.open(index=OCTOBER)
    assert apply_holds(client, SETTINGS).held == (OCTOBER,)
    pass_years(cluster, 3)
    assert partitions(cluster) == [OCTOBER]


def test_a_job_that_explain_does_not_show_yet_is_removed_too(cluster: IsmStandIn, client: OpenSearch) -> None:
    cluster.advance(1)
    cluster.lag = 1000
    december = "whodid-audit-2026.12"
    cluster.create_index(december, mark=MARK, entries=1)
    assert [step.managed for step in all_steps_of(client) if step.partition == december] == [False]
    set_hold(client, SETTINGS, new_hold("case", "alice", partitions=[december]))
    pass_years(cluster, 3)
    assert partitions(cluster) == [december]


def all_steps_of(client: OpenSearch) -> list[Step]:
    jobs = {one.index: one for one in managed(Ism(client).explain("whodid-audit-*"))}
    return list(all_steps(client, SETTINGS, jobs))


def test_what_is_released_does_not_go_under_a_policy_that_somebody_made_shorter(
    cluster: IsmStandIn, client: OpenSearch
) -> None:
    set_hold(client, SETTINGS, hold := new_hold("case 4711", "alice", partitions=[OCTOBER]))
    Ism(client).put_policy(NAME, policy_body(Settings(retention="7d")), Ism(client).policy(NAME))
    applied = release_hold(client, SETTINGS, hold.id, by="bob", reason="closed")
    assert "it is released and under no policy" in applied.problems[OCTOBER]
    pass_years(cluster, 1)
    assert OCTOBER in partitions(cluster)


def catch_all(age: str) -> dict[str, Any]:
    """Another team's policy, for every index and before ours, that deletes at that age."""
    hot = {"name": "hot", "actions": [], "transitions": [{"state_name": "end", "conditions": {"min_index_age": age}}]}
    states = [hot, {"name": "end", "actions": [{"delete": {}, "retry": RETRY}], "transitions": []}]
    template = [{"index_patterns": ["*"], "priority": 900}]
    return {"policy": {"description": "theirs", "default_state": "hot", "states": states, "ism_template": template}}


RETRY = {"count": 3, "backoff": "exponential", "delay": "1m"}


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        (policy_body(Settings(retention="7d")), None, "deletes earlier than the settings want"),
        (policy_body(Settings(retention="7d")), catch_all("1d"), "deletes earlier than the settings want"),
        (None, catch_all("1d"), "does not exist; `whodid setup` creates it"),
        (None, None, "does not exist; `whodid setup` creates it"),
        (policy_body(SETTINGS), catch_all("1d"), ""),
    ],
)
def test_what_is_released_is_taken_by_no_policy_that_deletes_it_early(
    cluster: IsmStandIn, client: OpenSearch, ours: dict[str, Any] | None, theirs: dict[str, Any] | None, why: str
) -> None:
    """Not even at ISM's next look at the templates, which are older than the partition."""
    ism = Ism(client)
    if ours:
        ism.put_policy(NAME, ours, ism.policy(NAME))
    if theirs:
        ism.put_policy("theirs", theirs, None)
    cluster.advance(60)
    cluster.create_index(december := "whodid-audit-2026.12", mark=MARK, entries=10)
    set_hold(client, SETTINGS, hold := new_hold("case 4711", "alice", partitions=[december]))
    if not ours:
        ism.delete_policy(NAME)
    cluster.advance(80 * DAY)
    applied = release_hold(client, SETTINGS, hold.id, by="bob", reason="closed")
    told = {december: f"it is released and under no policy, since {NAME} {why}"} if why else {}
    assert {name: problem[: len(told.get(name, ""))] for name, problem in applied.problems.items()} == told
    assert cluster.managed()[december] == (None if why else NAME)
    for _ in range(4):
        cluster.advance(300)
    assert december in cluster.indices
    apply(plan(client, SETTINGS))
    assert cluster.managed()[december] == NAME
    pass_years(cluster, 2)
    assert december not in cluster.indices


def test_setup_makes_the_policy_before_it_gives_a_released_partition_back(
    cluster: IsmStandIn, client: OpenSearch
) -> None:
    set_hold(client, SETTINGS, hold := new_hold("case 4711", "alice", partitions=[OCTOBER]))
    cluster.indices[OCTOBER].settings[FLOOD_STAGE] = "true"
    assert OCTOBER in release_hold(client, SETTINGS, hold.id, by="bob", reason="closed").problems
    del cluster.indices[OCTOBER].settings[FLOOD_STAGE]
    Ism(client).delete_policy(NAME)
    apply(plan(client, SETTINGS))
    assert (cluster.managed()[OCTOBER], cluster.indices[OCTOBER].mark) == (NAME, MARK)
    assert held(client, SETTINGS) == {}


def test_a_change_of_retention_makes_the_policy_for_a_released_partition(
    cluster: IsmStandIn, client: OpenSearch
) -> None:
    set_hold(client, SETTINGS, hold := new_hold("case 4711", "alice", partitions=[OCTOBER]))
    cluster.indices[OCTOBER].settings[FLOOD_STAGE] = "true"
    release_hold(client, SETTINGS, hold.id, by="bob", reason="closed")
    del cluster.indices[OCTOBER].settings[FLOOD_STAGE]
    Ism(client).delete_policy(NAME)
    report = set_retention(client, SETTINGS, tries=5, pause=lambda: cluster.advance(300))
    assert (report.problems, OCTOBER in report.running) == ({}, True)


def test_a_release_asks_by_the_age_in_the_stored_policy(cluster: IsmStandIn, client: OpenSearch) -> None:
    """Which is what ISM deletes by, whatever the settings of this host say."""
    now = datetime.fromtimestamp(cluster.now / 1000, UTC)
    set_hold(client, SETTINGS, new_hold("case 4711", "alice", partitions=[OCTOBER]))
    assert deletions_by_release(client, SETTINGS, [OCTOBER], now) == []
    Ism(client).put_policy(NAME, policy_body(Settings(retention="7d")), Ism(client).policy(NAME))
    assert deletions_by_release(client, SETTINGS, [OCTOBER], now) == [ImmediateDeletion(OCTOBER, 10)]


def test_a_hold_that_means_nothing_is_refused(client: OpenSearch) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for wrong in (
        {"reason": " ", "partitions": [OCTOBER]},
        {"reason": "r"},
        {"reason": "r", "partitions": [OCTOBER], "since": now},
        {"reason": "r", "since": now, "until": now},
    ):
        with pytest.raises(ValueError, match=r"reason|partitions|until"):
            new_hold(**wrong, by="alice")
    with pytest.raises(OpenSearchError, match=r"no partition whodid-audit-2020\.01"):
        set_hold(client, SETTINGS, new_hold("r", "alice", partitions=["whodid-audit-2020.01"]))
    assert holds(client, SETTINGS) == []
    with pytest.raises(OpenSearchError, match="no hold h-0"):
        release_hold(client, SETTINGS, "h-0", by="bob", reason="r")
    set_hold(client, SETTINGS, hold := new_hold("r", "alice", partitions=[OCTOBER]))
    release_hold(client, SETTINGS, hold.id, by="bob", reason="r")
    with pytest.raises(ValueError, match="must not be empty"):
        release_hold(client, SETTINGS, hold.id, by="bob", reason=" ")
    with pytest.raises(OpenSearchError, match=r"was released on .* by bob"):
        release_hold(client, SETTINGS, hold.id, by="bob", reason="r")


@pytest.mark.parametrize(
    ("since", "until", "covered"),
    [
        ("2026-10-31T23:59:59Z", "", True),
        ("2026-11-01T00:00:00Z", "", False),
        ("", "2026-10-01T00:00:00Z", False),
        ("", "2026-10-01T00:00:01Z", True),
        ("2026-10-10T00:00:00Z", "2026-10-11T00:00:00Z", True),
        ("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z", False),
        ("", "", False),
    ],
)
def test_days_mean_every_partition_that_has_one_of_them(since: str, until: str, covered: bool) -> None:
    hold = Hold("h", "r", "alice", "2026-11-23T00:00:00Z", since=since, until=until)
    assert hold.covers("whodid-audit", OCTOBER) is covered
    assert not hold.covers("whodid-audit", "whodid-audit-notes")


def test_a_hold_over_all_days_of_the_calendar_covers_every_partition(client: OpenSearch) -> None:
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    applied = set_hold(client, SETTINGS, hold := new_hold("case", "alice", since=first, until=last))
    assert (set(applied.held), applied.problems) == ({OCTOBER, NOVEMBER}, {})
    assert (hold.since, hold.until) == ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")


@pytest.mark.parametrize("since", ["soon", "2026-10-01", "2026-10-01T00:00:00", "10000-01-01T00:00:00Z", 20261001])
def test_a_hold_over_days_that_nobody_can_read_is_no_valid_hold(client: OpenSearch, since: object) -> None:
    body = {"id": "h-1", "reason": "r", "by": "alice", "time": "2026-11-23T00:00:00Z", "since": since}
    Ledger(client, SETTINGS).write("hold-h-1", "hold", body, known=None)
    with pytest.raises(OpenSearchError, match="the page hold-h-1 of the ledger is no valid hold"):
        steps(client, SETTINGS)


# --- On a real cluster without ISM -----------------------------------------------------------------------------------


def run(place: Corner, *arguments: str) -> CompletedProcess[str]:
    return whodid(*place.arguments(*arguments))


def answers(place: Corner, *arguments: str) -> list[dict[str, Any]]:
    done = run(place, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.live
def test_enforcement_spares_what_is_held(place: Corner) -> None:
    place.record(2)
    place.ship()
    later = datetime.now(UTC) + timedelta(days=400)
    [due] = expired(place.client, place.settings, later)
    set_hold(place.client, place.settings, hold := new_hold("case", "alice", partitions=[due.index]))
    assert expired(place.client, place.settings, later) == []
    with pytest.raises(OpenSearchError, match="put on hold meanwhile"):
        destroy(place.client, place.settings, Expired(due.index, due.due, 2))
    place.record(1)
    place.ship()  # writing into it is not blocked any more
    assert len(place.stored()) == 3
    place.set_up()
    assert held(place.client, place.settings) == {due.index: (hold.id,)}
    release_hold(place.client, place.settings, hold.id, by="bob", reason="r")
    assert [one.index for one in expired(place.client, place.settings, later)] == [due.index]


@pytest.mark.live
def test_the_program_sets_lists_and_releases_a_hold_and_records_both(place: Corner) -> None:
    place.record(1)
    place.ship()
    [partition] = [one["name"] for one in answers(place, "retention", "show")[0]["partitions"]]
    [made] = answers(place, "hold", "set", "--reason", "case 4711", "--since", "-1d")
    assert made["held"] == [partition]
    [listed] = answers(place, "hold", "list")
    assert (listed["id"], listed["keeps"], listed["reason"]) == (made["id"], [partition], "case 4711")
    shown = run(place, "retention", "show")
    assert f"held by {made['id']}" in shown.stdout
    released = run(place, "hold", "release", made["id"], "--reason", "closed")
    assert (released.returncode, "under retention again" in released.stdout) == (0, True)
    assert answers(place, "hold", "list") == []
    assert len(answers(place, "hold", "list", "--all")) == 1
    own = [entry for entry in place.journalled() if entry["type"].startswith("audit_log_")]
    assert [(entry["type"], entry["target"]) for entry in own] == [
        ("audit_log_hold_set", made["id"]),
        ("audit_log_hold_released", made["id"]),
    ]
    assert own[0]["details"]["reason"] == "case 4711"


@pytest.mark.live
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["hold", "set", "--reason", "r"], 2, "name either partitions or the days"),
        (["hold", "set", "--reason", "r", "--since", "soon"], 2, "is not a valid time"),
        (["hold", "set", "--reason", "r", "--partition", "x"], 1, "there is no partition x"),
        (["hold", "release", "h-0", "--reason", "r"], 1, "there is no hold h-0"),
        (["hold", "release", "h-0", "--reason", " "], 2, "--reason must not be empty; it is recorded in the audit log"),
    ],
)
def test_what_can_t_be_done_is_said_and_not_recorded(
    place: Corner, arguments: list[str], status: int, said: str
) -> None:
    done = run(place, *arguments)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (status, True, False)
    assert place.journalled() == []
