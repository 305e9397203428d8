"""A replaced type: what is stored stays valid, what is new names its successor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from whodid.catalog import Catalog
from whodid.errors import CatalogError, InvalidEntry
from whodid.recording.recorder import Recorder
from whodid.settings import Settings

DOOR = """
[resources.door]
label = "Doors"
target = "the door's ID"
"""
WHO = {"target": "3", "principal": "42"}


def event(name: str, replaced_by: str = "", more: str = "") -> str:
    successor = f'replaced_by = "{replaced_by}"\n' if replaced_by else ""
    return f'[types.{name}]\nresource = "door"\nevent = "open"\nabout = "A door was opened."\n{successor}{more}'


OPENED = DOOR + event("door_open", "door_opened") + event("door_opened")


def complaint(text: str) -> str:
    with pytest.raises(CatalogError) as caught:
        Catalog.parse(DOOR + text, name="own/events.toml")
    return str(caught.value)


def stored(**change: Any) -> dict[str, Any]:
    """An entry of a door, as it lies in a journal."""
    return {
        **WHO,
        "target_type": "door",
        "creation_date": "2026-11-23T08:15:30Z",
        "@timestamp": "2026-11-23T08:15:30.000001Z",
        "schema_version": "2.0",
        "journal": "8f14e45fceea167a",
        "seq": 1,
        "prev": "0" * 64,
        "hash": "f" * 64,
        **change,
    }


def test_a_replaced_type_is_refused_with_the_name_of_its_successor(tmp_path: Path) -> None:
    recorder = Recorder(Settings(journal_dir=str(tmp_path / "journal")), catalog=Catalog.parse(OPENED))
    for _ in range(2):
        with pytest.raises(InvalidEntry, match="door_open is replaced by door_opened") as caught:
            recorder.record("door_open", WHO)
        assert "\n" not in str(caught.value)
    assert recorder.record("door_opened", WHO)[0].recorded


def test_entries_that_were_stored_of_a_replaced_type_stay_valid() -> None:
    schema = Catalog.parse(OPENED).json_schema()
    jsonschema_rs.meta.validate(schema)
    validator = jsonschema_rs.Draft202012Validator(schema)
    assert validator.is_valid(stored(type="door_open"))
    assert not validator.is_valid(stored(type="door_closed"))


def test_a_replaced_type_is_deprecated_in_the_json_schema() -> None:
    defs = Catalog.parse(OPENED).json_schema()["$defs"]
    assert defs["door_open"]["deprecated"] is True
    assert "Replaced by door_opened." in defs["door_open"]["description"]
    assert "deprecated" not in defs["door_opened"]


def test_a_type_of_the_platform_can_be_replaced_by_one_of_an_own(tmp_path: Path) -> None:
    path = tmp_path / "events.toml"
    own = '[types.{0}]\nresource = "team"\nevent = "add"\nabout = "A team was added."\n'
    more = 'override = true\nreplaced_by = "crew_created"\n'
    types = own.format("team_created") + more + own.format("crew_created")
    path.write_text('extends = "platform"\n' + types, encoding="utf-8")
    assert Catalog.load(path).event_type("team_created").replaced_by == "crew_created"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (event("a", "c") + event("b"), "[types.a]: replaced_by: there is no [types.c]"),
        (event("door_open", "door_opend") + event("door_opened"), "did you mean 'door_opened'?"),
        (event("a", "b") + event("b", "c") + event("c"), "[types.a]: a is replaced by b, which is replaced too; "),
        (event("a", "b") + event("b", "c") + event("c"), "write replaced_by = 'c'"),
        (event("a", "a"), "[types.a]: replaced_by: the successors of a form a circle by way of a"),
        (event("a", "b") + event("b", "a"), "drop the replaced_by of the current type"),
        (event("a", "b") + event("b", "c"), "[types.b]: replaced_by: there is no [types.c]"),
        (event("a", more="replaced_by = true\n"), "[types.a]: replaced_by must be a string"),
    ],
)
def test_a_successor_is_a_type_that_can_be_recorded(text: str, said: str) -> None:
    assert said in complaint(text)
