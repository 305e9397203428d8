"""What something else stored has its line in every form of an export."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from tests.export.foreign import DOCUMENTS, ODD
from tests.export.samples import FULL
from whodid.cluster.answers import AnswerSerializer
from whodid.export import FORMS, pieces
from whodid.export.forms import lines
from whodid.text import json_bytes, json_text


def parsed(document: str) -> dict[str, Any]:
    found: dict[str, Any] = AnswerSerializer().loads(document)
    return found


@pytest.mark.parametrize("form", [form for form in FORMS.values() if form.lines], ids=lambda form: form.name)
def test_each_odd_document_is_in_every_form(form: Any) -> None:
    for what, document in DOCUMENTS.items():
        data = b"".join(pieces(form, [parsed(document), FULL[0]])).removeprefix(form.head)
        text = data.decode()
        if form.name not in {"csv", "cef"}:
            odd = text.partition("\n")[0]
            assert "00 l" in what or isinstance(json.loads(odd, parse_constant=pytest.fail), dict), what
        assert data.endswith(b"".join(pieces(form, [FULL[0]])).removeprefix(form.head)), what


def test_each_odd_document_is_in_a_parquet_file() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    from whodid.export.forms import Columns

    file = io.BytesIO()
    with Columns(file) as columns:
        columns.add([parsed(document) for document in DOCUMENTS.values()])
    assert parquet.read_table(io.BytesIO(file.getvalue())).num_rows == len(DOCUMENTS)


@pytest.mark.parametrize("what", [name for name in ODD if "levels" not in name and "lists" not in name])
def test_what_is_written_is_json_and_means_what_was_stored(what: str) -> None:
    value = parsed(f'{{"value": {ODD[what]}}}')
    for text in (json_bytes(value).decode(), json_text(value), json_text(value, 2)):
        found = json.loads(text, parse_constant=pytest.fail)
        assert found == value or "beyond a float" in what or "digits" in what


def test_depth_costs_no_more_than_length() -> None:
    deep, wide = parsed(ODD["900 levels"]), {"a": list(range(20_000))}
    inner: dict[str, Any] = deep
    while isinstance(inner["a"], dict):
        inner = inner["a"]
    inner["a"] = wide
    assert json.loads(json_bytes(wide)) == wide
    assert len(json_text(deep, 2)) < 10 * len(json_text(wide, 2))


@pytest.mark.parametrize("indent", [None, 2])
def test_what_the_library_can_write_is_written_alike(indent: int | None) -> None:
    for entry in FULL:
        deep = entry
        assert json_text({"n": float("inf"), **deep}, indent).replace('"Infinity"', "1.0") == json_text(
            {"n": 1.0, **deep}, indent
        )
        assert json_bytes({**deep, "n": float("inf")}).replace(b'"Infinity"', b"1.0") == json_bytes({**deep, "n": 1.0})


def test_a_lone_surrogate_is_escaped_in_a_table() -> None:
    assert rb"x\ud800y" in lines([parsed(r'{"principal_name": "x\ud800y"}')])
