"""The log of a shipper: trouble once, its end, and never a value of an entry."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from whodid.shipping.delivery import Answered, Moved, Progress, Waiting
from whodid.shipping.log import EVENTS, ShipperLog

QUOTING = "mapper_parsing_exception: failed to parse field [target]. Preview of field's value: 'secret'"


class Log:
    def __init__(self, form: str = "text") -> None:
        self.lines: list[str] = []
        self.now = 1000.0
        self.log = ShipperLog(
            self.lines.append,
            "json" if form == "json" else "text",
            monotonic=lambda: self.now,
            now=lambda: datetime(2026, 11, 23, 8, tzinfo=UTC),
        )

    def wait(self, reason: str) -> None:
        self.log(Waiting("unavailable", reason, 5))
        self.log(Moved(Progress(shipped=3, waiting=reason)))


def test_the_same_trouble_is_told_once_and_again_each_minute_and_when_it_is_over() -> None:
    log = Log()
    for _ in range(125):
        log.wait("HTTP 503: away")
        log.now += 1
    log.wait("HTTP 429: busy")
    log.log(Moved(Progress(shipped=8)))
    log.log(Moved(Progress(shipped=9)))
    assert log.lines == ["waiting: HTTP 503: away"] * 3 + ["waiting: HTTP 429: busy", "recovered after 125 s"]


def test_programs_get_events_with_facts() -> None:
    log = Log("json")
    log.log.say("started", "shipping", journal_dir="/var/lib/app/audit")
    log.wait("HTTP 503: away")
    log.log(Moved(Progress(shipped=3, dead_letters=2, damaged=1)))
    lines = [json.loads(line) for line in log.lines]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("started", "info"),
        ("waiting", "warning"),
        ("dead_letters", "error"),
        ("damaged", "error"),
        ("recovered", "info"),
    ]
    assert {line["time"] for line in lines} == {"2026-11-23T08:00:00.000+00:00"}
    assert (lines[1]["cause"], lines[1]["reason"], lines[2]["count"]) == ("unavailable", "HTTP 503: away", 2)
    assert {line["event"] for line in lines} <= set(EVENTS)


def test_a_reason_that_quotes_an_entry_is_told_without_the_quote() -> None:
    for form in ("text", "json"):
        log = Log(form)
        log.wait(QUOTING)
        assert "failed to parse field [target]" in log.lines[0]
        assert "secret" not in log.lines[0]


def test_what_goes_well_is_no_news() -> None:
    log = Log()
    log.log(Answered(0.1, 5, 1000))
    log.log(Moved(Progress(shipped=5)))
    assert log.lines == []
