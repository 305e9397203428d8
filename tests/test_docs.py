"""The pages: what they name exists, and their snippets run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from click.testing import CliRunner

import whodid
from tests.recording import WHO, configured, recorded
from whodid.cli import program
from whodid.entry import Partitioning
from whodid.proof.witness import Witness
from whodid.retention.ism import margin_days
from whodid.search import Filter
from whodid.search.stats import check_countable
from whodid.settings import Settings
from whodid.setup.roles import roles

ROOT = Path(__file__).parents[1]
DOCS = sorted(ROOT.glob("docs/**/*.md"))
PAGES = [*ROOT.glob("*.md"), *DOCS, *ROOT.glob("opensearch/*.md"), *ROOT.glob("examples/*.md")]
HERE = re.compile(r"https://github\.com/whodid/whodid/(?:blob|tree)/main/([\w./-]+)")
"""A file of this repository, named so that the link works on the site, on the terminal and on GitHub."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
    for path in HERE.findall(page.read_text()):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_into_a_page_leads_to_a_heading(page: Path) -> None:
    for target, heading in re.findall(r"\]\(((?!\w+://)[^)#]*)#([^)]+)\)", page.read_text()):
        there = (page.parent / target if target else page).read_text()
        headings = re.findall(r"^#+ (.*)", re.sub(r"^```.*?^```", "", there, flags=re.M | re.S), re.M)
        slugs = {re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-") for words in headings}
        assert heading in slugs, (target, heading)


def test_every_test_that_the_reliability_page_names_exists() -> None:
    named = re.findall(
        r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "explanation" / "reliability.md").read_text()
    )
    assert len(named) > 10
    for path, function in named:
        wanted = rf"def {function}\b" if function else r"def test_|^Test\w+ = "
        assert re.search(wanted, (ROOT / path).read_text(), re.M), (path, function)


def test_every_path_that_contributing_names_exists() -> None:
    for path in re.findall(r"`((?:src|tests|config|examples|docs)/[\w./-]*)`", (ROOT / "CONTRIBUTING.md").read_text()):
        assert (ROOT / path).exists(), path


@pytest.mark.live
def test_the_search_page_s_python_runs(opensearch_url: str) -> None:
    [snippet] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "search.md").read_text(), re.S)
    exec(snippet.replace("http://127.0.0.1:9200", opensearch_url), {})  # noqa: S102 (our own page)


@pytest.mark.live
def test_the_export_page_s_python_runs(
    opensearch_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    [snippet] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "export.md").read_text(), re.S)
    exec(snippet.replace("http://127.0.0.1:9200", opensearch_url), {})  # noqa: S102 (our own page)
    assert capsys.readouterr().out.endswith(" []\n")


def test_the_tab_page_s_python_runs() -> None:
    snippet, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "tab.md").read_text(), re.S)
    made: dict[str, Any] = {}
    exec(snippet, made)  # noqa: S102 (our own page)
    assert [route.path for route in made["app"].routes if route.path.startswith("/admin")] == ["/admin/audit-logs"]


def test_the_tab_page_s_panels_are_those_of_the_examples() -> None:
    """Which `tests/web/test_mounts.py` serves."""
    _, *snippets = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "tab.md").read_text(), re.S)
    for name, snippet in zip(("flask_panel", "django_panel"), snippets, strict=True):
        assert snippet in (ROOT / "examples" / name / "app.py").read_text()


def test_the_integrations_page_s_python_runs(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path)
    celery, sqlalchemy = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "integrations.md").read_text(), re.S
    )
    made: dict[str, Any] = {"__name__": "shop"}
    exec(celery, made)  # noqa: S102 (our own page)
    made["app"].conf.task_always_eager = True
    with whodid.context(**WHO):
        made["rotate"].delay("6Yk2")
    exec(sqlalchemy, made)  # noqa: S102 (our own page)
    made["engine"].dispose()  # Python 3.13 warns of a connection that nobody closed
    assert [entry["type"] for entry in recorded(journal_dir)] == ["credentials_updated", "credentials_created"]
    assert {entry["principal"] for entry in recorded(journal_dir)} == {"42"}


def test_every_test_that_the_platform_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "reference" / "platform.md").read_text())
    assert len(named) > 25
    for path, function in named:
        wanted = rf"def {function}\b" if function else r"def test_|^Test\w+ = "
        assert re.search(wanted, (ROOT / path).read_text(), re.M), (path, function)


def test_the_search_page_names_every_method_that_asks() -> None:
    page = (ROOT / "docs" / "how-to" / "search.md").read_text()
    named = {name for row in re.findall(r"^\| (`\w+\(.*?) \|", page, re.M) for name in re.findall(r"`(\w+)\(", row)}
    asking = {name for name in vars(whodid.AuditClient) if not name.startswith("_")}
    assert named == asking - {"close", "connection", "hit", "hits", "known_retention", "query_of", "retention"}


