"""The sentences: an entry in words, whatever it lacks, and whatever hostile text its values are."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.catalogs import INVOICE
from whodid.catalog import Catalog
from whodid.entry import FIELDS
from whodid.errors import CatalogError

OWN = (
    INVOICE.replace("refunded.", "refunded; in full, or in part.")
    + """\
[types.invoice_refunded.details.properties]
amount = {}
"to [x].y" = {}
card.properties.kind = {}
"""
)
SAYS = "{principal_name} refunded {target_name} ({details.amount})[ to a {details.card.kind}]"
ENTRY: dict[str, Any] = {"type": "invoice_refunded", "principal": "42", "target": "2026-17", "details": {"amount": 30}}


def catalog(says: str = SAYS) -> Catalog:
    return Catalog.parse(OWN.replace("about", f"says = {says!r}\nabout"))


def sentence(**fields: Any) -> str:
    entry = {**ENTRY, **fields}
    return catalog().sentence({name: value for name, value in entry.items() if value is not None})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "42 refunded 2026-17 (30)"),
        ({"principal_name": "Ada", "target_name": "Boots"}, "Ada refunded Boots (30)"),
        ({"principal_email": "ada@example.com"}, "ada@example.com refunded 2026-17 (30)"),
        ({"principal_name": " \n", "principal": "root"}, "root refunded 2026-17 (30)"),
        ({"principal": "system"}, "The system refunded 2026-17 (30)"),
        ({"principal": " system\n"}, "system refunded 2026-17 (30)"),
        ({"principal": " "}, "unknown principal name refunded 2026-17 (30)"),
        ({"principal": "anonymous"}, "Someone unknown refunded 2026-17 (30)"),
        ({"details": None}, "42 refunded 2026-17 (unknown amount)"),
        ({"details": {"amount": None}}, "42 refunded 2026-17 (unknown amount)"),
        ({"details": {"amount": 1.5, "card": {"kind": "gift card"}}}, "42 refunded 2026-17 (1.5) to a gift card"),
        ({"details": {"amount": True, "card": {"kind": " "}}}, "42 refunded 2026-17 (true)"),
        ({"details": {"amount": [1, "a"]}}, '42 refunded 2026-17 ([1, "a"])'),
        ({"principal": None, "target": None}, "unknown principal name refunded unknown target name (30)"),
        ({"outcome": "failure"}, "42 refunded 2026-17 (30) (failed)"),
        ({"outcome": "unknown", "on_behalf_of": "7"}, "42 refunded 2026-17 (30) (outcome unknown, on behalf of 7)"),
        ({"phase": "intent"}, "42 refunded 2026-17 (30) (started)"),
        ({"phase": "outcome", "outcome": "success"}, "42 refunded 2026-17 (30)"),
        ({"type": "door_opened"}, "Door opened: 2026-17 (by 42)"),
        ({"type": None}, "Entry: 2026-17 (by 42)"),
    ],
)
def test_an_entry_is_a_sentence_without_gaps(fields: dict[str, Any], said: str) -> None:
    assert sentence(**fields) == said


def test_a_type_without_says_has_a_sentence_made_from_about() -> None:
    assert Catalog.parse(OWN).sentence(ENTRY) == "An invoice was refunded: 2026-17 (by 42)"
    someone = OWN.replace("An invoice was", "Someone")
    assert Catalog.parse(someone).sentence({**ENTRY, "principal": "system"}) == "The system refunded: 2026-17"
    braces = OWN.replace("An invoice", "{principal} [x {target}]")
    assert Catalog.parse(braces).sentence(ENTRY) == "{principal} [x {target}] was refunded: 2026-17 (by 42)"


def test_what_whodid_records_itself_has_sentences_in_every_catalog() -> None:
    entry = {"type": "audit_log_hold_set", "principal": "ops", "target": "case-7", "details": {"reason": "case 4711"}}
    assert Catalog.parse("").sentence(entry) == "ops placed the hold case-7: case 4711"


@pytest.mark.parametrize("own", [False, True])
def test_each_type_of_the_platform_has_a_sentence_with_who_or_what(own: bool) -> None:
    platform = Catalog.own() if own else Catalog.load()
    values = {"principal_name": "Ada", "status": "okta", "outcome": "success"}
    for name in platform.types:
        details = {"visibility": "public", "run_id": "2uJ4"}
        said = platform.sentence({"type": name, "target": "6Yk2", "details": details, **values})
        assert platform.types[name].says
        assert re.search("Ada|6Yk2", said), name
        assert not re.search(r"unknown|None|\{|\}|\[|\]|  |\.$", said), said


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("{principal_nam} x", "says: 'principal_nam' is neither a field nor declared in details, before or after"),
        ("{principal_nam} x", "(did you mean 'principal_name'?)"),
        ("{details.amout}", "(did you mean 'details.amount'?)"),
        ("{details}", "says: 'details' is neither"),
        ("{salt}", "says: 'salt' is neither"),
        ("{}", "says: '' is neither"),
        ("{details.amount.__class__}", "says: 'details.amount.__class__' is neither"),
        ("{details.amount!r:>9}", "is neither"),
        ("{target", "write {field} for the value of a field"),
        ("target}", "write {field} for the value of a field"),
        ("{{target}}", "write {field} for the value of a field"),
        ("[a {target}", "[ … {field} …] around what may be absent"),
        ("[a [b {target}] ]", "around what may be absent"),
        ("[nothing in it]", "around what may be absent"),
        ("{ta[rg]et}", "around what may be absent"),
        ("x" * 301, "says must be one line of at most 300 printable characters"),
    ],
)
def test_says_is_checked_when_the_catalog_is_loaded(says: str, told: str) -> None:
    with pytest.raises(CatalogError) as caught:
        catalog(says)
    assert str(caught.value).startswith("events.toml, [types.invoice_refunded]: says")
    assert told in str(caught.value)


def test_says_is_one_printable_line() -> None:
    for text in ('"""a\nb"""', '"\\u202e"', '"\\u001b"'):
        with pytest.raises(CatalogError, match="one line of at most 300 printable"):
            Catalog.parse(OWN.replace("about", f"says = {text}\nabout"))


HOSTILE = "{target}[ {details.amount}]%s{0.__class__}\x1b[31m\u202e\u2066\n\0\ud800</b>"


def test_a_value_is_shown_as_it_is_and_nothing_in_it_is_interpreted() -> None:
    said = sentence(principal_name=HOSTILE, target_name="x" * 5000, details={"amount": HOSTILE})
    assert said.isprintable()
    assert said.startswith("{target}[ {details.amount}]%s{0.__class__}\N{REPLACEMENT CHARACTER}[31m")
    assert len(said) <= 700
    assert "x" * 128 + "…" in said
    assert "x" * 129 not in said


_ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(HOSTILE),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["type", "details", "phase", *FIELDS]), _ANY))
def test_a_sentence_is_one_printable_line_whatever_is_stored(entry: dict[str, Any]) -> None:
    for known in ({}, {"type": "invoice_refunded"}):
        said = catalog().sentence({**entry, **known})
        assert said.isprintable()
        assert 0 < len(said) <= 700


def test_a_long_value_does_not_hide_that_an_action_failed() -> None:
    said = catalog("{status} " * 30).sentence({**ENTRY, "status": "x" * 900, "outcome": "failure"})
    assert said.endswith("… (failed)")
