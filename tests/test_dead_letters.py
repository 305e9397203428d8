"""Dead letters: looked at, retried, exported, dropped; none is lost on the way, and what is done is recorded."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.live.corner import Corner
from whodid.cli.program import program
from whodid.cluster.template import template_name
from whodid.journal import JournalDirectory, read_entries
from whodid.shipping.dead_letters import (
    DeadLetter,
    count_dead_letters,
    each_dead_letter,
    grouped,
    keep_dead_letters,
    read_dead_letters,
    replace_dead_letters,
    without_values,
)

STRICT = (
    "strict_dynamic_mapping_exception: mapping set to strict, dynamic introduction of [x] within [_doc] is not allowed"
)
PARSING = (
    "mapper_parsing_exception: failed to parse field [client_ip] of type [ip] in document with id 'ab-1-c'. "
    "Preview of field's value: 'secret' ('secret' is not an IP string literal.)"
)
FUTURE = "from the future: dated 2031-01-01T00:00:00Z, more than a day ahead of the cluster's clock"


def letter(number: int, reason: str = STRICT) -> DeadLetter:
    line = json.dumps({"seq": number, "creation_date": "2026-11-23T08:00:00Z"})
    return DeadLetter(f"00ff00ff00ff00ff-{number:012d}-{number:016x}", "a-2026.11", reason, line)


@pytest.fixture
def directory(tmp_path: Path) -> JournalDirectory:
    return JournalDirectory(tmp_path / "journal", create=True)


def call(directory: JournalDirectory, *arguments: str, **keywords: Any) -> Result:
    return CliRunner().invoke(program, [*arguments, f"--journal-dir={directory.path}"], **keywords)


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (STRICT, STRICT),
        (PARSING, "mapper_parsing_exception: failed to parse field [client_ip] of type [ip]"),
        (FUTURE, "from the future: dated …, more than a day ahead of the cluster's clock"),
        ('document_parsing_exception: no (For input string: "secret")', "document_parsing_exception: no"),
        ("HTTP 400: illegal_argument_exception", "HTTP 400: illegal_argument_exception"),
    ],
)
def test_a_reason_is_shown_without_what_it_quotes(reason: str, shown: str) -> None:
    assert without_values(reason) == shown


def test_letters_are_grouped_by_reason(directory: JournalDirectory) -> None:
    keep_dead_letters(directory, [letter(1, PARSING), letter(2), letter(3)])
    keep_dead_letters(directory, [letter(2)])
    first, second = grouped(read_dead_letters(directory).values())
    assert (first.reason, first.count, first.example) == (STRICT, 2, letter(2).id)
    assert (second.count, second.reason) == (
        1,
        "mapper_parsing_exception: failed to parse field [client_ip] of type [ip]",
    )
    said = call(directory, "dead-letters", "list")
    assert said.exit_code == 1
    assert "secret" not in said.output
    each = call(directory, "dead-letters", "list", "--each", "--json", "--like", "MAPPER")
    assert [json.loads(line)["id"] for line in each.output.splitlines()] == [letter(1).id]


def test_none_is_said_so(directory: JournalDirectory) -> None:
    said = call(directory, "dead-letters", "list")
    assert (said.exit_code, said.output) == (0, "no dead letters\n")


def test_get_shows_the_whole_letter(directory: JournalDirectory) -> None:
    keep_dead_letters(directory, [letter(1, PARSING)])
    shown = json.loads(call(directory, "dead-letters", "get", letter(1).id, "--json").output)
    assert (shown["reason"], shown["entry"]) == (PARSING, json.loads(letter(1).line))
    assert "secret" in call(directory, "dead-letters", "get", letter(1).id).output


@pytest.mark.parametrize("command", ["get nobody", "retry nobody", "drop nobody --reason x --yes"])
def test_an_id_that_is_none_names_where_to_look(directory: JournalDirectory, command: str) -> None:
    said = call(directory, "dead-letters", *command.split())
    assert said.exit_code == 1
    assert "there is no dead letter nobody" in str(said.exception)


def test_drop_records_what_and_why_before_the_letters_go(directory: JournalDirectory) -> None:
    keep_dead_letters(directory, [letter(n, FUTURE if n > 3 else STRICT) for n in (1, 2, 3, 4, 6)])
    arguments = ("dead-letters", "drop", "--like", "from the future", "--reason", "wrong clock, ticket 4711")
    refused = call(directory, *arguments)
    assert refused.exit_code == 1
    assert count_dead_letters(directory) == 5
    assert call(directory, *arguments, "--yes").exit_code == 0
    assert list(read_dead_letters(directory)) == [letter(n).id for n in (1, 2, 3)]
    [entry] = read_entries(directory.path)
    assert entry["type"] == "audit_log_dead_letters_dropped"
    assert entry["details"]["reason"] == "wrong clock, ticket 4711"
    assert entry["details"]["entries"] == {"00ff00ff00ff00ff": "4,6"}


def test_drop_that_can_not_be_recorded_leaves_the_letters(directory: JournalDirectory) -> None:
    keep_dead_letters(directory, [letter(1)])
    arguments = ("dead-letters", "drop", "--reason", "x", "--yes", "--max-bytes=1")
    assert call(directory, *arguments).exit_code == 1
    assert count_dead_letters(directory) == 1


@pytest.mark.parametrize("reason", ["", "  "])
def test_drop_needs_a_reason(directory: JournalDirectory, reason: str) -> None:
    keep_dead_letters(directory, [letter(1)])
    assert call(directory, "dead-letters", "drop", "--reason", reason, "--yes").exit_code == 2
    assert count_dead_letters(directory) == 1


def test_export_writes_a_private_file_once(directory: JournalDirectory, tmp_path: Path) -> None:
    keep_dead_letters(directory, [letter(1), letter(2, PARSING)])
    file = tmp_path / "out.ndjson"
    assert call(directory, "dead-letters", "export", str(file)).exit_code == 0
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == [letter(1).id, letter(2).id]
    assert file.stat().st_mode & 0o777 == 0o600
    again = call(directory, "dead-letters", "export", str(file))
    assert again.exit_code == 1
    to_a_pipe = call(directory, "dead-letters", "export", "-", "--like", "mapper")
    assert '"line": ' in to_a_pipe.output


def test_letters_that_come_while_others_go_are_kept(directory: JournalDirectory) -> None:
    def keep(name: int) -> None:
        for n in range(40):
            keep_dead_letters(directory, [letter(1000 * name + n)])

    threads = [threading.Thread(target=keep, args=(name,)) for name in (1, 2)]
    for thread in threads:
        thread.start()
    gone: set[str] = set()
    while any(thread.is_alive() for thread in threads):
        here = list(read_dead_letters(directory))
        replace_dead_letters(directory, here[::2])
        gone.update(here[::2])
    left = set(read_dead_letters(directory))
    assert left & gone == set()
    assert left | gone == {letter(1000 * name + n).id for name in (1, 2) for n in range(40)}


def retry(place: Corner) -> int:
    return CliRunner().invoke(program, place.arguments("dead-letters", "retry")).exit_code


def refusing(place: Corner, field: str) -> Callable[[], None]:
    """The template of the cluster without a field, so that entries with it are refused; what mends that."""
    name = template_name(place.settings)
    [answer] = place.client.indices.get_index_template(name=name)["index_templates"]
    whole = json.loads(json.dumps(answer["index_template"]))
    del answer["index_template"]["template"]["mappings"]["properties"][field]
    place.client.indices.put_index_template(name=name, body=answer["index_template"])

    def mend() -> None:
        place.client.indices.put_index_template(name=name, body=whole)
        mapping = {"properties": {field: whole["template"]["mappings"]["properties"][field]}}
        place.client.indices.put_mapping(index=f"{place.settings.index_prefix}-*", body=mapping)

    return mend


@pytest.mark.live
def test_a_poison_entry_stops_nothing_and_is_stored_once_its_mapping_was_mended(
    place: Corner,
) -> None:
    mend = refusing(place, "workspace_name")
    place.record(3)
    place.record(2, workspace_name="Lab")
    place.record(3)
    assert place.ship().dead_letters == 2
    assert len(place.stored()) == 6
    assert retry(place) == 1
    directory = JournalDirectory(place.settings.journal_dir)
    assert (count_dead_letters(directory), len(place.stored())) == (2, 6)
    mend()
    assert retry(place) == 0
    assert count_dead_letters(directory) == 0
    assert [hit["_version"] for hit in place.stored().values()] == [1] * 8
    own = [entry for entry in place.journalled() if entry["type"] == "audit_log_dead_letters_retried"]
    assert [entry["details"]["entries"] for entry in own] == [{own[0]["journal"]: "4-5"}]


@pytest.mark.live
def test_a_retry_killed_before_the_letters_went_stores_nothing_twice(place: Corner) -> None:
    mend = refusing(place, "workspace_name")
    place.record(2, workspace_name="Lab")
    place.record(1)
    place.ship()
    mend()
    directory = JournalDirectory(place.settings.journal_dir)
    before = directory.dead_letters.read_bytes()
    assert retry(place) == 0
    directory.dead_letters.write_bytes(before)
    assert retry(place) == 0
    assert [hit["_version"] for hit in place.stored().values()] == [1] * 3
    assert count_dead_letters(directory) == 0


def test_without_a_cluster_a_retry_leaves_the_letters_and_says_why(directory: JournalDirectory) -> None:
    keep_dead_letters(directory, [letter(1)])
    said = call(directory, "dead-letters", "retry", "--opensearch-hosts=http://127.0.0.1:9", "--json")
    assert said.exit_code == 1
    assert "can't be reached" in json.loads(said.output.splitlines()[0])["why_waiting"]
    assert count_dead_letters(directory) == 1


def test_a_letter_with_one_more_field_is_read_and_keeps_it_and_what_is_none_stays(tmp_path: Path) -> None:
    """Of a newer version, or of somebody else."""
    there = JournalDirectory(tmp_path)
    newer = {"id": "a", "index": "i", "reason": "old", "line": '{"seq": 1}', "time": "t", "attempts": 3}
    foreign = b'{"id": ["a"], "line": 1e400}'
    there.dead_letters.write_bytes(json.dumps(newer).encode() + b"\n" + foreign + b"\n")
    [letter] = each_dead_letter(there)
    assert (letter.id, letter.entry) == ("a", {"seq": 1})
    replace_dead_letters(there, set(), {"a": replace(letter, reason="new")})
    first, second = there.dead_letters.read_bytes().splitlines()
    assert json.loads(first) == {**newer, "reason": "new"}
    assert second == foreign
