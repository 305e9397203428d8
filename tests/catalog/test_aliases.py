"""Old names of event types: what has one can be recorded as before, and the platform's newer list has them."""

from __future__ import annotations

from pathlib import Path

import jsonschema_rs
import pytest

from tests.catalog.test_event_types import TYPES, valid
from tests.catalog.test_replaced import DOOR, WHO, complaint, event, stored
from whodid.catalog import Catalog
from whodid.errors import InvalidEntry
from whodid.journal import read_entries
from whodid.recording.recorder import Recorder
from whodid.settings import Settings

NEWER = Catalog.parse('extends = "platform-2"')
OPENED = DOOR + event("door_opened") + '[aliases]\ndoor_open = "door_opened"\ndoor_ajar = "door_open"\n'

_COUNTED = """access_token=2 compute_environment=3 credentials=4 data_link=5 studio_session=10 studio_environment=3
data_link_file=4 organization=3 participant=3 pipeline=3 action=3 pipeline_secret=3 workflow=6 team=3 user=3
user_session=1 workspace=3 ssh_key=2 member=3 team_member=2 dataset=5 label=6 label_assignment=2 managed_identity=3
managed_credentials=3 credit=1 user_role=3 role=3 idp_group=3"""
COUNTS = {name: int(count) for name, _, count in (pair.partition("=") for pair in _COUNTED.split())}
"""How many types of each resource the platform's newer documentation names: 98."""
GONE = {"credentials_accessed": "credentials", "workflow_relaunched": "workflow", "workflow_resumed": "workflow"}


def recorder(path: Path, catalog: Catalog) -> Recorder:
    return Recorder(Settings(journal_dir=str(path / "journal")), catalog=catalog)


def test_the_newer_list_has_98_types_and_three_that_are_no_longer_in_it() -> None:
    current = [NEWER.types[name] for name in NEWER.current if name not in GONE]
    assert len(current) == sum(COUNTS.values()) == 98
    assert {name: sum(known.resource == name for known in current) for name in NEWER.resources} == COUNTS
    assert {name: NEWER.types[name].resource for name in NEWER.current if name in GONE} == GONE
    assert sum(len(NEWER.aliases(name)) for name in NEWER.current) == len(NEWER.types) - 101 == 35


def test_every_type_of_it_says_what_happened_in_a_sentence() -> None:
    for name in NEWER.current:
        about = NEWER.types[name].about
        assert about[0].isupper(), name
        assert about.endswith("."), name
    assert len({NEWER.types[name].about for name in NEWER.current}) == len(NEWER.current)


@pytest.mark.parametrize("name", TYPES)
def test_what_the_54_types_allow_the_newer_list_allows(name: str, tmp_path: Path) -> None:
    known, before = NEWER.types[name], Catalog.load().types[name]
    assert (known.resource, known.rules, known.outcome) == (before.resource, before.rules, before.outcome)
    if name == "workflow_status_changed":
        with pytest.warns(UserWarning, match="an old name of workflow_updated"):
            assert recorder(tmp_path, NEWER).record(name, valid(name))[0].recorded
    else:
        assert recorder(tmp_path, NEWER).record(name, valid(name))[0].recorded


def test_an_old_name_is_recorded_as_it_was_said_and_warned_of_once(tmp_path: Path) -> None:
    made = recorder(tmp_path, Catalog.parse(OPENED))
    with pytest.warns(UserWarning, match="^door_open is an old name of door_opened, which finds it too; record door_"):
        made.record("door_open", WHO)
    made.record("door_open", WHO)  # a warning would be an error
    made.record("door_opened", WHO)
    entries = read_entries(made.settings.journal_dir)
    assert [(entry["type"], entry["target_type"]) for entry in entries] == [
        ("door_open", "door"),
        ("door_open", "door"),
        ("door_opened", "door"),
    ]


def test_an_old_name_of_an_old_name_has_the_rules_of_the_type() -> None:
    catalog = Catalog.parse(OPENED)
    assert catalog.current == ["door_opened"]
    assert catalog.aliases("door_opened") == ["door_open", "door_ajar"]
    assert catalog.types["door_ajar"].rules == catalog.types["door_opened"].rules
    validator = jsonschema_rs.Draft202012Validator(catalog.json_schema())
    assert validator.is_valid(stored(type="door_ajar"))
    assert catalog.json_schema()["$defs"]["door_ajar"]["deprecated"] is True


def test_a_type_of_the_platform_may_get_an_old_name_or_become_one() -> None:
    catalog = Catalog.parse('extends = "platform"\n[aliases]\nlogin = "user_sign_in"\nteam_deleted = "team_created"\n')
    assert catalog.types["login"].rules == catalog.types["user_sign_in"].rules
    assert catalog.types["team_deleted"].about == "A team was deleted."
    assert "team_deleted" not in catalog.current


def test_the_old_name_of_a_type_that_is_no_longer_recorded_is_refused_with_the_name_that_is(tmp_path: Path) -> None:
    left = '[types.participant_left]\nresource = "participant"\nevent = "leave"\nabout = "A participant left."\n'
    gone = left.replace("participant_left", "participant_deleted") + 'override = true\nreplaced_by = "participant_left"'
    made = recorder(tmp_path, Catalog.parse(f'extends = "platform-2"\n{left}{gone}'))
    with pytest.raises(InvalidEntry, match="participant_removed is replaced by participant_left and no longer"):
        made.record("participant_removed", WHO)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[aliases]\ndoor_open = "door_opned"\n', "not 'door_opned' (did you mean 'door_opened'?)"),
        ("[aliases]\ndoor_open = 1\n", 'aliases: write door_open = "…", a type or an alias above it, not 1'),
        ('[aliases]\na = "b"\nb = "door_opened"\n', "a type or an alias above it, not 'b'"),
        ('[aliases]\ndoor_open = "door_open"\n', "not 'door_open'"),
        ('[aliases]\ndoor_opened = "door_opened"\n', "'door_opened' can't be an old name, or is a type of this file"),
        ('[aliases]\n"Door" = "door_opened"\n', "'Door' can't be an old name"),
        ('[aliases]\nentry = "door_opened"\n', "'entry' can't be an old name"),
        ('[aliases]\naudit_log_opened = "door_opened"\n', "names that start with audit_log are reserved"),
    ],
)
def test_an_impossible_old_name_is_an_error_that_says_what_to_write(text: str, said: str) -> None:
    assert said in complaint(event("door_opened") + text)


def test_aliases_must_be_a_table() -> None:
    assert "aliases must be a table" in complaint_of("aliases = 3\n")


def test_old_names_in_a_circle_are_an_error() -> None:
    circle = 'extends = "platform"\n[aliases]\nteam_created = "team_deleted"\nteam_deleted = "team_created"\n'
    assert "form a circle by way of" in complaint_of(circle)


def complaint_of(text: str) -> str:
    with pytest.raises(Exception, match=r"events\.toml, ") as caught:
        Catalog.parse(text)
    return str(caught.value)


@pytest.mark.parametrize(("name", "preset"), [("user_sign_in", "platform"), ("dataset_created", "platform-2")])
def test_an_unknown_type_that_a_list_of_the_platform_has_names_the_list(name: str, preset: str) -> None:
    with pytest.raises(InvalidEntry, match=f'write `extends = "{preset}"` at the top'):
        Catalog.parse("").event_type(name)
