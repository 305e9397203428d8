"""Reads that are recorded: each question once, by whom, before its answer, and no record of a read feeds another."""

from __future__ import annotations

import itertools
import os
import pwd
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import whodid
from tests.live.corner import Corner, corner
from whodid.entry import document_id
from whodid.errors import JournalDamaged, NotRecorded
from whodid.recording.own import Reads
from whodid.search import AuditClient
from whodid.settings import Settings

pytestmark = pytest.mark.live

USER = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def place(opensearch_url: str, tmp_path: Path) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path, audit_reads=True) as made:
        made.set_up()
        made.record(5)
        made.ship()
        yield made


def reads(place: Corner) -> list[tuple[Any, ...]]:
    found = (entry for entry in place.journalled() if entry["type"].startswith("audit_log_"))
    return [(e["type"], e["principal"], e["target"], e.get("details", {}).get("query")) for e in found]


def searched(place: Corner, query: str, principal: str = USER) -> tuple[str, ...]:
    return "audit_log_searched", principal, place.settings.index_prefix, query


def test_each_question_is_recorded_once_whichever_way_it_is_asked(place: Corner) -> None:
    client = AuditClient(place.settings, client=place.client)
    page = client.page("target:1", size=1)
    assert page.next is None
    list(client.search("target:1"))
    client.count("target:1")
    client.stats("target:1")
    client.counts_by("type", target="1")
    client.hidden("target:1")
    next(client.follow("target:1"))
    assert reads(place) == [searched(place, "target:1")]
    list(client.orphans())
    client.count()
    assert reads(place)[1:] == [searched(place, "phase:intent"), searched(place, "*")]


def test_an_entry_that_is_looked_at_and_an_export_are_recorded(place: Corner) -> None:
    client = AuditClient(place.settings, client=place.client)
    first = place.journalled()[0]
    id_ = document_id(first["journal"], first["seq"], first["hash"])
    with whodid.context(principal="ada", client_ip="203.0.113.9", organization_id="1"):
        assert client.get(id_) == first
        assert client.get(id_)
        client.note_export("target:1", form="csv", since="-1h")
        client.note_export("target:1", form="csv", since="-1h")
    export = ("audit_log_exported", "ada", place.settings.index_prefix, "target:1 since:-1h")
    assert reads(place) == [("audit_log_viewed", "ada", id_, None), export, export]
    recorded = place.journalled()[-1]
    assert (recorded["client_ip"], recorded["details"]["format"]) == ("203.0.113.9", "csv")
    assert "organization_id" not in recorded


def test_who_reads_the_record_of_a_read_adds_one_record_and_no_stream(place: Corner) -> None:
    client = AuditClient(place.settings, client=place.client)

    def shipped_meanwhile() -> None:
        place.ship()

    following = client.follow("type:audit_log_*", pause=shipped_meanwhile)
    seen = [entry["type"] for batch in itertools.islice(following, 5) for entry in batch]
    assert seen == ["audit_log_searched"]
    assert reads(place) == [searched(place, "type:audit_log_*")]


def test_another_principal_and_another_quarter_of_an_hour_count_anew(place: Corner) -> None:
    now = [0.0]
    noted = Reads(place.settings, lambda: now[0])
    for at, principal in [(0, "a"), (1, "b"), (899, "a"), (900, "a"), (901, "b")]:
        now[0] = at
        with whodid.context(principal=principal):
            noted.searched("*")
    assert [principal for _, principal, *_ in reads(place)] == ["a", "b", "a", "b"]


def test_what_can_not_be_recorded_is_not_answered(place: Corner, tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.touch()
    settings = replace(place.settings, journal_dir=str(blocked / "journal"))
    client = AuditClient(settings, client=place.client)
    for ask in (client.count, lambda: client.get("x"), lambda: client.note_export(form="csv")):
        with pytest.raises((NotRecorded, JournalDamaged)):
            ask()


def test_without_the_setting_nothing_is_recorded(place: Corner) -> None:
    client = AuditClient(replace(place.settings, audit_reads=False), client=place.client)
    client.count()
    client.note_export(form="csv")
    assert Settings().audit_reads is False
    assert reads(place) == []
