"""Drift and removal: what others changed is told and left alone; what setup made can go, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opensearchpy import OpenSearch

from tests.commands import whodid
from tests.live.accounts import secured_corner
from tests.live.corner import Corner
from tests.opensearch.ism_stand_in import IsmStandIn
from tests.opensearch.test_ism import NAME
from tests.opensearch_node import SecuredNode
from whodid.cluster.template import MARK, changed_by_hand, template_name, with_fingerprint
from whodid.errors import OpenSearchError
from whodid.retention.ism import Ism, policy_body
from whodid.retention.moves import set_retention
from whodid.settings import Settings
from whodid.setup.roles import role_name
from whodid.setup.setup import apply, plan, removals

SETTINGS = Settings()
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values), st.text(), json_values)
def test_a_fingerprint_fits_what_it_was_made_of_and_nothing_else(
    body: dict[str, Any], name: str, value: object
) -> None:
    made = with_fingerprint({**body, "about": "whodid: x"}, "about")
    assert not changed_by_hand(json.loads(json.dumps(made)), "about", ours=False)
    assert with_fingerprint(made, "about") == made
    if name != "about" and made.get(name, ...) != value:
        assert changed_by_hand({**made, name: value}, "about", ours=True)
    assert changed_by_hand({**made, "about": made["about"].replace("whodid", "who")}, "about", ours=True)


@pytest.fixture
def client(cluster: IsmStandIn) -> Iterator[OpenSearch]:
    with closing(OpenSearch(hosts=[cluster.url], max_retries=0)) as made:
        apply(plan(made, SETTINGS))
        yield made


def meddle(client: OpenSearch) -> None:
    """Somebody has ISM tell a chat before it deletes: their own change, by hand."""
    known = Ism(client).policy(NAME)
    assert known
    states = json.loads(json.dumps(known.policy["states"]))
    states[0]["transitions"][0]["conditions"]["min_index_age"] = "500d"
    Ism(client).put_policy(NAME, {"policy": {**known.policy, "states": states}}, known)


def run(url: str, *arguments: str) -> CompletedProcess[str]:
    return whodid(*arguments, f"--opensearch-hosts={url}")


def test_a_policy_changed_by_hand_stays_so_until_told_otherwise(cluster: IsmStandIn, client: OpenSearch) -> None:
    meddle(client)
    cluster.writes.clear()
    shown = run(cluster.url, "setup", "--dry-run")
    assert (shown.returncode, "changed by hand" in shown.stdout, "500d" in shown.stdout) == (1, True, True)
    left = run(cluster.url, "setup")
    assert (left.returncode, "changed by hand" in left.stdout) == (1, True)
    with pytest.raises(OpenSearchError, match="changed by hand since whodid made it"):
        set_retention(client, Settings(retention="30d"), tries=1, pause=lambda: None)
    assert not [write for write in cluster.writes if "policies" in write]
    forced = run(cluster.url, "setup", "--force")
    assert forced.returncode == 0, forced.stderr
    found = Ism(client).policy(NAME)
    assert found
    assert found.policy == policy_body(SETTINGS)["policy"]
    meddle(client)
    set_retention(client, Settings(retention="30d"), tries=1, pause=lambda: None, force=True)


def shorten(client: OpenSearch, age: str = "7d") -> None:
    """Somebody edits the age in the policy by hand."""
    known = Ism(client).policy(NAME)
    assert known
    states = json.loads(json.dumps(known.policy["states"]))
    states[0]["transitions"][0]["conditions"]["min_index_age"] = age
    Ism(client).put_policy(NAME, {"policy": {**known.policy, "states": states}}, known)


def test_setup_moves_no_partition_onto_a_policy_changed_by_hand(cluster: IsmStandIn, client: OpenSearch) -> None:
    """One that it manages, and one that it does not: either would be deleted within the hour, 370 days early."""
    names = ["whodid-audit-2026.09", "whodid-audit-2026.10"]
    cluster.create_index(names[0], policy="", mark=MARK, entries=8, age=55)
    cluster.create_index(names[1], policy=NAME, mark=MARK, entries=8, age=25)
    shorten(client)
    done = run(cluster.url, "setup")
    assert done.returncode == 1
    assert f"{names[1]} under {NAME}: to update (runs an old version)" in done.stdout
    assert done.stdout.count("kept: the policy was changed by hand") == 2
    for _ in range(6):
        cluster.advance(600)
    assert list(cluster.indices) == names
    assert cluster.managed() == {names[0]: None, names[1]: NAME}
    forced = run(cluster.url, "setup", "--force")
    assert forced.returncode == 0, forced.stderr
    assert cluster.managed() == dict.fromkeys(names, NAME)


def test_setup_asks_before_a_partition_that_is_past_its_age_is_put_under_the_policy(
    cluster: IsmStandIn, client: OpenSearch
) -> None:
    name = "whodid-audit-2025.10"
    cluster.create_index(name, policy="", mark=MARK, entries=8, age=400)
    refused = run(cluster.url, "setup")
    assert refused.returncode == 1
    assert f"{name} with 8 entries would be deleted within minutes: confirm with --yes" in refused.stderr
    assert cluster.managed() == {name: None}
    assert run(cluster.url, "setup", "--yes").returncode == 0
    assert cluster.managed()[name] == NAME


def test_what_settings_or_a_new_version_change_is_no_drift(cluster: IsmStandIn, client: OpenSearch) -> None:
    changed = run(cluster.url, "setup", "--retention=400d")
    assert changed.returncode == 0, changed.stdout
    known = Ism(client).policy(NAME)
    assert known
    older = {**known.policy, "description": "whodid: audit entries live 400d", "ism_template": []}
    Ism(client).put_policy(NAME, {"policy": older}, known)  # of a version without fingerprints
    assert run(cluster.url, "setup", "--retention=400d").returncode == 0
    known = Ism(client).policy(NAME)
    assert known
    Ism(client).put_policy(NAME, {"policy": {**older, "description": "ours"}}, known)  # somebody else's altogether
    assert run(cluster.url, "setup", "--retention=400d").returncode == 1


def test_setup_removes_what_it_made_and_no_entry(cluster: IsmStandIn, client: OpenSearch) -> None:
    cluster.create_index("whodid-audit-2026.10", policy=NAME, mark=MARK, entries=10, age=20)
    shown = run(cluster.url, "setup", "--remove", "--dry-run", "--json")
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert (shown.returncode, [line["what"] for line in lines]) == (
        1,
        ["index template whodid-audit", f"ISM policy {NAME}"],
    )
    assert Ism(client).policy(NAME)
    meddle(client)
    done = run(cluster.url, "setup", "--remove")
    assert done.stdout.splitlines() == [
        "index template whodid-audit: removed",
        f"ISM policy {NAME}: kept, it was changed by hand; --force removes it (ISM still deletes 1 partitions by "
        "the copies in its jobs; a hold protects one)",
    ]
    assert run(cluster.url, "setup", "--remove", "--force").stdout.startswith(
        f"ISM policy {NAME}: removed (ISM still deletes 1"
    )
    assert run(cluster.url, "setup", "--remove", "--dry-run").returncode == 0
    assert list(cluster.indices) == ["whodid-audit-2026.10"]
    for option in (["--partitions-only"], ["--create", "whodid-audit-2026.12"], ["--dashboards=u", "--tab-url=u"]):
        wrong = run(cluster.url, "setup", "--remove", *option)
        assert (wrong.returncode, "--remove can't be combined with --" in wrong.stderr) == (2, True)


@pytest.mark.live
def test_a_real_template_and_real_roles_changed_by_hand_stay(secured_node: SecuredNode, tmp_path: Path) -> None:
    with secured_corner(secured_node, tmp_path) as place:
        assert {change.kind for change in plan(place.client, place.settings)} == {"unchanged", "unavailable"}
        name, role = template_name(place.settings), role_name(place.settings, "writer")
        stored = place.client.indices.get_index_template(name=name)["index_templates"][0]["index_template"]
        place.client.indices.put_index_template(name=name, body={**stored, "priority": 501})
        path = f"/_plugins/_security/api/roles/{role}"
        body = place.client.transport.perform_request("GET", path)[role]
        more = {key: body[key] for key in ("description", "index_permissions", "tenant_permissions")}
        permissions = [*body["cluster_permissions"], "cluster_all"]
        place.client.transport.perform_request("PUT", path, body={**more, "cluster_permissions": permissions})
        found = {change.what: (change.kind, change.by_hand) for change in plan(place.client, place.settings)}
        assert found[f"index template {name}"] == ("update", True)
        assert found[f"role {role}"] == ("update", True)
        assert found[f"role {role_name(place.settings, 'admin')}"] == ("unchanged", False)
        stays = {one.what: one.stays for one in removals(place.client, place.settings)}
        assert (stays[f"role {role}"], stays[f"role {role_name(place.settings, 'reader')}"]) == ("by hand", "")
        for one in removals(place.client, place.settings):
            one.make()
        assert list(removals(place.client, place.settings)) == []


@pytest.mark.live
def test_removal_leaves_the_entries_of_a_real_cluster(place: Corner) -> None:
    place.record(3)
    place.ship()
    place.client.indices.put_index_template(
        name=f"{place.settings.index_prefix}-other", body={"index_patterns": [f"{place.settings.index_prefix}-x*"]}
    )
    for one in removals(place.client, place.settings):
        one.make()
    assert len(place.stored()) == 3
    assert place.client.indices.exists_index_template(name=f"{place.settings.index_prefix}-other")
    place.client.indices.delete_index_template(name=f"{place.settings.index_prefix}-other")
    place.client.indices.put_index_template(name=template_name(place.settings), body={"index_patterns": ["unrelated"]})
    assert [one.stays for one in removals(place.client, place.settings)] == ["foreign"]
