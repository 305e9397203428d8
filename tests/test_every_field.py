"""Every field of an entry, with two values, on its way through everything that has to know it.

A field that is added to `FIELDS` needs a row in `GIVEN` or `FILLED`, or the first test fails.
"""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from html import unescape
from pathlib import Path
from typing import Any, get_type_hints

import httpx
import jsonschema_rs
import orjson
import pyarrow.parquet
import pytest
from click.testing import CliRunner
from tools import verify_log

import whodid.typing
from tests import independent
from tests.live.corner import Corner, corner
from tests.typing.checkers import mypy
from tests.web.served import served
from tests.web.stored import Stored, stored
from whodid.administration.erase_journal import erase_on_host, erased_entry
from whodid.catalog import Catalog
from whodid.cli import program
from whodid.cluster.template import FIELD_TYPES, MARK, index_template, template_name
from whodid.entry import FIELDS, NEVER_COMMITTED, PERSONAL_FIELDS, TARGET_KEYS, Entry, Stamp, partition_name
from whodid.export import FORMS, pieces
from whodid.export.forms import COLUMNS, Columns, unguarded
from whodid.integrity import entry_hash, read_line
from whodid.journal import Journal, JournalDirectory, read_entries
from whodid.recording.recorder import Recorder
from whodid.search import AuditClient, Filter
from whodid.search.grammar import kind_of
from whodid.settings import Settings
from whodid.setup.dashboards import saved_objects
from whodid.verify import verify_stored
from whodid.web import create_app

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Row:
    """Two values that calls give; `since` is the minor version of the format that brought the field."""

    value: Any
    other: Any
    since: int = 0
    pasted: bool = False
    """Whether the value alone, without the name of the field, finds the entry."""


GIVEN = {
    "type": Row("credentials_created", "credentials_updated", pasted=True),
    "target": Row("6Yk2", "7Zl3", pasted=True),
    "principal": Row("42", "57", pasted=True),
    "status": Row("aws", "azure", pasted=True),
    "organization_id": Row("org-7", "org-8", pasted=True),
    "organization_name": Row("Acme", "Bolt", pasted=True),
    "workspace_id": Row("ws-9", "ws-10", pasted=True),
    "workspace_name": Row("Lab", "Office", pasted=True),
    "client_ip": Row("203.0.113.9", "2001:db8::9", pasted=True),
    "occurred_at": Row("2026-11-23T08:15:30.123456789Z", "2025-02-03T04:05:06Z", since=1),
    "imported_from": Row("syslog of 2025", "the old panel", since=1),
    "target_name": Row("deploy key", "backup key", pasted=True),
    "targets": Row(
        [{"id": "acc-1", "name": "Savings of Ada", "type": "account"}, {"id": "acc-2"}],
        [{"id": "acc-3", "name": "Cheques", "type": "account"}],
        since=1,
    ),
    "principal_name": Row("Ada", "Bob", pasted=True),
    "principal_email": Row("ada@example.org", "bob@example.org", pasted=True),
    "on_behalf_of": Row(["boss-1", "boss-2"], "boss-3", since=1, pasted=True),
    "principal_type": Row("agent", "service", since=1),
    "session_id": Row("sess-1", "sess-2", since=1, pasted=True),
    "auth_method": Row("oidc", "password", since=1),
    "roles": Row(["admin", "auditor"], "member", since=1),
    "user_agent": Row("curl/8.1", "firefox"),
    "forwarded_for": Row("198.51.100.1", "198.51.100.2"),
    "access_token_id": Row("tok-1", "tok-2", pasted=True),
    "correlation_id": Row("corr-1", "corr-2", pasted=True),
    "request_id": Row("req-1", "req-2", pasted=True),
    "method": Row("POST", "DELETE", since=1),
    "route": Row("/teams/{id}", "/keys/<key>", since=1),
    "trace_id": Row("0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736", pasted=True),
    "operation": Row("op-1", "op-2", pasted=True),
    "phase": Row("intent", "outcome"),
    "outcome": Row("success", "failure"),
    "before": Row({"name": "old"}, {"name": "older"}),
    "after": Row({"name": "new"}, {"name": "newer"}),
    "details": Row({"reason": "rotation"}, {"reason": "leak"}),
}
"""What calls give."""

