"""Completion in a real bash, whose words end at colons, and as other shells ask for it."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from whodid.cli.program import _COMMANDS, program

PROGRAM = str(Path(sys.executable).with_name("whodid"))
PROMPT = "ready> "


class Bash:
    """An interactive one on a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        path = f"{Path(PROGRAM).parent}{os.pathsep}{os.environ['PATH']}"
        environ = {"PATH": path, "PS1": PROMPT, "TERM": "dumb", "HOME": str(folder), "INPUTRC": "/dev/null"}
        outside, inside = pty.openpty()
        self._terminal = outside
        self._readable = select.poll()  # `select.select` refuses numbers from 1024 on
        self._readable.register(outside, select.POLLIN)
        self._process = subprocess.Popen(
            [shutil.which("bash") or "bash", "--norc", "--noprofile", "-i"],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env=environ,
            cwd=folder,
            start_new_session=True,
        )
        os.close(inside)
        self.until(PROMPT)
        self.write('bind "set bell-style none"; eval "$(_WHODID_COMPLETE=bash_source whodid)"; echo taught\n')
        self.until(f"\ntaught\r\n{PROMPT}")

    def write(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def until(self, end: str) -> str:
        """What it shows until it waits, after a text that it must show."""
        shown = ""
        deadline = time.monotonic() + 30
        while not shown.endswith(end):
            assert time.monotonic() < deadline, shown
            if self._readable.poll(100):
                shown += os.read(self._terminal, 65536).decode()
        return shown

    def completed(self, line: str) -> str:
        """The line as it is after a tabulator, as `echo` tells it."""
        self.write(f"\x15{line}\t\x01echo '<' \x05 '>' # \n")
        shown = self.until(f" >\r\n{PROMPT}")
        found = re.search(r"\n< (.*) >\r\n", shown)
        assert found, shown
        return found[1]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bash]:
    if not shutil.which("bash"):
        pytest.skip("there is no bash here")
    folder = tmp_path_factory.mktemp("bash")
    (folder / "evidence.csv").touch()
    running = Bash(folder)
    yield running
    running.close()


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("whodid sea", "search"),
        ("whodid search target_t", "search target_type:"),
        ("whodid search type:credentials_cr", "search type:credentials_created"),
        ("whodid search type:user_created,credentials_cr", "search type:user_created,credentials_created"),
        ("whodid search 'type:credentials_cr", "search type:credentials_created"),
        ("whodid search -f since:yes", "search -f since:yesterday"),
        ("whodid search Lovelace outcome:f", "search Lovelace outcome:failure"),
        ("whodid search by:42 -n 5 abo", "search by:42 -n 5 about:"),
        ("whodid search --type credentials_cr", "search --type credentials_created"),
        ("whodid search --type=credentials_cr", "search --type=credentials_created"),
        ("whodid search --since yes", "search --since yesterday"),
        ("whodid search --columns type,entr", "search --columns type,entry_id"),
        ("whodid search --sort old", "search --sort oldest"),
        ("whodid stats --group-by outc", "stats --group-by outcome"),
        ("whodid stats --interval mo", "stats --interval month"),
        ("whodid export --format oc", "export --format ocsf"),
        ("whodid export ev", "export evidence.csv"),
        ("whodid export evidence.csv outcome:f", "export evidence.csv outcome:failure"),
        ("whodid search nothing:x", "search nothing:x"),
    ],
)
def test_bash_completes(bash: Bash, line: str, completed: str) -> None:
    assert bash.completed(line) == f"whodid {completed}"


def test_nothing_that_is_written_is_taken_away(bash: Bash) -> None:
    """`type:` and `target_type:` both have a `ty`, and begin with a `t`."""
    assert bash.completed("whodid search ty") == "whodid search type:"


def test_zsh_is_told_what_each_means_and_an_older_script_of_bash_is_answered() -> None:
    asked = {"COMP_WORDS": "whodid search type:credentials_cr", "COMP_CWORD": "2"}
    for shell, expected in (
        ("zsh", "plain\ntype:credentials_created\n_\n"),
        ("bash", "plain,type:credentials_created\n"),
    ):
        environ = {**os.environ, **asked, "_WHODID_COMPLETE": f"{shell}_complete"}
        done = subprocess.run([PROGRAM], capture_output=True, text=True, timeout=60, check=True, env=environ)
        assert done.stdout == expected


def test_the_types_of_the_catalog_in_force_are_offered_and_whodid_s_own_in_any_case(tmp_path: Path) -> None:
    catalog = tmp_path / "events.toml"
    catalog.write_text(
        '[resources.a]\nlabel = "A"\ntarget = "a"\n[types.a_b]\nresource = "a"\nevent = "b"\nabout = "c"'
    )

    def offered(typed: str) -> list[str]:
        asked = {"COMP_WORDS": f"whodid search type:{typed}", "COMP_CWORD": "2", "_WHODID_COMPLETE": "bash_complete"}
        environ = {**os.environ, **asked, "WHODID_CATALOG": str(catalog)}
        done = subprocess.run([PROGRAM], capture_output=True, text=True, timeout=60, check=True, env=environ)
        assert done.stderr == ""
        return done.stdout.split()

    assert (offered("a_"), offered("user_")) == (["plain,type:a_b"], [])
    catalog.write_text("not TOML")
    assert (offered("a_"), offered("audit_log_v")) == ([], ["plain,type:audit_log_viewed"])


def test_the_list_of_commands_is_shown_without_loading_any() -> None:
    code = (
        "import atexit, sys; from whodid.cli import run; atexit.register(lambda: print(*sys.modules)); run(['--help'])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "Find entries, newest first, or follow new ones." in shown
    assert not {"whodid.search", "whodid.cluster", "whodid.shipping"} & set(shown.splitlines()[-1].split())


def test_the_list_of_commands_says_of_each_what_its_help_says() -> None:
    context = click.Context(program)
    for name, (_, about) in _COMMANDS.items():
        found = program.get_command(context, name)
        assert found is not None
        assert found.get_short_help_str(1000) == about
