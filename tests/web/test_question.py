"""Questions: a URL and the search it means, both ways."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest

from whodid.errors import QueryError
from whodid.web.request import Question


def of(text: str) -> Question:
    return Question.of(parse_qsl(text.lstrip("?"), keep_blank_values=True))


def test_empty_and_repeated_values_do_not_count() -> None:
    question = of("type=&target=+6Yk2+&target=6Yk2&target=7&since=&until=")
    assert question.filters == {"target": ("6Yk2", "7")}
    assert str(question.filter()) == "target:6Yk2,7"


@pytest.mark.parametrize(
    "text", ["?", "?target=6Yk2", "?type=a%26b%3Dc&type=%2B&principal=4+2&since=-7d&until=2026-11-23"]
)
def test_a_url_means_the_same_question_again(text: str) -> None:
    assert of(of(text).url()) == of(text)
    assert of(text).url() == text


def test_a_time_that_was_picked_wins_over_the_span_before_it() -> None:
    assert of("since=-7d&since=2026-11-23T08:00:00").since == "2026-11-23T08:00:00"
    assert of("since=-7d&since=").since == "-7d"
    assert of("type=a&since=2026-11-23&until=2026-11-24&since=any").url() == "?type=a"


def test_conditions_are_taken_away_one_at_a_time() -> None:
    question = of("type=a&type=b&principal=42&since=-7d")
    assert question.without("type", "a").url() == "?type=b&principal=42&since=-7d"
    assert question.without("principal", "42").without("since", "-7d").url() == "?type=a&type=b"


@pytest.mark.parametrize(
    ("text", "picked"),
    [
        ("", ""),
        ("-7d", ""),
        ("2026-11-23", "2026-11-23T00:00:00"),
        ("2026-11-23T08:00:00+02:00", "2026-11-23T06:00:00"),
        ("nonsense", ""),
    ],
)
def test_a_time_input_shows_utc_or_nothing(text: str, picked: str) -> None:
    assert Question(since=text).picked("since") == picked


@pytest.mark.parametrize("name", ["typ", "size", "limit", "self", "a b", "where", "sort", "__class__"])
def test_a_name_that_no_field_has_is_refused(name: str) -> None:
    question = Question({name: ("x",)})
    with pytest.raises(QueryError, match="unknown field"):
        question.filter()


def test_a_text_and_fields_and_times_all_must_match() -> None:
    question = of("q=a+or+b&principal=42&since=-7d")
    assert str(question.filter()) == "(a or b) principal:42 since:-7d"
    assert of(question.url()) == question
    assert question.without("q", "a or b").url() == "?principal=42&since=-7d"


def test_questions_near_it() -> None:
    question = of("q=a&type=x&type=y")
    assert question.also("type", "y").url() == "?q=a&type=y"
    starred = question.also("type", "z*")
    assert starred.url() == "?q=%28a%29+type%3A%22z%2A%22"
    assert str(starred.filter()) == 'a type:"z*"'
    assert str(of("").also("target", ' "*').filter()) == 'target:" \\"*"'
    day = question.within(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))
    assert day.url() == "?q=a&type=x&type=y&since=2026-11-23T00%3A00%3A00Z&until=2026-11-24T00%3A00%3A00Z"
