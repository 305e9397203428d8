"""Administration: a Python caller leaves the same records as the command line, also when something fails."""

from __future__ import annotations

import getpass
import io
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from opensearchpy import OpenSearch

import whodid
from tests.live.corner import Corner, corner
from tests.opensearch.ism_stand_in import IsmStandIn
from tests.opensearch.test_ism import NAME as RETENTION
from tests.recording import recorded
from tests.shipping.test_loop import Cluster, record
from whodid import administration
from whodid.administration import (
    drop_dead_letters,
    enforce_retention,
    erase,
    export_dead_letters,
    plan_erasure,
    release_hold,
    retire_journal,
    retry_dead_letters,
    rotate_key,
    set_hold,
    set_retention,
)
from whodid.cli.program import program
from whodid.cluster.template import MARK
from whodid.errors import InvalidEntry, NotRecorded, OpenSearchError, QueryError, SettingsError, WhodidError
from whodid.journal import JournalDirectory
from whodid.journal.lock import ProcessLock
from whodid.proof.keys import new_key
from whodid.retention.destruction import destructions
from whodid.retention.enforcement import record_upcoming
from whodid.settings import Settings
from whodid.setup.setup import apply, plan
from whodid.shipping import Shipper
from whodid.shipping.dead_letters import DeadLetter, find_dead_letters, keep_dead_letters, read_dead_letters

LIVE = pytest.mark.live
OWN = "audit_log_"


def command(settings: Settings, *words: str) -> tuple[int, str]:
    options = {
        "journal-dir": settings.journal_dir,
        "opensearch-hosts": settings.opensearch_hosts[0],
        "index-prefix": settings.index_prefix,
        "signing-key-file": settings.signing_key_file,
        "max-bytes": settings.max_bytes,
        "retention": settings.retention,
    }
    done = CliRunner().invoke(program, [*words, *(f"--{name}={value}" for name, value in options.items() if value)])
    return done.exit_code, f"{done.output}{done.exception or ''}"


def records(settings: Settings) -> list[tuple[str, str, dict[str, Any]]]:
    """Type, principal and details of what whodid recorded, without what is another each time."""
    own = (entry for entry in recorded(Path(settings.journal_dir)) if entry["type"].startswith(OWN))
    return [(one["type"], one["principal"], _same_each_time(one["details"])) for one in own]


def _same_each_time(details: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in details.items() if name not in {"ledger", "digest", "last_hash", "due"}}


def letter(number: int) -> DeadLetter:
    line = json.dumps({"seq": number, "creation_date": "2026-11-23T08:00:00Z"})
    return DeadLetter(f"00ff00ff00ff00ff-{number:012d}-{number:016x}", "a-2026.11", "mapping", line)


@pytest.fixture
def twins(tmp_path: Path) -> tuple[Settings, Settings]:
    """Two hosts in the same state: two dead letters, an ended journal that is shipped, a key that signed."""
    made = []
    for name in ("cli", "python"):
        settings = Settings(journal_dir=str(tmp_path / name / "journal"), signing_key_file=str(tmp_path / name / "key"))
        directory = JournalDirectory(settings.journal_dir, create=True)
        new_key(settings.signing_key_file)
        new_key(f"{settings.signing_key_file}.new")
        record(settings, "a")
        Shipper(settings, Cluster().send).run_once()
        (directory.journal(str(directory.current())) / "ended").write_text("{}")
        record(settings, "b")
        keep_dead_letters(directory, [letter(1), letter(2)])
        made.append(settings)
    return made[0], made[1]


def ended(settings: Settings) -> str:
    directory = JournalDirectory(settings.journal_dir)
    return next(name for name in directory.journals() if name != directory.current())


