"""The comparison: each change that stored entries would not survive is found, and what to do is said."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from whodid.catalog import Catalog
from whodid.catalog.comparison import compare, read_schema
from whodid.errors import CatalogError

Schema = dict[str, Any]

DOOR = """
[resources.door]
label = "Doors"
target = "the door's ID"

[resources.gate]
label = "Gates"
target = "the gate's ID"

[types.door_opened]
resource = "door"
event = "open"
about = "A door was opened."
"""
BY = "details.properties.by = {{ {} }}\ndetails.required = ['by']\n"
CLOSED = '[types.door_closed]\nresource = "door"\nevent = "close"\nabout = "A door was closed."\n'


def schema(more: str = "", text: str = DOOR) -> Schema:
    return Catalog.parse(text + more).json_schema()


def findings(before: Schema, now: Schema) -> list[tuple[str, str, str]]:
    return [(finding.level, finding.kind, finding.name) for finding in compare(before, now)]


def about(before: Schema, now: Schema) -> str:
    [finding] = compare(before, now)
    assert "\n" not in finding.about
    return finding.about


def changed(change: Callable[[Schema, Schema], object], version: str = "2.0") -> Schema:
    """The schema after a change of whodid's own: its fields, and the properties of the part for every entry."""
    after = copy.deepcopy(schema())
    fields = after["$defs"]["entry"]["properties"]
    fields["schema_version"]["examples"] = [version]
    change(fields, after["$defs"]["entry"])
    return after


def test_what_is_the_same_has_no_findings() -> None:
    assert compare(schema(), schema()) == []


def test_what_is_only_added_or_loosened_has_no_findings() -> None:
    strict = 'requires = ["status"]\nstatus = ["a"]\nforbids = ["before"]\n' + BY.format('enum = ["key"]')
    assert compare(schema(strict), schema(CLOSED)) == []


def test_a_type_that_is_gone_is_an_error_that_says_how_to_bring_it_back() -> None:
    before = schema(CLOSED)
    assert findings(before, schema()) == [("error", "type gone", "door_closed")]
    assert about(before, schema()) == (
        "the type door_closed was removed, but entries of it are stored; restore [types.door_closed] with "
        'resource = "door" and replaced_by = "…"'
    )


@pytest.mark.parametrize(
    ("new", "of"), [("door_close", "door"), ("dor_closed", "gate"), ("shut", "door"), ("shut", "gate")]
)
def test_of_a_renamed_type_the_new_name_is_guessed(new: str, of: str) -> None:
    said = about(schema(CLOSED), schema(CLOSED.replace("door_closed", new).replace('"door"', f'"{of}"')))
    guess = "…" if (new, of) == ("shut", "gate") else new
    assert f'replaced_by = "{guess}"' in said


def test_the_old_name_brought_back_with_its_successor_has_no_findings() -> None:
    successor = CLOSED.replace("door_closed", "door_shut")
    assert compare(schema(CLOSED), schema(CLOSED + 'replaced_by = "door_shut"\n' + successor)) == []


def test_a_type_of_another_resource_is_an_error() -> None:
    said = about(schema(CLOSED), schema(CLOSED.replace('"door"', '"gate"')))
    assert "changed to resource gate" in said
    assert 'restore resource = "door"' in said


def _goes(fields: Schema, _: Schema) -> None:
    del fields["host"]


def _changes(fields: Schema, _: Schema) -> None:
    fields["host"] = {"type": "integer"}


def _comes(fields: Schema, _: Schema) -> None:
    fields["device"] = {"type": "string", "minLength": 1}


@pytest.mark.parametrize("change", [_goes, _changes])
@pytest.mark.parametrize("version", ["2.0", "2.1"])
def test_a_field_that_is_gone_or_of_another_kind_needs_a_higher_major_number(
    change: Callable[[Schema, Schema], None], version: str
) -> None:
    [finding] = compare(schema(), changed(change, version))
    assert (finding.level, finding.name) == ("error", "host")
    assert "raise the major number of SCHEMA_VERSION" in finding.about
    assert compare(schema(), changed(change, "3.0")) == []


def test_a_field_of_another_kind_is_told_both() -> None:
    assert "the field host changed from a string to an integer" in about(schema(), changed(_changes))


def _is_a_text(fields: Schema, _: Schema) -> None:
    fields["roles"] = {**fields["host"], "maxLength": 128}


def test_a_text_that_may_become_a_list_is_no_finding_and_a_list_that_no_longer_may_is_one() -> None:
    assert compare(changed(_is_a_text), schema()) == []
    error, *_ = compare(schema(), changed(_is_a_text))
    assert error.about.startswith("the field roles changed from a string or a list to a string; restore it, or raise")


def test_a_field_that_is_added_needs_a_higher_minor_number() -> None:
    assert "raise the minor number of SCHEMA_VERSION" in about(schema(), changed(_comes))
    assert compare(schema(), changed(_comes, "2.9")) == []
    assert compare(schema(), changed(_comes, "3.0")) == []


def test_a_schema_from_before_the_version_was_in_it_is_of_minor_0() -> None:
    before = schema()
    del before["$defs"]["entry"]["properties"]["schema_version"]["examples"]
    assert compare(before, schema()) == []
    assert findings(before, changed(_comes)) == [("error", "field added", "device")]