@pytest.mark.parametrize(
    ("name", "where", "least"),
    [
        ("search.md", "^", 5),
        ("export.md", "^", 5),
        ("retention.md", "^", 5),
        ("import.md", "^", 3),
        ("compliance.md", "(?:^|`)", 60),
    ],
)
def test_every_command_of_a_page_can_be_asked(name: str, where: str, least: int) -> None:
    """With its options, its query, and the fields that it counts by; on some pages also those within a sentence."""
    page = (ROOT / "docs" / "how-to" / name).read_text()
    lines = [shlex.split(line, comments=True) for line in re.findall(rf"{where}(whodid [a-z][^`\n]*)", page, re.M)]
    assert len(lines) >= least
    for _, *words in lines:
        command: click.Command | None = program
        while isinstance(command, click.Group):
            command = command.get_command(click.Context(command), words[0])
            words = words[1:]
        assert command, (name, words)
        if not words:
            continue  # only named in a sentence
        given = command.make_context(str(command.name), words, obj=Settings()).params
        Filter.parse(" ".join(given.get("query") or ()))
        for field in given.get("group_by") or ():
            check_countable(field)


def test_the_compliance_page_tells_the_margins_that_are_in_force() -> None:
    month, day = (margin_days(Settings(partition=length)) for length in ("month", "day"))
    said = f'lives {month} days longer at most, or {day} with `partition = "day"`'
    assert said in " ".join((ROOT / "docs" / "how-to" / "compliance.md").read_text().split())


PRODUCTION = ROOT / "docs" / "how-to" / "opensearch.md"


def test_every_command_of_the_production_page_exists() -> None:
    named = re.findall(r"(?:^|`)(whodid [a-z][^`#\n]*)", PRODUCTION.read_text(), re.M)
    assert len(named) > 10
    for line in named:
        command: click.Command = program
        words = [word for word in line.split() if word.startswith("--") or re.fullmatch(r"[a-z-]+", word)]
        for word in words[1:]:
            if isinstance(command, click.Group):
                found = command.get_command(click.Context(command), word)
                assert found, line
                command = found
            elif word.startswith("--"):
                assert any(word in param.opts for param in command.params), line


def test_the_production_page_names_every_alert_and_no_other() -> None:
    alerts = re.findall(r"alert: (\w+)", (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    assert set(re.findall(r"`(Whodid\w+)`", PRODUCTION.read_text())) == set(alerts)


def test_the_production_page_names_every_role() -> None:
    assert set(re.findall(r"^\| `(whodid_\w+)` \|", PRODUCTION.read_text(), re.M)) == set(roles(Settings()))


def test_the_page_of_the_folder_names_every_file() -> None:
    folder = ROOT / "opensearch"
    named = re.findall(r"^\| `([\w/.-]+)` \|", (folder / "README.md").read_text(), re.M)
    assert {path for path in named if (folder / path).exists()} == set(named)
    assert {path.name for path in folder.iterdir()} - {"README.md"} == {Path(path).parts[0] for path in named}


def test_readme_and_changelog_stay_short() -> None:
    for name, lines in (("README.md", 80), ("CHANGELOG.md", 30)):
        assert len((ROOT / name).read_text().splitlines()) <= lines, name


def test_the_readme_s_catalog_lists_one_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "README.md").read_text()
    [catalog], [command] = re.findall(r"```toml\n(.*?)```", page, re.S), re.findall(r"`whodid (events .*?)`", page)
    monkeypatch.chdir(tmp_path)
    Path("events.toml").write_text(catalog)
    lines = CliRunner().invoke(program, command.split()).stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["invoice_refunded"]


def test_the_page_of_the_examples_names_each_and_no_other() -> None:
    page = (ROOT / "examples" / "README.md").read_text()
    found = (ROOT / "examples").iterdir()
    folders = {path.stem for path in found if path.is_dir() or path.suffix == ".py"} - {"__pycache__"}
    assert set(re.findall(r"^\| \[(\w+)\]", page, re.M)) == folders


def test_every_page_is_on_the_index_once() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    pages = [str(path.relative_to(ROOT / "docs")) for path in DOCS if path.name != "index.md"]
    assert sorted(re.findall(r"^- \[.+?\]\((\S+)\): .+", index, re.M)) == sorted(pages)
    assert not re.search(r"^- .*\n +\S", index, re.M)  # `whodid help` reads a line for each


def test_the_api_page_names_all_that_can_be_imported() -> None:
    named = re.findall(r"^\.\. auto\w+:: whodid\.(\w+)$", (ROOT / "docs" / "reference" / "api.md").read_text(), re.M)
    assert sorted(named) == sorted([*whodid.__all__, "administration"])


def test_the_integrity_page_s_witness_is_one() -> None:
    [snippet] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "explanation" / "integrity.md").read_text(), re.S)
    made: dict[str, Any] = {}
    exec(snippet, made)  # noqa: S102 (our own page)
    notary = made["witness"](Settings())
    assert isinstance(notary, Witness)
    notary.put("one", b"1")
    assert list(notary.each()) == [("one", b"1")]


def test_the_production_page_tells_the_ceilings_that_are_in_force() -> None:
    ceilings = {length: 365 + margin_days(Settings(partition=length)) for length in get_args(Partitioning)}
    said = " ".join(PRODUCTION.read_text().split())
    in_words = "{month} days with months, {week} with weeks, {day} with days, for 365".format(**ceilings)
    assert in_words in said
