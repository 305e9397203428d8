"""Completion: what it offers can be read, and is what the grammar has."""

from __future__ import annotations

import pytest

from whodid.search import FILTERS, Filter
from whodid.search.grammar import ALIASES, KEYED, LONGEST, OF_TARGETS, PERIODS, TIMES, complete

TYPES = {"type": ["team_created", "user_sign_in", "user_deleted"], "principal": ["42"]}


def texts(written: str) -> list[str]:
    return [one.text for one in complete(written, TYPES)]


def test_an_empty_box_offers_every_field() -> None:
    assert texts("") == [f"{name}:" for name in (*ALIASES, *FILTERS, *TIMES, *OF_TARGETS, *KEYED)]


@pytest.mark.parametrize(
    ("written", "first"),
    [
        ("prin", "principal:"),
        ("type:user", "user_sign_in"),
        ("status:ok -ty", "type:"),
        ("(type:team_created,user_d", "user_deleted"),
        ("phase:", "intent"),
        ("since:yes", "yesterday"),
        ("time:-7", "-7d"),
        ("a o", "organization_id:"),
        ("-b", "by:"),
        ("(type:team_created or abo", "about:"),
    ],
)
def test_what_was_begun_is_completed(written: str, first: str) -> None:
    assert texts(written)[0] == first


def test_operators_are_offered_behind_a_term() -> None:
    assert "or" in texts("status:ok o")
    assert "or" not in texts("o")


@pytest.mark.parametrize("written", ['"type:', "target:x", "nothing:", "principal:42"])
def test_nothing_is_offered_where_nothing_is_known(written: str) -> None:
    assert texts(written) == []


@pytest.mark.parametrize("written", ["", "st", "status:ok ou", "type:user", "since:", "outcome:f", "(a -ph"])
def test_each_offer_put_in_place_can_be_read(written: str) -> None:
    for start, text, _ in complete(written, TYPES):
        made = written[:start] + text
        value = "" if not made.endswith(":") else "-1h" if text.rstrip(":") in TIMES else "1"
        value = "::1" if text == "client_ip:" else value
        Filter.parse(made + value + (" b" if text in {"or", "and", "not"} else "") + ")" * made.count("("))


def test_periods_are_all_there() -> None:
    assert set(PERIODS) <= set(texts("time:"))


def test_what_is_longer_than_a_query_is_not_completed() -> None:
    assert texts("x " * (LONGEST // 2 - 2) + "prin")[0] == "principal:"
    assert texts("x " * (LONGEST // 2) + "prin") == []


@pytest.mark.parametrize("blank", [" ", "\n", "\t", "\u2003", "("])
def test_a_token_begins_behind_the_last_blank_or_bracket(blank: str) -> None:
    written = f"a(b c\nd{blank}prin"
    assert {one.start for one in complete(written)} == {len(written) - 4}
