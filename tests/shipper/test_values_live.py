"""Whatever the recorder accepts, the cluster stores and gives back equal."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.live.corner import Corner
from tests.test_canonical import keys, values
from whodid.canonical import MAX_DEPTH, MAX_KEY
from whodid.shipper import Progress

pytestmark = pytest.mark.live

odd_keys = st.sampled_from(
    [".", "..", "a.", ".a", "a..b", "a.b", " ", "a b", '"', "\\", "*", "_id", "=", "k" * MAX_KEY]
)


def nested(levels: int) -> dict[str, Any]:
    return {"k": nested(levels - 1)} if levels > 1 else {"k": "x"}


BY_HAND: dict[str, dict[str, Any]] = {
    "nulls and nothing": {"a": None, "b": {}, "c": [], "d": [None], "e": [{}], "f": [[]], "g": ""},
    "lists of objects": {"a": [{"b": 1}, {"b": "x", "c": [{"d": None}]}, 7, "y", [True]]},
    "a key and the path that looks like it": {"a.b": 1, "a": {"b": 2}, "a.b.c": {"d": 3}},
    "an object where a leaf was": {"x": 1},
    "a leaf where an object was": {"x": {"y": 1}},
    "numbers": {"a": 2**53 - 1, "b": -(2**53 - 1), "c": 1e-300, "d": 5e-324, "e": 1.7e308, "f": 1e22, "g": 0.1},
    "deepest": nested(MAX_DEPTH),
    "longest path": {"k" * MAX_KEY: {"k" * MAX_KEY: {"k" * MAX_KEY: "v"}}},
    "control characters": {"a": "\x01\x1b[31m\x7f\x9b\u2028\u202e"},
    "many keys": {f"k{n}": n for n in range(1500)},
    "30,000 characters": {"a": "x" * 30_000},
    "no details": {},
}


def assert_stored_as_journalled(place: Corner) -> None:
    entries = place.journalled()
    assert place.ship() == Progress(shipped=len(entries))
    stored = {hit["_source"]["seq"]: hit["_source"] for hit in place.stored().values()}
    assert [stored[entry["seq"]] for entry in entries] == entries


def test_values_that_are_hard_to_map_are_stored_as_they_are(place: Corner) -> None:
    for about, value in BY_HAND.items():
        [entry] = place.record(1, details=value, before=value, correlation_id=about)
        assert (entry["details"], entry["before"]) == (value, value) or "shortened" in entry
    assert_stored_as_journalled(place)


@pytest.mark.parametrize("text", ["x" * 50_000, "é" * 20_000, "\N{GRINNING FACE}" * 12_000])
def test_a_string_longer_than_the_cluster_can_index_is_shortened_and_stored(place: Corner, text: str) -> None:
    [entry] = place.record(1, details={"a": text, "b": 1})
    assert entry["shortened"]["details.a"]["bytes"] > 32_766
    assert_stored_as_journalled(place)


def test_whatever_is_accepted_as_details_is_stored_and_read_back_equal(place: Corner) -> None:
    recorder = place.recorder()

    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    @given(details=st.dictionaries(keys | odd_keys, values, max_size=5))
    def record(details: dict[str, Any]) -> None:
        receipt, line = recorder.record("credentials_created", {"target": "x", "principal": "1", "details": details})
        assert receipt.recorded
        assert orjson.loads(line)["details"] == details

    record()
    recorder.journal.close()
    assert_stored_as_journalled(place)