FILLED: dict[str, Callable[[Any], bool]] = {
    "creation_date": lambda value: value == "2026-11-23T09:00:00Z",
    "@timestamp": lambda value: value == "2026-11-23T09:00:00.000001Z",
    "target_type": lambda value: value == "credentials",
    "once": lambda value: re.fullmatch("[0-9a-f]{32}", value) is not None,
    "shortened": lambda value: value == {"principal_name": {"bytes": 600}},
    "service": lambda value: value == "shop",
    "host": lambda value: value == "web-1",
    "schema_version": lambda value: value == "2.1",
    "journal": lambda value: len(value) == 16,
    "seq": lambda value: value in {1, 2, 3},
    "prev": lambda value: len(value) == 64,
    "hash": lambda value: len(value) == 64,
    "committed": lambda value: value == sorted(value) and "principal_name" in value,
    "salt": lambda value: len(value) == 32,
    "salts": lambda value: set(map(len, value.values())) == {32},
    "erased": lambda value: all(text.startswith("sha256:") for text in value.values()),
}
"""What is filled in, and whether it is as it should be."""

NEW = [name for name, row in GIVEN.items() if row.since]
FIRST = {name: row.value for name, row in GIVEN.items()}
SECOND = {name: row.other for name, row in GIVEN.items()}
PERSONAL = {
    "none are personal": 'extends = "platform"\npersonal = []',
    "some are personal": 'extends = "platform"',
    "all are personal": f'extends = "platform"\npersonal = {json.dumps(sorted(PERSONAL_FIELDS))}',
}
NOW = 1_795_424_400_000_001_000


def test_the_table_has_every_field_and_a_second_value_of_its_own() -> None:
    assert GIVEN.keys().isdisjoint(FILLED)
    assert {*GIVEN, *FILLED} == {*FIELDS}
    assert [*GIVEN] == [name for name, field in FIELDS.items() if field.source == "call"]
    assert [name for name, row in GIVEN.items() if row.value == row.other] == []


def test_the_verifier_and_the_format_page_know_which_are_never_committed() -> None:
    assert verify_log.NEVER_COMMITTED == NEVER_COMMITTED
    page = " ".join((ROOT / "docs" / "reference" / "format.md").read_text().split())
    named = re.search(r"- It names none of (.*?)\. - ", page)
    assert named
    assert set(re.findall("`(.*?)`", named[1])) == NEVER_COMMITTED


def texts(value: Any) -> list[str]:
    """The texts in a value."""
    if isinstance(value, dict):
        value = list(value.values())
    return [text for one in value for text in texts(one)] if isinstance(value, list) else [str(value)]


def record(
    settings: Settings, catalog: Catalog, *calls: dict[str, Any], at: int | None = None
) -> list[tuple[Entry, bytes]]:
    """Records one entry for each call; the entries as their receipts and lines have them."""
    journal = Journal(settings.journal_dir)
    recorder = Recorder(settings, catalog=catalog, journal=journal, clock_ns=lambda: at or time.time_ns())
    found = []
    for call in calls:
        receipt, line = recorder.record(call["type"], {name: value for name, value in call.items() if name != "type"})
        entry = orjson.loads(line)
        assert (receipt.recorded, receipt.hash, receipt.seq) == (True, entry["hash"], entry["seq"])
        found.append((entry, line))
    journal.close()
    return found


def settings_in(folder: Path, **more: Any) -> Settings:
    return Settings(journal_dir=str(folder / "journal"), service="shop", host="web-1", **more)


@pytest.fixture(params=PERSONAL, ids=lambda name: name.replace(" ", "-"))
def catalog(request: pytest.FixtureRequest) -> Catalog:
    return Catalog.parse(PERSONAL[request.param])


@pytest.fixture
def lines(tmp_path: Path, catalog: Catalog) -> list[tuple[Entry, bytes]]:
    long = {**FIRST, "principal_name": "x" * 600, "once": "the third"}
    return record(settings_in(tmp_path), catalog, FIRST, SECOND, long, at=NOW)


def test_it_is_recorded_as_given_and_every_verifier_agrees(
    tmp_path: Path, catalog: Catalog, lines: list[tuple[Entry, bytes]]
) -> None:
    for (entry, line), given in zip(lines, (FIRST, SECOND), strict=False):
        assert {name: entry[name] for name in GIVEN} == given
        assert read_line(line) == entry
        assert entry_hash(entry) == entry["hash"] == independent.entry_hash(entry)
        assert verify_log.hash_matches(entry)
        assert entry.get("committed", []) == sorted(catalog.personal)
    found = list(read_entries(settings_in(tmp_path).journal_dir))
    assert ["once" in entry for entry in found] == [False, False, True]
    assert found == [entry for entry, _ in lines]
    assert independent.problems(found) == []
    wrong = [name for entry in found for name in entry if name in FILLED and not FILLED[name](entry[name])]
    assert [name for name in wrong if (name, catalog.personal) != ("shortened", frozenset())] == []


