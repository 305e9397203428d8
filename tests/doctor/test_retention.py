"""The doctor on retention: each finding is produced, and 40 partitions in every state are brought into order."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from opensearchpy import OpenSearch

from tests.commands import whodid
from tests.doctor.examined import examined
from tests.live.corner import Corner
from tests.opensearch.ism_stand_in import IsmStandIn
from tests.opensearch.ism_stand_in.jobs import Index
from tests.opensearch.test_ism import NAME, THEIRS
from tests.opensearch.test_retention_change import months
from tests.opensearch_node import SecuredNode
from whodid.cluster.connection import connect
from whodid.cluster.template import MARK
from whodid.doctor import Finding
from whodid.entry import partition_end, partition_start
from whodid.journal import read_entries
from whodid.retention.enforcement import destroy, expired
from whodid.retention.holds import new_hold, set_hold
from whodid.retention.ism import Ism
from whodid.retention.moves import set_retention
from whodid.retention.schedule import retention_in_force
from whodid.settings import Settings
from whodid.setup.setup import apply, plan

DAYS = 1200
PREFIX = "whodid-audit"


class Ward:
    """A stand-in whose partitions are as old as their names say, and the doctor who looks at it."""

    def __init__(self, cluster: IsmStandIn, client: OpenSearch, settings: Settings) -> None:
        self.cluster = cluster
        self.client = client
        self.settings = settings

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.cluster.now / 1000, UTC)

    def partition(self, name: str, *, policy: str | None = NAME, later: float = 0.0) -> Index:
        """One made at the beginning of its time, or so many days later, with entries of its first and last day."""
        start, end = partition_start(PREFIX, name), partition_end(PREFIX, name)
        assert start
        assert end
        age = (self.now - start) / timedelta(days=1) - later
        days = start.strftime("%Y-%m-%dT%H:%M:%SZ"), min(end, self.now).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.cluster.create_index(name, policy=policy, mark=MARK, entries=100, age=age, dates=days)

    def look(self) -> list[Finding]:
        found = examined(self.settings, "retention")
        return [one for one in found if one.area == "retention"]

    def found(self, name: str) -> list[tuple[str, str]]:
        return [(one.severity, one.what) for one in self.look() if one.on == name]

    def mend(self) -> list[str]:
        """What `--fix` does."""
        done = []
        for finding in self.look():
            if finding.fix:
                finding.fix.make(self.client)
                done.append(finding.fix.says)
        return done


@pytest.fixture
def ward(cluster: IsmStandIn, tmp_path: Path) -> Iterator[Ward]:
    settings = Settings(
        opensearch_hosts=(cluster.url,), retention=f"{DAYS}d", journal_dir=str(tmp_path / "journal"), host="web-1"
    )
    with closing(connect(settings)) as client:
        apply(plan(client, settings))
        Ism(client).put_policy("theirs", THEIRS, None)
        cluster.advance(1)
        yield Ward(cluster, client, settings)


NAME_OF_ONE = "whodid-audit-2026.03"
State = Callable[[Ward, str], None]


def unmanaged(ward: Ward, name: str) -> None:
    ward.partition(name, policy=None).settings["index.plugins.index_state_management.auto_manage"] = "false"


def under_another_policy(ward: Ward, name: str) -> None:
    ward.partition(name, policy="theirs")


def of_an_old_version(ward: Ward, name: str) -> None:
    job = ward.partition(name).job
    assert job
    job.age("9000d")


def given_up(ward: Ward, name: str) -> None:
    job = ward.partition(name).job
    assert job
    job.failed, job.enabled, job.message = True, False, "Failed to delete index: timed out"


def disabled(ward: Ward, name: str) -> None:
    job = ward.partition(name).job
    assert job
    job.enabled = False


def closed(ward: Ward, name: str) -> None:
    ward.partition(name).open = False


def red(ward: Ward, name: str) -> None:
    ward.partition(name).health = "red"


def held_but_managed(ward: Ward, name: str) -> None:
    ward.partition(name, policy=None)
    set_hold(ward.client, ward.settings, new_hold("case", "alice", partitions=[name]))
    Ism(ward.client).add(name, NAME)
    ward.cluster.sweep()


def in_a_hold_over_days(ward: Ward, name: str) -> None:
    start, end = partition_start(PREFIX, name), partition_end(PREFIX, name)
    set_hold(ward.client, ward.settings, new_hold("case", "alice", since=start, until=end))
    ward.partition(name)


def made_too_early(ward: Ward, name: str) -> None:
    ward.partition(name, later=-90)


def made_late(ward: Ward, name: str) -> None:
    ward.partition(name, later=60)


def restored(ward: Ward, name: str) -> None:
    index = ward.partition(name, later=-DAYS)
    index.dates = (f"{ward.now - timedelta(days=DAYS + 90):%Y-%m-%dT00:00:00Z}",) * 2
    index.restored = True


def immutable(ward: Ward, name: str) -> None:
    index = ward.partition(name)
    index.immutable = True
    given_up(ward, name)
    job = ward.cluster.indices[name].job
    assert job
    job.cause = "Index is immutable"
    ward.cluster.indices[name].immutable = True


STATES: dict[State, tuple[str, bool]] = {
    unmanaged: ("has no policy", True),
    under_another_policy: ("is under another policy, theirs", False),
    of_an_old_version: ("uses an old version of the policy", True),
    given_up: ("has a job that has given up: Failed to delete index: timed out", True),
    disabled: ("has a job that has given up", True),
    closed: ("is closed", True),
    red: ("is red", False),
    held_but_managed: ("but is not: ISM may delete it", True),
    in_a_hold_over_days: ("but is not: ISM may delete it", True),
    made_too_early: ("would be deleted on", True),
    restored: ("was restored from a snapshot", True),
    immutable: ("Index is immutable", False),
}
"""How to come into each state that is a problem, what is said of it, and whether the doctor may mend it."""


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_each_state_is_found_and_mended_if_that_loses_nothing(ward: Ward, state: State) -> None:
    ward.cluster.lazy = True
    state(ward, NAME_OF_ONE)
    said, mendable = STATES[state]
    told = [one for one in ward.look() if one.on == NAME_OF_ONE and one.severity == "problem" and said in one.what]
    assert told, ward.found(NAME_OF_ONE)
    assert all(one.advice for one in told)
    assert bool(told[0].fix) is mendable
    assert told[0].about["partition"] == NAME_OF_ONE
    ward.mend()
    ward.cluster.lazy = False
    ward.cluster.advance(300)
    ward.cluster.advance(300)
    left = {severity for severity, _ in ward.found(NAME_OF_ONE)}
    assert ("problem" in left) is not mendable, ward.found(NAME_OF_ONE)
    assert NAME_OF_ONE in ward.cluster.indices


def test_a_partition_in_order_says_what_it_holds_and_when_it_goes(ward: Ward) -> None:
    ward.partition(NAME_OF_ONE)
    [one] = [one for one in ward.look() if one.on == NAME_OF_ONE]
    goes = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=DAYS + 33)
    assert (one.severity, one.fix) == ("ok", None)
    assert one.what == (
        f"100 entries of 2026-03-01 to 2026-04-01; under {NAME} version 0, state live; is deleted on {goes:%Y-%m-%d}"
    )
    assert one.about == {
        "partition": NAME_OF_ONE,
        "entries": 100,
        "first": "2026-03-01T00:00:00Z",
        "last": "2026-04-01T00:00:00Z",
        "policy": NAME,
        "version": [0, 1],
        "state": "live",
        "made": "2026-03-01T00:00:00+00:00",
        "goes": goes.isoformat(),
        "holds": [],
        "health": "yellow",
        "open": True,
    }


def test_retention_show_tells_of_one_that_was_made_too_early(ward: Ward) -> None:
    made_too_early(ward, NAME_OF_ONE)
    ward.partition("whodid-audit-2026.04")
    [early, fine] = retention_in_force(ward.client, ward.settings, ward.now).partitions
    assert early.problem.startswith("created too early: deleted before its last entries expire")
    assert fine.problem == ""


def test_a_partition_that_was_made_late_lives_longer_than_promised(ward: Ward) -> None:
    made_late(ward, NAME_OF_ONE)
    assert ward.found(NAME_OF_ONE) == [
        ("warning", f"is kept until {datetime(2026, 4, 30, tzinfo=UTC) + timedelta(days=DAYS + 33):%Y-%m-%d}, "
         "60 days longer than promised: it was created late")
    ]  # fmt: skip


def test_what_goes_soon_must_be_on_record(ward: Ward) -> None:
    made = ward.now - timedelta(days=DAYS + 33 - 7)
    name = f"{PREFIX}-{made:%Y.%m}"
    index = ward.partition(name, later=made.day - 1)
    index.dates = (f"{made:%Y-%m-%dT00:00:00Z}", index.dates[1])
    [(severity, what)] = ward.found(name)
    assert (severity, "its content is not recorded in the ledger" in what) == ("warning", True)
    assert ward.mend() == [f"record the content of {name}"]
    assert [severity for severity, _ in ward.found(name)] == ["ok"]


def test_what_should_be_gone_is_told_with_what_ism_says(ward: Ward) -> None:
    ward.partition(NAME_OF_ONE)
    ward.cluster.lazy = True
    ward.cluster.now += (DAYS + 33) * 86_400_000
    [(severity, what)] = ward.found(NAME_OF_ONE)
    assert (severity, "should have been deleted on 2029-07-16: Evaluating transition conditions" in what) == (
        "problem",
        True,
    )


def test_what_ism_would_delete_at_once_is_not_mended_but_explained(ward: Ward) -> None:
    """It has lain under no policy for too long: under it, it would go. That is not the doctor's to decide."""
    name = months(50)[0]
    unmanaged(ward, name)
    [one] = [one for one in ward.look() if one.on == name]
    assert "its 100 entries would be deleted within minutes" in one.what
    assert "`whodid retention set` asks for confirmation" in one.advice
    assert one.fix is None


