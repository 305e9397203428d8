"""Newer and older names of event types."""

from __future__ import annotations

from pathlib import Path

import pytest

from whodid.search import Filter, query_body
from whodid.search.body import OtherNames
from whodid.settings import Settings


@pytest.fixture(scope="module")
def names() -> OtherNames:
    return OtherNames.of(Settings())


@pytest.mark.parametrize(
    ("asked", "others"),
    [
        ("participant_added", {"participant_created"}),
        ("participant_created", {"participant_added"}),
        ("compute_profile_made_primary", {"compute_environment_made_primary", "compute_environment_updated"}),
        ("user_trusted", {"user_updated"}),
        ("team_created", set()),
        ("data_studio_*", None),
        ("user_*", set()),
    ],
)
def test_a_name_stands_for_its_successors_and_for_what_it_replaced(
    names: OtherNames, asked: str, others: set[str] | None
) -> None:
    found = set(names(asked))
    if others is None:
        assert found
        assert all(name.startswith("studio_session_") for name in found)
    else:
        assert found == others


def test_searching_one_finds_the_other_and_quotes_do_not(names: OtherNames) -> None:
    def terms(text: str) -> object:
        return query_body(Filter.parse(text), also=lambda: names)

    assert terms("type:member_added") == {"terms": {"type": ["member_added", "member_created"]}}
    assert terms('type:"member_added"') == {"term": {"type": "member_added"}}


@pytest.mark.parametrize("asked", ["type:team_member_added", "team_member_added"])
def test_text_and_a_bare_word_and_a_keyword_find_both(names: OtherNames, asked: str) -> None:
    both = {"terms": {"type": ["team_member_added", "team_member_created"]}}
    body = query_body(Filter.parse(asked), also=lambda: names)
    assert both in ([body] if ":" in asked else body["bool"]["should"])
    assert query_body(Filter.of(type="team_member_added"), also=lambda: names) == both


def test_a_catalog_that_cannot_be_read_is_warned_of_and_each_name_stands_for_itself(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"are not searched for together: the catalog .*can't be read: No such file"):
        names = OtherNames.of(Settings(catalog=str(tmp_path / "none.toml")))
    assert names("member_added") == names("member_*") == ()


def test_old_names_of_ones_own_catalog_and_of_the_newer_list_count(tmp_path: Path) -> None:
    catalog = tmp_path / "events.toml"
    catalog.write_text('extends = "platform-2"\n[aliases]\nlogin = "user_sign_in"\nsession_began = "login"\n')
    names = OtherNames.of(Settings(catalog=str(catalog)))
    assert set(names("user_sign_in")) == {"login", "session_began"}
    assert set(names("session_began")) == {"login", "user_sign_in"}
    assert names("member_added") == ("member_created",)


def test_a_type_of_ones_own_under_an_old_name_of_the_platform_is_its_own(tmp_path: Path) -> None:
    own = '[types.{0}]\nresource = "participant"\nevent = "x"\nabout = "It happened."\n'
    catalog = tmp_path / "events.toml"
    replaced = own.format("participant_created") + 'override = true\nreplaced_by = "participant_added"\n'
    others = own.format("participant_added") + own.format("member_added")
    catalog.write_text('extends = "platform"\n' + others + replaced)
    names = OtherNames.of(Settings(catalog=str(catalog)))
    assert names("participant_created") == ("participant_added",)
    assert names("member_created") == names("member_added") == ()


@pytest.mark.parametrize(("extends", "others"), [("", ()), ('extends = "platform"\n', ("member_created",))])
def test_names_of_ones_own_catalog_count_and_the_platform_s_with_its_types(
    tmp_path: Path, extends: str, others: tuple[str, ...]
) -> None:
    catalog = tmp_path / "events.toml"
    catalog.write_text(
        extends + '[resources.ship]\nlabel = "Ship"\ntarget = "its ID"\n'
        '[types.ship_sailed]\nresource = "ship"\nevent = "sail"\nabout = "It left."\n'
        '[types.boat_left]\nresource = "ship"\nevent = "sail"\nabout = "It left."\nreplaced_by = "ship_sailed"\n'
    )
    names = OtherNames.of(Settings(catalog=str(catalog)))
    assert names("ship_sailed") == ("boat_left",)
    assert names("member_added") == others