HOST: dict[str, tuple[Callable[[Settings], list[str]], Callable[[Settings], object]]] = {
    "drop": (
        lambda _: ["dead-letters", "drop", letter(1).id, "--reason", "why", "--yes"],
        lambda settings: drop_dead_letters(settings, {letter(1).id}, "why"),
    ),
    "export": (
        lambda _: ["dead-letters", "export", "-"],
        lambda settings: export_dead_letters(
            settings, find_dead_letters(JournalDirectory(settings.journal_dir)), io.StringIO(), "-"
        ),
    ),
    "retire": (
        lambda settings: ["journal", "retire", ended(settings), "--reason", "why"],
        lambda settings: retire_journal(settings, ended(settings), "why"),
    ),
}


@pytest.mark.parametrize("action", HOST)
def test_on_a_host_python_leaves_the_records_of_the_command(action: str, twins: tuple[Settings, Settings]) -> None:
    words, call = HOST[action]
    by_command, by_python = twins
    assert command(by_command, *words(by_command))[0] == 0
    call(by_python)
    [(_, who, _)] = found = records(by_python)
    assert (found, who) == (records(by_command), getpass.getuser())
    left = [read_dead_letters(JournalDirectory(one.journal_dir)).keys() for one in twins]
    assert left[0] == left[1]
    assert [len(list(JournalDirectory(one.journal_dir).journals())) for one in twins] == [1 + (action != "retire")] * 2


@pytest.mark.parametrize("action", ["drop", "retire"])
def test_what_can_not_be_recorded_is_done_by_neither(action: str, twins: tuple[Settings, Settings]) -> None:
    words, call = HOST[action]
    by_command, by_python = (replace(one, max_bytes=1) for one in twins)
    code, said = command(by_command, *words(by_command))
    assert (code, "max_bytes" in said) == (1, True)
    with pytest.raises(NotRecorded, match="max_bytes"):
        call(by_python)
    for one in twins:
        assert records(one) == []
        assert len(read_dead_letters(JournalDirectory(one.journal_dir))) == 2
        assert len(list(JournalDirectory(one.journal_dir).journals())) == 2


def test_a_key_is_rotated_by_both_with_the_same_record(twins: tuple[Settings, Settings]) -> None:
    for one in twins:
        Shipper(one, Cluster().send).run_once()
    by_command, by_python = twins
    new = f"{by_command.signing_key_file}.new"
    assert command(by_command, "key", "rotate", "--to", new, "--reason", "yearly")[0] == 0
    done = rotate_key(by_python, "yearly", signing_key_file=f"{by_python.signing_key_file}.new")
    [(kind, _, details)] = records(by_python)
    assert (kind, details) == (f"{OWN}key_rotated", {"reason": "yearly", "before": done.before, "after": done.after})
    [(same, _, others)] = records(by_command)
    assert (same, others.keys()) == (kind, details.keys())
    with pytest.raises(SettingsError, match="name the new key"):
        rotate_key(by_python, "yearly")


def test_a_running_shipper_keeps_a_key_from_being_rotated(twins: tuple[Settings, Settings]) -> None:
    _, settings = twins
    lock = ProcessLock(JournalDirectory(settings.journal_dir).ship_lock)
    assert lock.try_acquire()
    with closing(lock), pytest.raises(WhodidError, match="stop that until this is done"):
        rotate_key(settings, "yearly", signing_key_file=f"{settings.signing_key_file}.new")
    assert records(settings) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda settings: drop_dead_letters(settings, {letter(1).id}, " "),
        lambda settings: retire_journal(settings, ended(settings), ""),
        lambda settings: rotate_key(settings, "\u200b", signing_key_file=f"{settings.signing_key_file}.new"),
        lambda settings: set_hold(OpenSearch(), settings, "", partitions=["x"]),
        lambda settings: release_hold(OpenSearch(), settings, "h-1", ""),
    ],
    ids=["drop", "retire", "rotate", "hold", "release"],
)
def test_nothing_is_done_without_a_reason(call: Callable[[Settings], object], twins: tuple[Settings, Settings]) -> None:
    with pytest.raises(InvalidEntry, match="reason must not be empty"):
        call(twins[0])
    assert records(twins[0]) == []


