"""`retention set` and `show` on a cluster with ISM: the stand-in, whose time moves while whodid waits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from subprocess import CompletedProcess
from typing import Any

import pytest
from opensearchpy import OpenSearch

from tests.commands import whodid
from tests.opensearch.ism_stand_in import IsmStandIn
from tests.opensearch.test_ism import INDEX, NAME, THEIRS
from whodid.cluster.template import MARK
from whodid.errors import OpenSearchError
from whodid.retention.ism import Ism, deletion_age, policy_body
from whodid.retention.moves import ImmediateDeletion, Report, immediate_deletions, set_retention
from whodid.retention.schedule import retention_in_force
from whodid.settings import Settings
from whodid.setup.setup import apply, plan

Set = Callable[..., Report]


@pytest.fixture
def client(cluster: IsmStandIn) -> Iterator[OpenSearch]:
    with closing(OpenSearch(hosts=[cluster.url], max_retries=0)) as made:
        apply(plan(made, Settings()))
        yield made


@pytest.fixture
def set_(cluster: IsmStandIn, client: OpenSearch) -> Set:
    def set_to(retention: str, *, tries: int = 5, **options: Any) -> Report:
        return set_retention(
            client, Settings(retention=retention), tries=tries, pause=lambda: cluster.advance(300), **options
        )

    return set_to


def now(cluster: IsmStandIn) -> datetime:
    return datetime.fromtimestamp(cluster.now / 1000, UTC)


def months(number: int) -> list[str]:
    """Names of the last partitions before the stand-in's present, oldest first."""
    found = [divmod(2026 * 12 + 10 - back, 12) for back in range(number)]
    return [f"whodid-audit-{year}.{month + 1:02d}" for year, month in reversed(found)]


def thirty(cluster: IsmStandIn, client: OpenSearch) -> list[str]:
    """30 partitions of up to 390 days: the first failed, the second under no policy, the third under another."""
    names = months(30)
    Ism(client).put_policy("theirs", THEIRS, None)
    for number, name in enumerate(names):
        policy = {1: "", 2: "theirs"}.get(number, NAME)
        cluster.create_index(name, policy=policy, mark=MARK, entries=10, age=(30 - number) * 13)
    cluster.lazy = True  # nothing is swept while the test looks
    job = cluster.indices[names[0]].job
    assert job
    job.failed, job.enabled, job.message = True, False, "Failed to delete index: immutable"
    return names


def test_thirty_partitions_end_under_the_new_version_or_are_named(
    cluster: IsmStandIn, client: OpenSearch, set_: Set
) -> None:
    names = thirty(cluster, client)
    told: list[tuple[int, int]] = []
    report = set_("400d", on_progress=lambda running, total: told.append((running, total)))
    assert sorted(report.running) == sorted(set(names) - {names[2]})
    assert report.problems == {
        names[2]: f"under another policy, theirs; it stays there unless --take-over moves it to {NAME}"
    }
    assert told[0] == (0, 29)
    assert told[-1] == (29, 29)
    view = retention_in_force(client, Settings(retention="400d"), now(cluster))
    assert (view.floor_days, view.ceiling_days) == (400, 433)
    assert view.problems == (f"{names[2]}: under another policy, theirs",)
    ages = {one.name: one.ceiling and (one.ceiling - one.created).days for one in view.partitions}
    assert ages == {**dict.fromkeys(names, 433), names[2]: None}


def test_what_others_manage_is_moved_when_told(cluster: IsmStandIn, client: OpenSearch, set_: Set) -> None:
    names = thirty(cluster, client)
    report = set_("400d", take_over=True)
    assert (sorted(report.running), report.problems) == (sorted(names), {})
    assert set(cluster.managed().values()) == {NAME}


def test_no_request_that_ism_would_accept_and_then_fail_on(cluster: IsmStandIn, client: OpenSearch, set_: Set) -> None:
    """Each index that is asked to change its policy has a state that the policy has."""
    thirty(cluster, client)
    cluster.writes.clear()
    set_("400d", take_over=True)
    changed = [write.rpartition("/")[2] for write in cluster.writes if "/change_policy/" in write]
    assert len(changed) == 27
    assert not any(index.job and index.job.failed for index in cluster.indices.values())


