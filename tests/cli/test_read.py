"""The reading commands: data on stdout, the rest on stderr, exit codes, no control characters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import whodid
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
    done = whodid(*place.arguments(*command))
    assert done.returncode == code, done.stderr
    assert all(character.isprintable() or character == "\n" for character in done.stdout + done.stderr)
    return done.stdout, done.stderr


def lines(out: str) -> list[Any]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize(
    "command", [["search", "--json"], ["search", "--oldest", "--json"], ["search", "--json", "--local"]]
)
def test_json_lines_are_whole_entries_and_all_there_is_on_stdout(place: Corner, command: list[str]) -> None:
    out, err = run(place, *command)
    assert sorted(lines(out), key=lambda entry: int(entry["seq"])) == place.journalled()
    assert err == ""


@pytest.mark.parametrize(
    "command",
    [["search"], ["search", "--local"], ["stats", "--group-by", "organization_name"], ["verify"]],
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
    assert lines(run(place, "stats", "--total", "--json")[0]) == [{"total": 3}]
    assert run(place, "stats", "--total", "target:1,2") == ("2\n", "")
    assert run(place, "stats", "--total", "target:none") == ("0\n", "no entry matches target:none\n")
    assert lines(run(place, "verify", "--json")[0])[0]["intact"] is True
    status = lines(run(place, "status", "--json")[0])[0]
    assert (status["backlog"], status["problems"], status["cluster"]["enforced_by"]) == (0, [], "whodid")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("type:credential_created", "no entry matches type:credential_created; did you mean type:credentials_created?"),
        ("credentials_create", "no entry matches credentials_create; did you mean credentials_created?"),
        ("until:2020 target:1", "no entry matches until:2020 target:1; 1 entry matches target:1 at other times"),
        ("until:2020", "no entry matches until:2020; 3 entries match * at other times"),
        ("type:credentials_x*", "no entry matches type:credentials_x*"),
    ],
)
def test_an_answer_of_nothing_explains_itself(place: Corner, asked: str, said: str) -> None:
    assert run(place, "search", *asked.split()) == ("", f"{said}\n")


def test_what_is_pasted_is_found(place: Corner) -> None:
    for entry in place.journalled():
        id_ = document_id(entry["journal"], entry["seq"], entry["hash"])
        for pasted in (id_, entry["hash"], entry["target"], entry["type"], entry["journal"], entry["principal"]):
            assert entry in lines(run(place, "search", "--json", pasted)[0]), pasted
        assert entry in lines(run(place, "search", "--json", entry["hash"][:6] + "*")[0])


def test_a_query_means_the_same_as_the_options(place: Corner) -> None:
    for asked in (
        ["target:1"],
        ["--target", "1"],
        ["target:*", "not", "(target:0", "or", "target:2)"],
        ["-target:0,2"],
    ):
        assert [entry["target"] for entry in lines(run(place, "search", "--json", *asked)[0])] == ["1"]
    for negated in (["-target:0"], ["target:*", '-"nothing"', "-target:0"], ["-(target:0 or target:7)", "-n", "2"]):
        assert [entry["target"] for entry in lines(run(place, "search", "--json", *negated)[0])] == ["2", "1"]
    assert run(place, "stats", "--total", "target:1", "--target", "2")[0] == "0\n"
    for oldest in (["--sort", "oldest"], ["--oldest"], ["--oldest", "by:42"]):
        assert [entry["target"] for entry in lines(run(place, "search", "--json", *oldest)[0])] == ["0", "1", "2"]
    assert [entry["target"] for entry in lines(run(place, "search", "--json", "about:1")[0])] == ["1"]
    assert run(place, "search", "-foo", "--limit", "1", "--columns", "target")[0].split() == ["target", "2"]


def test_columns_are_those_asked_for(place: Corner) -> None:
    out, err = run(place, "search", "--columns", "target,details.a,nothing", code=2)
    assert (out, "unknown field 'nothing'" in err) == ("", True)
    assert "unknown field 'by'" in run(place, "search", "--columns", "by", code=2)[1]
    out, _ = run(place, "search", "--columns", "target,details.a,details")
    assert out.split("\n")[0].split() == ["target", "details.a", "details"]
    assert len(out.splitlines()) == 4


def test_stats_are_a_picture_or_json(place: Corner) -> None:
    out, err = run(place, "stats", "--group-by", "type", "target:1,2")
    assert out.startswith("2 entries by 1 principal,")
    assert "█" in out
    assert "credentials_created" in out
    assert err == ""
    [found] = lines(run(place, "stats", "--json")[0])
    assert (found["total"], found["top"]["type"]) == (3, {"credentials_created": 3})
    assert sum(bar["count"] for bar in found["histogram"]) == 3
    assert run(place, "stats", "target:none") == ("", "no entry matches target:none\n")


def test_counts_that_are_approximate_are_exact_when_asked_to_be(
    place: Corner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("whodid.search.stats.counts_of", lambda _found: ({"0": 1}, False))
    program.main(place.arguments("stats", "--group-by", "target"), standalone_mode=False)
    told = "target is approximate (too many distinct values); --exact counts all of them\n"
    assert capsys.readouterr().err == told
    exact = place.arguments("stats", "--group-by", "target", "--exact", "--json", "--top", "2")
    program.main(exact, standalone_mode=False)
    out, err = capsys.readouterr()
    [found] = lines(out)
    assert (len(found["top"]["target"]), found["approximate"], err) == (2, [], "")
    assert found["top"]["target"].items() <= {"0": 1, "1": 1, "2": 1}.items()


def test_the_total_alone_is_one_request(place: Corner, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def search(_searcher: object, body: dict[str, Any], _indices: str) -> dict[str, Any]:
        asked.append(body)
        return {"hits": {"total": {"value": 7}}}

    monkeypatch.setattr("whodid.search.requests.Searcher.search", search)
    program.main(place.arguments("stats", "--total", "about:1"), standalone_mode=False)
    assert [(body["size"], body["track_total_hits"], "aggs" in body) for body in asked] == [(0, True, False)]


def test_a_long_table_is_cut_for_people_and_whole_for_programs(opensearch_url: str, tmp_path: Path) -> None:
    with corner(opensearch_url, tmp_path) as long:
        long.set_up()
        long.record(60)
        long.ship()
        out, err = run(long, "search", "by:42", "--oldest")
        assert (len(out.splitlines()), err) == (51, "50 of 60 entries; --limit shows more\n")
        out, err = run(long, "search", "by:42", "--oldest", "--limit", "60", "--columns", "target")
        assert ([line.strip() for line in out.splitlines()[1:]], err) == (
            [str(number) for number in range(60)],
            "",
        )
        assert len(run(long, "search", "by:42", "--json")[0].splitlines()) == 60
        assert len(run(long, "search", "--local")[0].splitlines()) == 10
        assert run(long, "search", "--local", "--limit", "0") == ("", "")


def test_usage_is_2_and_no_answer_is_1(place: Corner, tmp_path: Path) -> None:
    out, err = run(place, "search", "--principle", "1", code=2)
    assert (out, "No such option: --principle (did you mean '--principal'?)" in err) == ("", True)
    assert "No such option: --follw (did you mean '--follow'?)" in run(place, "search", "--follw", code=2)[1]
    assert run(place, "search", "--since", "sometime", code=2)[0] == ""
    assert run(place, "stats", "--client-ip", "10.0.0.1/8", code=2)[0] == ""
    assert run(place, "stats", "--group-by", "details", code=2)[0] == ""
    assert "did you mean principal" in run(place, "search", "principle:1", code=2)[1]
    assert "a term is missing (at character 11)" in run(place, "stats", "target:1 (", code=2)[1]
    assert run(place, "search", "--sort", "nothing", code=2)[0] == ""
    assert run(place, "search", "--orphans", "--sort", "oldest", code=2)[0] == ""
    assert run(place, "search", "--limit", "0", code=2)[0] == ""
    for conflict in (
        ["--local", "type:x"],
        ["--local", "--type", "x"],
        ["--local", "--expired"],
        ["--follow", "--sort", "type"],
        ["-f", "--orphans"],
        ["--oldest", "--sort", "newest"],
        ["--orphans", "--expired"],
    ):
        assert "can't be combined with" in run(place, "search", *conflict, code=2)[1]
    assert "--total can't be combined with --exact" in run(place, "stats", "--total", "--exact", code=2)[1]
    away = ["--opensearch-hosts=http://127.0.0.1:1", f"--journal-dir={tmp_path}"]
    for command in ("search", "stats", "verify", "setup", "status"):
        assert whodid(command, *away).returncode == 1