def edited(ward: Ward, age: str) -> None:
    """The age in the policy, by hand."""
    known = Ism(ward.client).policy(NAME)
    assert known
    states = json.loads(json.dumps(known.policy["states"]))
    states[0]["transitions"][0]["conditions"]["min_index_age"] = age
    Ism(ward.client).put_policy(NAME, {"policy": {**known.policy, "states": states}}, known)


def test_nothing_is_moved_onto_a_policy_that_deletes_too_early(ward: Ward) -> None:
    """Not at once, but long before its time: that is no fix."""
    unmanaged(ward, NAME_OF_ONE)
    ward.partition("whodid-audit-2026.09")
    edited(ward, "400d")
    for name in (NAME_OF_ONE, "whodid-audit-2026.09"):
        [one] = [one for one in ward.look() if one.on == name]
        assert (one.severity, one.fix) == ("problem", None)
        assert "the policy deletes too early" in one.what
    assert ward.mend() == []
    assert ward.cluster.managed()[NAME_OF_ONE] is None
    assert any(
        "the policy deletes a partition 400 days after its creation; the settings say 1233 days" in what
        for _, what in ward.found(NAME)
    )


def test_a_policy_that_keeps_longer_because_its_partitions_were_longer_is_no_problem(ward: Ward) -> None:
    ward.settings = replace(ward.settings, partition="day")
    assert [severity for severity, _ in ward.found(NAME)] == ["warning"]


