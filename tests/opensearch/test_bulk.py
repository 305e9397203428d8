"""Bulk: what each answer of the cluster, or of something in between, means for each entry."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opensearchpy import OpenSearch

from tests.live.corner import Corner
from tests.opensearch_node import SecuredNode
from whodid.cluster.bulk import STORED as DONE
from whodid.cluster.bulk import Document, send_bulk
from whodid.cluster.connection import connect
from whodid.settings import Settings

Answer = tuple[int, str, bytes]
"""Status, content type and body."""

JSON = "application/json"


class Front:
    """An HTTP server on a free port that answers each bulk request as the test says, and remembers the IDs in it."""

    def __init__(self, answer: Callable[[list[str]], Answer]) -> None:
        self.requests: list[list[str]] = []
        self.paths: list[str] = []
        self.actions: list[dict[str, str]] = []
        front = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                actions = [next(iter(json.loads(line).values())) for line in body.splitlines()[::2]]
                ids = [action["_id"] for action in actions]
                front.requests.append(ids)
                front.paths.append(self.path.partition("?")[0])
                front.actions += actions
                status, content_type, content = answer(ids)
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(content) + (7 if b"CUT" in content else 0)))
                self.end_headers()
                with suppress(OSError):  # a client that no longer waits
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.client = OpenSearch(
            hosts=[f"http://127.0.0.1:{self._server.server_port}"], max_retries=0, retry_on_timeout=False
        )

    def close(self) -> None:
        self.client.close()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def front() -> Iterator[Callable[[Callable[[list[str]], Answer]], Front]]:
    made: list[Front] = []

    def make(answer: Callable[[list[str]], Answer]) -> Front:
        made.append(Front(answer))
        return made[-1]

    yield make
    for one in made:
        one.close()


Make = Callable[[Callable[[list[str]], Answer]], Front]


def documents(count: int) -> list[Document]:
    return [Document(str(n), "a-2026.11", b'{"type":"t"}') for n in range(count)]


def failed(status: int, kind: str, reason: str = "because", **more: object) -> dict[str, Any]:
    return {"create": {"status": status, "error": {"type": kind, "reason": reason, **more}}}


REFUSED = {"type": "illegal_argument_exception", "reason": "explicit index in bulk is not allowed"}
WHOLE: Answer = (400, JSON, json.dumps({"error": REFUSED, "status": 400}).encode())
"""As OpenSearch answers to a request that it refuses as a whole."""


def items(*found: dict[str, Any], status: int = 200) -> Answer:
    return status, JSON, json.dumps({"errors": True, "items": found}).encode()


STORED = {"create": {"status": 201}}


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (STORED, "stored"),
        ({"create": {"status": 201, "result": "created", "_index": "a-2026.11", "_id": "0"}}, "stored"),
        ({"create": {"status": 200}}, "wait"),
        *(({"create": {"status": 200, "result": result}}, "wait") for result in ("noop", "updated", "deleted")),
        ({"index": {"status": 201, "result": "created"}}, "wait"),
        ({"update": {"status": 200, "result": "updated"}}, "wait"),
        ({"delete": {"status": 200, "result": "deleted"}}, "wait"),
        ({"create": {"status": 201, "_index": "elsewhere", "_id": "0"}}, "wait"),
        ({"create": {"status": 201, "_index": "a-2026.11", "_id": "another"}}, "wait"),
        ({"create": {"status": 409, "_index": "a-2026.11", "_id": "another"}}, "wait"),
        ({"create": {**failed(400, "mapper_parsing_exception")["create"], "_index": "elsewhere"}}, "wait"),
        (failed(201, "something_nobody_knows"), "wait"),
        ({"create": {"status": "201"}}, "wait"),
        ({"create": {"status": [201]}}, "wait"),
        ({"create": {"status": None}}, "wait"),
        ({"create": {"status": 202}}, "wait"),
        (failed(409, "something_nobody_knows"), "wait"),
        ({"create": {"status": 400, "error": {"type": ["a", "list"], "reason": {"not": "a text"}}}}, "wait"),
        ({"create": {"status": 400, "error": ["a list"]}}, "wait"),
        (failed(500, "fail_processor_exception"), "wait"),
        (failed(400, "illegal_argument_exception", "pipeline with id [p] does not exist"), "wait"),
        (failed(429, "cluster_block_exception", "index [a] blocked by: [TOO_MANY_REQUESTS/12/flood-stage]"), "wait"),
        (failed(429, "opensearch_rejected_execution_exception"), "wait"),
        (failed(403, "cluster_block_exception", "blocked by: [FORBIDDEN/8/index write (api)]"), "wait"),
        (failed(403, "security_exception"), "wait"),
        (failed(400, "index_closed_exception"), "wait"),
        (failed(404, "index_not_found_exception"), "wait"),
        (failed(503, "unavailable_shards_exception"), "wait"),
        (failed(500, "something_nobody_knows"), "wait"),
        (failed(400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded"), "wait"),
        (failed(400, "strict_dynamic_mapping_exception"), "refused"),
        (failed(400, "mapper_parsing_exception", "failed to parse"), "refused"),
        (failed(400, "illegal_argument_exception", "Document contains at least one immense term in x"), "refused"),
        ({"create": {"status": 500, "error": "a string"}}, "wait"),
        ({"create": {}}, "wait"),
        ({}, "wait"),
    ],
)
def test_an_item_is_judged_by_its_kind_of_error(front: Make, item: dict[str, Any], kind: str) -> None:
    sent = front(lambda _ids: items(item))
    assert [verdict.kind for verdict in send_bulk(sent.client, documents(1), 5)] == [kind]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"status": 200, "result": "noop"}, "did not store an entry for a-2026.11: remove the ingest pipeline"),
        ({"status": 201, "_index": "elsewhere"}, "an entry for a-2026.11 in the index elsewhere: remove the alias"),
        ({"status": 409, "_id": "another"}, "an entry for a-2026.11 under the ID another: remove"),
        (failed(400, "script_exception", "no way")["create"], "script_exception: no way"),
        (failed(500, "fail_processor_exception", "no way")["create"], "fail_processor_exception: no way"),
    ],
)
def test_what_a_pipeline_or_an_alias_does_is_said(front: Make, item: dict[str, Any], said: str) -> None:
    [verdict] = send_bulk(front(lambda _ids: items({"create": item})).client, documents(1), 5)
    assert said in verdict.reason
    assert verdict.cause == "configuration"


def test_the_reason_carries_the_cluster_s_own_words_and_the_cause(front: Make) -> None:
    item = failed(400, "mapper_parsing_exception", "failed to parse", caused_by={"reason": "not an IP"})
    [verdict] = send_bulk(front(lambda _ids: items(item)).client, documents(1), 5)
    assert verdict.reason == "mapper_parsing_exception: failed to parse (not an IP)"


def test_each_item_gets_its_own_verdict_in_order(front: Make) -> None:
    answer = items(STORED, failed(429, "cluster_block_exception"), failed(400, "mapper_parsing_exception"), STORED)
    verdicts = send_bulk(front(lambda _ids: answer).client, documents(4), 5)
    assert [verdict.kind for verdict in verdicts] == ["stored", "wait", "refused", "stored"]


@pytest.mark.parametrize(
    "answer",
    [
        (503, JSON, b'{"error":{"type":"cluster_manager_not_discovered_exception","reason":"x"},"status":503}'),
        (503, "text/html", b"<html>Service Unavailable</html>"),
        (502, "text/html", b"<html>Bad Gateway</html>"),
        (200, "text/html", b"<html>Please log in</html>"),
        (200, JSON, b'{"errors":false,"items":[{"create":{"status":201}},{"crea'),
        (200, JSON, b'{"errors":false,"items":["CUT'),
        (200, JSON, b""),
        (200, JSON, b"[]"),
        (200, JSON, b"{}"),
        (200, JSON, b'{"took":3}'),
        (200, JSON, b'{"errors":"no","items":"none"}'),
        (200, JSON, b'{"errors":false,"items":[{"create":{"status":201}}]}'),
        (200, JSON, b'{"errors":false,"items":[%b]}' % b",".join([b'{"create":{"status":201}}'] * 4)),
        (200, JSON, b'{"errors":false,"items":[{"create":{"status":201}},]}'),
        (201, JSON, b'{"result":"created"}'),
        (401, JSON, b'{"error":"Unauthorized"}'),
        (403, JSON, b'{"error":{"type":"security_exception","reason":"no permissions"},"status":403}'),
        (404, "text/plain", b"not here"),
        (429, JSON, b'{"error":{"type":"circuit_breaking_exception","reason":"x"},"status":429}'),
        (400, "text/html", b"<html>The plain HTTP request was sent to HTTPS port</html>"),
        (400, JSON, b'{"error":"no handler found for uri [/_bulk] and method [POST]"}'),
    ],
    ids=lambda answer: f"{answer[0]}-{answer[2][:25]!r}",
)
def test_an_answer_that_says_nothing_of_the_entries_lets_all_of_them_wait(front: Make, answer: Answer) -> None:
    sent = front(lambda _ids: answer)
    verdicts = send_bulk(sent.client, documents(3), 5)
    assert [verdict.kind for verdict in verdicts] == ["wait"] * 3
    assert all(verdict.reason and "\n" not in verdict.reason for verdict in verdicts)
    assert len(sent.requests) == 1


def test_no_connection_waits_and_says_so() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    port = server.server_port
    server.server_close()
    client = OpenSearch(hosts=[f"http://127.0.0.1:{port}"], max_retries=0)
    [verdict] = send_bulk(client, documents(1), 5)
    client.close()
    assert (verdict.kind, verdict.reason.split(":")[0]) == ("wait", "no connection")


def test_a_cluster_that_hangs_waits_after_the_time_out(front: Make) -> None:
    over = threading.Event()

    def hang(_ids: list[str]) -> Answer:
        over.wait(30)
        return items(STORED)

    sent = front(hang)
    [verdict] = send_bulk(sent.client, documents(1), 0.2)
    over.set()
    assert verdict.kind == "wait"


@pytest.mark.parametrize("count", [1, 3])
def test_a_request_that_is_too_large_waits_for_a_smaller_one(front: Make, count: int) -> None:
    sent = front(lambda _ids: (413, "text/html", b"<html>Too Large</html>"))
    verdicts = send_bulk(sent.client, documents(count), 5)
    assert [(verdict.kind, verdict.cause) for verdict in verdicts] == [("wait", "too_large")] * count
    assert len(sent.requests) == 1


def test_one_entry_that_makes_the_whole_request_a_400_is_found_by_halving(front: Make) -> None:
    body = b'{"error":{"type":"illegal_argument_exception","reason":"Malformed action/metadata line [3]"},"status":400}'

    def answer(ids: list[str]) -> Answer:
        return (400, JSON, body) if "6" in ids else items(*[STORED] * len(ids))

    sent = front(answer)
    verdicts = send_bulk(sent.client, documents(9), 5)
    assert [verdict.kind for verdict in verdicts] == ["stored"] * 6 + ["refused"] + ["stored"] * 2
    assert "illegal_argument_exception" in verdicts[6].reason


@pytest.mark.parametrize("count", [1, 3, 40])
def test_a_request_that_is_refused_whatever_is_in_it_is_not_the_entries_fault(front: Make, count: int) -> None:
    sent = front(lambda _ids: WHOLE)
    verdicts = send_bulk(sent.client, documents(count), 5)
    assert [(verdict.kind, verdict.cause) for verdict in verdicts] == [("wait", "request")] * count
    assert verdicts[0].reason == f"HTTP 400: illegal_argument_exception: {REFUSED['reason']}"
    assert len(sent.requests) < 10


def test_the_entries_to_blame_are_found_wherever_they_stand_among_many(front: Make) -> None:
    bad = {"0", "1", "2", "38", "39"}
    sent = front(lambda ids: WHOLE if bad & set(ids) else items(*[STORED] * len(ids)))
    verdicts = send_bulk(sent.client, documents(40), 5)
    assert {str(place) for place, verdict in enumerate(verdicts) if verdict.kind == "refused"} == bad
    assert [verdict.kind for verdict in verdicts].count("stored") == 35


def test_an_entry_is_not_to_blame_while_the_others_wait_for_something_else(front: Make) -> None:
    sent = front(lambda ids: WHOLE if "0" in ids else (503, JSON, b"{}"))
    assert {verdict.kind for verdict in send_bulk(sent.client, documents(4), 5)} == {"wait"}


def test_a_request_is_for_one_partition_named_in_its_path_and_for_no_pipeline(front: Make) -> None:
    answered = {"0": STORED, "1": failed(503, "x"), "2": failed(400, "mapper_parsing_exception"), "3": STORED}
    sent = front(lambda ids: items(*(answered[id_] for id_ in ids)))
    mixed = [Document(str(n), f"a-2026.1{n % 2}", b"{}") for n in range(4)]
    assert [verdict.kind for verdict in send_bulk(sent.client, mixed, 5)] == ["stored", "wait", "refused", "stored"]
    assert dict(zip(sent.paths, sent.requests, strict=True)) == {
        "/a-2026.10/_bulk": ["0", "2"],
        "/a-2026.11/_bulk": ["1", "3"],
    }
    assert sorted(sent.actions, key=str) == [{"_id": str(n)} for n in range(4)]


def test_where_nobody_answers_the_other_partitions_are_not_tried(front: Make) -> None:
    over = threading.Event()
    sent = front(lambda _ids: (over.wait(30), items(STORED))[1])
    verdicts = send_bulk(sent.client, [Document(str(n), f"a-2026.{n + 10}", b"{}") for n in range(3)], 0.2)
    over.set()
    assert [verdict.cause for verdict in verdicts] == ["time_out"] * 3
    assert len(sent.requests) == 1


@pytest.mark.live
def test_a_final_pipeline_that_drops_renames_or_fails_lets_entries_wait_and_a_default_one_is_passed_by(
    place: Corner, request: pytest.FixtureRequest
) -> None:
    index = f"{place.settings.index_prefix}-2026.11"
    place.send([Document("first", index, b'{"type":"t"}')])
    no_pipeline = {"index.final_pipeline": None, "index.default_pipeline": None}
    processors = {
        "dropped": {"drop": {}},
        "renamed": {"set": {"field": "_id", "value": "first"}},
        "failed": {"fail": {"message": "no way"}},
    }
    for name, processor in processors.items():
        pipeline = f"{place.settings.index_prefix}-{name}"
        place.client.ingest.put_pipeline(id=pipeline, body={"processors": [processor]})
        request.addfinalizer(partial(place.client.ingest.delete_pipeline, id=pipeline))
        place.client.indices.put_settings(index=index, body={**no_pipeline, "index.final_pipeline": pipeline})
        [verdict] = place.send([Document(name, index, b'{"type":"t"}')])
        assert (verdict.kind, verdict.cause) == ("wait", "configuration")
        place.client.indices.put_settings(index=index, body={**no_pipeline, "index.default_pipeline": pipeline})
        assert place.send([Document(name, index, b'{"type":"t"}')])[0].kind == "stored"
    assert sorted(place.stored()) == ["dropped", "failed", "first", "renamed"]


CONFLICT = {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "exists"}}


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ({"status": 200, "result": "updated"}, "stored"),
        ({"status": 201, "result": "created"}, "stored"),
        (CONFLICT, "stored"),
        (failed(400, "validation_exception")["create"], "stored"),
        ({"status": 200, "result": "noop"}, "wait"),
        ({"status": 200}, "wait"),
        ({"status": 200, "result": "updated", "_index": "elsewhere"}, "wait"),
        (failed(503, "unavailable_shards_exception")["create"], "wait"),
        (failed(403, "security_exception")["create"], "wait"),
        (failed(400, "mapper_parsing_exception")["create"], "refused"),
    ],
)
def test_what_exists_already_is_replaced_unless_it_has_a_higher_version(
    front: Make, item: dict[str, Any], kind: str
) -> None:
    answers = iter([items(STORED, {"create": CONFLICT}, STORED), items({"index": item})])
    sent = front(lambda _ids: next(answers))
    assert [one.kind for one in send_bulk(sent.client, documents(3), 5)] == ["stored", kind, "stored"]
    assert sent.requests == [["0", "1", "2"], ["1"]]
    assert sent.actions[3:] == [{"_id": "1", "version": 1, "version_type": "external_gte"}]


def test_a_cluster_that_can_not_replace_keeps_what_it_has(front: Make) -> None:
    sent = front(lambda _ids: WHOLE if "version" in sent.actions[-1] else items(*[{"create": CONFLICT}] * 3))
    assert [one.kind for one in send_bulk(sent.client, documents(3), 5)] == ["stored"] * 3


def test_an_entry_to_blame_is_found_among_those_that_exist_already(front: Make) -> None:
    def answer(ids: list[str]) -> Answer:
        if "3" in ids:
            return WHOLE
        replaced = len(sent.actions) > 0 and "version" in sent.actions[-1]
        return items(
            *[{"index": {"status": 200, "result": "updated"}} if replaced else {"create": CONFLICT}] * len(ids)
        )

    sent = front(answer)
    kinds = [verdict.kind for verdict in send_bulk(sent.client, documents(6), 5)]
    assert kinds == ["stored"] * 3 + ["refused"] + ["stored"] * 2


@pytest.mark.live
def test_what_a_pipeline_changed_is_replaced_and_what_somebody_changed_later_is_left(
    place: Corner, request: pytest.FixtureRequest
) -> None:
    index, pipeline = f"{place.settings.index_prefix}-2026.11", f"{place.settings.index_prefix}-other"
    sent = [Document(id_, index, b'{"type":"t","target":"x"}') for id_ in ("spoiled", "erased")]
    place.client.ingest.put_pipeline(id=pipeline, body={"processors": [{"set": {"field": "target", "value": "y"}}]})
    request.addfinalizer(partial(place.client.ingest.delete_pipeline, id=pipeline))
    place.client.indices.create(index=index, body={"settings": {"index.final_pipeline": pipeline}})
    place.send(sent)
    place.client.indices.put_settings(index=index, body={"index.final_pipeline": None})
    place.client.index(index=index, id="erased", body={"type": "t"})
    assert [verdict.kind for verdict in place.send(sent)] == ["stored"] * 2
    found = {id_: (hit["_version"], hit["_source"]) for id_, hit in place.stored().items()}
    assert found == {"spoiled": (1, {"type": "t", "target": "x"}), "erased": (2, {"type": "t"})}


@pytest.mark.live
def test_an_index_in_which_nothing_can_be_replaced_stops_nothing(place: Corner) -> None:
    index = f"{place.settings.index_prefix}-2026.11"
    place.client.indices.create(index=index, body={"settings": {"index.append_only.enabled": True}})
    sent = [Document("one", index, b'{"type":"t"}')]
    assert [place.send(sent)[0].kind for _ in range(2)] == ["stored"] * 2


@pytest.mark.live
def test_an_immutable_index_stops_nothing(secured_node: SecuredNode) -> None:
    """The node is started with `immutable_indices: ["immutable-*"]`; what is made under it can't be deleted again."""
    settings = Settings(**secured_node.settings(index_prefix=f"immutable-{secrets.token_hex(4)}"))
    sent = [Document("one", f"{settings.index_prefix}-2026.11", b'{"type":"t"}')]
    with closing(connect(settings)) as client:
        assert [send_bulk(client, sent, 30)[0] for _ in range(2)] == [DONE] * 2


