"""AnswerSerializer: the quick way gives what parsing gives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opensearchpy.exceptions import SerializationError

from tests.live.corner import Corner
from whodid.cluster.answers import AnswerSerializer
from whodid.cluster.bulk import Document
from whodid.text import RawAnswer

CREATED = {"create": {"status": 201}}
CONFLICT = {"create": {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "exists"}}}


def answer(errors: bool, *items: Any) -> str:
    return json.dumps({"errors": errors, "items": items}, separators=(",", ":"))


@pytest.mark.parametrize(
    "text",
    [
        answer(False, CREATED),
        answer(False, CREATED, CREATED, CREATED),
        answer(True, CREATED, CONFLICT, CREATED),
        answer(False),
        answer(True, CREATED),
        '{"took":1,"errors":false,"items":[{"create":{"status":201}}]}',
        '{"text":"{\\"create\\":{\\"status\\":201}}"}',
        '["{}"]',
    ],
)
def test_every_answer_is_read_as_json_says(text: str) -> None:
    found = AnswerSerializer().loads(text)
    assert json.loads(text) == (json.loads(found) if isinstance(found, RawAnswer) else found)


@pytest.mark.parametrize("text", ["", "{", answer(True, CREATED)[:-1], answer(True, CREATED) + "}"])
def test_half_an_answer_is_none(text: str) -> None:
    with pytest.raises(SerializationError):
        AnswerSerializer().loads(text)


@pytest.mark.live
def test_opensearch_answers_in_the_form_that_is_quick_to_read(place: Corner, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [Document(str(n), f"{place.settings.index_prefix}-2026.11", b'{"type":"t"}') for n in range(3)]

    def slowly(*_: object) -> Any:
        pytest.fail("this answer should not have to be parsed")

    with monkeypatch.context() as patched:
        patched.setattr("json.loads", slowly)
        patched.setattr("whodid.cluster.bulk.orjson.loads", slowly)
        verdicts = place.send(sent)
    assert [verdict.kind for verdict in verdicts] == ["stored"] * 3