def test_a_job_that_will_begin_with_an_old_version_is_found_and_moved(ward: Ward) -> None:
    index = ward.partition(NAME_OF_ONE)
    assert index.job
    index.job.age("2000d")
    index.job.version, index.job.made_with = None, (99, 1)
    assert ward.found(NAME_OF_ONE)[0] == ("problem", "will start with an old version of the policy")
    [said] = ward.mend()
    assert said.startswith(f"asked ISM to apply {NAME} to {NAME_OF_ONE} at the next run of its job")
    ward.cluster.advance(300)
    assert [severity for severity, _ in ward.found(NAME_OF_ONE)] == ["ok"]


def test_without_the_policy_the_doctor_says_what_ism_still_deletes(ward: Ward) -> None:
    ward.partition(NAME_OF_ONE)
    assert ward.found(NAME)[0][0] == "ok"
    Ism(ward.client).delete_policy(NAME)
    [(severity, what)] = ward.found(NAME)
    assert (severity, what.endswith(f"ISM still deletes by the copies in its jobs: {NAME_OF_ONE}")) == (
        "problem",
        True,
    )


def test_a_partition_that_somebody_sent_to_be_deleted_is_held(ward: Ward) -> None:
    """`change_policy` can name a state: ISM then deletes at its next runs, whatever the age."""
    ward.partition(NAME_OF_ONE)
    change = {"policy_id": NAME, "state": "delete"}
    ward.client.transport.perform_request("POST", f"/_plugins/_ism/change_policy/{NAME_OF_ONE}", body=change)
    ward.cluster.advance(300)
    [one] = retention_in_force(ward.client, ward.settings, ward.now).partitions
    assert one.problem.startswith("ISM is about to delete it, though it is due on")
    [(severity, what)] = ward.found(NAME_OF_ONE)
    assert (severity, what.startswith("is about to be deleted by ISM")) == ("problem", True)
    assert len(ward.mend()) == 1
    ward.cluster.advance(300)
    ward.cluster.advance(300)
    assert NAME_OF_ONE in ward.cluster.indices