@pytest.mark.parametrize("name", GIVEN)
def test_no_value_can_be_changed_unseen(name: str, lines: list[tuple[Entry, bytes]]) -> None:
    entry = {**lines[0][0], name: SECOND[name]}
    assert entry_hash(entry) != entry["hash"]
    assert not verify_log.hash_matches(entry)


def test_the_schemas_take_it_and_no_value_of_another_type(catalog: Catalog, lines: list[tuple[Entry, bytes]]) -> None:
    schemas = [catalog.json_schema()]
    if catalog.personal == Catalog.load().personal:
        schemas.append(json.loads((ROOT / "config" / "audit-entry.schema.json").read_text()))
    for schema in schemas:
        check = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        for entry, _ in lines:
            assert [error.message for error in check.iter_errors(entry)] == []
            assert [name for name in entry if check.is_valid({**entry, name: True})] == []


def test_the_template_maps_it() -> None:
    stored = json.loads((ROOT / "opensearch" / "index-template.json").read_text())["template"]["mappings"]["properties"]
    assert stored == FIELD_TYPES == index_template(Settings())["template"]["mappings"]["properties"]
    assert stored.keys() == FIELDS.keys()
    assert stored["targets"] == {"properties": {key: {"type": "keyword"} for key in TARGET_KEYS}}
    assert {stored[name]["type"] for name in NEW if name not in {"targets", "occurred_at"}} == {"keyword"}


def test_dashboards_lists_it_or_hides_it() -> None:
    [pattern] = [one.attributes for one in saved_objects(Settings()) if one.type == "index-pattern"]
    listed = {one["name"].partition(".")[0] for one in pattern["fields"]}
    hidden = {one["value"] for one in pattern["sourceFilters"]}
    assert {name for name in FIELDS if (name in listed) == (name in hidden)} == set()


def test_the_types_of_a_call_have_it(tmp_path: Path) -> None:
    hints = get_type_hints(whodid.typing.EntryFields)
    assert {*GIVEN} - {*hints} == {"type"}
    assert {*FIELDS} - {*get_type_hints(whodid.typing.ExpectedFields)} == {"@timestamp"}
    searchable = {name for name in FIELDS if kind_of(name) not in {None, "objects"}} | {"occurred_at"}
    assert searchable - {*get_type_hints(whodid.typing.FilterFields)} == set()
    calls = [
        f"log.audit({kind!r}, {', '.join(f'{name}={value!r}' for name, value in fields.items())})"
        for given in (FIRST, SECOND)
        for kind, fields in [(given["type"], {name: value for name, value in given.items() if name != "type"})]
    ]
    right = ["import datetime", "import whodid", "log = whodid.get_logger()", *calls]
    right += ["log.audit('credentials_created', occurred_at=datetime.datetime.now(datetime.UTC), roles=('a',))"]
    wrong = [f"log.audit('credentials_created', {name}=7)" for name in GIVEN if name != "type"]
    wrong += ["log.audit('credentials_created', targets=[{'name': 'without an ID'}])"]
    found = mypy(tmp_path, "\n".join([*right, *wrong]))
    assert sorted(found) == [*range(len(right) + 1, len(right) + len(wrong) + 1)]


# The tab


@pytest.fixture(scope="module")
def tab() -> Iterator[tuple[Stored, httpx.Client]]:
    with stored("{}") as place:
        app = create_app(is_root_user=lambda _: True, audit_reads=False, opensearch_hosts=place.url)
        with served(app) as url, httpx.Client(base_url=url, timeout=30) as browser:
            yield place, browser


UNSHOWN = {"committed", "salt", "salts", "erased", "once"}
"""Fields that the page of an entry shows only as JSON."""


def test_the_page_of_an_entry_shows_it(tab: tuple[Stored, httpx.Client], lines: list[tuple[Entry, bytes]]) -> None:
    place, browser = tab
    for entry, line in lines:
        place.source = line.decode()
        page = unescape(browser.get("/entries/odd").text.partition(">JSON <")[0])
        for name in entry.keys() - UNSHOWN:
            assert [text for text in texts(entry[name]) if text not in page] == [], name


