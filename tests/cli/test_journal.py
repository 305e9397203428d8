"""`whodid journal`: which journals there are, here and in the cluster, and that one will never speak again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.live.corner import Corner
from whodid.cli.program import program
from whodid.journal import JournalDirectory
from whodid.shipping.service import close_journal
from whodid.shipping.status import directory_status

pytestmark = pytest.mark.live


def call(place: Corner, *arguments: str) -> Result:
    return CliRunner().invoke(program, place.arguments("journal", *arguments))


def listed(place: Corner, *options: str) -> dict[str, dict[str, Any]]:
    lines = call(place, "list", "--json", *options).output.splitlines()
    return {found["journal"]: found for found in map(json.loads, lines)}


def current(place: Corner) -> str:
    return str(JournalDirectory(place.settings.journal_dir).current())


def begin_another(place: Corner) -> None:
    """What a crash that cut the last line's end off, or an edit by hand, leads to."""
    segment = max(Path(place.settings.journal_dir).glob(f"{current(place)}/[0-9]*.ndjson"))
    segment.write_bytes(segment.read_bytes() + b'{"edited":"by hand"}\n')
    place.record(1)


def test_the_journals_of_a_host_are_listed_with_what_waits(place: Corner) -> None:
    assert "no journals" in call(place, "list").output
    place.record(3)
    first = current(place)
    place.ship()
    begin_another(place)
    found = listed(place)
    assert list(found) == [first, current(place)]
    assert [(one["current"], one["last_seq"], one["backlog"]) for one in found.values()] == [
        (False, 3, 0),
        (True, 1, 1),
    ]
    assert [name in call(place, "list").output for name in found] == [True, True]


def test_the_cluster_knows_journals_of_hosts_that_are_gone(place: Corner, tmp_path: Path) -> None:
    pods = [
        replace(place, settings=replace(place.settings, host=f"pod-{n}", journal_dir=str(tmp_path / f"{n}")))
        for n in (1, 2)
    ]
    for pod in pods:
        pod.record(2)
    assert close_journal(pods[0].settings) is False  # nothing of it is shipped
    for pod in pods:
        pod.ship()
    assert close_journal(pods[0].settings)
    pods[0].ship()
    closed, open_ = (listed(place, "--cluster")[current(pod)] for pod in pods)
    assert (closed["host"], closed["last_seq"], closed["closed"], closed["retired"]) == ("pod-1", 3, True, False)
    assert (open_["host"], open_["last_seq"], open_["closed"], open_["retired"]) == ("pod-2", 2, False, False)
    lost = current(pods[1])
    said = call(place, "retire", lost, "--reason", "node web-3 died", "--json")
    assert said.exit_code == 0, said.output
    place.ship()
    assert listed(place, "--cluster")[lost]["retired"]
    [own] = place.journalled()
    assert (own["type"], own["target"]) == ("audit_log_journal_retired", lost)
    assert own["details"] == {
        "reason": "node web-3 died",
        "last_seq": 2,
        "last_hash": open_["last_hash"],
        "host": "pod-2",
    }


def test_an_ended_journal_that_is_wholly_shipped_retires_and_goes(place: Corner) -> None:
    place.record(3)
    first = current(place)
    begin_another(place)
    waiting = call(place, "retire", first, "--reason", "x")
    assert waiting.exit_code == 1
    assert "has 3 entries that are not in OpenSearch" in str(waiting.exception)
    place.ship()
    assert call(place, "retire", first, "--reason", "shipped long ago").exit_code == 0
    assert list(listed(place)) == [current(place)]
    assert place.ship().shipped == 1  # the record of it
    assert len(place.stored()) == 5


def test_a_journal_that_is_gone_from_this_host_retires_and_is_missed_no_more(place: Corner) -> None:
    place.record(3)
    first = current(place)
    begin_another(place)
    shutil.rmtree(Path(place.settings.journal_dir) / first)
    assert place.ship().missing == 1
    said = json.loads(call(place, "retire", first, "--reason", "deleted by mistake", "--json").output)
    assert (said["last_seq"], said["missing"], said["removed"]) == (0, [[0, 0]], False)
    assert directory_status(place.settings.journal_dir).missing == ()
    assert place.ship().missing == 0


def test_the_current_journal_and_one_that_nobody_knows_can_not_retire(place: Corner) -> None:
    place.record(1)
    place.ship()
    assert "only one that has ended" in str(call(place, "retire", current(place), "--reason", "x").exception)
    assert "there is no journal nobody" in str(call(place, "retire", "nobody", "--reason", "x").exception)
    empty = call(place, "retire", "nobody", "--reason", " ")
    assert (empty.exit_code, "--reason must not be empty; it is recorded in the audit log" in empty.output) == (2, True)
