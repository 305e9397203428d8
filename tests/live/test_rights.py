"""Rights on a real cluster with accounts: each role tries each attempt of the matrix, by whodid's own connection."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
from opensearchpy import AuthorizationException, NotFoundError, OpenSearch, TransportError

from tests.doctor.examined import examined
from tests.live.accounts import PASSWORD, account, secured_corner
from tests.live.corner import Corner
from tests.live.rights import ATTEMPTS, KINDS, OURS, ROLES, THEIRS, Attempt
from tests.opensearch_node import SecuredNode
from whodid.cluster.bulk import send_bulk
from whodid.cluster.connection import connect, versions
from whodid.cluster.ledger import Ledger
from whodid.cluster.partitions import creation_dates, stored_journals
from whodid.cluster.template import template_name
from whodid.entry import ZERO_HASH, document_id
from whodid.errors import NotAuthorized, OpenSearchError
from whodid.integrity import entry_hash
from whodid.retention.destruction import destructions
from whodid.retention.enforcement import destroy, expired
from whodid.retention.holds import new_hold, release_hold, set_hold
from whodid.retention.schedule import retention_in_force
from whodid.search import AuditClient
from whodid.settings import Settings
from whodid.setup.roles import role_name
from whodid.setup.setup import apply, plan, removals
from whodid.shipping import Shipper
from whodid.shipping.delivery import Moved
from whodid.shipping.service import connected_shipper
from whodid.verify import verify_stored

pytestmark = pytest.mark.live


@dataclass(frozen=True)
class Cluster:
    """A corner with entries of two organizations, and the settings of a user of each role."""

    place: Corner
    users: dict[str, Settings]
    names: dict[str, str]

    def client(self, role: str) -> OpenSearch:
        return connect(self.users[role])

    def victims(self) -> None:
        """What an attempt may have destroyed, made again."""
        old = f"{self.names['prefix']}-1999.01"
        if not self.place.client.indices.exists(index=old):
            self.place.client.indices.create(index=old)


@pytest.fixture(scope="module")
def cluster(secured_node: SecuredNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with secured_corner(secured_node, tmp_path_factory.mktemp("rights")) as place:
        users = {}
        for role, kind in zip(ROLES, KINDS, strict=True):
            attributes = {"organization_id": "1"} if role == "reader" else {}
            name = account(place, kind, role.replace(" ", "-"), **attributes)
            users[role] = replace(
                place.settings, opensearch_user=name, opensearch_password=PASSWORD, opensearch_password_file=""
            )
        place.record(2, organization_id="1", organization_name=OURS, target_name="shared")
        place.record(4, organization_id="2", organization_name=THEIRS, target_name="shared")
        place.record(1, organization_id="1", organization_name=OURS, target_name="shared")
        writer = connect(users["writer"])
        progress = Shipper(place.settings, lambda documents: send_bulk(writer, documents, 30.0)).run_once(10)
        assert progress.shipped == 7, progress
        place.refresh()
        yield Cluster(place, users, _places(place))


def _places(place: Corner) -> dict[str, str]:
    theirs, hit = next((name, hit) for name, hit in place.stored().items() if THEIRS in str(hit))
    entry, index = hit["_source"], hit["_index"]
    place.client.index(index=index, id="victim", body={"type": "team_created"}, refresh=True)
    return {
        "index": index,
        "prefix": place.settings.index_prefix,
        "theirs": theirs,
        "journal": entry["journal"],
        "victim": "victim",
        "role": role_name(place.settings, "reader"),
        "pit": place.client.create_pit(index=index, params={"keep_alive": "10m"})["pit_id"],
        "scroll": place.client.search(index=index, params={"scroll": "10m", "size": 1})["_scroll_id"],
    }


def _filled(value: Any, names: dict[str, str]) -> Any:
    text = json.dumps(value)
    for name, replacement in names.items():
        text = text.replace(f"{{{name}}}", replacement)
    return json.loads(text)


def _outcome(cluster: Cluster, role: str, attempt: Attempt) -> str:
    names = {
        **cluster.names,
        "new": f"new-{ATTEMPTS.index(attempt)}-{ROLES.index(role)}",
        "user": cluster.users[role].opensearch_user,
    }
    try:
        answer = cluster.client(role).transport.perform_request(
            attempt.method, _filled(attempt.path, names), body=_filled(attempt.body, names)
        )
    except NotFoundError:
        return "none"
    except TransportError as error:
        return "no" if _is_refusal(error) else f"HTTP {error.status_code}: {error.info}"
    if isinstance(answer, dict) and "items" in answer:
        return "no" if answer["errors"] else "yes"
    if attempt.counted:
        there = cluster.place.client.count(index=cluster.names["index"])["count"]
        return {there: "all", 3: "own", 0: "none"}[reduce(getitem, attempt.counted, answer)]
    if "yes" in attempt.expected:
        return "yes"
    text = json.dumps(answer)
    return {(True, True): "all", (False, True): "all", (True, False): "own", (False, False): "none"}[
        (OURS in text, THEIRS in text)
    ]


def _is_refusal(error: TransportError) -> bool:
    """The plugin refuses with 403, and what its filter can't be put on with 400 or 500 and its own words."""
    return error.status_code == 403 or any(
        words in str(error.info) for words in ("security_exception", "not supported when DLS is activated")
    )


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.what)
def test_each_role_gets_what_the_matrix_says(cluster: Cluster, attempt: Attempt) -> None:
    found = {}
    for role in ROLES:
        cluster.victims()
        found[role] = _outcome(cluster, role, attempt)
    assert found == dict(zip(ROLES, attempt.expected, strict=True))


