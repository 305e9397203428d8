"""The interval: `since` and `until` with no time between them are named by every command, method and page alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from whodid.cli.program import program
from whodid.errors import QueryError
from whodid.export import export
from whodid.search import AuditClient, Filter
from whodid.settings import Settings
from whodid.verify import verify_stored
from whodid.web.request import Question

EMPTY = ("2026-11-23", "2026-11-23", "use time:2026-11-23")
TURNED = ("2026-11-23", "2026-11-22", "is after until")


def _commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from _commands(command, *path, name)
        elif command is not None and {"since", "until"} <= {parameter.name for parameter in command.params}:
            yield (*path, name), command


COMMANDS = dict(_commands(program))
GIVEN = {
    "export": ["{}/x.csv"],
    "report": ["{}/x"],
    "hold set": ["--reason", "x"],
    "search": ["--orphans"],
}


def test_the_commands_with_an_interval_are_these() -> None:
    assert {" ".join(path) for path in COMMANDS} == {
        "export", "hold set", "report", "search", "stats", "verify",
    }  # fmt: skip


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(("since", "until", "says"), [EMPTY, TURNED])
def test_every_command_names_an_interval_without_time(
    path: tuple[str, ...], since: str, until: str, says: str, tmp_path: Path
) -> None:
    given = [word.format(tmp_path) for word in GIVEN.get(" ".join(path), [])]
    where = ["--opensearch-hosts=http://127.0.0.1:1", f"--journal-dir={tmp_path / 'journal'}"]
    done = CliRunner().invoke(program, [*where, *path, *given, "--since", since, "--until", until])
    assert (done.exit_code, says in " ".join(done.output.replace("\n", " ").split())) == (2, True), done.output


@pytest.mark.parametrize("command", ["search", "search --follow", "stats", "stats --total"])
def test_a_query_names_it_too(command: str, tmp_path: Path) -> None:
    where = ["--opensearch-hosts=http://127.0.0.1:1", f"--journal-dir={tmp_path / 'journal'}"]
    done = CliRunner().invoke(program, [*where, *command.split(), "since:2026-11-23", "until:2026-11-22"])
    assert (done.exit_code, "is after until" in done.output) == (2, True), done.output


METHODS: dict[str, Any] = {
    "search": lambda client, **times: client.search(**times),
    "page": lambda client, **times: client.page(**times),
    "count": lambda client, **times: client.count(**times),
    "counts_by": lambda client, **times: client.counts_by("type", **times),
    "stats": lambda client, **times: client.stats(**times),
    "orphans": lambda client, **times: client.orphans(**times),
    "follow": lambda client, **times: client.follow(**times),
    "query_of": lambda client, **times: client.query_of(**times),
    "verify": lambda client, **times: verify_stored(client, **times),
    "text": lambda client, since, until: client.count(f"since:{since} until:{until}"),
    "both": lambda client, since, until: client.count(f"since:{since}", until=until),
    "a filter and a keyword": lambda client, since, until: client.count(Filter.of(since=since), until=until),
    "export": lambda client, since, until: export(client, f"since:{since} until:{until}", "x.csv"),
    "tab": lambda _, **times: Question.of(times.items()).filter(),
    "tab, a part as text": lambda _, since, until: Question.of([("q", f"since:{since}"), ("until", until)]).filter(),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("since", "until", "says"), [EMPTY, TURNED])
def test_every_method_and_the_tab_name_it(method: str, since: str, until: str, says: str) -> None:
    client = AuditClient(Settings(), client=object())  # type: ignore[arg-type]  # nothing is asked
    with pytest.raises(QueryError, match=says):
        METHODS[method](client, since=since, until=until)
