"""Policies that nobody would write: each command, the search and the tab read them, and all say the same of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.opensearch.ism_stand_in import IsmStandIn
from tests.opensearch.ism_stand_in.answers import Answer
from whodid.cli.program import program
from whodid.cluster.connection import connect
from whodid.cluster.template import MARK
from whodid.search import AuditClient
from whodid.settings import Settings
from whodid.setup.setup import apply, plan
from whodid.web import pages

NAME = "whodid-audit-retention"
PARTITION = "whodid-audit-2026.11"
ENTRY = {"creation_date": "2026-11-01T00:00:00Z"}
DELETE = {"name": "delete", "actions": [{"delete": {}}], "transitions": []}


def leads_to_delete(*conditions: Any) -> dict[str, Any]:
    transitions = [{"state_name": "delete", **given} for given in conditions]
    return {"default_state": "live", "states": [{"name": "live", "actions": [], "transitions": transitions}, DELETE]}


def aged(age: Any) -> dict[str, Any]:
    return leads_to_delete({"conditions": {"min_index_age": age}})


AT_ONCE = "entries are kept 0 to 0 days"
NEVER = "entries are kept until someone deletes them"

POLICIES: dict[str, tuple[dict[str, Any], str]] = {
    "conditions null": (leads_to_delete({"conditions": None}), AT_ONCE),
    "conditions a text": (leads_to_delete({"conditions": "soon"}), AT_ONCE),
    "conditions a list": (leads_to_delete({"conditions": [{"min_index_age": "9d"}]}), AT_ONCE),
    "an age that is a number": (aged(400), AT_ONCE),
    "an age that is null": (aged(None), AT_ONCE),
    "an age that is an object": (aged({"d": 1}), AT_ONCE),
    "an age with an exponent": (aged("1e9d"), AT_ONCE),
    "an age below nought": (aged("-1d"), AT_ONCE),
    "an age beyond the calendar": (aged("9999999d"), NEVER),
    "an age beyond a timedelta": (aged("9" * 30 + "d"), NEVER),
    "an age of more digits than Python reads": (aged("9" * 5000 + "d"), NEVER),
    "states null": ({"states": None}, NEVER),
    "states a text": ({"states": "live"}, NEVER),
    "states an object": ({"states": {"live": DELETE}}, NEVER),
    "states of wrong types": ({"states": [None, 1, "live", [], {}]}, NEVER),
    "state names of wrong types": ({"states": [{"name": None}, {"name": ["live"]}, {"name": {}}]}, NEVER),
    "actions null": ({"default_state": "live", "states": [{"name": "live", "actions": None}]}, NEVER),
    "actions of wrong types": (
        {"default_state": "live", "states": [{"name": "live", "actions": [None, "delete", {"snapshot": None}]}]},
        NEVER,
    ),
    "transitions null": ({"default_state": "live", "states": [{"name": "live", "transitions": None}, DELETE]}, NEVER),
    "transitions of wrong types": (
        {"default_state": "live", "states": [{"name": "live", "transitions": [None, "x", {"state_name": []}]}, DELETE]},
        NEVER,
    ),
    "a default state that is none": ({"default_state": None, "states": [DELETE]}, NEVER),
    "templates null": ({"ism_template": None}, "entries are kept 365 to 398 days"),
    "templates of wrong types": (
        {"ism_template": [None, "x", {"index_patterns": None, "priority": "high"}]},
        "entries are kept 365 to 398 days",
    ),
}


class Hostile(IsmStandIn):
    """`wrong` replaces parts of the policy, as stored and in the copy that each job has. It has no entries."""

    wrong: dict[str, Any] | None = None

    def answer(self, method: str, target: str, body: Any) -> Answer:
        path = target.split("?")[0]
        if path.endswith("/_search") and "@timestamp" in json.dumps(body):
            return 200, {"hits": {"total": {"value": 0, "relation": "eq"}, "hits": []}, "_shards": {"failed": 0}}
        status, content = super().answer(method, target, body)
        if self.wrong is not None and method == "GET" and "/_plugins/_ism/" in path and status == 200:
            content = json.loads(json.dumps(content))
            shown = [content, *content.get("policies", ()), *content.values()]
            for about in shown:
                if isinstance(about, dict) and isinstance(about.get("policy"), dict):
                    about["policy"] |= self.wrong
        return status, content


@pytest.fixture(scope="module")
def cluster() -> Iterator[Hostile]:
    with closing(Hostile()) as stand_in, closing(connect(Settings(opensearch_hosts=(stand_in.url,)))) as client:
        apply(plan(client, Settings(opensearch_hosts=(stand_in.url,))))
        stand_in.advance(1)
        stand_in.create_index(PARTITION, policy=NAME, mark=MARK, entries=100, age=22)
        yield stand_in


def run(cluster: Hostile, journal: Path, *arguments: str) -> Result:
    """In this process: an exception that is not the end of a command is the test's."""
    given = [f"--opensearch-hosts={cluster.url}", f"--journal-dir={journal}", *arguments]
    done = CliRunner().invoke(program, given)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


@pytest.mark.parametrize("name", POLICIES)
def test_a_hostile_policy_ends_nothing_and_has_one_meaning_everywhere(
    cluster: Hostile, tmp_path: Path, name: str
) -> None:
    cluster.wrong, rule = POLICIES[name]
    shown = json.loads(run(cluster, tmp_path, "retention", "show", "--json").stdout)
    status = json.loads(run(cluster, tmp_path, "status", "--json").stdout)["cluster"]
    doctor = run(cluster, tmp_path, "doctor", "--only", "retention", "--verbose", "--json", "--timeout", "60").stdout
    findings = [json.loads(line) for line in doctor.splitlines()]
    assert rule in status["retention"]
    [partition] = shown["partitions"]
    dates = {one["about"]["goes"] for one in findings if one["on"] == PARTITION}
    assert dates == {partition["ceiling"]}
    with AuditClient(Settings(opensearch_hosts=(cluster.url,))) as client:
        assert list(client.search(limit=10)) == []
        view = client.known_retention()
        assert view
        assert (view.floor_days, view.ceiling_days) == (shown["floor_days"], shown["ceiling_days"])
        assert str(view) == status["retention"]
        assert (partition["ceiling"] or "forever")[:10] in pages.kept_until(view, ENTRY, PARTITION, of_all=True)
        assert pages.retention_text(view).startswith("kept forever" if rule == NEVER else "kept ")
