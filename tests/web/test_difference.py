"""The difference between two states, as the tab shows it."""

from __future__ import annotations

from typing import Any

from whodid.web.pages import LINES, Line, difference


def test_what_differs_comes_first_and_says_how() -> None:
    before = {"name": "a", "size": 1, "tags": {"x": True, "y": None}, "gone": [1, 2]}
    after = {"name": "a", "size": 2, "tags": {"x": True, "z": {}}, "new": "1"}
    found = [(line.key, line.before, line.after, line.kind) for line in difference(before, after)]
    assert found == [
        ("size", "1", "2", "changed"),
        ("tags.y", "null", None, "removed"),
        ("gone", "[1, 2]", None, "removed"),
        ("tags.z", None, "{}", "added"),
        ("new", None, "1", "added"),
        ("name", "a", "a", "same"),
        ("tags.x", "true", "true", "same"),
    ]


def test_control_characters_can_not_steer_anything() -> None:
    assert difference({"a\x1b": [1, "\x1b"]}, {}) == [Line("a\ufffd", '[1, "\\u001b"]', None)]


def test_what_looks_alike_and_is_not_is_shown_as_json() -> None:
    assert difference({"a": 1, "b": "true", "c": "x"}, {"a": "1", "b": True, "c": "x"}) == [
        Line("a", "1", '"1"'), Line("b", '"true"', "true"), Line("c", "x", "x")
    ]  # fmt: skip


def test_levels_that_no_entry_has_are_shown_as_one_value() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    [line] = difference(deep, {})
    assert line.key == ".".join("a" * 13)
    assert line.before == '{"a": ' * 4987 + "{}" + "}" * 4987


def test_long_keys_and_many_lines_are_cut_so_that_a_page_grows_no_faster_than_its_entry() -> None:
    key = "K" * 20_000
    before = {key: {str(number): 0 for number in range(5000)}}
    lines = difference(before, {key: {**before[key], "4999": 1}})
    assert lines[0] == Line("K" * 79 + "…" + "K" * 20 + ".4999", "0", "1")
    assert len(lines) == LINES + 1
    assert lines[LINES].key == "… and 4,500 more, which the JSON of the entry has"
    assert sum(len(line.key) for line in lines) < 110 * LINES


def test_keys_that_look_alike_once_cut_or_joined_stay_apart() -> None:
    first, second = "K" * 200 + "1", "K" * 200 + "2"
    assert [line.before for line in difference({first: 1, second: 2, "a.b": 3, "a": {"b": 4}}, {})] == list("1234")
