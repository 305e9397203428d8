"""The reading commands, by subprocess: data on stdout, the rest on stderr, exit codes, no control characters."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.corner import Corner, corner
from whodid.entry import document_id

pytestmark = pytest.mark.live

STEERING = "a\x1b[2J\x9b31m\x7f\u202eb\rc"


@pytest.fixture(scope="module")
def place(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path_factory.mktemp("cli")) as made:
        made.set_up()
        made.record(3, status="aws", user_agent=STEERING, details={"a": STEERING}, organization_name=STEERING)
        made.ship()
        yield made


def run(place: Corner, *command: str, code: int = 0) -> tuple[str, str]:
    arguments = [sys.executable, "-m", "whodid", *place.arguments(*command)]
    done = subprocess.run(arguments, capture_output=True, timeout=60, check=False)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in err
    assert done.returncode == code, err
    assert all(character.isprintable() or character == "\n" for character in out + err)
    return out, err


def lines(out: str) -> list[Any]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("command", [["search", "--json"], ["tail", "--json"], ["tail", "--json", "--local"]])
def test_json_lines_are_whole_entries_and_all_there_is_on_stdout(place: Corner, command: list[str]) -> None:
    out, err = run(place, *command)
    assert sorted(lines(out), key=lambda entry: int(entry["seq"])) == place.journalled()
    assert err == ""


@pytest.mark.parametrize(
    "command", [["search"], ["tail"], ["tail", "--local"], ["count", "--by", "organization_name"], ["verify"]]
)
def test_what_people_see_can_not_steer_their_terminal(place: Corner, command: list[str]) -> None:
    assert run(place, *command)[0]


def test_get_shows_one_entry_or_says_that_there_is_none(place: Corner) -> None:
    entry = place.journalled()[0]
    id_ = document_id(entry["journal"], entry["seq"], entry["hash"])
    assert lines(run(place, "get", "--json", id_)[0]) == [entry]
    assert "user_agent" in run(place, "get", id_)[0]
    out, err = run(place, "get", "nothing", code=1)
    assert (out, "there is no entry nothing" in err) == ("", True)


def test_counts_and_verdicts_are_json(place: Corner) -> None:
    assert lines(run(place, "count", "--json")[0]) == [{"count": 3}]
    assert lines(run(place, "count", "--by", "type", "--json")[0]) == [{"credentials_created": 3}]
    assert lines(run(place, "verify", "--json")[0])[0]["intact"] is True
    status = lines(run(place, "status", "--json")[0])[0]
    assert (status["backlog"], status["problems"], status["cluster"]["enforced_by"]) == (0, [], "whodid")


def test_usage_is_2_and_no_answer_is_1(place: Corner, tmp_path: Path) -> None:
    assert run(place, "search", "--no-such-option", code=2)[0] == ""
    assert run(place, "search", "--since", "sometime", code=2)[0] == ""
    assert run(place, "count", "--client-ip", "10.0.0.1/8", code=2)[0] == ""
    assert run(place, "count", "--by", "details", code=2)[0] == ""
    away = ["--opensearch-hosts=http://127.0.0.1:1", f"--journal-dir={tmp_path}"]
    for command in ("search", "count", "verify", "setup", "status"):
        done = subprocess.run(
            [sys.executable, "-m", "whodid", command, *away], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
