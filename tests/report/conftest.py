"""What these tests share: a log with everything in it that a report tells of, made by whodid's own commands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.attacks.scene import NOW, Scene, scene
from whodid.cli import program
from whodid.recording.own import record_operation, record_own
from whodid.report import Report, period_of
from whodid.report.parts import AdminActions, RetentionPart
from whodid.report.report import Made
from whodid.retention.destruction import Destruction, count_contents, moment_text, write_destruction
from whodid.retention.schedule import RetentionView
from whodid.search import Stats
from whodid.settings import Settings
from whodid.verify import Verification

TODAY = datetime(2026, 11, 27, 12, 0, 0, 5, tzinfo=UTC)

NAME, ADDRESS = "Ada Lovelace", "203.0.113.77"


@dataclass(frozen=True)
class Story:
    """What became of the log: a hold set, one released, a partition gone, a person erased, reads."""

    scene: Scene
    holds: tuple[str, str]
    destroyed: str


@pytest.fixture
def ready(opensearch_url: str, tmp_path: Path) -> Iterator[Scene]:
    """An intact log of three months, for somebody to tamper with."""
    with scene(opensearch_url, tmp_path) as made:
        yield made


@pytest.fixture
def report() -> Report:
    """Of a log in which nothing happened."""
    period = period_of("2026-10", "2026-11", TODAY)
    return Report(
        period=period,
        verified_until=period.until,
        made=Made.now(Settings(host="web-1"), TODAY, "key"),
        verification=Verification(),
        outside=(),
        retention=RetentionPart(RetentionView(365, 365, 398, "ism"), (), (), (), ()),
        actions=AdminActions({}, (), ()),
        numbers=Stats(0, None, None, 0, "day", (), {"type": {}}),
        journals=(),
    )


@pytest.fixture(scope="module")
def story(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with scene(opensearch_url, tmp_path_factory.mktemp("story")) as made:
        place = made.corner
        place.record(3, principal="99", principal_name=NAME, client_ip=ADDRESS)
        made.seal(hours_ago=2)
        # What `whodid retention set` records; the command itself needs Index State Management.
        about = {"retention": "400d", "policy": "audit"}
        record_operation(made.settings, "audit_log_retention_set", "audit", about)
        kept = _hold(made, "case 4711")
        freed = _hold(made, "case 12")
        _run(made, "hold", "release", freed, "--reason=closed", "--yes")
        _run(made, "erase", "--principal=99", "--reason=request 17", "--wait=0", "--yes")
        for event_type, target in (("audit_log_searched", "x"), ("audit_log_searched", "y"), ("audit_log_viewed", "z")):
            record_own(
                made.settings, event_type, principal="lin", target=target, details={"query": f"client_ip:{ADDRESS}"}
            )
        gone = _destroy(made)
        made.seal(hours_ago=1)
        yield Story(made, (kept, freed), gone)


def _run(made: Scene, *words: str) -> str:
    done = CliRunner().invoke(program, made.corner.arguments(*words))
    assert done.exit_code == 0, done.output
    return done.stdout


def _hold(made: Scene, reason: str) -> str:
    partition = made.hits()[5]["_index"]
    _run(made, "hold", "set", f"--reason={reason}", f"--partition={partition}")
    hits = made.corner.client.search(index=f"{made.settings.index_prefix}.ledger", body={"size": 100})["hits"]["hits"]
    [found] = [hit["_source"]["body"]["id"] for hit in hits if hit["_source"]["body"].get("reason") == reason]
    return str(found)


def _destroy(made: Scene) -> str:
    """A partition of another journal whose time is over goes as whodid does it: first the record, then the index."""
    old = replace(made.corner, settings=replace(made.settings, journal_dir=f"{made.settings.journal_dir}-old"))
    start = NOW - timedelta(days=800)
    recorder = old.recorder(clock_ns=lambda: int(start.timestamp() * 1e9))
    for number in range(4):
        recorder.record("team_created", {"target": str(number), "principal": "7"})
    recorder.journal.close()
    old.ship()
    [partition] = {
        str(hit["_index"]) for hit in made.corner.stored().values() if hit["_source"]["type"] == "team_created"
    }
    client = made.corner.client
    uuid: Any = client.indices.get_settings(index=partition)[partition]["settings"]["index"]["uuid"]
    account = count_contents(client, partition)
    due = moment_text(NOW - timedelta(days=2))
    record = Destruction(partition, uuid, "deleted", due, {"retention": 365}, account, deleted=moment_text(NOW))
    write_destruction(client, made.settings, record)
    client.indices.delete(index=partition)
    return partition
