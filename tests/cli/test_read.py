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
from whodid.cli.program import program
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
    assert (out, "entry nothing not found" in err) == ("", True)


def test_counts_and_verdicts_are_json(place: Corner) -> None:
    assert lines(run(place, "count", "--json")[0]) == [{"count": 3}]
    assert lines(run(place, "count", "--by", "type", "--json")[0]) == [{"credentials_created": 3}]
    assert lines(run(place, "verify", "--json")[0])[0]["intact"] is True
    status = lines(run(place, "status", "--json")[0])[0]
    assert (status["backlog"], status["problems"], status["cluster"]["enforced_by"]) == (0, [], "whodid")


def test_a_query_means_the_same_as_the_options(place: Corner) -> None:
    for asked in (
        ["target:1"],
        ["--target", "1"],
        ["target:*", "not", "(target:0", "or", "target:2)"],
        ["-target:0,2"],
    ):
        assert [entry["target"] for entry in lines(run(place, "search", "--json", *asked)[0])] == ["1"]
    assert [entry["target"] for entry in lines(run(place, "tail", "--json", "target:1,2")[0])] == ["1", "2"]
    for negated in (["-target:0"], ["target:*", '-"nothing"', "-target:0"], ["-(target:0 or target:7)", "-n", "2"]):
        assert [entry["target"] for entry in lines(run(place, "tail", "--json", *negated)[0])] == ["1", "2"]
    assert lines(run(place, "count", "--json", "target:1", "--target", "2")[0]) == [{"count": 0}]
    assert [entry["target"] for entry in lines(run(place, "search", "--json", "--sort", "oldest")[0])] == [
        "0",
        "1",
        "2",
    ]


def test_columns_are_those_asked_for(place: Corner) -> None:
    out, err = run(place, "search", "--columns", "target,details.a,nothing", code=2)
    assert (out, "unknown field 'nothing'" in err) == ("", True)
    assert "unknown field 'by'" in run(place, "search", "--columns", "by", code=2)[1]
    out, _ = run(place, "search", "--columns", "target,details.a,details")
    assert out.split("\n")[0].split() == ["target", "details.a", "details"]
    assert len(out.splitlines()) == 4


def test_stats_are_a_picture_or_json(place: Corner) -> None:
    out, err = run(place, "stats", "--by", "type", "target:1,2")
    assert out.startswith("2 entries by 1 principal,")
    assert "█" in out
    assert "credentials_created" in out
    assert err == ""
    [found] = lines(run(place, "stats", "--json")[0])
    assert (found["total"], found["top"]["type"]) == (3, {"credentials_created": 3})
    assert sum(bar["count"] for bar in found["histogram"]) == 3
    assert run(place, "stats", "target:none") == ("", "no entry matches\n")


def test_what_is_left_out_of_counts_is_said(
    place: Corner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("whodid.cli.search._COUNTED", 2)
    program.main(place.arguments("count", "--by", "target"), standalone_mode=False)
    monkeypatch.setattr("whodid.search.stats.counts_of", lambda _found: ({"0": 1}, False))
    program.main(place.arguments("stats", "--by", "target"), standalone_mode=False)
    counted, doubtful = capsys.readouterr().err.splitlines()
    assert counted == "only the 2 most frequent values are shown; use a narrower query"
    assert doubtful == "target is approximate (too many distinct values); `whodid count --by target` is exact"


def test_history_and_trail_are_oldest_first(place: Corner) -> None:
    assert [entry["target"] for entry in lines(run(place, "trail", "42", "--json")[0])] == ["0", "1", "2"]
    assert [entry["seq"] for entry in lines(run(place, "history", "1", "--json")[0])] == [2]
    assert run(place, "history", "nobody") == ("", "no entry matches\n")
    assert run(place, "history", "1", "--columns", "nothing", code=2)[0] == ""


def test_a_long_trail_is_cut_for_people_and_whole_for_programs(opensearch_url: str, tmp_path: Path) -> None:
    with corner(opensearch_url, tmp_path) as long:
        long.set_up()
        long.record(60)
        long.ship()
        out, err = run(long, "trail", "42")
        assert (len(out.splitlines()), err) == (51, "the first 50; --limit shows more\n")
        out, err = run(long, "trail", "42", "--limit", "60", "--columns", "target")
        assert ([line.strip() for line in out.splitlines()[1:]], err) == (
            [str(number) for number in range(60)],
            "",
        )
        assert len(run(long, "trail", "42", "--json")[0].splitlines()) == 60


def test_usage_is_2_and_no_answer_is_1(place: Corner, tmp_path: Path) -> None:
    out, err = run(place, "search", "--principle", "1", code=2)
    assert (out, "No such option: --principle (did you mean '--principal'?)" in err) == ("", True)
    assert run(place, "search", "--since", "sometime", code=2)[0] == ""
    assert run(place, "count", "--client-ip", "10.0.0.1/8", code=2)[0] == ""
    assert run(place, "count", "--by", "details", code=2)[0] == ""
    assert "did you mean principal" in run(place, "search", "principle:1", code=2)[1]
    assert "a term is missing (at character 11)" in run(place, "stats", "target:1 (", code=2)[1]
    assert run(place, "search", "--sort", "nothing", code=2)[0] == ""
    assert run(place, "search", "--orphans", "--sort", "oldest", code=2)[0] == ""
    assert run(place, "tail", "--local", "type:x", code=2)[0] == ""
    assert "No such option '-x'" in run(place, "tail", "-x", code=2)[1]
    away = ["--opensearch-hosts=http://127.0.0.1:1", f"--journal-dir={tmp_path}"]
    for command in ("search", "count", "verify", "setup", "status"):
        done = subprocess.run(
            [sys.executable, "-m", "whodid", command, *away], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
