"""The chart: what is seen is what is counted, and the words say the same."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from whodid.report import Period
from whodid.report.page.activity import histogram, share, strip
from whodid.search import Stats
from whodid.search.stats import Bar
from whodid.verify import Stretch

OCTOBER = Period(
    datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
)


def rects(svg: str, look: str) -> list[tuple[float, float, float]]:
    """x, width and height of those that look like that."""
    found = re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="([\d.]+)" class="([\w-]+)"', svg)
    return [(float(x), float(width), float(height)) for x, width, height, name in found if name == look]


def counted(*counts: tuple[int, int]) -> Stats:
    bars = tuple(Bar(OCTOBER.since + timedelta(days=day), count) for day, count in counts)
    return Stats(sum(count for _, count in counts), None, None, 1, "day", bars, {"type": {}})


def test_bars_stand_where_their_day_is_in_the_period() -> None:
    svg = histogram(counted((0, 10), (1, 0), (30, 5)), OCTOBER)
    (first, width, high), (last, _, half) = rects(svg, "bar")
    assert (first, round(last)) == (0, round(1000 * 30 / 31))
    assert 20 < width < 1000 / 31
    assert (high, half) == (110, 55)


def test_it_says_in_words_what_it_shows() -> None:
    words = "Entries from 2026-10-01 00:00 to 2026-11-01 00:00 UTC, by day; the most in one day: 1,000"
    svg = histogram(counted((3, 1000)), OCTOBER)
    assert f'role="img" aria-label="{words}"' in svg
    assert f"<figcaption>{words}</figcaption>" in svg
    assert "<title>2026-10-04 00:00: 1,000</title>" in svg


def test_a_bar_that_begins_before_the_period_is_cut() -> None:
    [(x, width, _)] = rects(histogram(counted((-1, 4)), OCTOBER), "bar")
    assert (x, width) == (0, 1)


def test_one_altered_entry_among_a_million_is_seen() -> None:
    stretches = [
        Stretch("intact", 1, 500_000, 500_000),
        Stretch("altered", 500_001, 500_001, 1),
        Stretch("not yet sealed", 500_002, 1_000_000, 499_999),
    ]
    svg = strip(stretches, "Journal x")
    [(x, width, _)] = rects(svg, "is-bad")
    assert 490 < x < 510
    assert width > 2.5
    assert (len(rects(svg, "is-intact")), len(rects(svg, "is-open"))) == (1, 1)
    assert "<title>altered: 500,001 to 500,001</title>" in svg


def test_a_share_is_as_long_as_its_count() -> None:
    assert 'width="250.0"' in share(1, 4)
    assert 'width="3.0"' in share(1, 1_000_000)
    assert 'aria-hidden="true"' in share(1, 4)
