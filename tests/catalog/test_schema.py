"""The committed schema beside entries as they are stored; test_both_schemas.py compares it with the call check."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from whodid.catalog import Catalog
from whodid.resources import resource_text

COMMITTED = json.loads(resource_text("config/audit-entry.schema.json"))
VALIDATOR = jsonschema_rs.Draft202012Validator(COMMITTED, validate_formats=True)
PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "format.md").read_text(encoding="utf-8")
LINES = [line for line in re.findall(r"```json\n(\{.*\})\n```", PAGE) if '"hash":' in line]
COMMITMENT = "sha256:" + "0" * 64
GONE = {"erased": {"client_ip": COMMITMENT}}


def sign_in(**change: Any) -> dict[str, Any]:
    [line] = [line for line in LINES if "client_ip" in line and '"erased":' not in line]
    entry = {**json.loads(line), **change}
    return {name: value for name, value in entry.items() if value is not None}


def test_the_committed_schema_is_made_from_the_catalog() -> None:
    assert Catalog.load().json_schema() == COMMITTED, "run `make generated`"


@pytest.mark.parametrize("line", LINES)
def test_every_journal_line_of_the_format_page_fits_it(line: str) -> None:
    VALIDATOR.validate(json.loads(line))


def test_a_required_personal_field_may_be_erased_but_not_be_missing() -> None:
    VALIDATOR.validate(sign_in())
    VALIDATOR.validate(sign_in(client_ip=None, salt=None, **GONE))
    for erased in (None, {}, {"principal_name": COMMITMENT}):
        assert not VALIDATOR.is_valid(sign_in(client_ip=None, salt=None, erased=erased))


@pytest.mark.parametrize("name", ["type", "seq", "prev", "details", "committed", "salt"])
def test_what_says_what_the_entry_is_about_can_t_be_committed(name: str) -> None:
    VALIDATOR.validate(sign_in(committed=["client_ip", "device"]))
    assert not VALIDATOR.is_valid(sign_in(committed=["client_ip", name]))


def test_a_salt_and_an_erasure_need_the_list_of_committed_fields() -> None:
    assert not VALIDATOR.is_valid(sign_in(committed=None))
    assert not VALIDATOR.is_valid(sign_in(client_ip=None, salt=None, committed=None, **GONE))


def test_a_required_field_that_is_not_personal_can_t_be_erased() -> None:
    assert not VALIDATOR.is_valid(sign_in(status=None, erased={"status": COMMITMENT}))


@pytest.mark.parametrize("field", ["journal", "seq", "prev", "hash"])
def test_a_stored_entry_without_its_place_in_the_chain_is_refused(field: str) -> None:
    assert not VALIDATOR.is_valid(sign_in(**{field: None}))


def test_a_field_that_is_not_known_is_refused_but_in_an_entry_of_a_higher_minor_version() -> None:
    assert not VALIDATOR.is_valid(sign_in(device="phone"))
    VALIDATOR.validate(sign_in(device="phone", schema_version="2.7"))
    assert not VALIDATOR.is_valid(sign_in(device="phone", schema_version="3.0"))


def test_the_schema_of_an_own_catalog_knows_what_is_personal_there() -> None:
    text = (
        'personal = ["user_agent"]\n[resources.door]\nlabel = "Doors"\ntarget = "the door\'s ID"\n'
        '[types.door_opened]\nresource = "door"\nevent = "open"\nabout = "x"\nrequires = ["user_agent", "client_ip"]'
    )
    schema = jsonschema_rs.Draft202012Validator(Catalog.parse(text).json_schema())
    door = sign_in(type="door_opened", target_type="door", user_agent="key 7")
    schema.validate(door)
    schema.validate({**sign_in(type="door_opened", target_type="door"), "erased": {"user_agent": COMMITMENT}})
    del door["client_ip"]
    assert not schema.is_valid({**door, "erased": {"client_ip": COMMITMENT}})