def test_the_client_shows_a_reader_their_organization_only(cluster: Cluster) -> None:
    with AuditClient(cluster.users["reader"]) as reader:
        assert [entry["organization_id"] for entry in reader.search()] == ["1"] * 3
        assert (reader.count(), reader.counts_by("organization_id")) == (3, {"1": 3})
        assert reader.page().next is None
        assert reader.get(cluster.names["theirs"]) is None
        assert not list(reader.search(organization_id="2"))
        stats = reader.stats(group_by=["organization_id", "target"])
        assert (stats.total, sum(bar.count for bar in stats.histogram)) == (3, 3)
        assert stats.top["organization_id"] == {"1": 3}
        assert not list(reader.search("canary-theirs or organization_id:2 or -organization_id:1"))
    with AuditClient(cluster.users["auditor"]) as auditor:
        assert {entry["organization_id"] for entry in auditor.search(type="credentials_created")} == {"1", "2"}


def test_a_reader_follows_their_organization_and_an_auditor_all(cluster: Cluster) -> None:
    [[*ours]] = AuditClient(cluster.users["reader"]).follow(last=100)
    assert [entry["organization_id"] for entry in ours] == ["1"] * 3
    following = AuditClient(cluster.users["auditor"]).follow(last=100, pause=lambda: None)
    assert len(ours) < len(next(following))
    assert next(following) == []


def test_the_writers_role_is_all_that_the_shipper_needs(cluster: Cluster, tmp_path: Path) -> None:
    settings = replace(cluster.users["writer"], journal_dir=str(tmp_path / "journal"))
    replace(cluster.place, settings=settings).record(2)
    told: list[str] = []
    stop = threading.Event()
    shipper = connected_shipper(
        settings, notify=told.append, stop=stop, observe=lambda step: stop.set() if isinstance(step, Moved) else None
    )
    progress = shipper.run()
    assert (progress.shipped, progress.dead_letters, progress.waiting) == (2, 0, "")
    [said] = told  # this cluster has no ISM, and a writer deletes nothing
    assert re.search(r"retention is not enforced: .* lacks the right", said)


@pytest.mark.parametrize("role", ["reader", "auditor", "admin"])
def test_who_reads_sees_how_long_entries_are_kept(cluster: Cluster, role: str) -> None:
    with AuditClient(cluster.users[role]) as client:
        assert client.retention() == retention_in_force(cluster.place.client, cluster.place.settings)


def test_to_a_reader_the_entries_of_others_look_removed(cluster: Cluster) -> None:
    with AuditClient(cluster.users["reader"]) as reader:
        assert {finding.kind for finding in verify_stored(reader, journal=cluster.names["journal"]).findings} == {"gap"}
    with AuditClient(cluster.users["auditor"]) as auditor:
        assert verify_stored(auditor, journal=cluster.names["journal"]).intact