def test_the_principal_of_the_context_did_it(twins: tuple[Settings, Settings]) -> None:
    with whodid.context(principal="7", client_ip="203.0.113.9"):
        drop_dead_letters(twins[0], {letter(1).id}, "why")
    *_, own = recorded(Path(twins[0].journal_dir))
    assert (own["principal"], own["client_ip"]) == ("7", "203.0.113.9")


@pytest.fixture
def places(opensearch_url: str, tmp_path: Path) -> Iterator[tuple[Corner, Corner]]:
    """Two corners in the same state: three entries of a person, stored, of November 2024."""
    with corner(opensearch_url, tmp_path / "1") as first, corner(opensearch_url, tmp_path / "2") as second:
        for made in (first, second):
            made.set_up()
            recorder = made.recorder(clock_ns=lambda: 1_732_000_000 * 1_000_000_000)
            for target in "abc":
                fields = {"target": target, "principal": "42", "principal_name": "Ada"}
                recorder.record("credentials_created", fields)
            recorder.journal.close()
            made.ship()
        yield first, second


def in_place_of_prefixes(place: Corner) -> list[tuple[str, str, dict[str, Any]]]:
    text = json.dumps(records(place.settings)).replace(place.settings.index_prefix, "PREFIX")
    return [(kind, who, details) for kind, who, details in json.loads(text)]


@LIVE
def test_a_hold_is_set_and_released_by_both_with_the_same_records(places: tuple[Corner, Corner]) -> None:
    one, other = places
    code, said = command(one.settings, "hold", "set", "--reason", "case", "--since", "2024-11-01", "--json")
    assert code == 0, said
    held = json.loads(said.splitlines()[-1])
    assert command(one.settings, "hold", "release", held["id"], "--reason", "closed", "--yes")[0] == 0
    change = set_hold(other.client, other.settings, "case", since="2024-11-01")
    assert change.applied.held == (f"{other.settings.index_prefix}-2024.11",)
    released = release_hold(other.client, other.settings, change.hold.id, "closed")
    assert (released.hold.released_by, released.applied.problems) == (getpass.getuser(), {})
    assert in_place_of_prefixes(one) == in_place_of_prefixes(other)
    assert [kind for kind, _, _ in records(other.settings)] == [f"{OWN}hold_set", f"{OWN}hold_released"]


@LIVE
def test_what_is_no_hold_is_recorded_by_neither(places: tuple[Corner, Corner]) -> None:
    place, _ = places
    with pytest.raises(OpenSearchError, match="there is no partition nowhere"):
        set_hold(place.client, place.settings, "case", partitions=["nowhere"])
    with pytest.raises(QueryError, match="name either partitions or the days"):
        set_hold(place.client, place.settings, "case")
    with pytest.raises(OpenSearchError, match="there is no hold h-1"):
        release_hold(place.client, place.settings, "h-1", "closed")
    assert command(place.settings, "hold", "set", "--reason", "case")[0] == 2
    assert command(place.settings, "hold", "release", "h-1", "--reason", "closed", "--yes")[0] == 1
    assert records(place.settings) == []


@LIVE
def test_a_person_is_erased_by_both_with_the_same_records(places: tuple[Corner, Corner]) -> None:
    one, other = places
    words = ("erase", "--principal", "42", "--reason", "request", "--wait", "0", "--yes")
    assert command(one.settings, *words)[0] == 0
    report = erase(other.client, other.settings, plan_erasure(other.client, other.settings, "42"), "request")
    assert (sum(report.stored.values()), report.fields, report.left) == (3, ("principal_name",), ())
    assert in_place_of_prefixes(one) == in_place_of_prefixes(other)
    assert [details["step"] for _, _, details in records(other.settings)] == ["begun", "done"]