@pytest.mark.live
def test_an_entry_is_stored_once_however_often_it_is_sent(place: Corner) -> None:
    index = f"{place.settings.index_prefix}-2026.11"
    sent = [Document("one", index, b'{"type":"t","target":"x"}')]
    assert [place.send(sent)[0].kind for _ in range(3)] == ["stored"] * 3
    assert {id_: hit["_version"] for id_, hit in place.stored().items()} == {"one": 1}
    assert place.stored()["one"]["_source"] == {"type": "t", "target": "x"}


@pytest.mark.live
def test_what_the_mapping_refuses_is_refused_and_its_neighbours_are_stored(place: Corner) -> None:
    index = f"{place.settings.index_prefix}-2026.11"
    lines = {
        "good": b'{"type":"t"}',
        "field": b'{"unknown":1}',
        "ip": b'{"client_ip":"x"}',
        "json": b'{"type":',
        "term": b'{"details":{"a":"%s"}}' % (b"x" * 33_000),
        "last": b'{"type":"u"}',
    }
    verdicts = dict(zip(lines, place.send([Document(id_, index, raw) for id_, raw in lines.items()]), strict=True))
    kinds = {id_: verdict.kind for id_, verdict in verdicts.items()}
    assert kinds == dict.fromkeys(lines, "refused") | {"good": "stored", "last": "stored"}
    assert verdicts["field"].reason.startswith("strict_dynamic_mapping_exception")
    assert set(place.stored()) == {"good", "last"}


