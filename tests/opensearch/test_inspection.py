"""The inspection: nothing is sent to a partition in which entries would be lost, changed or shown to others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from opensearchpy import OpenSearch

from tests.commands import whodid
from tests.doctor.examined import examined
from tests.faults.kit import FaultProxy, answer
from tests.live.accounts import PASSWORD, account, secured_corner
from tests.live.corner import Corner
from tests.opensearch_node import SecuredNode
from tests.web.served import served
from whodid.cluster.bulk import Document, Verdict, send_bulk
from whodid.cluster.connection import connect
from whodid.cluster.template import (
    FIELD_TYPES,
    MARK,
    Difference,
    find_partition,
    index_pattern,
    inspected_all,
    simulated,
    template_name,
)
from whodid.entry import Stamp, partition_name
from whodid.errors import OpenSearchError
from whodid.journal import Acknowledged, JournalDirectory
from whodid.search import AuditClient
from whodid.search.requests import CONTENTLESS
from whodid.settings import Settings
from whodid.setup.setup import apply, plan, plan_partitions
from whodid.shipping.service import Cluster, connected_shipper
from whodid.verify import verify_stored
from whodid.web import create_app

pytestmark = pytest.mark.live


def mapping(**more: Any) -> dict[str, Any]:
    return {"mappings": more}


def field(name: str, **about: Any) -> dict[str, Any]:
    return mapping(properties={name: about})


HARM: dict[str, tuple[dict[str, Any], str]] = {
    "no content": (mapping(_source={"enabled": False}), '_source is {"enabled": false}'),
    "part of the content": (mapping(_source={"excludes": ["principal"]}), "_source is"),
    "routing": (mapping(_routing={"required": True}), "_routing is"),
    "any field": (mapping(dynamic="true"), 'dynamic is "true" instead of strict'),
    "no new field": (mapping(dynamic="false"), 'dynamic is "false" instead of strict'),
    "not indexed": (field("principal", type="keyword", index=False), "the field principal is"),
    "nothing indexed": (field("target", type="keyword", ignore_above=0), "the field target is"),
    "shown to another": (field("target", type="keyword", copy_to="organization_id"), "the field target is"),
    "another type": (field("client_ip", type="keyword"), "the field client_ip is"),
    "hidden": ({"settings": {"index.hidden": True}}, "index.hidden is"),
    "ignoring": ({"settings": {"index.mapping.ignore_malformed": True}}, "index.mapping.ignore_malformed is"),
    "a pipeline": ({"settings": {"index.final_pipeline": "nowhere"}}, "index.final_pipeline is"),
}


def send(cluster: Cluster, *partitions: str) -> list[Verdict]:
    return cluster.send([Document(str(n), partition, b'{"type":"t"}') for n, partition in enumerate(partitions)])


def inspected(client: OpenSearch, partition: str) -> tuple[Difference, ...] | None:
    found = find_partition(client, partition)
    return None if found is None else found.differences


def name(place: Corner, year: int, month: int) -> str:
    return f"{place.settings.index_prefix}-{year}.{month:02d}"


def test_a_partition_that_was_prepared_gets_nothing_and_the_others_do(place: Corner) -> None:
    prepared = {kind: name(place, 2025, number) for number, kind in enumerate(HARM, 1)}
    for kind, partition in prepared.items():
        place.client.indices.create(index=partition, body=HARM[kind][0])
    verdicts = send(Cluster(place.settings), *prepared.values(), name(place, 2026, 1))
    for (kind, partition), verdict in zip(prepared.items(), verdicts, strict=False):
        assert (kind, verdict.kind, verdict.cause) == (kind, "wait", "configuration")
        assert f"entries would be lost in {partition}: " in verdict.reason
        assert HARM[kind][1] in verdict.reason
    assert verdicts[-1].kind == "stored"
    assert len(place.stored()) == 1
    assert {partition for partition, found in inspected_all(place.client, place.settings).items() if found} == {
        *prepared.values()
    }
    told = [(one.severity, one.on) for one in examined(place.settings, "template")]
    assert {on for severity, on in told if severity == "problem"} == {*prepared.values()}
    differing = {change.what for change in plan(place.client, place.settings) if change.kind == "differs"}
    assert differing == {f"partition {partition}" for partition in prepared.values()}


def test_a_partition_made_by_the_template_does_not_differ(place: Corner) -> None:
    partition = name(place, 2026, 1)
    assert inspected(place.client, partition) is None
    assert simulated(place.client, partition) == ()
    assert send(Cluster(place.settings), partition)[0].kind == "stored"
    assert inspected(place.client, partition) == ()


def test_on_a_cluster_that_can_t_simulate_templates_a_partition_is_inspected_once_it_is_there(place: Corner) -> None:
    partition = name(place, 2026, 1)
    with FaultProxy(place.settings.opensearch_hosts[0]) as proxy:
        proxy.inject(answer(404, {"error": {"type": "no_such_operation"}, "status": 404}), path="_simulate_index")
        cluster = Cluster(replace(place.settings, opensearch_hosts=(proxy.url,)))
        assert send(cluster, partition)[0].kind == "stored"
        assert send(cluster, partition)[0].kind == "stored"
        assert (proxy.count("_simulate_index", faulty=True), proxy.count("_bulk")) == (1, 3)  # it is replaced


def test_what_loses_nothing_is_a_warning_and_stops_nothing(place: Corner) -> None:
    partition = name(place, 2026, 1)
    settings = {
        "index.default_pipeline": "nowhere",
        "index.translog.durability": "async",
        "index.refresh_interval": "-1",
    }
    place.client.indices.create(index=partition, body={"settings": settings, "aliases": {f"{partition}-also": {}}})
    found = inspected(place.client, partition) or ()
    assert (len(found), any(one.loses for one in found)) == (4, False)
    assert send(Cluster(place.settings), partition)[0].kind == "stored"
    told = [one for one in examined(place.settings, "template") if one.on == partition]
    assert [one.severity for one in told] == ["warning"] * 3  # an auditor may not see aliases


def test_an_alias_in_the_place_of_a_partition_gets_nothing(place: Corner) -> None:
    partition = name(place, 2026, 1)
    place.client.indices.create(index=f"{partition}-real", body={"aliases": {partition: {}}})
    [verdict] = send(Cluster(place.settings), partition)
    assert f"the name is an alias of the index {partition}-real" in verdict.reason


@pytest.fixture
def catch_all(place: Corner) -> Iterator[str]:
    catcher = f"{place.settings.index_prefix}-catcher"
    body = {"index_patterns": [index_pattern(place.settings)], "priority": 501, "template": {}}
    place.client.indices.put_index_template(name=catcher, body=body)
    yield catcher
    place.client.indices.delete_index_template(name=catcher)


def test_a_template_that_wins_over_ours_is_seen_before_the_partition_is_made(place: Corner, catch_all: str) -> None:
    partition = name(place, 2026, 1)
    [verdict] = send(Cluster(place.settings), partition)
    assert (verdict.kind, verdict.cause) == ("wait", "configuration")
    assert "dynamic is null instead of strict" in verdict.reason
    assert not place.client.indices.exists(index=partition)
    [change] = [change for change in plan(place.client, place.settings) if change.kind == "differs"]
    assert "another template takes precedence" in change.note
    done = whodid(*place.arguments("setup"))
    assert (done.returncode, ": differs (another template takes precedence" in done.stdout) == (1, True)
    told = [one.on for one in examined(place.settings, "template") if one.severity == "problem"]
    assert told == [catch_all]


def test_a_mapping_that_was_changed_makes_no_dead_letters(place: Corner) -> None:
    partition, cluster = name(place, 2026, 1), Cluster(place.settings)
    send(cluster, partition)
    send(cluster, partition)  # before which it is inspected
    place.client.indices.put_settings(index=partition, body={"index.final_pipeline": f"{partition}-adder"})
    adder = {"processors": [{"set": {"field": "unknown", "value": 1}}]}
    place.client.ingest.put_pipeline(id=f"{partition}-adder", body=adder)
    try:
        [verdict] = cluster.send([Document("new", partition, b'{"type":"t"}')])
        assert (verdict.kind, verdict.cause) == ("wait", "configuration")
        assert "index.final_pipeline is" in verdict.reason
    finally:
        place.client.indices.put_settings(index=partition, body={"index.final_pipeline": None})
        place.client.ingest.delete_pipeline(id=f"{partition}-adder")
    assert cluster.send([Document("new", partition, b'{"type":"t"}')])[0].kind == "stored"
    assert cluster.send([Document("odd", partition, b'{"unknown":1}')])[0].kind == "refused"


@contextmanager
def other_principal(place: Corner, partition: str) -> Iterator[None]:
    """A pipeline that changes each entry."""
    pipeline = f"{partition}-other"
    place.client.ingest.put_pipeline(id=pipeline, body={"processors": [{"set": {"field": "principal", "value": "7"}}]})
    place.client.indices.put_settings(index=partition, body={"index.final_pipeline": pipeline})
    try:
        yield
    finally:
        place.client.indices.put_settings(index=partition, body={"index.final_pipeline": None})
        place.client.ingest.delete_pipeline(id=pipeline)


@contextmanager
def no_content(place: Corner, partition: str) -> Iterator[None]:
    """The partition is made again, by hand."""
    place.client.indices.delete(index=partition)
    place.client.indices.create(index=partition, body=HARM["no content"][0])
    yield
    place.client.indices.delete(index=partition)


@pytest.mark.parametrize("changed", [other_principal, no_content])
def test_what_was_sent_to_a_partition_that_had_changed_is_not_acknowledged_and_is_sent_again(
    place: Corner, changed: Callable[[Corner, str], AbstractContextManager[None]]
) -> None:
    partition = partition_name(place.settings.index_prefix, "month", Stamp.now().creation_date)
    directory, shipper = JournalDirectory(place.settings.journal_dir), connected_shipper(place.settings)
    place.record(2)
    assert shipper.run_once(5).shipped == 2
    [journal] = directory.journals()
    with changed(place, partition):
        later = place.record(3)
        waiting = shipper.run_once(0.5).waiting
        assert f"entries would be lost in {partition}: " in waiting
        place.refresh()
        assert place.client.count(index=partition)["count"] >= 3  # they were sent, as the inspection was recent
        assert Acknowledged.read(directory.journal(journal)).seq == 2
        assert [alarm["alarm"] for alarm in directory.alarms()] == ["not stored"]
    assert connected_shipper(place.settings).run_once(5).shipped == 3  # another one, as after a kill
    found = {hit["_source"]["seq"]: hit for hit in place.stored().values()}
    assert [found[entry["seq"]]["_source"] for entry in later] == later
    assert {hit["_version"] for hit in found.values()} == {1}
    assert Acknowledged.read(directory.journal(journal)).seq == 5


@pytest.mark.parametrize("change", ["alias", "replaced", "deleted"])
def test_a_partition_that_changed_harmlessly_during_a_request_gets_it_again(
    place: Corner, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    partition, cluster, changes = name(place, 2026, 1), Cluster(place.settings), [change]
    send(cluster, partition)

    def sent(*given: Any) -> list[Verdict]:
        verdicts = send_bulk(*given)
        match changes and changes.pop():
            case "alias":
                place.client.indices.put_alias(index=partition, name=f"{partition}-also")
            case "replaced":
                place.client.indices.delete(index=partition)
                place.client.indices.create(index=partition)
            case "deleted":
                place.client.indices.delete(index=partition)
        return verdicts

    monkeypatch.setattr("whodid.shipping.service.send_bulk", sent)
    new = [Document("new", partition, b'{"type":"t"}')]
    [verdict] = cluster.send(new)
    assert (verdict.kind, verdict.reason) == (
        "wait",
        f"{partition} was changed while entries were sent to it: they are sent again",
    )
    assert cluster.send(new)[0].kind == "stored"
    assert place.stored()["new"]["_version"] == 1


def test_a_partition_that_is_not_shown_yet_once_it_was_created_gets_its_entries_once(
    place: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whodid.shipping.service.find_partition", lambda *_: None)
    cluster, partition = Cluster(place.settings), name(place, 2026, 1)
    for number in range(3):
        assert cluster.send([Document(f"{number}", partition, b'{"type":"t"}')])[0].kind == "stored"


@pytest.mark.parametrize("status", [403, 500, 503])
def test_while_the_inspection_after_a_request_fails_entries_wait_and_are_not_sent_again(
    place: Corner, status: int
) -> None:
    partition = name(place, 2026, 1)
    new = [Document("new", partition, b'{"type":"t"}')]
    with FaultProxy(place.settings.opensearch_hosts[0]) as proxy:
        cluster = Cluster(replace(place.settings, opensearch_hosts=(proxy.url,)))
        send(cluster, partition)
        proxy.inject(answer(status, {"error": {"type": "x", "reason": "x"}, "status": status}), path="?flat_settings")
        assert [cluster.send(new)[0].kind for _ in range(3)] == ["wait"] * 3
        assert proxy.count("_bulk") == 2
        proxy.clear()
        assert cluster.send(new)[0].kind == "stored"
    assert place.stored()["new"]["_version"] == 1


def test_a_partition_that_lacks_a_field_takes_what_it_can_and_one_that_lacks_a_needed_one_gets_nothing(
    place: Corner,
) -> None:
    place.client.indices.delete_index_template(name=template_name(place.settings))
    for month, lacking, loses in ((1, "workspace_name", False), (2, "hash", True)):
        fields = {name: kind for name, kind in FIELD_TYPES.items() if name != lacking}
        body = mapping(_meta=MARK, dynamic="strict", properties=fields)
        place.client.indices.create(index=name(place, 2026, month), body=body)
        assert inspected(place.client, name(place, 2026, month)) == (
            Difference(f"it lacks the fields {lacking}", loses),
        )
    place.set_up()
    verdicts = send(Cluster(place.settings), name(place, 2026, 1), name(place, 2026, 2))
    assert [verdict.kind for verdict in verdicts] == ["stored"] * 2  # by the setup, which adds fields


def test_an_entry_without_its_content_is_a_finding_and_never_a_traceback(place: Corner) -> None:
    partition = partition_name(place.settings.index_prefix, "month", Stamp.now().creation_date)
    place.client.indices.create(index=partition, body=HARM["no content"][0])
    place.record(3)
    place.ship()  # without looking
    with AuditClient(**_given(place.settings)) as client:
        assert [entry["unreadable"] for entry in client.search()] == [CONTENTLESS] * 3
        found = verify_stored(client).findings
    assert {(one.kind, one.about) for one in found if CONTENTLESS in one.about} != set()
    for command in (
        ["search", "--limit=5"],
        ["search", "--json"],
        ["verify"],
        ["search", "--oldest"],
        ["report"],
        ["stats"],
    ):
        whodid(*place.arguments(*command))
    exported = Path(place.settings.journal_dir).with_name("entries.ndjson")
    whodid(*place.arguments("export", str(exported)))
    assert [json.loads(line) for line in exported.read_text().splitlines()] == [{"unreadable": CONTENTLESS}] * 3


def test_the_tab_shows_entries_without_their_content_as_what_they_are(place: Corner) -> None:
    partition = partition_name(place.settings.index_prefix, "month", Stamp.now().creation_date)
    place.client.indices.create(index=partition, body=HARM["no content"][0])
    place.record(3)
    place.ship()  # without looking
    app = create_app(is_root_user=lambda request: True, settings=place.settings, audit_reads=False)
    with served(app) as url, httpx.Client(base_url=url, timeout=30) as browser:
        for path in ("/", f"/entries/{next(iter(place.stored()))}", "/entries.json", "/export.csv", "/export.ndjson"):
            answer = browser.get(path)
            said = "stored without its content" in answer.text or path == "/export.csv"  # which has the fields alone
            assert (path, answer.status_code, said) == (path, 200, True)


def _given(settings: Settings) -> dict[str, Any]:
    return {"opensearch_hosts": settings.opensearch_hosts, "index_prefix": settings.index_prefix}


def test_the_writer_can_not_make_a_partition_and_waits_for_who_administers(
    secured_node: SecuredNode, tmp_path: Path
) -> None:
    with secured_corner(secured_node, tmp_path) as place:
        now = partition_name(place.settings.index_prefix, "month", Stamp.now().creation_date)
        assert inspected(place.client, now) == ()  # by the setup
        writer: dict[str, Any] = {"opensearch_user": account(place, "writer"), "opensearch_password": PASSWORD}
        theirs = replace(place.settings, **writer, opensearch_password_file="")
        place.record(2)
        assert connected_shipper(theirs).run_once(5).shipped == 2
        place.client.indices.delete(index=now)
        place.record(1)
        waiting = connected_shipper(theirs).run_once(1).waiting
        assert f"there is no partition {now}, and this user may not create it: run `whodid setup`" in waiting
        assert not place.client.indices.exists(index=now)
        assert [alarm["alarm"] for alarm in JournalDirectory(theirs.journal_dir).alarms()] == ["not stored"]
        with pytest.raises(OpenSearchError, match="is not the name of a partition"):
            plan_partitions(place.client, place.settings, ["somewhere"])
        older, admin = name(place, 2026, 1), connect(replace(theirs, opensearch_user=account(place, "admin")))
        apply(plan_partitions(admin, place.settings, [older]))
        admin.close()
        assert inspected(place.client, older) == ()
        assert connected_shipper(theirs).run_once(5).shipped == 1
        assert plan_partitions(place.client, place.settings) == ()


def test_a_difference_that_loses_nothing_is_left_out_of_what_is_lost() -> None:
    from whodid.cluster.template import losses

    assert losses((Difference("a"), Difference("b", loses=False), Difference("c"))) == "a; c"