@LIVE
def test_an_erasure_that_can_not_be_recorded_erases_nothing(places: tuple[Corner, Corner]) -> None:
    one, other = ((place, replace(place.settings, max_bytes=1)) for place in places)
    words = ("erase", "--principal", "42", "--reason", "request", "--wait", "0", "--yes")
    assert command(one[1], *words)[0] == 1
    with pytest.raises(NotRecorded, match="max_bytes"):
        erase(other[0].client, other[1], plan_erasure(other[0].client, other[1], "42"), "request")
    for place in places:
        assert records(place.settings) == []
        assert [hit["_source"]["principal_name"] for hit in place.stored().values()] == ["Ada"] * 3


@LIVE
def test_retention_is_enforced_by_both_with_the_same_records(
    places: tuple[Corner, Corner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two years from now: both partitions were created by this test."""
    later = datetime.now(UTC) + timedelta(days=731)
    monkeypatch.setattr("whodid.retention.enforcement.deletion_time", lambda _client: later)
    one, other = places
    assert command(one.settings, "retention", "enforce")[0] == 0
    done = enforce_retention(other.client, other.settings)
    assert [partition.index for partition in done.expired] == [f"{other.settings.index_prefix}-2024.11"]
    assert in_place_of_prefixes(one) == in_place_of_prefixes(other)
    assert [kind for kind, _, _ in records(other.settings)] == [f"{OWN}partition_destroyed"]


@LIVE
def test_dead_letters_are_retried_by_both_with_the_same_record(places: tuple[Corner, Corner]) -> None:
    one, other = places
    for place in places:
        line = place.recorder().record("credentials_created", {"target": "d", "principal": "42"})[1].decode()
        kept = replace(letter(9), line=line, index=f"{place.settings.index_prefix}-2026.11")
        keep_dead_letters(JournalDirectory(place.settings.journal_dir), [kept])
    code, said = command(one.settings, "dead-letters", "retry")
    assert code == 0, said
    directory = JournalDirectory(other.settings.journal_dir)
    assert retry_dead_letters(other.settings, find_dead_letters(directory)).stored == [letter(9).id]
    assert in_place_of_prefixes(one) == in_place_of_prefixes(other)
    assert list(find_dead_letters(directory)) == []


def test_retention_is_set_by_both_with_the_same_record(tmp_path: Path) -> None:
    done = []
    for name in ("cli", "python"):
        with closing(IsmStandIn()) as cluster, closing(OpenSearch(hosts=[cluster.url], max_retries=0)) as client:
            settings = Settings(journal_dir=str(tmp_path / name), opensearch_hosts=(cluster.url,))
            apply(plan(client, settings))
            if name == "cli":
                assert command(settings, "retention", "set", "400d", "--timeout=0")[0] == 0
            else:
                assert set_retention(client, settings, "400d", timeout=0).problems == {}
            done.append(records(settings))
    [(kind, _, details)] = done[1]
    assert done[0] == done[1]
    assert (kind, details["retention"], details["was"]) == (f"{OWN}retention_set", "400d", "365d")


def test_what_a_shorter_retention_deletes_is_on_record_before(tmp_path: Path) -> None:
    name = "whodid-audit-2026.08"
    with closing(IsmStandIn()) as cluster, closing(OpenSearch(hosts=[cluster.url], max_retries=0)) as client:
        settings = Settings(journal_dir=str(tmp_path), opensearch_hosts=(cluster.url,))
        apply(plan(client, settings))
        cluster.create_index(name, policy=RETENTION, mark=MARK, entries=9, age=100)
        assert set_retention(client, settings, "30d", sleep=lambda _: cluster.advance(300)).problems == {}
        [record] = destructions(client, settings)
        assert (record.partition, record.state, record.account.entries) == (name, "ahead", 9)
        for _ in range(4):
            cluster.advance(300)
        assert name not in cluster.indices
        now = datetime.fromtimestamp(cluster.now / 1000, UTC)
        assert [(one.state, one.missing) for one in record_upcoming(client, settings, now)] == [("deleted", "")]


def test_each_function_says_what_it_raises() -> None:
    functions = [getattr(administration, name) for name in administration.__all__ if name.islower()]
    assert len(functions) == 14
    assert [one.__name__ for one in functions if "Raises" not in one.__doc__] == []
