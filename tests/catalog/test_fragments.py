"""The schemas of `details`, `before` and `after`: what is refused at the call, at loading, and never read or shown."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import whodid
from tests.catalogs import INVOICE
from tests.recording import WHO, configured, recorded
from whodid.catalog import Catalog
from whodid.errors import CatalogError, InvalidEntry
from whodid.resources import resource_text

REFUND = """
[types.invoice_refunded.details]
required = ["amount"]

[types.invoice_refunded.details.properties]
amount = { type = "number", minimum = 0 }
due = { type = "string", format = "date" }
at = { type = "string", format = "date-time" }
currency = { enum = ["EUR", "USD"] }
note = { type = ["string", "null"], maxLength = 2000 }
closed = { additionalProperties = false, properties.name = {} }
lines = { type = "array", items = { type = "object", required = ["sku"], properties.sku = { pattern = "^[A-Z]+$" } } }
"""
CANARY = "hunter2-canary"
CATALOG = Catalog.parse(INVOICE + REFUND)


def said(details: Any, catalog: Catalog = CATALOG, **fields: Any) -> str:
    """What a refused call is told."""
    entry = {"target": "7", "principal": "42", "details": details, **fields}
    assert not catalog.fits("invoice_refunded")(entry)
    entry |= {"type": "invoice_refunded", "target_type": "invoice", "schema_version": "2.0"}
    entry |= {"creation_date": "2026-11-23T08:15:30Z", "@timestamp": "2026-11-23T08:15:30.000001Z"}
    with pytest.raises(InvalidEntry) as caught:
        catalog.check(entry)
    return str(caught.value)


def complaint(rules: str) -> str:
    """What a refused catalog is told."""
    with pytest.raises(CatalogError) as caught:
        Catalog.parse(INVOICE + rules, name="own/events.toml")
    assert "\n" not in str(caught.value)
    prefix = "own/events.toml, [types.invoice_refunded]: "
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


@pytest.mark.parametrize(
    ("details", "told"),
    [
        ({}, "details.amount is required: a number, minimum = 0; pass details={'amount': …}"),
        ({"amount": "30"}, "details.amount must be a number, not str"),
        ({"amount": True}, "details.amount must be a number, not bool"),
        ({"amount": None}, "details.amount must be a number, not None"),
        ({"amount": -1}, "details.amount breaks the rule minimum = 0"),
        ({"amount": 1, "due": "31.1.2027"}, "details.due must be a date such as 2027-01-31"),
        ({"amount": 1, "due": "2027-02-30"}, "details.due must be a date such as 2027-01-31"),
        ({"amount": 1, "at": "2027-01-31"}, "details.at must be a date and time such as 2027-01-31T08:15:30Z"),
        ({"amount": 1, "currency": "CHF"}, "details.currency must be one of EUR, USD"),
        ({"amount": 1, "note": 5}, "details.note must be a string or None, not int"),
        ({"amount": 1, "note": "x" * 2001}, "details.note breaks the rule maxLength = 2000"),
        ({"amount": 1, "closed": {"nam": 1}}, "details.closed.nam is not allowed (did you mean 'name'?); leave it out"),
        ({"amount": 1, "lines": {}}, "details.lines must be a list, not dict"),
        ({"amount": 1, "lines": [{}]}, "details.lines[0].sku is required"),
        (
            {"amount": 1, "lines": [{"sku": "A"}, {"sku": "a"}]},
            'details.lines[1].sku breaks the rule pattern = "^[A-Z]+$"',
        ),
    ],
)
def test_a_call_that_breaks_its_schema_is_told_the_path_and_the_rule(details: Any, told: str) -> None:
    assert said(details).startswith(f"invoice_refunded: {told}")


def test_what_keeps_the_schema_is_recorded_with_further_keys() -> None:
    given = {"amount": 30.5, "due": "2027-01-31", "note": None, "lines": [{"sku": "A", "n": 1}], "more": {"a": 1}}
    assert CATALOG.fits("invoice_refunded")({"target": "7", "principal": "42", "details": given})


def test_every_rule_that_is_broken_is_named_at_once_but_at_most_ten() -> None:
    told = said({"due": CANARY, "currency": CANARY})
    assert told.count("; ") == 3  # one is within a message
    assert said({"amount": 1, "lines": [CANARY] * 5000}).count("must be a dict") == 10


_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([CANARY, 7, 7.5, None, True, [CANARY], {"sku": CANARY}, {CANARY.replace("-", ""): 1}]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["sku", "name", "a"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["amount", "due", "at", "currency", "note", "closed", "lines"]), _VALUES))
def test_a_refusal_never_repeats_a_value_and_always_has_words(details: dict[str, Any]) -> None:
    if not CATALOG.fits("invoice_refunded")({"target": "7", "principal": "42", "details": details}):
        assert CANARY not in said(details)
        assert "audit-entry.schema.json" not in said(details)


@pytest.mark.parametrize(
    ("rules", "details"),
    [
        ("allOf = [false]", {}),
        ('not = { required = ["a"] }', {"a": 1}),
        ("properties.a.prefixItems = [false]", {"a": [1]}),
        ("properties.a = false", {"a": {}}),
        ("properties.type = false", {"type": 1}),
        ("properties.required = false", {"required": 1}),
        ("properties.additionalProperties = false", {"additionalProperties": 5}),
        ('if = { required = ["a"] }\nthen = { required = ["b"] }', {"a": 1}),
        ("properties.a = { contains = { const = 1 } }", {"a": [2]}),
        ('properties.a.oneOf = [{ type = "string" }, { maxLength = 3 }]', {"a": "b"}),
        ("properties.a = { uniqueItems = true }", {"a": [1, 1]}),
        ('propertyNames.pattern = "^[a-z]$"', {"AB": 1}),
        ('patternProperties."^x".type = "string"', {"xa": 5}),
        ('dependentRequired.a = ["b"]', {"a": 1}),
        ("dependentSchemas.a.properties.b = false", {"a": 1, "b": 2}),
        ("properties.a.multipleOf = 3", {"a": 4}),
    ],
)
def test_every_keyword_that_refuses_has_words(rules: str, details: Any) -> None:
    told = said(details, Catalog.parse(INVOICE + f"[types.invoice_refunded.details]\n{rules}"))
    assert told.startswith("invoice_refunded: details")


@pytest.mark.parametrize("rules", ['required = ["a"]', "minProperties = 1", 'anyOf = [{ required = ["a"] }]'])
def test_where_an_empty_object_breaks_the_schema_details_are_required(rules: str) -> None:
    catalog = Catalog.parse(INVOICE + f"[types.invoice_refunded.details]\n{rules}")
    assert not catalog.fits("invoice_refunded")({"target": "7", "principal": "42"})
    assert "details" in catalog.json_schema()["$defs"]["invoice_refunded"]["required"]


def test_before_and_after_are_checked_if_they_are_given() -> None:
    catalog = Catalog.parse(INVOICE + 'after = { required = ["total"], properties.total.type = "integer" }')
    assert catalog.fits("invoice_refunded")({"target": "7", "principal": "42"})
    assert "after.total must be an integer, not str" in said({}, catalog, after={"total": CANARY})
    assert "after.total is required" in said({}, catalog, after={})


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (
            "details.properties.a.minimun = 0",
            "details.properties.a: unknown keyword 'minimun' (did you mean 'minimum'?)",
        ),
        ('details.reason = "string"', "a rule for the key reason is written properties.reason = { … }"),
        ('details.properties.a = "string"', "details.properties.a is not valid: "),
        ('details.properties.a.type = "strng"', "'strng' is unknown (did you mean 'string'?); known are string,"),
        (
            'details.properties.a = { type = "string", minimum = 0 }',
            "details.properties.a.type is not valid: a keyword",
        ),
        ('details.properties.a.format = "dat"', "'dat' is unknown (did you mean 'date'?); known are date,"),
        ('details.properties.a.minimum = "3"', 'details.properties.a.minimum is not valid: "3" is not of type'),
        ("details.properties.a.enum = []", "details.properties.a.enum is not valid"),
        ("details.properties = 5", "details.properties is not valid"),
        ("details.allOf = [5]", "details.allOf.0 is not valid"),
        ('details."$ref" = "https://example.com/x"', "references are not followed"),
        (
            'details.properties.a."$ref" = "file:///etc/passwd"',
            "details.properties.a: unknown keyword '$ref'; references",
        ),
        ('details."$defs".a = {}', "references are not followed"),
        (
            'details."$schema" = "http://json-schema.org/draft-07/schema#"',
            "details: $schema must be https://json-schema",
        ),
        ('details.type = "array"', 'details.type must be "object", which may also be left out'),
        ("details.properties.a.const = 2027-01-31", "details.properties.a.const is of type date, which is not JSON"),
        ("details.properties.a.maximum = inf", "details.properties.a.maximum is NaN or infinite"),
        ('details.properties.a.pattern = "("', 'details.properties.a.pattern is not valid: "(" is not a "regex"'),
        ('details.properties.a.pattern = "(?=a)"', "no look-around, back-references"),
        ("details.properties.a.pattern = '(a)\\1'", "no look-around, back-references"),
        ("details.properties.a.pattern = '(?:\\w{1000}){1000}'", "large repetitions"),
        ("details.items = []", "details.items is not valid"),
        (f"details.properties.a.enum = ['{'x' * 70_000}']", "details: the schema has more than 65,536 bytes"),
        (f"details{'.properties.a' * 30} = {{}}", "details: the schema nests more than 48 levels deep"),
    ],
)
def test_a_schema_that_can_t_be_used_is_told_where_and_why(rules: str, told: str) -> None:
    assert told in complaint(rules)


def test_a_pattern_that_takes_another_engine_exponential_time_takes_none(tmp_path: Path) -> None:
    catalog = Catalog.parse(INVOICE + 'details.properties.a.pattern = "^(a|aa)+$"')
    assert "pattern" in said({"a": "a" * 30_000 + "!"}, catalog)


def test_the_words_of_types_and_formats_are_those_of_the_committed_schema_of_schemas() -> None:
    rules = json.loads(resource_text("config/details.schema.json"))
    jsonschema_rs.meta.validate(rules)
    assert rules["dependentSchemas"].keys() < rules["properties"].keys()
    of_any_type = ["type", "const", "enum", "allOf", "anyOf", "oneOf", "not", "if", "then", "else"]
    about = ["$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"]
    assert rules["properties"].keys() - rules["dependentSchemas"].keys() == {*of_any_type, *about}


def loaded(tmp_path: Path, name: str = "refund.schema.json") -> Catalog:
    path = tmp_path / "events.toml"
    path.write_text(INVOICE + f"details = {json.dumps(name)}")
    return Catalog.load(path)


def test_a_schema_may_be_a_file_beside_the_catalog_and_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/refund"}
    file = tmp_path / "refund.schema.json"
    file.write_text(json.dumps({**schema, "required": ["amount"], "properties": {"amount": {"type": "number"}}}))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    catalog = loaded(tmp_path)
    file.unlink()
    assert "details.amount must be a number, not str" in said({"amount": CANARY}, catalog)
    jsonschema_rs.meta.validate(catalog.json_schema())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "refund.schema.json is not a file; name a JSON Schema, relative to the catalog"),
        (b"{", "refund.schema.json is not JSON: "),
        (b"\xff", "refund.schema.json is not JSON: "),
        (b"[]", "details must be a JSON Schema"),
        (b"[" * 50_000, "refund.schema.json is not JSON: "),
        (b'{"minimum": 1e400}', "refund.schema.json is not JSON: "),
        (b" " * 70_000, "refund.schema.json has more than 65,536 bytes"),
        (b'{"requird": ["a"]}', "details: unknown keyword 'requird' (did you mean 'required'?)"),
    ],
)
def test_a_file_that_can_t_be_used_is_named_with_its_table_and_key(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / "refund.schema.json").write_bytes(content)
    with pytest.raises(CatalogError) as caught:
        loaded(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'events.toml'}, [types.invoice_refunded]: details")
    assert told in str(caught.value)


def test_a_pipe_a_folder_and_a_nameless_file_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "", "a\0b", "/dev/zero"):
        with pytest.raises(CatalogError, match="is not a file"):
            loaded(tmp_path, name)


def test_a_type_adds_to_the_schema_of_its_resource() -> None:
    resource = INVOICE.replace(
        "\n[types", 'details = { required = ["a"], properties.a.type = "string", minProperties = 1 }\n[types'
    )
    catalog = Catalog.parse(
        resource + 'details = { required = ["b"], properties.b.type = "number", minProperties = 3 }'
    )
    assert catalog.types["invoice_refunded"].rules.details == {
        "type": "object",
        "required": ["a", "b"],
        "properties": {"a": {"type": "string"}, "b": {"type": "number"}},
        "minProperties": 3,
    }


@pytest.fixture
def journal_dir(tmp_path: Path) -> Path:
    path = tmp_path / "events.toml"
    path.write_text(INVOICE + REFUND)
    return configured(tmp_path, catalog=str(path))


def audit(**details: Any) -> None:
    with whodid.context(**WHO):
        whodid.get_logger().audit("invoice_refunded", target="7", details=details)


STORED = jsonschema_rs.Draft202012Validator(CATALOG.json_schema(), validate_formats=True)


@pytest.mark.parametrize(
    "large",
    [
        {"lines": [{"sku": "A" * 200}] * 200},
        {f"key{n}": "value " * 8 for n in range(600)},
        {"note": None, "log": "x" * 40_000, "lines": [{"sku": "B" * 2000}] * 8},
    ],
)
def test_an_entry_is_checked_before_it_is_shortened_and_is_still_valid_as_it_is_stored(
    journal_dir: Path, large: dict[str, Any]
) -> None:
    audit(amount=30, **large)
    with pytest.raises(InvalidEntry, match=r"details\.amount must be a number, not str"):
        audit(amount=CANARY, **large)
    [entry] = recorded(journal_dir)
    assert entry["details"]["amount"] == 30
    assert any(name.startswith("details") for name in entry["shortened"])
    STORED.validate(entry)


def test_a_stored_entry_that_was_not_shortened_there_keeps_its_schema(journal_dir: Path) -> None:
    audit(amount=30, api_key=CANARY)
    [entry] = recorded(journal_dir)
    assert entry["details"] == {"amount": 30, "api_key": "[hidden]"}
    STORED.validate(entry)
    cases: list[dict[str, Any]] = [{}, {"shortened": {"user_agent": {"bytes": 3000}}}, {"shortened": {"detailsx": {}}}]
    for shortened in cases:
        assert not STORED.is_valid({**entry, "details": {"amount": "30"}, **shortened})
        assert STORED.is_valid({**entry, **shortened})


def test_a_secret_in_the_value_of_a_declared_key_is_still_replaced(journal_dir: Path) -> None:
    audit(amount=1, note="see https://ada:hunter2@example.com")
    assert recorded(journal_dir)[0]["details"] == {"amount": 1, "note": "[hidden]"}


def test_closed_details_let_a_failed_action_say_what_failed(tmp_path: Path) -> None:
    path = tmp_path / "events.toml"
    path.write_text(INVOICE + "details = { additionalProperties = false }")
    journal_dir = configured(tmp_path, catalog=str(path))
    with (
        whodid.context(**WHO),
        pytest.raises(ZeroDivisionError),
        whodid.get_logger().auditing("invoice_refunded", target="7"),
    ):
        _ = 1 / 0
    assert recorded(journal_dir)[1]["details"] == {"error": "ZeroDivisionError"}
    with pytest.raises(InvalidEntry, match=r"details\.x is not allowed"):
        audit(x=1)


def test_of_the_large_values_the_required_ones_are_cut_last(tmp_path: Path) -> None:
    path = tmp_path / "events.toml"
    path.write_text(INVOICE + 'details.required = ["note"]')
    journal_dir = configured(tmp_path, catalog=str(path))
    audit(note="n" * 20_000, log="x" * 15_000)
    [entry] = recorded(journal_dir)
    assert (entry["details"]["note"], list(entry["shortened"])) == ("n" * 20_000, ["details.log"])