@pytest.mark.live
def test_an_id_that_is_too_long_costs_only_itself(place: Corner) -> None:
    index = f"{place.settings.index_prefix}-2026.11"
    ids = ["a", "b", "x" * 513, "c", "d"]
    verdicts = place.send([Document(id_, index, b'{"type":"t"}') for id_ in ids])
    assert [verdict.kind for verdict in verdicts] == ["stored", "stored", "refused", "stored", "stored"]
    assert sorted(place.stored()) == ["a", "b", "c", "d"]


@pytest.mark.live
def test_a_closed_index_waits_and_goes_on_when_it_is_opened(place: Corner) -> None:
    index = f"{place.settings.index_prefix}-2026.11"
    place.send([Document("first", index, b'{"type":"t"}')])
    place.client.indices.close(index=index)
    [verdict] = place.send([Document("second", index, b'{"type":"t"}')])
    assert verdict.kind == "wait"
    assert "index_closed_exception" in verdict.reason
    place.client.indices.open(index=index)
    assert place.send([Document("second", index, b'{"type":"t"}')])[0].kind == "stored"


@pytest.mark.live
@pytest.mark.parametrize("block", ["index.blocks.write", "index.blocks.read_only_allow_delete"])
def test_a_write_block_and_a_flood_stage_wait(place: Corner, block: str) -> None:
    index = f"{place.settings.index_prefix}-2026.11"
    place.send([Document("first", index, b'{"type":"t"}')])
    place.client.indices.put_settings(index=index, body={block: True})
    [verdict] = place.send([Document("second", index, b'{"type":"t"}')])
    assert (verdict.kind, verdict.reason.split(":")[0]) == ("wait", "cluster_block_exception")
    place.client.indices.put_settings(index=index, body={block: None})
    assert place.send([Document("second", index, b'{"type":"t"}')])[0].kind == "stored"
