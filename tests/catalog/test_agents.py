"""`agents_need`: what an entry of an agent must say, for one type, one resource, or the whole catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.catalog.test_comparison import CLOSED, DOOR, about, schema
from whodid.administration.erase_journal import erased_entry
from whodid.catalog import Catalog
from whodid.errors import CatalogError, InvalidEntry
from whodid.journal import read_entries
from whodid.recording.recorder import Recorder
from whodid.settings import Settings

NEEDS = 'agents_need = ["on_behalf_of"]\n'
CATALOGS = {
    "for the whole catalog": NEEDS + DOOR,
    "for a resource": DOOR.replace('target = "the door\'s ID"\n', f'target = "the door\'s ID"\n{NEEDS}'),
    "for a type": DOOR + NEEDS,
    "twice": NEEDS + DOOR + NEEDS,
}
CALL = {"target": "1", "principal": "assistant-7"}


def recorder(tmp_path: Path, text: str) -> Recorder:
    return Recorder(Settings(journal_dir=str(tmp_path / "journal")), catalog=Catalog.parse(text))


@pytest.mark.parametrize("where", CATALOGS)
def test_an_agent_without_anybody_is_refused_and_nobody_else(tmp_path: Path, where: str) -> None:
    recording = recorder(tmp_path, CATALOGS[where])
    with pytest.raises(InvalidEntry, match="on_behalf_of is required of an agent; pass on_behalf_of=…"):
        recording.record("door_opened", {**CALL, "principal_type": "agent"})
    for fields in (
        {"principal_type": "agent", "on_behalf_of": "42"},
        {"principal_type": "agent", "on_behalf_of": ["planner-2", "42"]},
        {"principal_type": "user"},
        {},
    ):
        assert recording.record("door_opened", {**CALL, **fields})[0].recorded
    assert len(list(read_entries(recording.settings.journal_dir))) == 4


def test_without_the_rule_an_agent_may_act_for_nobody(tmp_path: Path) -> None:
    assert recorder(tmp_path, DOOR).record("door_opened", {**CALL, "principal_type": "agent"})[0].recorded


def test_the_reason_is_given() -> None:
    known = Catalog.parse(DOOR + NEEDS + 'because = "somebody must answer for it"').types["door_opened"]
    assert (known.rules.agents_need, known.rules.because) == (("on_behalf_of",), "somebody must answer for it")
    with pytest.raises(InvalidEntry, match=r"of an agent \(somebody must answer for it\)"):
        Catalog.parse(DOOR + NEEDS + 'because = "somebody must answer for it"').check(entry(principal_type="agent"))


def test_the_platform_s_types_have_it_but_for_what_they_forbid() -> None:
    types = Catalog.parse('extends = "platform"\nagents_need = ["on_behalf_of", "client_ip"]').types
    forbidding = {name for name, known in types.items() if "client_ip" in known.rules.forbids}
    assert {name for name, known in types.items() if known.rules.agents_need == ("on_behalf_of",)} == forbidding
    assert all("on_behalf_of" in known.rules.agents_need for known in types.values())
    assert not any(known.rules.agents_need for known in Catalog.load().types.values())
    assert not any(known.rules.agents_need for known in Catalog.own().types.values())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('agents_need = ["on_behalf"]\n' + DOOR, "'on_behalf' is not a field that a rule can name"),
        ('agents_need = "on_behalf_of"\n' + DOOR, "agents_need must be a list of strings"),
        (DOOR + 'agents_need = ["principal"]', "'principal' is not a field that a rule can name"),
        (DOOR + NEEDS + 'forbids = ["on_behalf_of"]', "on_behalf_of is both required and forbidden"),
    ],
)
def test_a_rule_that_makes_no_sense_is_told(text: str, says: str) -> None:
    with pytest.raises(CatalogError, match=says):
        Catalog.parse(text)


def entry(**fields: Any) -> dict[str, Any]:
    return {
        "type": "door_opened",
        "target_type": "door",
        "creation_date": "2026-11-23T08:15:30Z",
        **CALL,
        "@timestamp": "2026-11-23T08:15:30.000001Z",
        "schema_version": "2.1",
        **fields,
    }


@pytest.mark.parametrize("personal", ["[]", '["on_behalf_of"]'])
@pytest.mark.parametrize("where", CATALOGS)
def test_the_json_schema_says_so_too_and_takes_what_was_erased(tmp_path: Path, where: str, personal: str) -> None:
    recording = recorder(tmp_path, f"personal = {personal}\n{CATALOGS[where]}")
    check = jsonschema_rs.Draft202012Validator(recording.catalog.json_schema(), validate_formats=True)
    recording.record("door_opened", {**CALL, "principal_type": "agent", "on_behalf_of": ["42"]})
    [stored] = read_entries(recording.settings.journal_dir)
    assert check.is_valid(stored)
    without = {name: value for name, value in stored.items() if name != "on_behalf_of"}
    assert not check.is_valid(without)
    assert check.is_valid({**without, "principal_type": "user"})
    if personal != "[]":
        erased = erased_entry(stored)
        assert erased
        assert check.is_valid(erased)


def test_a_personal_field_that_is_required_anyway_keeps_both_rules() -> None:
    text = 'personal = ["client_ip"]\n' + DOOR + NEEDS + 'requires = ["client_ip", "status"]'
    part = Catalog.parse(text).json_schema()["$defs"]["door_opened"]
    assert part["required"] == ["status"]
    assert [rule["anyOf"][0]["required"] for rule in part["allOf"] if "anyOf" in rule] == [["client_ip"]]
    assert [rule["then"]["anyOf"][0]["required"] for rule in part["allOf"] if "then" in rule] == [["on_behalf_of"]]


def test_it_is_on_the_page_and_a_change_to_it_is_a_warning() -> None:
    assert "an agent needs `on_behalf_of`" in Catalog.parse(DOOR + NEEDS).page()
    said = about(schema(CLOSED), schema(CLOSED + NEEDS))
    assert said.startswith("the type door_closed has stricter rules: on_behalf_of of an agent is required;")