def test_a_reader_without_an_organization_is_told_what_is_missing(cluster: Cluster) -> None:
    with AuditClient(cluster.users["reader without organization"]) as reader:
        for ask in (reader.count, lambda: list(reader.search()), reader.page, lambda: reader.get("x")):
            with pytest.raises(NotAuthorized, match="no attribute organization_id"):
                ask()


@pytest.mark.parametrize("other", ["writer", "auditor", "admin"])
def test_who_has_another_role_besides_stays_a_reader(cluster: Cluster, other: str) -> None:
    name = account(cluster.place, "reader", f"reader-and-{other}", also=(other,), organization_id="1")
    with AuditClient(replace(cluster.users["reader"], opensearch_user=name)) as client:
        assert client.count() == 3


def test_what_a_writer_overwrote_shows_in_verify(cluster: Cluster) -> None:
    path = f"/{cluster.names['index']}/_doc/{cluster.names['theirs']}"
    entry = cluster.place.client.transport.perform_request("GET", path)["_source"]
    forged = {**entry, "principal": "somebody-else"}
    with AuditClient(cluster.users["auditor"]) as auditor:
        assert entry["seq"] not in {finding.seq for finding in verify_stored(auditor).findings}
        try:
            cluster.client("writer").transport.perform_request("PUT", path, body=forged)
            cluster.place.refresh()
            found = verify_stored(auditor).findings
        finally:
            cluster.place.client.transport.perform_request("PUT", path, body=entry)
            cluster.place.refresh()
    assert ("altered", entry["seq"]) in {(finding.kind, finding.seq) for finding in found}


def test_what_a_stolen_writer_password_makes_and_what_shows_it(secured_node: SecuredNode, tmp_path: Path) -> None:
    """docs/explanation/security.md has the table."""
    with secured_corner(secured_node, tmp_path) as place:
        entries = place.record(3)
        place.ship()
        thief = connect(
            replace(
                place.settings,
                opensearch_user=account(place, "writer"),
                opensearch_password=PASSWORD,
                opensearch_password_file="",
            )
        )
        [index] = place.client.indices.get(index=f"{place.settings.index_prefix}-2*")

        def shown() -> set[tuple[str, int]]:
            place.refresh()
            with AuditClient(place.settings) as auditor:
                return {(finding.kind, finding.seq) for finding in verify_stored(auditor).findings}

        def sealed(**changes: Any) -> tuple[str, dict[str, Any]]:
            forged = {**entries[1], **changes}
            forged["hash"] = entry_hash(forged)
            return document_id(forged["journal"], forged["seq"], forged["hash"]), forged

        assert shown() == set()
        name, inserted = sealed(principal="somebody-else")
        thief.index(index=index, id=name, body=inserted)
        assert shown() == {("inserted", 2)}, "an entry beside a real one, with a hash that fits"
        last = {"seq": 4, "prev": entries[2]["hash"], "principal": "somebody-else"}
        name, appended = sealed(**last)
        thief.index(index=index, id=name, body=appended)
        assert shown() == {("inserted", 2)}, "after the last one: nothing shows it until the journal goes on"
        place.record(1)
        place.ship()
        assert ("forked", 4) in shown()
        name, alone = sealed(journal="feedfacefeedface", seq=1, prev=ZERO_HASH)
        thief.index(index=index, id=name, body=alone)
        assert shown() == {("inserted", 2), ("forked", 4)}, "a journal of its own is only seen in the list of journals"
        assert "feedfacefeedface" in {one.journal for one in stored_journals(place.client, place.settings)}
        thief.close()


