"""`whodid doctor`: exit codes, JSON, areas; never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from whodid.cli.doctor import doctor
from whodid.cli.program import program
from whodid.doctor import AREAS


def call(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(program, ["doctor", f"--journal-dir={path}", *arguments])


def test_the_areas_of_the_command_are_those_of_the_doctor() -> None:
    [only] = [option for option in doctor.params if option.name == "only"]
    assert tuple(getattr(only.type, "choices", ())) == AREAS


def test_warnings_alone_are_exit_0_and_problems_exit_1(tmp_path: Path) -> None:
    warned = call(tmp_path / "journal", "--only", "journal", "--only", "shipping")
    assert warned.exit_code == 0
    assert "does not exist yet" in warned.output
    assert ", ok: " in warned.output.splitlines()[-1]
    (tmp_path / "journal").mkdir(mode=0o755)
    (tmp_path / "journal").chmod(0o755)
    wrong = call(tmp_path / "journal", "--only", "journal")
    assert wrong.exit_code == 1
    assert f"chmod go= {tmp_path / 'journal'}" in wrong.output


def test_json_is_a_finding_a_line_and_what_is_in_order_is_shown_on_request(tmp_path: Path) -> None:
    def lines(*arguments: str) -> list[dict[str, Any]]:
        output = call(tmp_path / "journal", "--only=journal", "--only=versions", "--json", *arguments).output
        return [json.loads(line) for line in output.splitlines()]

    assert {frozenset(line) for line in lines()} == {frozenset({"severity", "area", "on", "what", "advice", "fix"})}
    assert "ok" not in {line["severity"] for line in lines()}
    assert "ok" in {line["severity"] for line in lines("--verbose")}


def test_the_file_of_the_settings_is_examined_too(tmp_path: Path) -> None:
    config = tmp_path / "whodid.toml"
    config.write_text('opensearch_user = "u"\nopensearch_password = "Top-Secret-1"\n')
    config.chmod(0o644)
    found = call(tmp_path / "journal", f"--config={config}", "--only=secrets")
    assert found.exit_code == 1
    assert f"{config}: contains opensearch_password" in found.output
    assert "Top-Secret" not in found.output


def test_no_finding_can_steer_a_terminal_and_nothing_is_on_stderr(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2Jb"
    arguments = [
        sys.executable,
        "-m",
        "whodid",
        "doctor",
        f"--journal-dir={path}",
        "--opensearch-hosts=http://127.0.0.1:1",
    ]
    done = subprocess.run(arguments, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, b"")
    assert all(character.isprintable() or character == "\n" for character in done.stdout.decode())