HOSTILE = "<script>alert(1)</script>\" ' onload=x {{ 7 * 7 }} \u202e"
SHAPES: tuple[Any, ...] = (
    HOSTILE,
    [HOSTILE, HOSTILE],
    {"id": HOSTILE, HOSTILE: HOSTILE},
    [{"id": HOSTILE, "name": HOSTILE, "type": HOSTILE}, {"name": HOSTILE}, {"id": {"id": HOSTILE}}, [HOSTILE], 7, None],
)


@pytest.mark.parametrize("name", FIELDS)
def test_no_page_runs_what_it_holds_whatever_its_type(name: str, tab: tuple[Stored, httpx.Client]) -> None:
    place, browser = tab
    for value in (*SHAPES, 7, 1.5, True, [], {}, [[]], [None]):
        place.source = json.dumps({**FIRST, name: value})
        for path in ("/entries/odd", "/", "/newest"):
            answer = browser.get(path)
            assert answer.status_code == 200, (path, value)
            assert "<script>alert" not in answer.text
            assert "\u202e" not in re.sub('="[^"]*"', "", answer.text.partition(">JSON <")[0])
        if value is HOSTILE and name not in {"@timestamp", "creation_date"}:
            assert "&lt;script&gt;alert(1)&lt;/script&gt;" in browser.get("/entries/odd").text


# Exports


def test_every_export_has_it(lines: list[tuple[Entry, bytes]], tmp_path: Path) -> None:
    entries = [entry for entry, _ in lines]
    written = b"".join(pieces(FORMS["ndjson"], entries))
    assert [orjson.loads(line) for line in written.splitlines()] == entries
    text = b"".join(pieces(FORMS["csv"], entries)).decode("utf-8-sig")
    table = list(csv.DictReader(io.StringIO(text, newline="")))
    assert {*FIELDS} - {*COLUMNS} == UNSHOWN
    with (tmp_path / "all.parquet").open("wb") as file, Columns(file) as columns:
        columns.add(entries)
    typed = pyarrow.parquet.read_table(tmp_path / "all.parquet").to_pylist()
    for entry, row, columns_of in zip(entries, table, typed, strict=True):
        for name, value in entry.items():
            if name in COLUMNS:
                cell = unguarded(row[name])
                assert (cell if isinstance(value, str) else json.loads(cell)) == value
            if isinstance(value, list | dict):
                assert json.loads(columns_of[name]) == value
            elif FIELDS[name].kind in {"date", "date_nanos"}:  # to the microsecond
                assert columns_of[name] == datetime.fromisoformat(value)
            else:
                assert columns_of[name] == value
    for form in FORMS.values():
        if form.lines is not None:
            assert b"".join(pieces(form, entries)).count(b"\n") >= len(entries)


# Erasure


def test_what_is_personal_can_be_erased_and_the_entry_verifies(
    tmp_path: Path, catalog: Catalog, lines: list[tuple[Entry, bytes]]
) -> None:
    check = jsonschema_rs.Draft202012Validator(catalog.json_schema(), validate_formats=True)
    for entry, _ in lines if catalog.personal else []:
        erased = erased_entry(entry)
        assert erased
        assert erased["erased"].keys() == catalog.personal
        assert FILLED["erased"](erased["erased"])
        assert catalog.personal.isdisjoint(erased)
        gone = {text for name in catalog.personal for text in texts(entry[name])}
        assert gone.isdisjoint(texts({**erased, "committed": None}))
        assert entry_hash(erased) == entry["hash"] == independent.entry_hash(erased)
        assert verify_log.hash_matches(erased)
        assert check.is_valid(erased)
        for name in catalog.personal:  # of each alone
            one = erased_entry(entry, [name])
            assert one
            assert verify_log.hash_matches(one)
            assert FILLED["salts"](one["salts"])
            assert entry_hash(one) == entry["hash"]
            assert name not in one


@pytest.mark.parametrize("who", ["42", "boss-1", "boss-2"])
def test_whoever_is_in_the_chain_is_found_in_the_journal(tmp_path: Path, who: str) -> None:
    catalog = Catalog.parse(PERSONAL["all are personal"])
    settings = settings_in(tmp_path)
    record(settings, catalog, FIRST, SECOND)
    Journal(settings.journal_dir).close_segment()
    done = erase_on_host(JournalDirectory(settings.journal_dir), who)
    assert (len(done.entries), done.open) == (1, ())
    found = list(read_entries(settings.journal_dir))
    assert independent.problems(found) == []
    assert [entry.get("on_behalf_of") for entry in found] == [None, "boss-3"]
    assert not any(text in json.dumps(found) for text in ("boss-1", "boss-2", "acc-1", "Savings of Ada"))


