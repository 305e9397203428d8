"""Filters of every kind, for Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from whodid.search import FILTERS, Filter
from whodid.search.filter import EVERYTHING, NOTHING, both, either, filter_of, time, words
from whodid.search.grammar import ALIASES, KEYED, PERIODS, kind_of

__all__ = ["filters"]

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.sampled_from(
    ["a*", "or", "-x", 'say "so"', "a\\b", "a,b", "(x)", "type:x", "*", "x y", ":", "&", "http://a/b?c=1"]
)
_NAMES = st.sampled_from([*ALIASES, *FILTERS, *KEYED, *(f"{name}.rows" for name in KEYED), "details.a.b"])
_ADDRESSES = st.ip_addresses().map(str) | st.ip_addresses(network="10.0.0.0/8").map(lambda one: f"{one}/32")
_TIMES = st.sampled_from(["-7d", "2026", "2026-11", "2026-W48", "2026-11-23T08:00:00+01:00", "now", *PERIODS])


@st.composite
def _matches(draw: st.DrawFn) -> Filter:
    name = draw(_NAMES)
    kind = kind_of(name)
    value = st.integers(0, 2**63 - 1) if kind == "long" else _ADDRESSES if kind == "ip" else _TEXT
    return filter_of({name: draw(st.lists(value, min_size=1, max_size=3) | value)})


_SINGLE = st.one_of(
    _matches(),
    st.builds(time, st.sampled_from(["since", "until", "time"]), _TIMES),
    st.builds(lambda low, high: time("time", f"{low}..{high}"), _TIMES, _TIMES | st.just("")),
    _TEXT.filter(str.strip).map(words),
    st.sampled_from([EVERYTHING, NOTHING, Filter.parse("seq:3..9"), Filter.parse("seq:..9")]),
)

filters = st.recursive(
    _SINGLE,
    lambda inner: st.one_of(
        inner.map(lambda one: ~one), st.lists(inner, max_size=3).map(both), st.lists(inner, max_size=3).map(either)
    ),
    max_leaves=8,
)
"""Any filter."""
