"""`whodid events`: what it prints of the platform's catalog and of an application's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from tests.catalogs import INVOICE
from whodid.catalog import Catalog
from whodid.cli.events import events
from whodid.errors import CatalogError, InvalidEntry, QueryError
from whodid.settings import Settings

OWN = (
    INVOICE
    + """\
requires = ["status"]
status = ["full", "partial"]
says = "{principal_name} refunded {target_name}"
details.properties.reason = { type = "string" }
details.properties.currency = { enum = ["EUR", "USD"] }
details.required = ["currency"]
outcome = "success"
durability = "process"
on_failure = "warn"
because = "accounting asks"
"""
)


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "events.toml"
    path.write_text(OWN, encoding="utf-8")
    return str(path)


def run(*args: str, settings: Settings | None = None) -> Result:
    return CliRunner().invoke(events, args, obj=settings or Settings())


def printed(*args: str) -> str:
    result = run(*args)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def test_list_shows_each_type_with_its_resource() -> None:
    lines = printed("list").splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(Catalog.load().types)
    assert "Runs" in next(line for line in lines if line.startswith("workflow_dropped"))


def test_list_as_json_is_one_type_a_line() -> None:
    known = [json.loads(line) for line in printed("list", "--json").splitlines()]
    assert [one["type"] for one in known] == list(Catalog.load().types)
    assert {"type", "about", "resource", "event", "target"} <= known[0].keys()


def test_list_of_one_resource() -> None:
    lines = printed("list", "--resource", "team", "--json").splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["team_created", "team_deleted"]


def test_an_unknown_resource_is_told_which_there_are() -> None:
    error = run("list", "--resource", "runs").exception
    assert isinstance(error, QueryError)
    assert "workflow" in str(error)


def listed(*args: str, settings: Settings | None = None) -> list[str]:
    lines = run("list", "--json", *args, settings=settings).stdout.splitlines()
    return [json.loads(line)["type"] for line in lines]


def test_list_with_an_own_catalog_has_its_types_and_the_platform_s_where_it_extends_them(own: str) -> None:
    assert listed("--catalog", own) == ["invoice_refunded"]
    Path(own).write_text('extends = "platform"\n' + OWN, encoding="utf-8")
    assert listed("--catalog", own) == [*Catalog.load().types, "invoice_refunded"]


def test_the_catalog_of_the_settings_is_used_where_no_option_says_otherwise(own: str, tmp_path: Path) -> None:
    settings = Settings(catalog=own)
    assert "invoice_refunded" in run("show", "invoice_refunded", settings=settings).stdout
    assert listed(settings=settings) == ["invoice_refunded"]
    assert listed("--own", settings=settings) == list(Catalog.own().types)
    (tmp_path / "none.toml").touch()
    assert listed("--catalog", str(tmp_path / "none.toml"), settings=settings) == []


def test_own_and_a_file_are_a_usage_error(own: str) -> None:
    result = run("list", "--own", "--catalog", own)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--own can't be combined with --catalog" in result.stderr


def test_show_prints_every_rule_in_words(own: str) -> None:
    assert printed("show", "invoice_refunded", "--catalog", own).splitlines() == [
        "invoice_refunded: An invoice was refunded.",
        "  resource: invoice",
        "  event: refund",
        "  target: the invoice's number",
        "  outcome: success",
        "  durability: process",
        "  on_failure: warn",
        "  says: {principal_name} refunded {target_name}",
        "  requires: status",
        "  status: full, partial",
        "  because: accounting asks",
        "  details.currency: one of EUR, USD",
        "  details.reason (optional): a string",
    ]


def test_show_as_json_has_the_rules_as_events_toml_has_them(own: str) -> None:
    assert json.loads(printed("show", "invoice_refunded", "--json", "--catalog", own)) == {
        "type": "invoice_refunded",
        "about": "An invoice was refunded.",
        "resource": "invoice",
        "event": "refund",
        "target": "the invoice's number",
        "outcome": "success",
        "durability": "process",
        "on_failure": "warn",
        "replaced_by": None,
        "aliases": None,
        "says": "{principal_name} refunded {target_name}",
        "requires": ["status"],
        "status": ["full", "partial"],
        "details": {
            "type": "object",
            "properties": {"reason": {"type": "string"}, "currency": {"enum": ["EUR", "USD"]}},
            "required": ["currency"],
        },
        "because": "accounting asks",
    }


def test_show_of_an_unknown_type_prints_the_toml_that_would_add_it() -> None:
    error = run("show", "team_renamed").exception
    assert isinstance(error, InvalidEntry)
    assert "[types.team_renamed]" in str(error)


def test_schema_prints_what_is_committed() -> None:
    committed = Path(__file__).parents[2] / "config" / "audit-entry.schema.json"
    expected = committed.read_text(encoding="utf-8")
    assert printed("schema") == expected, "run `whodid events schema > config/audit-entry.schema.json`"
    assert printed("schema", "--json") == expected


def test_schema_of_an_own_catalog_has_its_types(own: str) -> None:
    schema = json.loads(printed("schema", "--catalog", own))
    assert schema["properties"]["type"] == {"enum": ["invoice_refunded"]}
    assert list(schema["$defs"]) == ["entry", "invoice_refunded"]


def test_a_file_that_is_not_there_is_named() -> None:
    error = run("list", "--catalog", "missing.toml").exception
    assert isinstance(error, CatalogError)
    assert "missing.toml" in str(error)


@pytest.mark.parametrize("command", [[], *([name] for name in events.commands)])
def test_help_ends_with_examples_that_can_be_typed(command: list[str]) -> None:
    examples = printed(*command, "--help").partition("Examples:")[2].strip().partition("\n\n")[0].splitlines()
    assert examples
    for example in examples:
        ours = next(part for part in example.split("|") if part.split()[0] == "whodid")
        words = ours.split(">")[0].split()
        assert words[:2] == ["whodid", "events"]
        context = click.Context(events)
        _, subcommand, rest = events.resolve_command(context, words[2:])
        assert subcommand is not None
        subcommand.make_context(words[2], rest, parent=context)


@pytest.fixture
def kept(own: str) -> Path:
    """The schema of the own catalog, beside it."""
    path = Path(own).with_name("audit-entry.schema.json")
    path.write_text(printed("schema", "--catalog", own), encoding="utf-8")
    return path


def change(own: str, old: str, new: str) -> None:
    path = Path(own)
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


@pytest.mark.usefixtures("kept")
def test_check_passes_what_is_as_it_was(own: str) -> None:
    assert printed("check", "--catalog", own) == "1 event type: compatible with all stored entries\n"
    assert run("check", settings=Settings(catalog=own)).stdout == printed("check", "--catalog", own)
    assert json.loads(printed("check", "--catalog", own, "--json")) == {"passed": True, "findings": []}


def test_check_passes_the_committed_schema_of_the_default_catalog() -> None:
    assert printed("check").startswith("54 event types")


@pytest.mark.usefixtures("kept")
def test_check_of_a_renamed_type_fails_with_a_line_that_says_what_to_write(own: str) -> None:
    change(own, "invoice_refunded", "invoice_refund")
    result = run("check", "--catalog", own)
    assert (result.exit_code, result.stderr) == (1, "")
    [line] = result.stdout.splitlines()
    assert line.startswith("error: the type invoice_refunded was removed")
    assert line.endswith(
        'restore [types.invoice_refunded] with resource = "invoice" and replaced_by = "invoice_refund"'
    )
    [finding] = json.loads(run("check", "--catalog", own, "--json").stdout)["findings"]
    assert (finding["level"], finding["kind"], finding["name"]) == ("error", "type gone", "invoice_refunded")


def test_check_of_a_schema_that_was_not_renewed_fails_with_the_command_that_renews_it(own: str, kept: Path) -> None:
    change(own, 'about = "An invoice', 'about = "Some invoice')
    [line] = run("check", "--catalog", own).stdout.splitlines()
    command = f"whodid events schema --catalog {own} > {kept}"
    assert line == f"error: {kept} is out of date with the catalog; run {command}"
    subprocess.run(f"{sys.executable} -m {command}", shell=True, check=True)  # noqa: S602 (as a shell runs it)
    assert run("check", "--catalog", own).exit_code == 0


def test_check_of_stricter_rules_warns_and_passes(own: str, kept: Path) -> None:
    change(own, 'requires = ["status"]', 'requires = ["status", "target_name"]')
    kept.write_text(printed("schema", "--catalog", own), encoding="utf-8")
    before = kept.with_name("before.json")
    looser = json.loads(kept.read_text(encoding="utf-8"))
    looser["$defs"]["invoice_refunded"]["required"].remove("target_name")
    before.write_text(json.dumps(looser), encoding="utf-8")
    result = run("check", "--catalog", own, "--against", str(before))
    assert (result.exit_code, result.stdout.count("\n")) == (0, 1)
    assert result.stdout.startswith("warning: the type invoice_refunded has stricter rules: target_name is required")


def test_check_takes_the_schema_of_another_commit_from_standard_input(own: str, kept: Path) -> None:
    before = kept.read_text(encoding="utf-8")
    change(own, "invoice_refunded", "invoice_refund")
    kept.write_text(printed("schema", "--catalog", own), encoding="utf-8")
    command = [sys.executable, "-m", "whodid", "events", "check", "--catalog", own]
    assert subprocess.run(command, check=False).returncode == 0
    piped = [*command, "--against", "-"]
    done = subprocess.run(piped, input=before, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "invoice_refunded was removed" in done.stdout


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("", "whodid: standard input is empty; "),
        ("{", "whodid: standard input is not JSON: "),
        ("{}", "is not a schema"),
    ],
)
def test_check_of_a_standard_input_that_is_no_schema_is_one_message(given: str, says: str) -> None:
    command = [sys.executable, "-m", "whodid", "events", "check", "--against", "-"]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_check_without_a_schema_in_place_says_how_to_make_it(own: str) -> None:
    error = run("check", "--catalog", own).exception
    assert isinstance(error, CatalogError)
    assert f"or create it: whodid events schema --catalog {own} > " in str(error)


@pytest.mark.parametrize("command", [["docs"], ["stubs"], ["stubs", "--closed-details"]])
def test_a_printed_file_that_differs_or_is_missing_is_told_the_command_that_writes_it(
    own: str, tmp_path: Path, command: list[str]
) -> None:
    file = tmp_path / "printed"
    options = ["--catalog", own]
    for content in (None, "other", "\udcff"):
        if content is not None:
            file.write_bytes(content.encode(errors="surrogateescape"))
        result = run(*command, *options, "--check", str(file))
        assert (result.exit_code, result.stdout) == (1, "")
        assert isinstance(result.exception, CatalogError)
        said = str(result.exception)
        told = [command[0], *options, *command[1:]]
        assert said == f"{file} is out of date with the catalog; run whodid events {' '.join(told)} > {file}"
    subprocess.run(f"{sys.executable} -m {said.partition(' run ')[2]}", shell=True, check=True)  # noqa: S602 (as a shell runs it)
    assert printed(*command, *options, "--check", str(file)) == ""


def test_docs_prints_what_is_committed() -> None:
    committed = Path(__file__).parents[2] / "docs" / "reference" / "events.md"
    assert printed("docs") == committed.read_text(encoding="utf-8"), "run `make generated`"


def program(*args: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own, as a terminal runs it."""
    command = [sys.executable, "-m", "whodid", *args]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def test_in_a_terminal_the_catalog_goes_to_stdout_and_the_exit_code_is_0(own: str) -> None:
    done = program("events", "list", "--json", "--catalog", own)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.splitlines()[-1])["type"] == "invoice_refunded"


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["show", "team_renamed"], 1, "whodid: there is no event type 'team_renamed'"),
        (["list", "--resource", "runs"], 1, "whodid: unknown resource 'runs'"),
        (["schema", "--catalog", "missing.toml"], 1, "whodid: the catalog missing.toml can't be read"),
        (["list", "--own", "--catalog", "x"], 2, "--own can't be combined with --catalog"),
        (["list", "--jsn"], 2, "No such option"),
        (["show"], 2, "Missing argument 'EVENT_TYPE'"),
    ],
)
def test_in_a_terminal_an_error_is_one_message_on_stderr(args: list[str], code: int, says: str) -> None:
    done = program("events", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_in_a_terminal_a_broken_catalog_is_told_file_table_and_fix(tmp_path: Path) -> None:
    path = tmp_path / "events.toml"
    path.write_text(OWN + "colour = 'red'", encoding="utf-8")
    for args in (["events", "list", "--catalog", str(path)], ["--catalog", str(path), "events", "list"]):
        done = program(*args)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"whodid: {path}, [types.invoice_refunded]: unknown key 'colour'" in done.stderr