def test_a_red_index_of_anybody_is_told_since_ism_then_deletes_nothing(ward: Ward) -> None:
    ward.partition(NAME_OF_ONE)
    ward.cluster.create_index("somebody-elses").health = "red"
    assert [severity for severity, what in ward.found("the cluster") if "ISM runs no job" in what] == ["problem"]


def test_a_repository_that_is_not_there_is_told_also_when_only_a_job_names_it(ward: Ward) -> None:
    ward.cluster.repositories["backups"] = {}
    kept = replace(ward.settings, snapshot_repository="backups")
    apply(plan(ward.client, kept))
    ward.partition(NAME_OF_ONE)
    assert ward.found("backups") == []
    del ward.cluster.repositories["backups"]
    assert [severity for severity, _ in ward.found("backups")] == ["problem"]


def test_an_action_that_ism_tries_again_is_a_warning(ward: Ward) -> None:
    name = f"{PREFIX}-{ward.now - timedelta(days=DAYS + 34):%Y.%m}"
    index = ward.partition(name)
    index.settings["index.blocks.read_only"] = "true"
    assert index.job
    while index.job.state != "delete":
        ward.cluster.advance(300)
    assert any(what.startswith("ISM failed and retries: Failed to delete index") for _, what in ward.found(name))


def test_a_template_of_ism_that_leaves_our_partitions_out_takes_none(ward: Ward) -> None:
    patterns = ["whodid-*", f"-{PREFIX}-*"]
    body = {**THEIRS["policy"], "ism_template": [{"index_patterns": patterns, "priority": 900}]}
    Ism(ward.client).put_policy("others", {"policy": body}, None)
    assert ward.found("others") == []


def test_a_deleted_partition_that_is_here_again_is_held(ward: Ward) -> None:
    """Its node may have been started anew, so that the cluster forgot how it came to be: the record still knows."""
    name = NAME_OF_ONE
    index = ward.partition(name)
    record_ahead_as_deleted(ward, name)
    index.uuid = "another"
    ward.cluster.lazy = True
    ward.cluster.now += (DAYS + 30) * 86_400_000
    assert [what.split(" and ")[0] for _, what in ward.found(name)] == ["was restored from a snapshot"]


def record_ahead_as_deleted(ward: Ward, name: str) -> None:
    from whodid.retention.destruction import Contents, Destruction, write_destruction

    uuid = ward.cluster.indices[name].uuid
    record = Destruction(
        name, uuid, "deleted", "2026-11-01T00:00:00Z", {}, Contents(100), deleted="2026-11-01T00:00:00Z"
    )
    write_destruction(ward.client, ward.settings, record)


def test_a_template_of_ism_that_takes_new_partitions_is_told(ward: Ward) -> None:
    body = {**THEIRS["policy"], "ism_template": [{"index_patterns": [f"{PREFIX}-2*"], "priority": 501}]}
    for number in range(130):  # pages of policies
        Ism(ward.client).put_policy(f"a{number:03d}", THEIRS, None)
    Ism(ward.client).put_policy("zz", {"policy": body}, None)
    [(severity, what)] = ward.found("zz")
    assert (severity, "overrides the policy" in what) == ("problem", True)
    known = Ism(ward.client).policy(NAME)
    assert known
    Ism(ward.client).put_policy(NAME, {"policy": {**known.policy, "ism_template": []}}, known)
    assert any("new partitions get no policy" in what for _, what in ward.found(NAME))