@pytest.mark.parametrize(
    ("before", "now", "says"),
    [
        ("", 'requires = ["status"]', "status is required"),
        ("", 'status = ["a", "b"]', "status: one of a, b"),
        ('status = ["a", "b"]', 'status = ["b", "c"]', "status: one of b, c"),
        ("", 'not_status = ["draft"]', "status: its rule 'not' changed"),
        ("", 'forbids = ["before"]', "before is not allowed"),
        ("", 'principal = "system"', "principal: system"),
        ("", BY.format('type = "string"'), "details is required; details.by is required; details.by: a string"),
        (BY.format('type = "string"'), BY.format('type = "string", enum = ["key"]'), "details.by: one of key"),
    ],
)
def test_a_stricter_rule_is_a_warning_that_names_it(before: str, now: str, says: str) -> None:
    assert findings(schema(before), schema(now)) == [("warning", "stricter", "door_opened")]
    assert f"the type door_opened has stricter rules: {says}" in about(schema(before), schema(now))


AMOUNT = "details.properties.amount = {{ {} }}\n"


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("", AMOUNT.format('type = "number"')),
        (BY.format("") + "details.additionalProperties = false", AMOUNT.format("") + BY.format("")),
        (AMOUNT.format('type = "integer", minimum = 3'), AMOUNT.format('type = "number", minimum = 2')),
        (AMOUNT.format('enum = ["a"], maxLength = 3'), AMOUNT.format('enum = ["a", "b"], maxLength = 4, title = "A"')),
        (AMOUNT.format('type = "string", pattern = "a"'), AMOUNT.format('type = ["string", "null"]')),
        (AMOUNT.format("maximum = 3") + BY.format(""), "details.properties.by = {}"),
        ("after.properties.a = false", "after.properties.a = {}"),
    ],
)
def test_a_new_optional_key_and_a_looser_rule_have_no_findings(before: str, now: str) -> None:
    assert compare(schema(before), schema(now)) == []


@pytest.mark.parametrize(
    ("before", "now", "says"),
    [
        (AMOUNT.format(""), AMOUNT.format('type = "number"'), "details.amount: a number"),
        (AMOUNT.format('type = "number"'), AMOUNT.format('type = "integer"'), "details.amount: an integer"),
        (AMOUNT.format("minimum = 1"), AMOUNT.format("minimum = 2"), "details.amount: minimum = 2"),
        (AMOUNT.format("maximum = 2"), AMOUNT.format("maximum = 1"), "details.amount: maximum = 1"),
        (AMOUNT.format('pattern = "a"'), AMOUNT.format('pattern = "b"'), 'details.amount: pattern = "b"'),
        (
            AMOUNT.format("items.minimum = 1"),
            AMOUNT.format("items.minimum = 2"),
            "details.amount: its rule 'items' changed",
        ),
        (AMOUNT.format(""), AMOUNT.replace("{{ {} }}", "false"), "details.amount is not allowed"),
        ("", "details.additionalProperties = false", "details: additionalProperties = false"),
        (
            "details = { additionalProperties = false, properties.a = {} }",
            "details.additionalProperties = false",
            "details.a is not allowed",
        ),
        (
            AMOUNT.format('type = "object", properties.a.const = 1'),
            AMOUNT.format('type = "object", properties.a.const = 2'),
            "details.amount.a: 2",
        ),
        ("", 'before.required = ["a"]', "before.a is required"),
    ],
)
def test_a_stricter_or_changed_rule_of_a_declared_key_is_a_warning(before: str, now: str, says: str) -> None:
    assert findings(schema(before), schema(now)) == [("warning", "stricter", "door_opened")]
    assert f"the type door_opened has stricter rules: {says}" in about(schema(before), schema(now))


def test_a_declared_key_of_another_kind_is_an_error() -> None:
    changed = schema(AMOUNT.format('type = "number"')), schema(AMOUNT.format('type = "string"'))
    [error] = compare(*changed)
    assert (error.level, error.kind, error.name) == ("error", "field changed", "door_opened")
    assert error.about == (
        "details.amount changed from a number to a string in the type door_opened; declare it by another name"
    )


def test_a_personal_field_that_becomes_required_is_a_warning_too() -> None:
    text = 'personal = ["client_ip"]' + DOOR
    said = about(schema(text=text), schema('requires = ["client_ip"]', text))
    assert "client_ip is required" in said


def test_a_limit_of_a_field_that_is_lowered_is_a_warning() -> None:
    said = about(schema(), changed(lambda fields, _: fields["host"].update(maxLength=9)))
    assert "an entry has stricter rules: host: maxLength = 9" in said


def test_errors_come_before_warnings() -> None:
    found = findings(schema(CLOSED), schema('requires = ["status"]'))
    assert [level for level, _, _ in found] == ["error", "warning"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "old.json is empty"),
        (b"{", "old.json is not JSON"),
        (b"\xff", "old.json is not JSON"),
        (b"[" * 100_000, "old.json is not a schema of audit entries"),
        (b"[]", "old.json is not a schema of audit entries"),
        (b"{}", "old.json is not a schema of audit entries"),
        (b'{"$defs": {"entry": {"properties": 5}}}', "old.json is not a schema of audit entries"),
        (b'{"$defs": {"entry": {"properties": {}, "required": 5}}}', "old.json is not a schema of audit entries"),
    ],
)
def test_what_is_no_schema_is_told_what_to_give(data: bytes, says: str) -> None:
    with pytest.raises(CatalogError) as caught:
        read_schema(data, "old.json")
    assert str(caught.value).startswith(says)
    assert "whodid events schema" in str(caught.value)


@pytest.mark.parametrize("rule", [True, {"type": 5}, {"const": 7}, {"anyOf": [True]}, {"properties": {"x": False}}])
def test_a_schema_of_any_other_form_is_compared_without_a_crash(rule: object) -> None:
    for place in ("entry", "door_opened"):
        for field in ("status", "target_type", "details"):
            other = schema()
            other["$defs"][place]["properties"][field] = rule
            compare(schema(), other)
            compare(other, schema())
    other["$defs"]["door_opened"] = True
    compare(schema(), other)
    assert read_schema(json.dumps(schema()).encode(), "x") == schema()
