"""`whodid help`: the pages on the terminal, and every message that names one names one that exists."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from whodid.cli.help import topics
from whodid.cli.program import program

ROOT = Path(__file__).parents[2]


def printed(*arguments: str, exit_code: int = 0) -> str:
    done = CliRunner().invoke(program, ["help", *arguments])
    assert done.exit_code == exit_code, done.output
    return done.output


def test_every_page_is_a_topic_but_the_one_for_the_site_alone() -> None:
    pages = {path.stem for path in (ROOT / "docs").rglob("*.md")}
    assert pages - topics().keys() == {"index", "api"}
    assert topics().keys() <= pages


def test_the_title_on_the_index_is_in_the_page_s_own() -> None:
    for page in topics().values():
        title, *_ = (ROOT / page.path).read_text().splitlines()
        assert title.startswith("# ")


def test_the_list_has_each_topic_under_its_door() -> None:
    text = printed()
    for page in topics().values():
        assert f"  {page.topic} " in text.partition(f"{page.door}:\n")[2]
    listed = [json.loads(line) for line in printed("--json").splitlines()]
    assert [page["topic"] for page in listed] == list(topics())
    assert set(listed[0]) == {"topic", "door", "title", "about"}


@pytest.mark.parametrize("topic", topics())
def test_a_page_is_shown_without_comments_pictures_and_links_that_lead_nowhere(topic: str) -> None:
    text = printed(topic)
    title, *_ = (ROOT / topics()[topic].path).read_text().splitlines()
    assert text.startswith(f"{title}\n")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    assert not re.search(r"^<!--|^!\[|\]\(", prose, re.M)
    assert set(re.findall(r"\(whodid help ([\w-]+)\)", prose)) <= topics().keys()
    page = json.loads(printed(topic, "--json"))
    assert (page["topic"], page["text"] + "\n") == (topic, text)


def test_an_unknown_page_is_an_error_that_suggests_one() -> None:
    text = printed("retntion", exit_code=2)
    assert "unknown page 'retntion' (did you mean 'retention'?); `whodid help` lists the pages" in text


def test_a_command_without_a_page_shows_its_own_help() -> None:
    assert printed("ship").startswith("Usage: ")
    assert "--once" in printed("ship")


def test_it_works_although_the_settings_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHODID_RETENTION", "nonsense")
    assert printed("erasure").startswith("# ")


def test_on_a_terminal_a_page_is_rendered_and_goes_through_the_pager() -> None:
    outside, inside = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "PAGER": "cat"}
    command = [sys.executable, "-m", "whodid", "help", "glossary"]
    with subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside, env=environ):
        os.close(inside)
        shown = bytearray()
        with suppress(OSError):  # how the other end is closed
            while piece := os.read(outside, 65536):
                shown += piece
    os.close(outside)
    text = shown.decode()
    assert "Glossary" in text
    assert "# Glossary" not in text


def test_every_message_that_names_a_page_names_one_that_exists() -> None:
    files = [*ROOT.glob("src/**/*.py"), *ROOT.glob("config/*"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md")]
    named = {
        name
        for file in files
        if file.is_file()
        for name in re.findall(r"`whodid help ([a-z-]+)`", file.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    assert named <= topics().keys()


def test_what_the_code_says_names_no_file_of_the_repository() -> None:
    """A user who installed the wheel has no `docs/`: what the code says to them names a topic."""
    for file in ROOT.glob("src/**/*.py"):
        for path in re.findall(r"\bdocs/[a-z-/]+\.md", file.read_text(encoding="utf-8")):
            assert (ROOT / path).exists() or file.name == "events.py", (file, path)


def test_no_command_loads_a_client_of_the_cluster_to_show_its_help() -> None:
    """Nor cryptography or pyarrow: a shell completes at each TAB, and the command starts anew."""
    program_ = """
import importlib, pkgutil, sys
import whodid.cli
for module in pkgutil.iter_modules(whodid.cli.__path__):
    importlib.import_module(f"whodid.cli.{module.name}")
print(*({"opensearchpy", "requests", "urllib3", "asyncio", "cryptography", "pyarrow", "uvicorn"} & {*sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", program_], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
