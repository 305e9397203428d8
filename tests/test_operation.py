"""Pairs of entries: the intent before an action and its outcome after it, through every kind of logger."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner

import whodid
from tests.live.corner import corner, eventually
from tests.recording import WHO, configured, recorded
from whodid.cli import program
from whodid.errors import InvalidEntry, NotRecorded
from whodid.search import AuditClient


@pytest.fixture
def journal_dir(tmp_path: Path) -> Iterator[Path]:
    structlog.reset_defaults()
    yield configured(tmp_path)
    structlog.reset_defaults()


def loggers() -> dict[str, Any]:
    return {"typed": whodid.get_logger(), "stdlib": logging.getLogger("app"), "structlog": structlog.get_logger()}


@pytest.mark.parametrize("kind", ["typed", "stdlib", "structlog"])
def test_an_action_has_an_intent_before_and_an_outcome_after(journal_dir: Path, kind: str) -> None:
    with (
        whodid.context(**WHO),
        loggers()[kind].auditing("team_deleted", target="9", details={"by": "form"}) as operation,
    ):
        [intent] = recorded(journal_dir)
        operation.add(target_name="Genomics", details={"members": 3})
    [first, outcome] = recorded(journal_dir)
    assert first == intent
    assert (intent["phase"], "outcome" in intent, intent["details"]) == ("intent", False, {"by": "form"})
    assert (outcome["phase"], outcome["outcome"]) == ("outcome", "success")
    assert outcome["details"] == {"by": "form", "members": 3}
    assert outcome["target_name"] == "Genomics"
    assert intent["operation"] == outcome["operation"] == operation.id


@pytest.mark.parametrize("error", [ValueError("secret text"), KeyboardInterrupt(), SystemExit(1)])
def test_an_action_that_fails_says_so_with_the_class_alone(journal_dir: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), whodid.context(**WHO), whodid.get_logger().auditing("team_deleted", target="9"):
        raise error
    [_, outcome] = recorded(journal_dir)
    assert (outcome["outcome"], outcome["details"]) == ("failure", {"error": type(error).__name__})
    assert "secret text" not in str(outcome)


def test_what_can_t_be_audited_does_not_happen(journal_dir: Path) -> None:
    done = []
    with pytest.raises(InvalidEntry, match="principal"), whodid.get_logger().auditing("team_deleted", target="9"):
        done.append("deleted")
    assert done == []
    assert recorded(journal_dir) == []


@pytest.mark.parametrize("name", ["operation", "phase", "outcome"])
def test_the_fields_of_the_pair_are_not_the_caller_s(journal_dir: Path, name: str) -> None:
    fields: Any = {name: "x"}
    with (
        pytest.raises(InvalidEntry, match=f"{name}: set by auditing"),
        whodid.get_logger().auditing("team_deleted", target="9", **fields),
    ):
        pass


def test_the_action_s_own_error_is_not_hidden_by_one_of_the_journal(journal_dir: Path) -> None:
    def act() -> None:
        with whodid.context(**WHO), whodid.get_logger().auditing("team_deleted", target="9") as operation:
            operation.add(no_such_field="x")  # type: ignore[call-arg] # the fact under test
            raise ValueError("the action's own")

    with (
        pytest.warns(UserWarning, match="the outcome of team_deleted .* was not recorded"),
        pytest.raises(ValueError, match="the action's own"),
    ):
        act()


def test_an_outcome_that_can_t_be_recorded_is_told(journal_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(NotRecorded),
        whodid.context(**WHO),
        whodid.get_logger().auditing("team_deleted", target="9") as operation,
    ):

        def refuse(*_: object, **__: object) -> None:
            raise NotRecorded("no space")

        monkeypatch.setattr(operation, "_record", refuse)
    assert [entry["phase"] for entry in recorded(journal_dir)] == ["intent"]


@pytest.mark.parametrize("kind", ["typed", "structlog"])
def test_the_same_in_async_code_cancellation_included(journal_dir: Path, kind: str) -> None:
    log = loggers()[kind]

    async def act(target: str, seconds: float) -> None:
        with whodid.context(**WHO):
            async with log.aauditing("team_deleted", target=target):
                await asyncio.sleep(seconds)

    async def both() -> None:
        await act("1", 0)
        task = asyncio.create_task(act("2", 60))
        while len(recorded(journal_dir)) < 3:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(both())
    eventually(lambda: len(recorded(journal_dir)) >= 4)  # the loop may have ended before the last one was recorded
    found = [(entry["target"], entry["phase"], entry.get("outcome")) for entry in recorded(journal_dir)]
    assert found == [
        ("1", "intent", None),
        ("1", "outcome", "success"),
        ("2", "intent", None),
        ("2", "outcome", "failure"),
    ]


def test_a_crash_between_leaves_the_intent(tmp_path: Path) -> None:
    program = (
        "import os, sys, whodid\n"
        "whodid.configure(journal_dir=sys.argv[1])\n"
        "with whodid.system(), whodid.get_logger().auditing('team_deleted', target='9'):\n"
        "    os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "journal")], check=False)
    assert done.returncode == 9
    [entry] = recorded(tmp_path / "journal")
    assert (entry["phase"], entry["principal"]) == ("intent", "system")


def test_the_system_has_no_client(journal_dir: Path) -> None:
    with whodid.context(**WHO, user_agent="curl"), whodid.system(correlation_id="night"):
        whodid.get_logger().audit("team_deleted", target="9")
    [entry] = recorded(journal_dir)
    assert (entry["principal"], entry["correlation_id"]) == ("system", "night")
    assert not {"client_ip", "user_agent"} & entry.keys()


_CUT_OFF = """
import os, signal, sys
import whodid
whodid.configure(journal_dir=sys.argv[1])
log = whodid.get_logger()
with whodid.context(principal="42"):
    for n in range(20):
        with log.auditing("workflow_deleted", target=f"done {n}"):
            pass
    try:
        with log.auditing("workflow_deleted", target="failed"):
            1 / 0
    except ZeroDivisionError:
        pass
    with log.auditing("workflow_deleted", target="cut off"):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.live
def test_an_action_cut_off_by_kill_9_is_found_as_an_orphan(opensearch_url: str, tmp_path: Path) -> None:
    with corner(opensearch_url, tmp_path) as place:
        place.set_up()
        done = subprocess.run([sys.executable, "-c", _CUT_OFF, place.settings.journal_dir], check=False)
        assert done.returncode == -signal.SIGKILL
        place.ship()
        client = AuditClient(place.settings, client=place.client)
        assert client.count(phase="intent") == 22
        [orphan] = client.orphans()
        assert (orphan["target"], orphan["phase"]) == ("cut off", "intent")
        assert list(client.orphans(until="-1h")) == list(client.orphans(principal="43")) == []
        options = ["--index-prefix", place.settings.index_prefix, "--opensearch-hosts", opensearch_url]
        shown = CliRunner().invoke(program, [*options, "search", "--orphans", "--json"])
        assert [json.loads(line)["target"] for line in shown.output.splitlines()] == ["cut off"]