def test_the_admins_role_is_all_that_holds_records_and_the_doctor_need(
    secured_node: SecuredNode, tmp_path: Path
) -> None:
    with secured_corner(secured_node, tmp_path) as place:
        place.record(3)
        place.ship()
        settings = {
            kind: replace(
                place.settings,
                opensearch_user=account(place, kind, organization_id="1"),
                opensearch_password=PASSWORD,
                opensearch_password_file="",
            )
            for kind in ("writer", "reader", "auditor", "admin")
        }
        clients = {kind: connect(chosen) for kind, chosen in settings.items()}
        admin, chosen = clients["admin"], settings["admin"]
        [name] = creation_dates(admin, chosen)
        hold = new_hold("case 4711", "alice", partitions=[name])
        assert set_hold(admin, chosen, hold).problems == {}
        for kind, seen in (("admin", (hold.id,)), ("auditor", (hold.id,)), ("reader", ())):
            view = retention_in_force(clients[kind], settings[kind])
            assert [one.holds for one in view.partitions] == [seen], kind
        for kind in ("writer", "reader", "auditor"):
            with pytest.raises(NotAuthorized):
                release_hold(clients[kind], settings[kind], hold.id, by="mallory", reason="r")
            with pytest.raises(NotAuthorized):
                Ledger(clients[kind], settings[kind]).write("x", "hold", {}, known=None)
        found = [one for one in examined(chosen) if one.area in {"retention", "template"}]
        assert not [one for one in found if one.severity == "problem"], found
        assert any(f"held by {hold.id}" in one.what for one in found)
        assert release_hold(admin, chosen, hold.id, by="bob", reason="r").problems == {}
        later = datetime.now(UTC) + timedelta(days=400)
        [due] = expired(admin, chosen, later)
        record = destroy(admin, chosen, due)
        assert record
        assert destructions(clients["auditor"], settings["auditor"]) == [record]
        for client in clients.values():
            client.close()


def test_the_setup_makes_the_roles_and_is_done_then(cluster: Cluster) -> None:
    """An account of the role whodid_admin finds the same, though it may not ask for the cluster's version."""
    changes = plan(cluster.place.client, cluster.place.settings)
    assert {change.kind for change in changes if change.what.startswith("role ")} == {"unchanged"}
    by_admin = plan(cluster.client("admin"), cluster.place.settings)
    assert [change.kind for change in by_admin if change.what.startswith("index template")] == ["unchanged"]
    assert versions(cluster.client("admin")) == versions(cluster.place.client) != frozenset()
    apply(by_admin)
    [roles] = [change for change in by_admin if change.what == "roles"]
    assert (roles.kind, "may not manage roles" in roles.note) == ("unavailable", True)


def test_the_admins_role_removes_the_template_and_says_who_may_remove_the_roles(
    secured_node: SecuredNode, tmp_path: Path
) -> None:
    with secured_corner(secured_node, tmp_path) as place:
        name = account(place, "admin")
        mine = replace(place.settings, opensearch_user=name, opensearch_password=PASSWORD, opensearch_password_file="")
        admin = connect(mine)
        with pytest.raises(OpenSearchError, match="no snapshot repository 'nowhere'"):
            plan(admin, replace(mine, snapshot_repository="nowhere"))
        found = list(removals(admin, mine))
        assert [(one.what, one.stays) for one in found] == [
            (f"index template {template_name(mine)}", ""),
            ("roles", "refused"),
        ]
        found[0].make()
        assert not place.client.indices.exists_index_template(name=template_name(mine))
        apply(plan(admin, mine))
        assert place.client.indices.exists_index_template(name=template_name(mine))
        admin.close()


def test_an_auditor_is_not_told_to_become_one(cluster: Cluster) -> None:
    """Where the doctor asks more than an auditor may see, it says which role may."""
    found = examined(cluster.users["auditor"], "retention")
    refused = [one.advice for one in found if "not examined" in one.what]
    assert refused
    assert all("whodid_admin" in advice and "auditor" not in advice for advice in refused)


def test_templates_and_policies_have_no_owner(cluster: Cluster) -> None:
    """docs/explanation/security.md says so: the role that writes ours may write, and delete, those of other teams."""
    theirs = f"other-team-{cluster.names['prefix']}"
    cluster.place.client.indices.put_index_template(name=theirs, body={"index_patterns": [f"{theirs}-*"]})
    admin = cluster.client("admin")
    admin.indices.put_index_template(name=theirs, body={"index_patterns": [f"{theirs}-x*"], "priority": 7})
    admin.indices.delete_index_template(name=theirs)
    with pytest.raises(AuthorizationException):
        cluster.client("auditor").indices.put_index_template(name=theirs, body={"index_patterns": [f"{theirs}-*"]})
