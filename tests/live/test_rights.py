"""Rights on a real cluster with accounts: each role tries each attempt of the matrix, by whodid's own connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from opensearchpy import NotFoundError, OpenSearch, TransportError

from tests.live.accounts import PASSWORD, account, secured_corner
from tests.live.corner import Corner
from tests.live.rights import ATTEMPTS, KINDS, OURS, ROLES, THEIRS, Attempt
from tests.opensearch_node import SecuredNode
from whodid.client import AuditClient
from whodid.errors import NotAuthorized
from whodid.opensearch.bulk import send_bulk
from whodid.opensearch.connection import connect
from whodid.opensearch.setup import apply, plan
from whodid.settings import Settings
from whodid.shipper import Shipper
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
        place.record(3, organization_id="1", organization_name=OURS, target_name="shared")
        place.record(4, organization_id="2", organization_name=THEIRS, target_name="shared")
        writer = connect(users["writer"])
        progress = Shipper(place.settings, lambda documents: send_bulk(writer, documents, 30.0)).run_once(10)
        assert progress.shipped == 7, progress
        place.refresh()
        yield Cluster(place, users, _places(place))


def _places(place: Corner) -> dict[str, str]:
    theirs = next(name for name, hit in place.stored().items() if hit["_source"]["organization_id"] == "2")
    [index] = place.client.indices.get(index=f"{place.settings.index_prefix}-*")
    place.client.index(index=index, id="victim", body={"type": "team_created"}, refresh=True)
    pit = place.client.create_pit(index=index, params={"keep_alive": "10m"})["pit_id"]
    return {"index": index, "prefix": place.settings.index_prefix, "theirs": theirs, "victim": "victim", "pit": pit}


def _filled(value: Any, names: dict[str, str]) -> Any:
    text = json.dumps(value)
    for name, replacement in names.items():
        text = text.replace(f"{{{name}}}", replacement)
    return json.loads(text)


def _outcome(cluster: Cluster, role: str, attempt: Attempt, number: int) -> str:
    names = {
        **cluster.names,
        "new": f"new-{ATTEMPTS.index(attempt)}-{number}",
        "user": cluster.users[role].opensearch_user,
    }
    before = cluster.place.client.count(index=cluster.names["index"])["count"]
    try:
        answer = cluster.client(role).transport.perform_request(
            attempt.method, _filled(attempt.path, names), body=_filled(attempt.body, names)
        )
    except NotFoundError:
        return "none"
    except TransportError as error:
        return "no" if error.status_code in {403, 500} else f"HTTP {error.status_code}"
    if isinstance(answer, dict) and "items" in answer:
        return "no" if answer["errors"] else "yes"
    if attempt.what == "count":
        return {before: "all", 3: "own", 0: "none"}[answer["count"]]
    if attempt.expected[-1] != "all":
        return "yes"
    text = json.dumps(answer)
    return {(True, True): "all", (False, True): "all", (True, False): "own", (False, False): "none"}[
        (OURS in text, THEIRS in text)
    ]


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.what)
def test_each_role_gets_what_the_matrix_says(cluster: Cluster, attempt: Attempt) -> None:
    found = []
    for number, role in enumerate(ROLES):
        cluster.victims()
        found.append(_outcome(cluster, role, attempt, number))
    assert dict(zip(ROLES, found, strict=True)) == dict(zip(ROLES, attempt.expected, strict=True))


def test_the_client_shows_a_reader_their_organization_only(cluster: Cluster) -> None:
    with AuditClient(cluster.users["reader"]) as reader:
        assert [entry["organization_id"] for entry in reader.search()] == ["1"] * 3
        assert (reader.count(), reader.counts_by("organization_id")) == (3, {"1": 3})
        assert reader.page().next is None
        assert reader.get(cluster.names["theirs"]) is None
        assert not list(reader.search(organization_id="2"))
    with AuditClient(cluster.users["auditor"]) as auditor:
        assert {entry["organization_id"] for entry in auditor.search(type="credentials_created")} == {"1", "2"}


def test_a_reader_without_an_organization_is_told_what_is_missing(cluster: Cluster) -> None:
    with AuditClient(cluster.users["reader without organization"]) as reader:
        for ask in (reader.count, lambda: list(reader.search()), reader.page, lambda: reader.get("x")):
            with pytest.raises(NotAuthorized, match="no attribute organization_id"):
                ask()


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


def test_the_setup_makes_the_roles_and_is_done_then(cluster: Cluster) -> None:
    changes = plan(cluster.place.client, cluster.place.settings)
    assert {change.kind for change in changes if change.what.startswith("role ")} == {"unchanged"}
    by_admin = plan(cluster.client("admin"), cluster.place.settings)
    apply(by_admin)
    [roles] = [change for change in by_admin if change.what == "roles"]
    assert (roles.kind, "may not manage roles" in roles.note) == ("unavailable", True)