def test_a_second_time_nothing_is_written(cluster: IsmStandIn, client: OpenSearch, set_: Set) -> None:
    thirty(cluster, client)
    set_("400d", take_over=True)
    cluster.writes.clear()
    assert set_("400d").problems == {}
    assert cluster.writes == []


def test_a_job_that_does_not_run_in_time_is_named(cluster: IsmStandIn, client: OpenSearch) -> None:
    thirty(cluster, client)
    report = set_retention(client, Settings(retention="400d"), tries=3, pause=lambda: None)
    assert report.running == []
    late = {problem for name, problem in report.problems.items() if "another policy" not in problem}
    assert late == {
        "timed out: runs an old version of the policy",
        "timed out: its job has not run yet",
    }


def test_on_a_red_cluster_it_says_why_no_job_runs(cluster: IsmStandIn, client: OpenSearch) -> None:
    cluster.create_index(INDEX, policy=NAME, mark=MARK)
    cluster.create_index("somebody-elses").health = "red"
    report = set_retention(client, Settings(retention="400d"), tries=3, pause=lambda: cluster.advance(300))
    assert report.problems[INDEX].endswith("ISM runs no jobs while the cluster is red")


def test_off_and_back_again(cluster: IsmStandIn, client: OpenSearch, set_: Set) -> None:
    names = [name for name in months(3) if cluster.create_index(name, policy=NAME, mark=MARK)]
    assert sorted(set_("off").running) == names
    cluster.advance(900 * 86_400)
    assert sorted(cluster.indices) == names
    view = retention_in_force(client, Settings(retention="off"), now(cluster))
    assert (view.floor_days, view.problems, str(view)) == (
        None,
        (),
        "retention: off; entries are kept until someone deletes them",
    )
    assert [one.index for one in immediate_deletions(client, Settings(), now(cluster))] == names
    assert sorted(set_("1000d").running) == names
    cluster.advance(140 * 86_400)
    cluster.advance(300)
    assert cluster.indices == {}


def test_shortening_tells_which_entries_would_go(cluster: IsmStandIn, client: OpenSearch) -> None:
    names = thirty(cluster, client)
    assert immediate_deletions(client, Settings(retention="365d"), now(cluster)) == []
    assert immediate_deletions(client, Settings(retention="400d"), now(cluster)) == []
    assert immediate_deletions(client, Settings(retention="off"), now(cluster)) == []
    going = immediate_deletions(client, Settings(retention="330d"), now(cluster))
    assert going == [ImmediateDeletion(name, 10) for name in names[:2]], (
        "the third is under another policy, and stays there"
    )
    going = immediate_deletions(client, Settings(retention="330d"), now(cluster), take_over=True)
    assert going == [ImmediateDeletion(name, 10) for name in names[:3]]


def test_what_ism_deletes_anyway_is_not_asked_for(cluster: IsmStandIn, client: OpenSearch) -> None:
    cluster.create_index(INDEX, policy=NAME, mark=MARK, entries=10, age=399)
    assert immediate_deletions(client, Settings(retention="330d"), now(cluster)) == []
    job = cluster.indices[INDEX].job
    assert job
    job.failed, job.enabled = True, False  # it has given up: a new one would delete it
    assert immediate_deletions(client, Settings(retention="330d"), now(cluster)) == [ImmediateDeletion(INDEX, 10)]


def test_partitions_are_deleted_when_they_are_due_and_not_before(cluster: IsmStandIn, client: OpenSearch) -> None:
    cluster.create_index(INDEX, policy=NAME, mark=MARK)
    cluster.advance(397 * 86_400)
    assert INDEX in cluster.indices
    cluster.advance(86_400)
    cluster.advance(300)
    assert cluster.indices == {}