def test_a_policy_shorter_than_promised_is_a_problem(ward: Ward) -> None:
    wanted = replace(ward.settings, retention=f"{DAYS + 400}d")
    ward.settings = wanted
    said = "the policy deletes a partition 1233 days after its creation; the settings say 1633 days"
    assert ward.found(NAME) == [("problem", said)]


def test_forty_partitions_in_every_state_are_brought_into_order(ward: Ward, tmp_path: Path) -> None:
    """By `setup`, `retention set` and `doctor --fix`; what is left says why, and no entry went before its time."""
    ward.cluster.lazy = True
    names = months(40)
    every = list(STATES)
    for number, name in enumerate(names):
        state = every[number % (len(every) + 2)] if number % (len(every) + 2) < len(every) else Ward.partition
        state(ward, name)
    young = {name: index.dates[1] for name, index in ward.cluster.indices.items() if index.entries}

    def run(*arguments: str) -> CompletedProcess[str]:
        where = [f"--opensearch-hosts={ward.cluster.url}", f"--journal-dir={tmp_path}", f"--retention={DAYS}d"]
        return whodid(*arguments, *where)

    done = run("doctor", "--only", "retention", "--fix", "--json", "--timeout", "60")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line for line in lines if line["fix"] and not line["mended"]] == []
    assert all(line["advice"] for line in lines)
    ward.cluster.lazy = False
    for index in ward.cluster.indices.values():
        index.health = "yellow"  # until then, no job runs
    ward.cluster.advance(300)
    setup = run("setup", "--yes")
    assert setup.returncode == 0, setup.stderr
    report = set_retention(ward.client, ward.settings, tries=9, pause=lambda: ward.cluster.advance(300), take_over=True)
    assert all("immutable" in why for why in report.problems.values()), report.problems
    ward.cluster.advance(86_400)
    left = [one for one in ward.look() if one.severity != "ok"]
    reasons = {state.__name__ for one in left for state, (said, _) in STATES.items() if said in one.what}
    assert reasons <= {"immutable"}, left
    assert all(one.advice for one in left)
    assert sorted(name for name in ward.cluster.indices if name.startswith(PREFIX)) == names, "nothing was due"
    assert young.keys() <= ward.cluster.indices.keys()
    own = [entry["type"] for entry in read_entries(tmp_path)]
    assert set(own) == {"audit_log_hold_set"}


# --- On real clusters ------------------------------------------------------------------------------------------------


def looked(settings: Settings) -> list[tuple[str, str, str]]:
    found = examined(settings, "retention")
    return [(one.severity, one.on, one.what) for one in found if one.area == "retention"]


@pytest.mark.live
def test_a_real_cluster_without_ism_is_looked_at_too(place: Corner) -> None:
    place.record(3)
    place.ship()
    name = f"{place.settings.index_prefix}-{datetime.now(UTC):%Y.%m}"
    found = looked(place.settings)
    assert [severity for severity, _, _ in found] == ["warning", "ok"]
    assert found[1][1] == name
    assert found[1][2].startswith("3 entries of ")
    place.client.indices.close(index=name)
    assert any("is closed" in what for _, _, what in looked(place.settings))
    [fix] = [one.fix for one in examined(place.settings, "retention") if one.fix]
    fix.make(place.client)
    place.refresh()
    assert [severity for severity, _, _ in looked(place.settings)] == ["warning", "ok"]


@pytest.mark.live
def test_what_the_security_plugin_made_immutable_is_told(secured_node: SecuredNode) -> None:
    """The node is started with `immutable_indices: ["immutable-*"]`; what is made under it can't be deleted again."""
    prefix = f"immutable-{secrets.token_hex(4)}"
    settings = Settings(**secured_node.settings(index_prefix=prefix))
    with closing(connect(settings)) as client:
        client.indices.create(index=f"{prefix}-2024.01", body={"mappings": {"_meta": MARK}})
        assert ("problem", f"{prefix}-2024.01", "is immutable: retention can't delete it") in looked(settings)
        [due] = expired(client, settings, datetime.now(UTC) + timedelta(days=400))
        with pytest.raises(Exception, match="Index is immutable"):
            destroy(client, settings, due)
