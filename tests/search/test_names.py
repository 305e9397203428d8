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
        return query_body(Filter.parse(text), also=names)["terms"]["type"]

    assert terms("type:member_added") == ["member_added", "member_created"]
    assert terms('type:"member_added"') == ["member_added"]


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