# The cluster


@pytest.fixture(scope="module")
def place(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path_factory.mktemp("every"), service="shop", host="web-1") as made:
        made.set_up()
        record(made.settings, Catalog.parse(PERSONAL["all are personal"]), FIRST, SECOND)
        assert made.ship().dead_letters == 0
        yield made


@pytest.fixture
def client(place: Corner) -> AuditClient:
    return AuditClient(place.settings, client=place.client)


def found_by(client: AuditClient, question: str | Filter) -> list[str]:
    """The targets of what is found."""
    return sorted(entry["target"] for entry in client.search(question))


def terms(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """How to search for each text of a value: the name of the field, or of a key in it, and the text."""
    if FIELDS[name].kind == "objects":
        yield from ((f"{name}.{key}", text) for one in value for key, text in one.items())
    elif isinstance(value, dict):
        yield from ((f"{name}.{key}", text) for key, text in value.items())
        yield from ((name, text) for text in value.values())
    else:
        yield from ((name, text) for text in texts(value))


@pytest.mark.live
def test_each_value_is_found_and_finds_nothing_else(client: AuditClient) -> None:
    for name, row in GIVEN.items():
        for value, target in ((row.value, "6Yk2"), (row.other, "7Zl3")):
            for field, text in terms(name, value):
                meant = ["6Yk2", "7Zl3"] if (field, text) == ("targets.type", "account") else [target]
                asked = f"{field}:{text[:10]}" if name == "occurred_at" else f'{field}:"{text}"'
                assert found_by(client, asked) == meant, asked
        if FIELDS[name].kind != "objects":
            assert found_by(client, f"{name}:*") == ["6Yk2", "7Zl3"], name
    for name in FILLED:
        if kind_of(name) not in {None, "flat_object"}:
            [entry, *_] = client.search()
            assert entry["target"] in found_by(client, f'{name}:"{entry[name]}"'), name


@pytest.mark.live
def test_what_identifies_is_found_by_pasting_it(client: AuditClient) -> None:
    for name, row in GIVEN.items():
        for value, target in ((row.value, "6Yk2"), (row.other, "7Zl3")):
            for text in texts(value) if row.pasted else ():
                assert found_by(client, f'"{text}"') == [target], (name, text)
    assert found_by(client, "acc-2") == found_by(client, "about:acc-2") == found_by(client, "Savings") == ["6Yk2"]
    assert found_by(client, "about:acc-3") == found_by(client, "about:7Zl3") == ["7Zl3"]
    assert found_by(client, "by:boss-1") == found_by(client, "by:boss-2") == found_by(client, "by:42") == ["6Yk2"]
    assert found_by(client, "by:boss-3 or about:acc-1") == ["6Yk2", "7Zl3"]
    assert found_by(client, "-by:boss-2") == ["7Zl3"]


@pytest.mark.live
def test_values_of_a_list_are_counted_one_by_one(client: AuditClient) -> None:
    assert client.counts_by("roles") == {"admin": 1, "auditor": 1, "member": 1}
    assert client.counts_by("on_behalf_of") == {"boss-1": 1, "boss-2": 1, "boss-3": 1}


@pytest.mark.live
def test_it_is_found_by_when_it_happened(client: AuditClient) -> None:
    for period in ("2026-11", "2026-11-23", "2026-11-23T08:15", "2026-11-01..2026-11-30", "2026-01..", "..2026-12"):
        assert "6Yk2" in found_by(client, f"occurred_at:{period}"), period
    assert found_by(client, "occurred_at:..2025") == found_by(client, Filter.of(occurred_at="2025")) == ["7Zl3"]
    assert found_by(client, "occurred_at:2026-10") == []


@pytest.mark.live
def test_the_report_and_every_command_take_it(place: Corner, tmp_path: Path) -> None:
    for command in (
        ["search", "--json"],
        ["search", "about:acc-1"],
        ["stats", "--group-by", "roles", "--exact"],
        ["report", str(tmp_path / "today"), "--since", "-1d"],
        ["verify"],
        *(["export", str(tmp_path / f"all{form.suffixes[0]}")] for form in FORMS.values()),
    ):
        done = CliRunner().invoke(program, place.arguments(*command))
        assert done.exit_code == 0, (command, done.output, done.exception)
    assert json.loads((tmp_path / "today.json").read_text())["summary"]["intact"]
    assert len((tmp_path / "all.ndjson").read_text().splitlines()) == 2
    checker = [sys.executable, str(ROOT / "tools" / "verify_log.py"), "export", str(tmp_path / "all.ndjson")]
    assert "no problem found" in subprocess.run(checker, capture_output=True, text=True, check=True).stdout


@pytest.mark.live
def test_the_tab_finds_it(place: Corner) -> None:
    app = create_app(
        is_root_user=lambda _: True,
        audit_reads=False,
        opensearch_hosts=place.settings.opensearch_hosts[0],
        index_prefix=place.settings.index_prefix,
    )
    with served(app) as url, httpx.Client(base_url=url, timeout=30) as browser:
        for asked in ("targets.id:acc-2", "by:boss-2", "roles:auditor", "occurred_at:2026-11", "principal_type:agent"):
            rows = browser.get("/entries.json", params={"q": asked})
            assert rows.status_code == 200
            assert "6Yk2" in rows.text
            assert "7Zl3" not in rows.text
        assert browser.get("/", params={"q": "by:boss-1"}).text.count("6Yk2") > 0


@pytest.mark.live
def test_a_partition_of_format_2_0_gets_the_fields_by_the_setup_and_then_takes_the_entries(
    opensearch_url: str, tmp_path: Path
) -> None:
    """Until then an entry with a new field is a dead letter, and one without is stored."""
    catalog = Catalog.parse(PERSONAL["all are personal"])
    old = {name: kind for name, kind in FIELD_TYPES.items() if name not in {*NEW} - {"on_behalf_of"}}
    plain = {name: row.value for name, row in GIVEN.items() if name not in NEW}
    with corner(opensearch_url, tmp_path) as made:
        made.set_up()
        made.client.indices.delete_index_template(name=template_name(made.settings))
        at = time.time_ns()
        partition = partition_name(made.settings.index_prefix, "month", Stamp.from_ns(at).creation_date)
        mappings = {"_meta": {**MARK, "schema_version": "2.0"}, "dynamic": "strict", "properties": old}
        made.client.indices.create(index=partition, body={"mappings": mappings})
        record(made.settings, catalog, plain, {**plain, "target": "early", "route": "/x"}, at=at)
        assert made.ship().dead_letters == 1
        assert [hit["_source"]["target"] for hit in made.stored().values()] == ["6Yk2"]
        for _ in range(2):  # the second time there is nothing to do
            made.set_up()
        [stored] = made.client.indices.get_mapping(index=partition).values()
        assert stored["mappings"]["properties"] == FIELD_TYPES
        assert CliRunner().invoke(program, made.arguments("dead-letters", "retry")).exit_code == 0
        record(made.settings, catalog, SECOND, at=at)
        assert made.ship().dead_letters == 0
        client = AuditClient(made.settings, client=made.client)
        own = "-type:audit_log_*"
        assert found_by(client, own) == ["6Yk2", "7Zl3", "early"]
        assert found_by(client, f"about:acc-3 {own}") == found_by(client, f"by:boss-3 {own}") == ["7Zl3"]
        assert found_by(client, "route:/x") == ["early"]


@pytest.mark.live
@pytest.mark.parametrize("who", ["42", "boss-2"])
def test_erasing_whoever_is_in_the_chain_erases_the_entry_everywhere(
    opensearch_url: str, tmp_path: Path, who: str
) -> None:
    with corner(opensearch_url, tmp_path) as made:
        made.set_up()
        events = tmp_path / "events.toml"
        events.write_text(PERSONAL["all are personal"])
        record(made.settings, Catalog.load(events), FIRST, SECOND)
        made.ship()
        command = made.arguments("erase", "--principal", who, "--reason", "request 4711", "--wait", "0", "--yes")
        done = CliRunner().invoke(program, [*command, f"--catalog={events}"])
        assert done.exit_code == 0, done.output
        files = [path.read_text(errors="replace") for path in Path(made.settings.journal_dir).rglob("*.ndjson")]
        left = json.dumps(made.stored()) + "".join(files)
        assert [text for text in ("acc-1", "Savings of Ada", "boss-1", "auditor", "sess-1") if text in left] == []
        assert all(text in left for text in ("acc-3", "boss-3", "member", "sess-2"))
        made.ship()
        client = AuditClient(made.settings, client=made.client)
        assert verify_stored(client).findings == []
        for hit in made.stored().values():
            assert verify_log.hash_matches(hit["_source"])