def test_a_policy_that_somebody_changes_meanwhile_is_replaced_once_more(
    cluster: IsmStandIn, client: OpenSearch, set_: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Ism.policy
    meddled: list[str] = []

    def look_and_meddle(self: Ism, name: str) -> Any:
        found = look(self, name)
        if len(meddled) < meddles:
            meddled.append(name)
            assert found
            self.put_policy(name, {"policy": {**found.policy, "description": f"whodid: meddled {len(meddled)}"}}, found)
        return found

    monkeypatch.setattr(Ism, "policy", look_and_meddle)
    meddles = 1
    assert set_("400d").problems == {}
    meddled.clear()
    meddles = 2
    with pytest.raises(OpenSearchError, match="version conflict"):
        set_("500d")


def test_a_job_that_has_not_run_yet_is_moved_before_it_begins(
    cluster: IsmStandIn, client: OpenSearch, set_: Set
) -> None:
    """It would begin with the copy that it was created with, whatever is stored by then."""
    set_("30d")
    cluster.advance(1)
    cluster.create_index(INDEX, mark=MARK, entries=8)
    report = set_("400d", tries=8)
    assert (report.running, report.problems) == ([INDEX], {})
    for _ in range(9):
        cluster.advance(10 * 86_400)
    assert INDEX in cluster.indices


def test_every_view_sees_the_copy_of_a_job_that_has_not_run_yet(cluster: IsmStandIn, client: OpenSearch) -> None:
    apply(plan(client, Settings(retention="30d")))
    cluster.advance(1)
    index = cluster.create_index(INDEX, mark=MARK, entries=8)
    known = Ism(client).policy(NAME)
    Ism(client).put_policy(NAME, policy_body(Settings()), known)
    [one] = retention_in_force(client, Settings(), now(cluster)).partitions
    assert (one.problem, one.ceiling) == (
        "will start with an old version of the policy",
        one.created + timedelta(days=63),
    )
    assert [change.what for change in plan(client, Settings()) if change.kind == "update"] == [f"{INDEX} under {NAME}"]
    apply(plan(client, Settings()))
    cluster.advance(300)
    assert index.job
    assert deletion_age(index.job.policy) == timedelta(days=398)


def test_a_partition_that_comes_while_the_others_are_followed_is_moved_too(
    cluster: IsmStandIn, client: OpenSearch
) -> None:
    """Its job was created before the policy was replaced, and `explain` showed it only a second later."""
    apply(plan(client, Settings(retention="30d")))
    cluster.advance(1)
    cluster.create_index("whodid-audit-2026.10", policy=NAME, mark=MARK)
    late = cluster.create_index(INDEX, mark=MARK)
    cluster.lag = 1000
    report = set_retention(client, Settings(retention="400d"), tries=6, pause=lambda: cluster.advance(300))
    assert (report.running, report.problems) == (["whodid-audit-2026.10", INDEX], {})
    assert late.job
    assert deletion_age(late.job.policy) == timedelta(days=433)


def test_what_is_not_as_asked_is_asked_for_again(cluster: IsmStandIn, client: OpenSearch) -> None:
    """While it is followed, the job ends: closing an index, opening it, or a person may do that."""
    cluster.create_index(INDEX, policy=NAME, mark=MARK)
    pauses: list[int] = []

    def pause() -> None:
        if not pauses:
            Ism(client).remove(INDEX)
        pauses.append(1)
        cluster.advance(300)

    report = set_retention(client, Settings(retention="400d"), tries=6, pause=pause)
    assert (report.running, report.problems) == ([INDEX], {})


def test_following_ends_when_somebody_else_replaces_the_policy(cluster: IsmStandIn, client: OpenSearch) -> None:
    """Whatever is asked of ISM then leads to their policy."""
    cluster.create_index(INDEX, policy=NAME, mark=MARK)
    cluster.writes.clear()

    def pause() -> None:
        Ism(client).put_policy(NAME, policy_body(Settings(retention="7d")), Ism(client).policy(NAME))

    report = set_retention(client, Settings(retention="400d"), tries=600, pause=pause)
    assert report.running == []
    assert "somebody else replaced or deleted the policy" in report.problems[NAME]
    assert report.problems[INDEX] == "no longer waited for: runs an old version of the policy"
    assert len([write for write in cluster.writes if "change_policy" in write]) == 1


def test_a_cluster_without_ism_has_no_policy_to_set() -> None:
    with (
        closing(IsmStandIn(plugin=False)) as bare,
        closing(OpenSearch(hosts=[bare.url], max_retries=0)) as client,
        pytest.raises(OpenSearchError, match="has no Index State Management, so there is no policy to set"),
    ):
        set_retention(client, Settings(retention="400d"), tries=1, pause=lambda: None)


def retention(cluster: IsmStandIn, *command: str, given: str = "") -> CompletedProcess[str]:
    return whodid("retention", *command, f"--opensearch-hosts={cluster.url}", given=given)


def test_the_program_asks_before_entries_go(cluster: IsmStandIn, client: OpenSearch) -> None:
    names = thirty(cluster, client)
    cluster.writes.clear()
    refused = retention(cluster, "set", "330d", "--timeout=0")
    assert refused.returncode == 1
    assert (
        f"{', '.join(names[:2])} with 20 entries would be deleted within minutes: confirm with --yes" in refused.stderr
    )
    assert cluster.writes == []
    done = retention(cluster, "set", "330d", "--timeout=0", "--yes", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["problems"][names[2]].startswith("under another policy")
    assert 'set retention = "330d" in the settings too' in done.stderr


def test_setup_asks_as_well(cluster: IsmStandIn, client: OpenSearch) -> None:
    names = thirty(cluster, client)
    cluster.writes.clear()
    command = ["setup", "--retention=330d", f"--opensearch-hosts={cluster.url}"]
    shown = whodid(*command, "--dry-run")
    assert f"{', '.join(names[:2])} with 20 entries would be deleted within minutes" in shown.stdout
    refused = whodid(*command)
    assert (refused.returncode, cluster.writes) == (1, [])
    done = whodid(*command, "--yes")
    assert done.returncode == 0, done.stderr
    assert (
        f"{names[2]}: not available (under another policy, theirs; `whodid retention set --take-over` would move it)"
        in (done.stdout)
    )
    for _ in range(4):  # sweep and initialise, transition, delete
        cluster.advance(300)
    assert names[0] not in cluster.indices
    assert names[3] in cluster.indices


def test_the_program_shows_every_partition_in_dates(cluster: IsmStandIn, client: OpenSearch) -> None:
    thirty(cluster, client)
    shown = retention(cluster, "show")
    assert shown.returncode == 1
    assert shown.stdout.startswith("retention: entries are kept 365 to 398 days, and deleted by ISM\n")
    assert "its ISM job has failed for good: Failed to delete index: immutable" in shown.stdout
    found = json.loads(retention(cluster, "show", "--json").stdout)
    assert len(found["partitions"]) == 30
    assert len(found["problems"]) == 3
    drift = retention(cluster, "show", "--retention=100d")
    assert "the setting asks for 100 days, the policy keeps 365 days" in drift.stdout


@pytest.mark.parametrize("age", ["400", "x", "0d", "400h", ""])
def test_an_age_that_is_none_is_refused_before_anything_is_asked(age: str) -> None:
    done = whodid("retention", "set", age, "--opensearch-hosts=http://127.0.0.1:1")
    assert done.returncode == 2
    assert "365d" in done.stderr


def test_a_longer_retention_saves_a_partition_that_is_about_to_be_deleted(
    cluster: IsmStandIn, client: OpenSearch, set_: Set
) -> None:
    """Its job is on the way to the state `delete`: a change of policy would come too late, a new job does not."""
    cluster.create_index(INDEX, policy=NAME, mark=MARK, entries=10, age=399)
    job = cluster.indices[INDEX].job
    assert job
    assert job.transition_to == "delete"
    assert set_("500d").problems == {}
    cluster.advance(86_400)
    cluster.advance(86_400)
    assert INDEX in cluster.indices
