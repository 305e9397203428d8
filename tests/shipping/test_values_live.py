"""Whatever the recorder accepts, the cluster stores and gives back equal."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import independent
from tests.live.corner import Corner
from tests.test_canonical import keys, texts, values
from whodid.entry import FIELDS, FREE_FIELDS
from whodid.errors import InvalidEntry
from whodid.integrity import MAX_DEPTH, MAX_KEY
from whodid.recording.masking import Mask
from whodid.shipping import Progress

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


TEXTS = [
    name
    for name, field in FIELDS.items()
    if field.source == "call" and field.kind == "keyword" and not field.values and name != "type"
]
_odd_texts = ["", "system", "\0", "a\0", "\ud800", "x" * 600, '"\\u0000"', "sha256:" + "0" * 64]
_any_text = st.text(max_size=20) | st.sampled_from(_odd_texts)
_objects = st.dictionaries(keys | odd_keys, values, max_size=5)
_anything = _any_text | values | st.sampled_from([b"x", {1}, float("nan"), 2**60, object()])
CALLS = st.fixed_dictionaries(
    {"target": texts.filter(bool), "principal": texts.filter(bool)},
    optional={
        **{name: texts.filter(bool) for name in TEXTS if name not in {"target", "principal"}},
        "client_ip": st.ip_addresses().map(str),
        "outcome": st.sampled_from(["success", "failure", "unknown"]),
        **dict.fromkeys(FREE_FIELDS, _objects),
    },
)
_FIELDS = [*TEXTS, "client_ip", "outcome", "phase", *FREE_FIELDS]
HOSTILE = st.dictionaries(st.sampled_from(_FIELDS), _anything, max_size=3)


def test_whatever_is_accepted_is_stored_and_read_back_equal_and_the_rest_is_refused(place: Corner) -> None:
    recorder = place.recorder()
    mask = Mask()
    accepted, refused = 0, 0

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(call=CALLS, hostile=st.just({}) | HOSTILE)
    def record(call: dict[str, Any], hostile: dict[str, Any]) -> None:
        nonlocal accepted, refused
        given_fields = {name: value for name, value in {**call, **hostile}.items() if value is not None}
        try:
            receipt, line = recorder.record("credentials_created", given_fields)
        except InvalidEntry:
            refused += 1
            assert hostile or call["principal"] == "system"
            return
        accepted += 1
        entry = orjson.loads(line)
        assert (receipt.recorded, receipt.hash) == (True, entry["hash"])
        kept = {name: mask.object(value) if name in FREE_FIELDS else value for name, value in given_fields.items()}
        cut = {path.split(".")[0] for path in entry.get("shortened", {})}
        assert {name: entry[name] for name in kept if name not in cut} == {
            name: value for name, value in kept.items() if name not in cut
        }
        assert independent.entry_hash(entry) == entry["hash"]

    record()
    recorder.journal.close()
    assert accepted > 50
    assert refused > 5
    assert len(place.journalled()) == accepted
    assert_stored_as_journalled(place)
