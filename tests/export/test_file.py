"""Exports into files from a real OpenSearch: all of it once, whatever happens on the way, with a manifest that fits."""

from __future__ import annotations

import csv
import errno
import gzip
import hashlib
import io
import itertools
import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet
import pytest

from tests.commands import whodid
from tests.faults.kit import FaultProxy, reset
from tests.faults.test_journal_full_disk import mounted
from tests.live.corner import Corner, corner
from tests.search.two_years import entries_of_two_years, store
from whodid.entry import FIELDS, entry_id
from whodid.errors import ExportError, OpenSearchUnavailable, QueryError, SettingsError
from whodid.export import FORMS, check, export, file
from whodid.proof.keys import new_key
from whodid.proof.merkle import Tree
from whodid.search import AuditClient

pytestmark = pytest.mark.live

COUNT = 4321
Entry = dict[str, Any]
LINES = [name for name, form in FORMS.items() if form.lines]


@pytest.fixture(scope="module")
def years(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Corner, list[Entry]]]:
    """Entries of two years, in the order of an export."""
    with corner(opensearch_url, tmp_path_factory.mktemp("export")) as made:
        made.set_up()
        entries = entries_of_two_years(COUNT, 8)
        store(made.client, made.settings.index_prefix, entries)
        yield made, sorted(entries, key=lambda one: (one["@timestamp"], one["journal"], one["seq"]))


@pytest.fixture
def client(years: tuple[Corner, list[Entry]]) -> AuditClient:
    return AuditClient(years[0].settings, client=years[0].client)


@pytest.fixture
def entries(years: tuple[Corner, list[Entry]]) -> list[Entry]:
    return years[1]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "BLOCK", 250)


class Stopped(BaseException):
    """In the place of SIGKILL: nothing is tidied up."""


def stopping(client: AuditClient, after: int, error: BaseException) -> AuditClient:
    """The client, which fails after so many entries."""

    class Failing(AuditClient):
        def hits(self, *arguments: Any, **keywords: Any) -> Iterator[dict[str, Any]]:
            yield from itertools.islice(super().hits(*arguments, **keywords), after)
            raise error

    return Failing(client.settings, client=client._client)


def lines(path: Path) -> list[Entry]:
    data = path.read_bytes()
    return [json.loads(line) for line in (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()]


# What is in a file


@pytest.mark.parametrize("name", ["all.ndjson", "all.jsonl", "all.ndjson.gz"])
def test_ndjson_holds_the_entries_as_journalled_oldest_first(
    client: AuditClient, entries: list[Entry], tmp_path: Path, name: str
) -> None:
    manifest = export(client, None, tmp_path / name, expired=True)
    assert lines(tmp_path / name) == entries
    assert manifest.count == manifest.matching_at_end == COUNT
    assert manifest.first == {"entry_id": entry_id(entries[0]), "timestamp": entries[0]["@timestamp"]}
    assert manifest.last == {"entry_id": entry_id(entries[-1]), "timestamp": entries[-1]["@timestamp"]}
    assert manifest.sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert manifest.bytes == (tmp_path / name).stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, f"{name}.manifest.json"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.iterdir())


