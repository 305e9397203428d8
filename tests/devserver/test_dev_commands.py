"""`whodid dev` without a node: help, output and exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from whodid.cli.dev import dev
from whodid.devserver.folder import DataDir


@pytest.mark.parametrize("name", sorted(dev.commands))
def test_each_help_has_an_example(name: str) -> None:
    result = CliRunner().invoke(dev, [name, "--help"])
    assert result.exit_code == 0
    assert f":\n    whodid dev {name}" in result.stdout


def test_an_older_opensearch_is_for_the_tests_of_whodid_and_help_does_not_offer_it(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "dev-server.md"
    for text in (CliRunner().invoke(dev, ["up", "--help"]).stdout, page.read_text()):
        assert not re.search(r"--opensearch|\b2\.19", text)
    refused = CliRunner().invoke(dev, ["up", "--opensearch", "2.19", "--data-dir", str(tmp_path / "none")]).exception
    assert "OpenSearch 2.19.4 needs Java 11 to 23" in str(refused)


def test_commands_are_these() -> None:
    assert sorted(dev.commands) == ["down", "logs", "reset", "status", "up"]


def test_status_of_no_node_is_a_found_problem(tmp_path: Path) -> None:
    result = CliRunner().invoke(dev, ["status", "--data-dir", str(tmp_path / "none")])
    assert (result.exit_code, result.stdout) == (1, "not running; start it with `whodid dev up`\n")
    assert not (tmp_path / "none").exists()


def test_status_as_json_has_these_keys(tmp_path: Path) -> None:
    result = CliRunner().invoke(dev, ["status", "--json", "--data-dir", str(tmp_path / "none")])
    assert json.loads(result.stdout) == {
        "running": False,
        "starting": False,
        "healthy": False,
        "url": None,
        "port": None,
        "pid": None,
        "version": None,
        "data_dir": str(tmp_path / "none"),
        "log_file": str(tmp_path / "none" / "opensearch.log"),
        "user": None,
        "password_file": None,
        "ca_file": None,
    }


def test_down_without_a_node_is_done_already(tmp_path: Path) -> None:
    result = CliRunner().invoke(dev, ["down", "--data-dir", str(tmp_path / "none")])
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "was not running\n")


def test_logs_as_json_are_one_object_a_line(tmp_path: Path) -> None:
    (tmp_path / "opensearch.log").write_text('one\ntwo "quoted"\nthree\n')
    result = CliRunner().invoke(dev, ["logs", "-n", "2", "--json", "--data-dir", str(tmp_path)])
    assert [json.loads(line)["line"] for line in result.stdout.splitlines()] == ['two "quoted"', "three"]


def test_reset_asks_and_keeps_the_data_on_no(tmp_path: Path) -> None:
    DataDir(tmp_path / "node").claim()
    result = CliRunner().invoke(dev, ["reset", "--data-dir", str(tmp_path / "node")], input="n\n")
    assert result.exit_code == 1
    assert (tmp_path / "node").exists()


def test_reset_with_yes_deletes_without_asking(tmp_path: Path) -> None:
    DataDir(tmp_path / "node").claim()
    result = CliRunner().invoke(dev, ["reset", "--yes", "--json", "--data-dir", str(tmp_path / "node")])
    assert json.loads(result.stdout) == {"deleted": True, "data_dir": str(tmp_path / "node")}
    assert not (tmp_path / "node").exists()


@pytest.mark.parametrize(
    "words", [["up", "--port", "70000"], ["up", "--heap-mb", "1"], ["logs", "-n", "-1"], ["sideways"]]
)
def test_wrong_usage_is_exit_code_2(words: list[str]) -> None:
    assert CliRunner().invoke(dev, words).exit_code == 2
