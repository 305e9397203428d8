"""The search language: what a text means, that each filter has one, and how what can't be read is named."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.search.filters import filters
from whodid.errors import QueryError
from whodid.integrity import canonical, plain
from whodid.search import Filter, query_body
from whodid.search.body import OtherNames
from whodid.search.filter import (
    EVERYTHING,
    NOTHING,
    All,
    AnyOf,
    Beginning,
    Compared,
    Has,
    Match,
    Not,
    Range,
    Time,
    Words,
    filter_of,
    near_misses,
)
from whodid.search.grammar import FORMS
from whodid.search.value import Value, comparison, quoted
from whodid.settings import Settings

A, B, C = Words("a"), Words("b"), Words("c")


@given(filters)
def test_the_text_of_a_filter_is_read_as_that_filter(asked: Filter) -> None:
    assert Filter.parse(str(asked)) == asked


@given(st.text() | st.text('ab:*"\\,() -&|.\n', max_size=20))
def test_any_text_is_a_filter_or_an_error_of_ours(text: str) -> None:
    try:
        found = Filter.parse(text)
    except QueryError:
        return
    assert Filter.parse(str(found)) == found
    query_body(found)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", EVERYTHING),
        ("  * ", EVERYTHING),
        ("-*", NOTHING),
        ("a b", All((A, B))),
        ("a and b & c", All((A, B, C))),
        ("a or b c", AnyOf((A, All((B, C))))),
        ("a | b OR c", AnyOf((A, B, C))),
        ("(a or b) c", All((AnyOf((A, B)), C))),
        ("a(b)c", All((A, B, C))),
        ("-a NOT b", All((Not(A), Not(B)))),
        ("--a", A),
        ("-(a b)", Not(All((A, B)))),
        ("not(a or b)", Not(AnyOf((A, B)))),
        ('"or"', Words("or")),
        ('-"a b"', Not(Words("a b"))),
        ("6Yk*", Beginning("6Yk")),
        (r"\-6Yk*", Beginning("-6Yk")),
        ("2001:db8::7", Words("2001:db8::7")),
        ("type:user_*", Match("type", (Value("user_", "prefix"),))),
        ("type:a,b,a", Match("type", (Value("a"), Value("b")))),
        ('type:"user_*"', Match("type", (Value("user_*", "literal"),))),
        (r"target:a\*\ b", Match("target", (Value("a* b", "literal"),))),
        (r"target:a\ *", Match("target", (Value("a ", "prefix"),))),
        ("target:*", Has("target")),
        ("details.a.b:5", Match("details.a.b", (Value("5"),))),
        ("target:a:b|c&d-e", Match("target", (Value("a:b|c&d-e"),))),
        ("client_ip:::1,10.0.0.0/8", Match("client_ip", (Value("::1"), Value("10.0.0.0/8")))),
        ("seq:7", Match("seq", (Value("7"),))),
        ("seq:7..", Range("seq", 7, None)),
        ("seq:>7,<=9", AnyOf((Range("seq", 8, None), Range("seq", None, 9)))),
        ("seq:<0", NOTHING),
        ("details.amount:>100,5", AnyOf((Compared("details.amount", ">100"), Match("details.amount", (Value("5"),))))),
        ("details.due:<2027-01-01", Compared("details.due", "<2027-01-01")),
        ('"10.0.0.7"', Words("10.0.0.7", quoted=True)),
        ('-")"', Not(Words(")"))),
        ('a ")"', All((A, Words(")")))),
        ("-details.a.b:-1.5..2", Not(Compared("details.a.b", "-1.5..2"))),
        ('details.amount:">100"', Match("details.amount", (Value(">100", "literal"),))),
        ("target:a..b", Match("target", (Value("a..b"),))),
        ("seq:1..2,4..4", AnyOf((Range("seq", 1, 2), Match("seq", (Value("4"),))))),
        ("since:-7d", Time("since", "-7d")),
        ("-time:2026-11", Not(Time("time", "2026-11"))),
        ("by:42", Match("by", (Value("42"),))),
        ('-by:4*,"7"', Not(Match("by", (Value("4", "prefix"), Value("7", "literal"))))),
        ("about:6Yk2 by:*", All((Match("about", (Value("6Yk2"),)), Has("by")))),
    ],
)
def test_a_text_means(text: str, meant: Filter) -> None:
    assert Filter.parse(text) == meant


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("principle:42", "unknown field 'principle'; did you mean principal,"),
        ("user:42", "did you mean principal?"),
        ("ip:10.0.0.1", "did you mean client_ip?"),
        ("abuot:6Yk2", "did you mean about?"),
        ("bye:42", "did you mean by?"),
        ("by:", "by: needs a value right after it (at character 4)"),
        ("details.:1", "unknown field 'details.'"),
        ("http://x", 'To search for the text itself, quote it: "http://x" (at character 1)'),
        ("a (b", "this ( is not closed (at character 3)"),
        ("a)", "this ) has no ( (at character 2)"),
        ('a "b', "this quote is not closed (at character 3)"),
        ("a or", "a term is missing (at character 5)"),
        ("or a", "a term is missing next to this or (at character 1)"),
        ("a , b", "',' is not expected (at character 3)"),
        ("a -", "a - must be right before a term (at character 3)"),
        ("target:", "target: needs a value right after it (at character 8)"),
        ("target: a", "target: needs a value right after it (at character 8)"),
        ("target:a,", "target: needs a value right after it (at character 10)"),
        ("target:*a", "a * must be at the end of a value; quote the value for a literal * (at character 8)"),
        ('target:"a"b', "a space is missing after this quote (at character 11)"),
        ('target:a"b"', "a quote inside a value; quote the whole value (at character 9)"),
        ("client_ip:10.*", "write a network such as 10.0.0.0/8 for 10.*"),
        ("client_ip:x", "client_ip must be an address or a network"),
        ("seq:x", "seq must be a whole number such as 1, a range such as 1..10, or >1"),
        ("status:>100", "status is searched as text, which can't be compared; to search for this very text, quote it"),
        ("target:100..200", 'quote it: target:"100..200"'),
        (
            "details:>5",
            "a comparison needs a key: details.KEY:>5; to search for this very text, quote it: det",
        ),
        ("details.a:>b", "details.a can be compared with a number of at most 15 digits (6 after the point) or a date"),
        ("details.a:>=", "details.a can be compared with a number"),
        ("details.a:>1..2027-01-01", "details.a can be compared with a number"),
        ("details.a:>-7d", "details.a can be compared with a number"),
        ("details.a:>1234567890123456", "details.a can be compared with a number"),
        ("details.a:>2026-13-01", "details.a: '2026-13-01' is not a valid time"),
        ("since:soon", "since: 'soon' is not a valid time"),
        ("since:", "since: needs one time right after it, such as since:-7d (at character 7)"),
        ("time:..", "time: '..' is not a valid time"),
        ('" "', "the quotes are empty"),
        ("target:a\0", "target contains a NUL character, which no entry can contain"),
        ('"a\0"', "the text contains a NUL character, which no entry can contain"),
        ("details.\0:a", "invalid key of details: keys are printable ASCII"),
        ("salts:x", "salts is stored with an entry, but is not searchable"),
        ("a\\", "nothing follows this backslash (at character 2)"),
        ("(" * 60 + "a" + ")" * 60, "more than 50 levels"),
        ("a " * 6000, "12,000 characters; at most 10,000 are allowed"),
    ],
)
def test_what_can_not_be_read_is_named_with_its_place(text: str, says: str) -> None:
    with pytest.raises(QueryError) as error:
        Filter.parse(text)
    assert says in str(error.value)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.example)
def test_each_example_of_the_grammar_is_one(form: object) -> None:
    assert Filter.parse(form.example) != NOTHING  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("filters_", "says"),
    [
        ({"principle": "1"}, "did you mean principal"),
        ({"client_ip": "10.0.0.1/8"}, "client_ip must be an address or a network"),
        ({"seq": "x"}, "seq must be a whole number"),
        ({"type": 7}, "type must be a string, not int"),
        ({"type": "\ud800"}, "lone surrogate"),
        ({"type": [str(n) for n in range(1001)]}, "at most 1000 are allowed"),
    ],
)
def test_a_filter_that_can_not_be_is_named(filters_: dict[str, Any], says: str) -> None:
    with pytest.raises(QueryError, match=says):
        Filter.of(**filters_)


def test_python_and_text_say_the_same() -> None:
    made = Filter.of(type=["team_*", "user_sign_in"], principal="42", since="-7d") & ~Filter.of(status="not this")
    text = 'type:team_*,user_sign_in principal:42 since:-7d -status:"not this"'
    assert str(made) == text
    assert Filter.parse(text) == made
    assert Filter.of(type=None) == EVERYTHING
    assert Filter.of(type=[]) == NOTHING
    assert str((Words("a") | Words("b")) & Words("c")) == "(a or b) c"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
        ("::ffff:cb00:7100/120", "203.0.113.0/24"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9/128", "203.0.113.9/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::fffe:0:0/95", "::fffe:0:0/95"),
        ("2001:DB8::/32", "2001:db8::/32"),
    ],
)
def test_a_network_of_ipv4_written_as_ipv6_is_that_network(written: str, meant: str) -> None:
    assert Filter.parse(f"client_ip:{written}") == Filter.of(client_ip=written) == Match("client_ip", (Value(meant),))


@pytest.mark.parametrize("written", ["::ffff:203.0.113.1/120", "fe80::1%eth0", "::ffff:1.2.3.4/24"])
def test_what_is_no_network_is_named(written: str) -> None:
    with pytest.raises(QueryError, match="client_ip must be an address or a network"):
        Filter.of(client_ip=written)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("1.50", "1.5"), ("15e-1", "1.5"), ("+1.5", "1.5"), ("0.15E+1", "1.5"), (".5", "0.5"), ("5.", "5"),
        ("1e-07", "1e-7"), ("0.0000001", "1e-7"), ("1E21", "1e+21"), ("-0.0", "0"), ("-1.50", "-1.5"), ("1e3", "1000"),
        ("1.0", "1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", ["details.x", "details", "before.a.b", "after.x"])
def test_a_number_in_an_object_is_found_by_any_spelling(field: str, written: str, stored: str) -> None:
    assert canonical(plain(float(written), "x")).decode() == stored
    assert query_body(Filter.parse(f"{field}:{written}")) == {"terms": {field: [written, stored]}}
    assert query_body(Filter.parse(f'{field}:"{written}"')) == {"term": {field: written}}


@pytest.mark.parametrize(
    "written", ["1.5", "15", "007", "1_0", "0x10", "nan", "1e999", "9007199254740993", "1.2.3", "٣"]
)
def test_what_is_written_as_it_is_stored_or_no_number_is_looked_for_as_it_is(written: str) -> None:
    in_any_case = {"term": {"details.x": {"value": written, "case_insensitive": True}}}
    cased = written in {"0x10", "nan"}
    found = query_body(Filter.parse(f"details.x:{written}"))
    assert found == (in_any_case if cased else {"term": {"details.x": written}})
    assert query_body(Filter.parse(f"target:{written}")) == {"term": {"target": written}}


def test_a_float_of_python_is_found_as_it_is_stored() -> None:
    assert query_body(filter_of({"details.x": [1.0, 1e-7, 1e21]})) == {
        "terms": {"details.x": ["1.0", "1", "1e-07", "1e-7", "1e+21"]}
    }


@pytest.mark.parametrize(
    ("network", "holds_ipv4"),
    [("::/0", True), ("::fffe:0:0/95", True), ("2001:db8::/32", False), ("10.0.0.0/8", False)],
)
def test_a_network_of_ipv6_finds_no_address_of_ipv4(network: str, holds_ipv4: bool) -> None:
    """OpenSearch keeps IPv4 addresses within `::ffff:0:0/96`, so `::/0` would find them all."""
    body = json.dumps(query_body(Filter.of(client_ip=network)))
    assert ('"must_not": [{"term": {"client_ip": "0.0.0.0/0"}}]' in body) == holds_ipv4


def test_by_is_whoever_acted_and_on_whose_behalf_and_about_is_the_target() -> None:
    either = [{"term": {"principal": "42"}}, {"term": {"on_behalf_of": "42"}}]
    assert query_body(Filter.of(by="42")) == {"bool": {"should": either, "minimum_should_match": 1}}
    present = [{"exists": {"field": "principal"}}, {"exists": {"field": "on_behalf_of"}}]
    assert query_body(Filter.parse("by:*")) == {"bool": {"should": present, "minimum_should_match": 1}}
    either = query_body(Filter.of(about=["a", "b"]))["bool"]["should"]
    assert either == [{"terms": {"target": ["a", "b"]}}, {"terms": {"targets.id": ["a", "b"]}}]


def test_a_prefix_counts_for_each_field_that_it_is_looked_for_in() -> None:
    query_body(Filter.of(by=[f"{n}*" for n in range(50)]))
    with pytest.raises(QueryError, match="102 prefixes; at most 100 are allowed"):
        query_body(Filter.of(by=[f"{n}*" for n in range(51)]))


@pytest.mark.parametrize(
    "text",
    [
        "-123456789012345.123456..123456789012345.123456",
        "1.999999..987654321098765.123456",
        "2026-12-21T12:34:56Z..2027-11-15T21:43:55Z",
    ],
)
def test_no_comparison_is_longer_than_opensearch_takes(text: str) -> None:
    assert len(comparison("details.a", text)) + 2 <= 1000


def test_a_moment_is_compared_by_the_second() -> None:
    times = ["2026-12-31T12:30:00Z", "2026-12-31T12:30:00.7Z", "2026-12-31T12:30:01Z", "2026-12-31", "2027-01-01"]

    def found(asked: str) -> list[str]:
        pattern = comparison("details.due", asked).replace("#", "(?!)")
        assert "&" not in pattern
        return [time for time in times if re.fullmatch(pattern, time)]

    assert found(">2026-12-31T12:30:00Z") == ["2026-12-31T12:30:01Z", "2027-01-01"]
    assert found(">=2026-12-31T12:30:00Z") == [*times[:3], "2027-01-01"]
    assert found("<2026-12-31T14:30:00+02:00") == ["2026-12-31"]
    assert found("<=2026-12-31T12:30:00Z") == [*times[:2], "2026-12-31"]
    assert found(">2026-W53") == []
    assert found(">=2026-W53") == found(">2026-12-27") == times


@pytest.mark.parametrize("text", ["a.b", "a|z", "a{1000}{1000}", "[", "a+b", "a~&#<1-5>", "a\\b"])
def test_a_key_is_no_part_of_the_expression_that_it_is_compared_by(text: str) -> None:
    [(place, _)] = query_body(filter_of({f"details.{text}": ">5"}))["regexp"].items()
    assert re.fullmatch(r"details\.(\w|\\.)+", place)
    assert re.sub(r"\\(.)", r"\1", place) == f"details.{text}"


@pytest.mark.parametrize(
    "text", ["10.0.0.7", "550e8400-e29b-41d4-a716-446655440000", "team_created", f"{'a' * 16}-{7:012}-{'b' * 16}"]
)
def test_what_identifies_is_looked_for_in_texts_if_it_is_quoted(text: str) -> None:
    names = OtherNames.of(Settings())
    assert "wildcard" not in str(query_body(Filter.parse(text), also=lambda: names))
    assert "wildcard" in str(query_body(Filter.parse(quoted(text)), also=lambda: names))


def test_a_type_of_one_word_is_also_a_word_and_a_uuid_has_any_case() -> None:
    names = OtherNames({}, {"approved"})
    assert "wildcard" in str(query_body(Filter.parse("approved"), also=lambda: names))
    upper = "550E8400-E29B-41D4-A716-446655440000"
    assert {"terms": {"session_id": [upper, upper.lower()]}} in query_body(Filter.parse(upper))["bool"]["should"]


@pytest.mark.parametrize(
    ("begin", "network"), [("10.*", "10.0.0.0/8"), ("192.168.*", "192.168.0.0/16"), ("10.0.7.*", "10.0.7.0/24")]
)
def test_the_beginning_of_an_address_is_a_network(begin: str, network: str) -> None:
    assert {"term": {"client_ip": network}} in query_body(Filter.parse(begin))["bool"]["should"]
    assert "client_ip" not in str(query_body(Filter.parse("300.*")))


@pytest.mark.parametrize("value", ["<anonymous>", "1..5", ">5", "..7"])
def test_a_text_from_python_that_looks_like_a_comparison_is_a_text(value: str) -> None:
    asked = Filter.of(principal=value)
    assert asked == Match("principal", (Value(value, "literal"),)) == Filter.parse(str(asked))
    assert filter_of({"details.n": ">5"}) == Compared("details.n", ">5")


def test_when_it_happened_is_a_period_from_python_as_well() -> None:
    asked = Filter.of(occurred_at="2026-01-01 08:00")
    assert Filter.parse(str(asked)) == asked == Time("occurred_at", "2026-01-01T08:00")
    assert Filter.of(occurred_at="*") == Filter.parse("occurred_at:*") == Has("occurred_at")
    for wrong in (datetime(2026, 1, 1, tzinfo=UTC), ["2026"], "soon"):
        with pytest.raises(QueryError, match="occurred_at"):
            filter_of({"occurred_at": wrong})


def test_the_end_of_the_calendar_can_be_compared_with() -> None:
    assert query_body(Filter.parse("details.a:>9999-12-31T23:59:59Z,9999-12-31T23:59:59Z.."))


def test_what_was_meant_is_looked_for_ten_times_at_most() -> None:
    unknown = [f"team_creatd{letter}" for letter in "abcdefghijklmnop"]
    assert len(list(near_misses(Filter.of(type=unknown), {"team_created"}))) == 10
    assert list(near_misses(Filter.of(type="x" * 300), {"team_created"})) == []