def test_csv_has_a_line_for_each_entry(client: AuditClient, entries: list[Entry], tmp_path: Path) -> None:
    export(client, None, tmp_path / "all.csv", expired=True)
    text = (tmp_path / "all.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["entry_id"] for row in rows] == [entry_id(entry) for entry in entries]
    assert [row["principal"] for row in rows] == [entry["principal"] for entry in entries]


def test_parquet_has_columns_with_types(client: AuditClient, entries: list[Entry], tmp_path: Path) -> None:
    manifest = export(client, None, tmp_path / "all.parquet", expired=True)
    table = pyarrow.parquet.read_table(tmp_path / "all.parquet")
    assert table.column_names == [*FIELDS, "entry_id"]
    assert (manifest.count, table.num_rows) == (COUNT, COUNT)
    rows = table.to_pylist()
    assert [row["entry_id"] for row in rows] == [entry_id(entry) for entry in entries]
    for row, entry in zip(rows, entries, strict=True):
        assert row["@timestamp"] == datetime.fromisoformat(entry["@timestamp"])
        assert row["seq"] == entry["seq"]
        assert (json.loads(row["details"]) if row["details"] else None) == entry.get("details")
        assert {name: row[name] for name in ("principal", "client_ip", "status")} == {
            name: entry.get(name) for name in ("principal", "client_ip", "status")
        }


@pytest.mark.parametrize("name", ["ecs.ndjson", "ocsf.ndjson", "cloudevents.ndjson", "otlp.ndjson", "cef"])
def test_the_standards_have_a_line_for_each_entry(
    client: AuditClient, entries: list[Entry], tmp_path: Path, name: str
) -> None:
    export(client, None, tmp_path / f"all.{name}", expired=True)
    found = (tmp_path / f"all.{name}").read_text().splitlines()
    assert all(entry_id(entry) in line for entry, line in zip(entries, found, strict=True))


def test_only_what_was_asked_for_and_nothing_later_than_the_start(
    place: Corner, client: AuditClient, entries: list[Entry], tmp_path: Path
) -> None:
    manifest = export(client, "principal:7 since:2026-01", tmp_path / "some.ndjson", expired=True)
    expected = [one for one in entries if one["principal"] == "7" and one["@timestamp"] >= "2026-01"]
    assert lines(tmp_path / "some.ndjson") == expected
    assert manifest.query.startswith("principal:7 since:2026-01-01T00:00:00Z until:20")
    assert manifest.asked == "principal:7 since:2026-01"
    place.record(2)
    place.ship()
    found = export(AuditClient(place.settings, client=place.client), None, tmp_path / "new.ndjson")
    assert (found.count, lines(tmp_path / "new.ndjson")) == (2, place.journalled())
    assert datetime.now(UTC).isoformat()[:13] in found.query


def test_nothing_found_is_a_file_too(client: AuditClient, tmp_path: Path) -> None:
    for name in ("none.csv", "none.ndjson", "none.parquet", "none.ndjson.gz"):
        manifest = export(client, "target:nobody", tmp_path / name, expired=True)
        assert (manifest.count, manifest.first, check(tmp_path / name)[1]) == (0, None, [])
    assert (tmp_path / "none.csv").read_bytes() == FORMS["csv"].head
    assert pyarrow.parquet.read_table(tmp_path / "none.parquet").num_rows == 0


# Stopped, and gone on with


@pytest.mark.parametrize("name", [*(f"all.{form}" for form in LINES), "all.ndjson.gz", "all.csv.gz"])
def test_an_export_stopped_anywhere_ends_with_the_same_bytes(client: AuditClient, tmp_path: Path, name: str) -> None:
    suffix = ".gz" if name.endswith(".gz") else ""
    form = name.removesuffix(".gz").partition(".")[2]
    whole, broken = tmp_path / f"whole{suffix}", tmp_path / f"broken{suffix}"
    export(client, None, whole, form=form, expired=True)
    picks = random.Random(form + suffix)
    stops = 0
    while not broken.exists():
        try:
            export(stopping(client, picks.randrange(900), Stopped()), None, broken, form=form, expired=True)
        except Stopped:
            stops += 1
            assert not broken.exists()
            with (tmp_path / f"broken{suffix}.part").open("ab") as part:
                part.write(b"half a line that was never synced")
        if stops > 8:
            export(client, None, broken, form=form, expired=True)
    assert broken.read_bytes() == whole.read_bytes()
    manifest, findings = check(broken)
    assert (manifest.count, findings) == (COUNT, [])
    assert 0 < manifest.resumed <= stops
    assert not list(tmp_path.glob("*.part*"))


def test_an_export_killed_again_and_again_ends_with_the_same_bytes(
    years: tuple[Corner, list[Entry]], tmp_path: Path
) -> None:
    place, entries = years
    program = (
        "import sys, time; from whodid.export import file; from whodid.cli import run; file.BLOCK = 50\n"
        "before = file.Export._save\n"
        "def slow(*arguments): before(*arguments); time.sleep(0.02)\n"
        "file.Export._save = slow; run(sys.argv[1:])"
    )
    target = tmp_path / "killed.ndjson"
    command = [sys.executable, "-c", program, *place.arguments("export", str(target), "--expired")]
    picks = random.Random(4)
    kills = 0
    while not target.exists():
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        before = _done(target)
        while running.poll() is None and _done(target) <= before and time.monotonic() < deadline:
            time.sleep(0.01)
        if kills < 4:
            time.sleep(picks.random() * 0.3)
            running.send_signal(signal.SIGKILL)
            kills += running.wait() == -signal.SIGKILL
        _, errors = running.communicate(timeout=60)
        assert running.returncode in (0, -signal.SIGKILL), errors
    assert kills == 4
    assert lines(target) == entries
    assert (check(target)[1], check(target)[0].resumed) == ([], 4)


def _done(target: Path) -> int:
    try:
        return int(json.loads(target.with_name(target.name + ".part.json").read_bytes())["count"])
    except FileNotFoundError:
        return 0


def test_a_cluster_that_goes_away_is_an_error_and_the_export_goes_on_when_it_is_back(
    years: tuple[Corner, list[Entry]], tmp_path: Path
) -> None:
    place, entries = years
    with FaultProxy(place.settings.opensearch_hosts[0]) as proxy:
        client = AuditClient(replace(place.settings, opensearch_hosts=(proxy.url,)))
        seen = itertools.count()

        def on_progress(_done: int, _total: int) -> None:
            if next(seen) == 5:
                proxy.inject(reset())

        with pytest.raises(OpenSearchUnavailable):
            export(client, None, tmp_path / "all.ndjson", expired=True, on_progress=on_progress)
        proxy.clear()
        manifest = export(client, None, tmp_path / "all.ndjson", expired=True)
    assert lines(tmp_path / "all.ndjson") == entries
    assert manifest.resumed == 1


def test_a_full_disk_is_an_error_and_the_export_goes_on_when_there_is_space(
    client: AuditClient, entries: list[Entry], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        with pytest.raises(ExportError, match=r"No space left on device.*same command"):
            export(client, None, disk / "all.ndjson", expired=True)
        assert not (disk / "all.ndjson").exists()
        with pytest.raises(ExportError, match="No space left"):
            export(client, None, disk / "all.ndjson", expired=True)
        subprocess.run([str(shutil.which("mount")), "-o", "remount,size=20m", disk], check=True)
        manifest = export(client, None, disk / "all.ndjson", expired=True)
        assert lines(disk / "all.ndjson") == entries
        assert manifest.resumed == 1  # the second time, nothing was added


def test_entries_that_come_late_while_it_is_stopped_are_told(place: Corner, tmp_path: Path) -> None:
    entries = entries_of_two_years(600, 3)
    store(place.client, place.settings.index_prefix, entries[300:])
    client = AuditClient(place.settings, client=place.client)
    with pytest.raises(Stopped):
        export(stopping(client, 290, Stopped()), None, tmp_path / "all.ndjson", expired=True)
    store(place.client, place.settings.index_prefix, entries[:300])
    manifest = export(client, None, tmp_path / "all.ndjson", expired=True)
    assert (manifest.count, manifest.matching_at_end) == (300, 600)


# Refused


def test_a_file_that_is_there_is_never_replaced(client: AuditClient, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(ExportError, match=r"a\.csv already exists"):
        export(client, None, tmp_path / "a.csv")
    (tmp_path / "b.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ExportError, match=r"b\.csv already exists"):
        export(client, None, tmp_path / "b.csv")
    (tmp_path / "c.csv.manifest.json").write_text("mine")
    with pytest.raises(ExportError, match=r"c\.csv\.manifest\.json already exists"):
        export(client, None, tmp_path / "c.csv")
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "c.csv.manifest.json").read_text() == "mine"


def test_a_file_that_comes_into_being_meanwhile_is_not_replaced(client: AuditClient, tmp_path: Path) -> None:
    def on_progress(_done: int, _total: int) -> None:
        (tmp_path / "a.csv").write_text("mine")

    with pytest.raises(ExportError, match="created by another process"):
        export(client, None, tmp_path / "a.csv", expired=True, on_progress=on_progress)
    assert (tmp_path / "a.csv").read_text() == "mine"
    (tmp_path / "a.csv").unlink()
    assert export(client, None, tmp_path / "a.csv", expired=True).count == COUNT


def test_a_link_in_the_place_of_the_part_is_not_followed(client: AuditClient, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "a.csv.part").symlink_to(tmp_path / "theirs")
    with pytest.raises(ExportError, match=os.strerror(errno.ELOOP)):
        export(client, None, tmp_path / "a.csv")
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_another_question_does_not_go_on_with_a_part(
    client: AuditClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "BLOCK", 20)
    with pytest.raises(Stopped):
        export(stopping(client, 50, Stopped()), "principal:7", tmp_path / "a.part", form="csv", expired=True)
    with pytest.raises(ExportError, match=r"started with a different query or format \(principal:7, csv\)"):
        export(client, "principal:8", tmp_path / "a.part", form="csv", expired=True)
    with pytest.raises(ExportError, match="different query or format"):
        export(client, "principal:7", tmp_path / "a.part", form="ndjson", expired=True)


def test_two_exports_don_t_write_one_file(client: AuditClient, tmp_path: Path) -> None:
    refused: list[str] = []

    def on_progress(_done: int, _total: int) -> None:
        if not refused:
            refused.append("")
            with pytest.raises(ExportError) as error:
                export(client, None, tmp_path / "a.csv", expired=True)
            refused[0] = str(error.value)

    export(client, None, tmp_path / "a.csv", expired=True, on_progress=on_progress)
    assert refused == [f"another export is writing {tmp_path / 'a.csv'}"]


def test_a_part_that_lost_bytes_is_not_gone_on_with(client: AuditClient, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        export(stopping(client, 600, Stopped()), None, tmp_path / "a.csv", expired=True)
    os.truncate(tmp_path / "a.csv.part", 10)
    with pytest.raises(ExportError, match="shorter than recorded"):
        export(client, None, tmp_path / "a.csv", expired=True)
    (tmp_path / "a.csv.part.json").write_text("{")
    assert export(client, None, tmp_path / "a.csv", expired=True).count == COUNT  # begun anew
    assert check(tmp_path / "a.csv")[1] == []


@pytest.mark.parametrize(
    ("name", "form", "message"),
    [
        ("a.txt", None, "selects no format"),
        ("principal:42", None, "selects no format"),
        ("a.csv", "cvs", r"unknown format 'cvs' \(did you mean 'ecs'\?\); formats are ndjson, csv, "),
        ("a.parquet.gz", None, "already compressed"),
        ("a.csv", "", "unknown format"),
    ],
)
def test_a_form_that_can_not_be_told(
    client: AuditClient, tmp_path: Path, name: str, form: str | None, message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        export(client, None, tmp_path / name, form=form)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(client: AuditClient, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="No such file or directory"):
        export(client, None, tmp_path / "nowhere" / "a.csv")


# Checked


def test_a_file_that_was_changed_is_found(client: AuditClient, tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    export(client, "principal:7", path, expired=True)
    assert check(path)[1] == []
    data = path.read_bytes()
    path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    assert [finding.partition(" ")[0] for finding in check(path)[1]] == ["its"]
    path.write_bytes(data[:-1])
    assert len(check(path)[1]) == 2
    manifest = path.with_name("a.ndjson.manifest.json")
    manifest.write_text("[]")
    with pytest.raises(ExportError, match="is not the manifest of an export"):
        check(path)
    manifest.unlink()
    with pytest.raises(ExportError, match="can't be read"):
        check(path)


# The command


def run(place: Corner, *command: str, code: int = 0) -> tuple[bytes, str]:
    done = whodid(*place.arguments(*command))
    assert done.returncode == code, done.stderr
    return done.stdout.encode(), done.stderr


def test_the_command_writes_says_checks_and_refuses(years: tuple[Corner, list[Entry]], tmp_path: Path) -> None:
    place, entries = years
    path = str(tmp_path / "some.ndjson.gz")
    expected = [one for one in entries if one["principal"] == "7"]
    out, err = run(place, "export", path, "principal:7", "--expired")
    assert out.decode().startswith(f"{len(expected):,} entries, ")
    assert (err, lines(Path(path))) == ("", expected)
    assert b"matches the export of" in run(place, "export", path, "--check")[0]
    assert "already exists" in run(place, "export", path, "principal:7", code=1)[1]
    report = orjson.loads(run(place, "export", path, "--check", "--json")[0])
    assert (report["findings"], report["manifest"]["count"]) == ([], len(expected))
    with Path(path).open("ab") as file:
        file.write(b"more")
    assert "differs from the export" in run(place, "export", path, "--check", code=1)[1]
    assert "a file and no query" in run(place, "export", path, "--check", "principal:7", code=2)[1]
    manifest = orjson.loads(run(place, "export", str(tmp_path / "b.csv"), "target:none", "--json")[0])
    assert (manifest["count"], manifest["file"]) == (0, "b.csv")


def test_the_command_streams_to_standard_output(years: tuple[Corner, list[Entry]], tmp_path: Path) -> None:
    place, entries = years
    out, err = run(place, "export", "-", "--format", "ndjson", "--expired", "principal:7")
    assert [json.loads(line) for line in out.splitlines()] == [one for one in entries if one["principal"] == "7"]
    assert err == ""
    assert "--format" in run(place, "export", "-", code=2)[1]
    assert "can't be streamed" in run(place, "export", "-", "--format", "parquet", code=2)[1]


def test_ctrl_c_says_how_to_go_on(years: tuple[Corner, list[Entry]], tmp_path: Path) -> None:
    place, _ = years
    program = (
        "import sys, signal, os; from whodid.export import file; from whodid.cli import run; file.BLOCK = 50\n"
        "before = file.Export._save\n"
        "def stop(*arguments): before(*arguments); os.kill(os.getpid(), signal.SIGINT)\n"
        "file.Export._save = stop; run(sys.argv[1:])"
    )
    command = [sys.executable, "-c", program, *place.arguments("export", "all.csv", "--expired")]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.decode().split("\n") == [
        "progress is saved in all.csv.part; run the same command to resume",
        "",  # the terminal shows ^C there
        "stopped",
        "",
    ]


def test_taking_entries_away_is_recorded(opensearch_url: str, tmp_path: Path) -> None:
    with corner(opensearch_url, tmp_path, audit_reads=True) as place:
        place.set_up()
        place.record(3)
        place.ship()
        export(AuditClient(place.settings, client=place.client), "target:1", tmp_path / "a.csv")
        taken = [one for one in place.journalled() if one["type"] == "audit_log_exported"]
    assert [one["details"] for one in taken] == [{"query": "target:1", "format": "csv"}]


def test_a_terminal_shows_a_bar(years: tuple[Corner, list[Entry]], tmp_path: Path) -> None:
    place, _ = years
    outside, inside = pty.openpty()
    command = [sys.executable, "-m", "whodid", *place.arguments("export", str(tmp_path / "a.ndjson"), "--expired")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=inside) as running:
        os.close(inside)
        shown = bytearray()
        with suppress(OSError):  # how the other end is closed
            while piece := os.read(outside, 65536):
                shown += piece
        assert running.communicate(timeout=60)[0].decode().startswith(f"{COUNT:,} entries")
    os.close(outside)
    assert b"exporting" in shown
    assert f"{COUNT}/{COUNT}".encode() in shown


def test_a_manifest_is_signed_where_there_is_a_key(client: AuditClient, entries: list[Entry], tmp_path: Path) -> None:
    key, another = new_key(tmp_path / "key.pem"), new_key(tmp_path / "another.pem")
    signing = AuditClient(replace(client.settings, signing_key_file=str(tmp_path / "key.pem")), client=client._client)
    path = tmp_path / "a.ndjson"
    manifest = export(signing, None, path, expired=True)
    assert check(path, [key]) == check(path, [another, key]) == (manifest, [])
    assert "not signed by the key given" in check(path, [another])[1][0]
    tree = Tree()
    for entry in entries:
        tree.add(entry["hash"].encode())
    assert manifest.root == tree.root().hex()
    written = path.with_name("a.ndjson.manifest.json")
    written.write_text(written.read_text().replace('"resumed": 0', '"resumed": 1'))
    assert check(path)[1] == []
    assert "differs from the signed one" in check(path, [key])[1][0]
    path.with_name("a.ndjson.manifest.dsse").unlink()
    assert check(path, [key])[1] == ["its manifest is not signed"]


def test_the_root_of_an_export_that_was_stopped_is_that_of_one_that_was_not(
    client: AuditClient, tmp_path: Path
) -> None:
    whole = export(client, None, tmp_path / "whole.ndjson", expired=True)
    with pytest.raises(Stopped):
        export(stopping(client, 1333, Stopped()), None, tmp_path / "broken.ndjson", expired=True)
    assert export(client, None, tmp_path / "broken.ndjson", expired=True).root == whole.root


def test_an_export_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    away = AuditClient(opensearch_hosts="http://127.0.0.1:1", journal_dir=str(tmp_path / "journal"))
    for name in ("a.csv", "a.parquet"):
        with away as client, pytest.raises(OpenSearchUnavailable):
            export(client, None, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_can_not_be_read_is_told_before_anything_is_written(client: AuditClient, tmp_path: Path) -> None:
    broken = AuditClient(replace(client.settings, signing_key_file=str(tmp_path / "nowhere")), client=client._client)
    with pytest.raises(SettingsError, match="can't be read"):
        export(broken, None, tmp_path / "a.csv")
    assert not list(tmp_path.iterdir())


def test_the_command_checks_who_signed(years: tuple[Corner, list[Entry]], tmp_path: Path) -> None:
    place, _ = years
    new_key(tmp_path / "key.pem")
    new_key(tmp_path / "another.pem")
    path = str(tmp_path / "a.csv")
    run(place, "export", path, "principal:7", "--expired", f"--signing-key-file={tmp_path / 'key.pem'}")
    run(place, "export", path, "--check", f"--public-key={tmp_path / 'key.pem.pub'}")
    said = run(place, "export", path, "--check", f"--public-key={tmp_path / 'another.pem.pub'}", code=1)[1]
    assert "not signed by the key given" in said
    assert (
        "--public-key needs --check"
        in run(place, "export", path, f"--public-key={tmp_path / 'key.pem.pub'}", code=2)[1]
    )
