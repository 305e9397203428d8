"""`whodid import`: the rows of an older log become entries, each of them once, whatever the file holds."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import whodid as package
from tests.commands import whodid
from tests.recording import recorded
from whodid.administration import older_log
from whodid.administration.older_log import OlderLog
from whodid.cli.output import print_entries
from whodid.entry import PLATFORM_FIELDS
from whodid.errors import NotRecorded, WhodidError
from whodid.export.forms import HEAD, lines
from whodid.journal import Acknowledged, Journal, JournalDirectory, prune, read_entries
from whodid.journal.directory import segments
from whodid.journal.lock import ProcessLock
from whodid.recording.recorder import Recorder
from whodid.settings import Settings
from whodid.shipping.status import directory_status

ROOT = Path(__file__).parents[2]
HEADER = (
    "Type,Target,Principal,Status,Organization ID,Organization name,Workspace ID,Workspace name,Client IP,Creation date"
)
ROW = "credentials_created,6Yk2,42,aws,7,Acme,N/A,N/A,203.0.113.9,2024-05-01T12:00:00+02:00"
NOTHING_LISTENS = "--opensearch-hosts=http://127.0.0.1:1"


def call(tmp_path: Path, *words: object, given: str = "") -> subprocess.CompletedProcess[str]:
    options = [f"--journal-dir={tmp_path / 'journal'}", NOTHING_LISTENS]
    return whodid("import", *map(str, words), *options, given=given)


def entries(tmp_path: Path) -> list[dict[str, Any]]:
    return [one for one in recorded(tmp_path / "journal") if not one["type"].startswith("audit_log_")]


def own(tmp_path: Path) -> list[dict[str, Any]]:
    return [one for one in recorded(tmp_path / "journal") if one["type"] == "audit_log_imported"]


def csv_file(tmp_path: Path, *rows: str, head: str = HEADER, name: str = "old.csv") -> Path:
    path = tmp_path / name
    path.write_text("\n".join([head, *rows, ""]), newline="")
    return path


def ndjson_file(tmp_path: Path, *rows: Mapping[str, Any], name: str = "old.ndjson") -> Path:
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(number: int = 0, **fields: Any) -> dict[str, Any]:
    date = f"2024-05-01T10:{number // 60 % 60:02d}:{number % 60:02d}Z"
    return {"type": "credentials_created", "target": f"{number}", "principal": "42", "client_ip": "203.0.113.9"} | {
        "creation_date": date,
        **fields,
    }


def test_the_platform_s_ten_columns_become_entries_that_say_so(tmp_path: Path) -> None:
    quoted = 'workflow_completed,2uJ4,system,SUCCEEDED,7,"Acme\nand ""sons""",3,W,,2024-05-01T10:00:00Z'
    done = call(tmp_path, csv_file(tmp_path, ROW, quoted), "--from", "platform 2024")
    assert (done.returncode, done.stdout) == (0, "2 rows: 0 refused, 2 recorded, 0 before\n")
    first, second = entries(tmp_path)
    assert {name: first.get(name) for name in PLATFORM_FIELDS[:-1]} == {
        "type": "credentials_created",
        "target": "6Yk2",
        "principal": "42",
        "status": "aws",
        "organization_id": "7",
        "organization_name": "Acme",
        "workspace_id": None,
        "workspace_name": None,
        "client_ip": "203.0.113.9",
    }
    assert (first["occurred_at"], first["imported_from"]) == ("2024-05-01T10:00:00Z", "platform 2024")
    assert first["creation_date"] > "2026"  # retention counts from the import
    assert first["committed"] == ["client_ip"]
    assert second["organization_name"] == 'Acme\nand "sons"'
    assert "client_ip" not in second


def test_the_import_is_recorded_before_and_after(tmp_path: Path) -> None:
    path = csv_file(tmp_path, ROW)
    call(tmp_path, path, "--from", "platform")
    started, done = own(tmp_path)
    assert [one["seq"] for one in (started, done)] == [1, 3]
    assert {one["target"] for one in (started, done)} == {"platform"}
    assert started["details"] == {
        "step": "started",
        "file": "old.csv",
        "sha256": sha256(path.read_bytes()).hexdigest(),
        "rows": 1,
        "refused": 0,
    }
    assert done["details"] == {**started["details"], "step": "done", "recorded": 1}


def test_a_file_is_imported_once(tmp_path: Path) -> None:
    path = ndjson_file(tmp_path, row(1), row(1), row(2))
    assert call(tmp_path, path).stdout == "3 rows: 0 refused, 3 recorded, 0 before\n"
    again = call(tmp_path, path, "--json", "--from", "another name")
    assert json.loads(again.stdout) == {"rows": 3, "refused": 0, "recorded": 0, "recorded_before": 3}
    assert [one["target"] for one in entries(tmp_path)] == ["1", "1", "2"]
    assert len(own(tmp_path)) == 2


def test_our_own_export_can_be_imported(tmp_path: Path) -> None:
    before = {
        "status": "=cmd|' /C calc'!A0; =1+1",
        "organization_name": "'quoted",
        "workspace_name": "a\n=b",
        "details": {"region": "eu", "n": [1, {"x": None}]},
        "on_behalf_of": ["7", "8"],
        "targets": [{"id": "9", "name": "[nine]"}],
        "target_name": "[not JSON",
    }
    call(tmp_path, ndjson_file(tmp_path, row(1, **before), row(2)))
    first = entries(tmp_path)
    assert {name: first[0][name] for name in before} == before
    for name, content in (
        ("export.csv", HEAD + lines(first)),
        ("export.ndjson", b"".join(json.dumps(one).encode() + b"\n" for one in first)),
    ):
        (tmp_path / name).write_bytes(content)
        done = call(tmp_path, tmp_path / name)
        assert done.returncode == 0, done
        again = entries(tmp_path)[-2:]
        filled = {"seq", "prev", "hash", "salt", "creation_date", "@timestamp", "imported_from"}
        for old, new in zip(first, again, strict=True):
            assert {key: old[key] for key in old.keys() - filled} == {key: new[key] for key in new.keys() - filled}
            assert new["imported_from"] == name


@pytest.mark.parametrize(
    ("time", "meant"),
    [
        ("2024-05-01 10:00:00", "2024-05-01T10:00:00Z"),
        ("2024-05-01T23:30:00.5-02:00", "2024-05-02T01:30:00.500000Z"),
        ("20240501T100000Z", "2024-05-01T10:00:00Z"),
    ],
)
def test_times_are_in_utc(tmp_path: Path, time: str, meant: str) -> None:
    call(tmp_path, ndjson_file(tmp_path, row(creation_date=time)))
    assert [one["occurred_at"] for one in entries(tmp_path)] == [meant]


def test_names_of_columns_and_types_can_be_those_of_the_older_log(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path, "login;4;4;2024-05-01T10:00:00Z;203.0.113.9;oidc;x", head="event;user;id;at;IP;status;junk"
    )
    words = ["--rename", "event=type", "--rename", "user=principal", "--rename", "id=target", "--rename", "junk="]
    done = call(
        tmp_path, path, *words, "--rename=at=creation_date", "--rename=IP=client_ip", "--type=login=user_sign_in"
    )
    assert done.returncode == 0, done
    [one] = entries(tmp_path)
    assert (one["type"], one["principal"], one["client_ip"]) == ("user_sign_in", "4", "203.0.113.9")
    assert "details" not in one


def test_a_type_that_was_replaced_is_recorded_as_its_successor(tmp_path: Path) -> None:
    catalog = tmp_path / "events.toml"
    catalog.write_text(
        '[resources.a]\nlabel = "A"\ntarget = "t"\n[types.a_new]\nresource = "a"\nevent = "new"\nabout = "x"\n'
        '[types.a_old]\nresource = "a"\nevent = "old"\nabout = "x"\nreplaced_by = "a_new"\n'
    )
    call(tmp_path, ndjson_file(tmp_path, row(type="a_old")), "--catalog", catalog)
    assert [one["type"] for one in entries(tmp_path)] == ["a_new"]


def test_other_columns_are_kept_only_if_asked(tmp_path: Path) -> None:
    path = csv_file(tmp_path, ROW + ",blue,s3cret", head=HEADER + ",Colour,password")
    refused = call(tmp_path, path)
    assert refused.returncode == 1
    assert "'Colour' is not a field; use --rename, or --details-from-unknown" in refused.stderr
    assert entries(tmp_path) == []
    assert call(tmp_path, path, "--details-from-unknown").returncode == 0
    [one] = entries(tmp_path)
    assert one["details"]["Colour"] == "blue"
    assert "s3cret" not in json.dumps(one)  # masked as any secret is


BAD: dict[str, tuple[Mapping[str, Any], str]] = {
    "no type": ({"type": None}, "type: the catalog has no ''"),
    "an unknown type": ({"type": "x"}, "type: the catalog has no 'x'; add it, or use --type OLD=NEW"),
    "a type of whodid": ({"type": "audit_log_searched"}, "type: the catalog has no 'audit_log_searched'"),
    "no principal": ({"principal": ""}, "credentials_created: principal is missing"),
    "no time": ({"creation_date": None}, "creation_date is missing"),
    "a date": ({"creation_date": "2024-05-01"}, "is not a time such as 2026-11-23T08:00:00Z"),
    "a number as time": ({"creation_date": 1714557600}, "is not a time such as"),
    "a time beyond the calendar": ({"creation_date": "9999-12-31T23:59:59-09:00"}, "is not a time such as"),
    "a time before 1970": (
        {"creation_date": "1960-05-01T10:00:00Z"},
        "occurred_at must be a datetime with a time zone",
    ),
    "an address": ({"client_ip": "localhost"}, "client_ip is not an IPv4 or IPv6 address"),
    "a system with an address": ({"principal": "system"}, "client_ip must be absent when principal is 'system'"),
    "NUL": ({"status": "a\0b"}, "status contains a NUL character; remove it"),
    "a lone surrogate": ({"status": "\ud800"}, "status contains a lone surrogate"),
    "an object as text": ({"status": {"a": 1}}, "status must be a string, not dict"),
    "details that are text": ({"details": "[x"}, "details must be a dict, not str"),
    "a huge value": ({"target": "x" * 70_000}, "the limit is 65536; the largest field is target"),
    "an unknown key": ({"\ud800 x": 1}, "is not a field; use --rename"),
    "two values": ({"Target": "7"}, "two values are for target; leave one out with --rename OLD="),
    "deep": ({"details": json.loads('{"a":' * 40 + "1" + "}" * 40)}, "nested more than 12 levels deep"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_row_that_can_not_be_recorded_is_named_with_what_to_change(tmp_path: Path, what: str) -> None:
    fields, problem = BAD[what]
    path = ndjson_file(tmp_path, row(1), row(2, **fields))
    for words, place in ((["--dry-run"], "stdout"), ([], "stderr"), (["--dry-run", "--json"], "stdout")):
        done = call(tmp_path, path, *words)
        [line] = [line for line in getattr(done, place).splitlines() if "line 2: " in line or '"line": 2' in line]
        assert problem in line.replace('\\"', '"')
        assert done.returncode == 1
        assert "whodid.context" not in line
    assert not (tmp_path / "journal").exists()  # the valid row neither


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "0 rows"),
        (HEADER.encode(), "0 rows"),
        (f"{HEADER}\n{ROW},x\n".encode(), "line 2: it has 11 columns, the header has 10"),
        (f"{HEADER}\na,b\n{ROW}\n".encode(), "line 2: it has 2 columns, the header has 10"),
        (f"{HEADER}\n{ROW}\n".encode("utf-16"), "the header: it is not UTF-8; convert the file, for example by `iconv"),
        (f"{HEADER}\n{ROW}\n".replace("Acme", "Käse").encode("latin-1"), "line 2: it is not UTF-8; convert the file"),
        (
            f"{HEADER}\n{ROW}\n".replace("Acme", "a\0b").encode(),
            "line 2: organization_name contains a NUL character; remove it",
        ),
        (f'{HEADER}\n{ROW}\n"never closed\n'.encode(), "line 3: it is not CSV: unexpected end of data"),
        (f'{HEADER}\n"a"b,\n'.encode(), "line 2: it is not CSV: ',' expected after"),
        (f"{HEADER}\n{ROW}\r{ROW}\n".encode(), "line 2: it is not CSV: "),
        (f"{HEADER},Type\n{ROW},x\n".encode(), "the header: two columns are for 'type'; leave one out with --rename"),
        (
            b"Type,Target\na,b\n",
            "there is no column principal; use --rename OLD=principal; there is no column creation",
        ),
        (b",".join([b"x"] * 2000) + b"\n", "the header: there is no column type"),
        (HEADER.encode() + b"," * 2000, "the header: more than 1,000 columns"),
        (b"\xff\xfe\0\0" * 9, "the header: it is not UTF-8"),
    ],
)
def test_a_file_that_is_no_such_csv_says_where(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "old.csv"
    path.write_bytes(content)
    done = call(tmp_path, path, "--dry-run")
    assert done.returncode == 1
    assert problem in done.stdout + done.stderr
    assert not (tmp_path / "journal").exists()


@pytest.mark.parametrize("content", [b"[1]", b"{", b"\xff", b'{"a": NaN}', b'{"a": 1e999}', b"[" * 100_000, b"7"])
def test_a_line_that_is_no_json_object_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "old.ndjson"
    path.write_bytes(json.dumps(row(1)).encode() + b"\r\n\n" + content + b"\n")
    done = call(tmp_path, path, "--dry-run")
    assert done.stdout.startswith("line 3: it is not ")
    assert done.stdout.endswith("\n2 rows: 1 refused, 0 recorded, 0 before\n")


@pytest.mark.parametrize("name", ["old.csv", "old.ndjson"])
def test_a_line_without_end_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(older_log, "_LONGEST", 1000)
    path = tmp_path / name
    path.write_text((HEADER if name == "old.csv" else json.dumps(row())) + "\n" + "x" * 10_000_000)
    with path.open("rb") as file:
        log = OlderLog(Settings(journal_dir=str(tmp_path)), file, "old", path.suffix[1:])
        with pytest.raises(WhodidError, match="line 2: the row has more than 1,000 bytes; a line break"):
            log.check()
        assert file.tell() < 2000


def test_a_row_of_endless_lines_within_quotes_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(older_log, "_LONGEST", 1000)
    done = call(tmp_path, csv_file(tmp_path, ROW, '"' + "x\n" * 2000))
    assert done.stderr == (
        "whodid: line 3: the row has more than 1,000 bytes; a line break or a closing quote may be missing\n"
    )


def test_valid_rows_are_recorded_beside_refused_ones_if_asked(tmp_path: Path) -> None:
    refused = tmp_path / "refused.csv"
    path = csv_file(tmp_path, ROW, ROW.replace("aws", "é").replace("42", ""), ROW)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace("é".encode(), b"\xe9"))
    done = call(tmp_path, path, "--skip-invalid", refused)
    assert (done.returncode, done.stdout) == (1, "3 rows: 1 refused, 2 recorded, 0 before\n")
    assert "line 3: it is not UTF-8" in done.stderr
    assert refused.read_bytes().splitlines()[0].decode() == HEADER
    assert refused.read_bytes().splitlines()[1] == path.read_bytes().splitlines()[2]
    assert refused.stat().st_mode & 0o777 == 0o600
    assert "already exists" in call(tmp_path, path, "--skip-invalid", refused).stderr
    assert len(entries(tmp_path)) == 2
    assert {one["details"]["refused"] for one in own(tmp_path)} == {1}
    refused.unlink()
    again = call(tmp_path, path, "--skip-invalid", refused)
    assert again.stdout == "3 rows: 1 refused, 0 recorded, 2 before\n"


def test_standard_input_and_pipes_can_be_read(tmp_path: Path) -> None:
    text = "".join(json.dumps(row(number)) + "\n" for number in range(3))
    assert call(tmp_path, "-", "--format=ndjson", given=text).returncode == 2
    assert call(tmp_path, "-", "--format=ndjson", "--from=pipe", given=text).returncode == 0
    assert [one["imported_from"] for one in entries(tmp_path)] == ["pipe"] * 3
    (tmp_path / "same.ndjson").write_text(text)
    assert "0 recorded, 3 before" in call(tmp_path, tmp_path / "same.ndjson").stdout


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["old.txt"], "selects no format"),
        (["old.ecs.ndjson"], "only CSV and NDJSON can be imported"),
        (["old.csv.gz"], "only CSV and NDJSON can be imported"),
        (["old.csv", "--rename", "type"], "--rename takes OLD=NEW, not 'type'"),
        (["old.csv", "--rename", "a=prinipal"], "'prinipal' is not a field that can be imported (did you mean"),
        (["old.csv", "--rename", "a=imported_from"], "'imported_from' is not a field that can be imported"),
        (["old.csv", "--dry-run", "--skip-invalid", "x"], "--dry-run can't be combined with --skip-invalid"),
    ],
)
def test_wrong_use_is_refused(tmp_path: Path, words: list[str], problem: str) -> None:
    path = csv_file(tmp_path, ROW, name=words[0])
    done = call(tmp_path, path, *words[1:])
    assert done.returncode == 2
    assert problem in done.stderr


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name in ("gone.csv", "folder.csv"):
        done = call(tmp_path, tmp_path / name)
        assert done.returncode == 1
        assert name in done.stderr


def imported(tmp_path: Path, path: Path, name: str = "old") -> int:
    settings = Settings(journal_dir=str(tmp_path / "journal"), opensearch_hosts=("http://127.0.0.1:1",))
    with path.open("rb") as file:
        log = OlderLog(settings, file, name, path.suffix[1:])
        return log.record(log.check())


class Cut(BaseException):
    """Ends the import as a kill does, at a point that a test chooses."""


def _cut_after(owner: Any, name: str, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    function, left = getattr(owner, name), [times]

    def cut(*arguments: Any, **keywords: Any) -> Any:
        if left[0] == 0:
            raise Cut
        left[0] -= 1
        return function(*arguments, **keywords)

    monkeypatch.setattr(owner, name, cut)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(older_log, "_BLOCK", 4)


TWELVE = [row(number // 2) for number in range(12)]
"""Each twice: rows that are alike are different rows."""


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("times", range(20))
@pytest.mark.parametrize("where", ["append_line", "record_operation", "record"])
def test_an_import_that_was_cut_off_anywhere_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, times: int
) -> None:
    path = ndjson_file(tmp_path, *TWELVE)
    with monkeypatch.context() as patched:
        owner = Recorder if where == "record" else older_log
        _cut_after(owner, where, times, patched)
        try:
            imported(tmp_path, path)
        except Cut:
            patched.undo()
            imported(tmp_path, path)
    assert [one["target"] for one in entries(tmp_path)] == [one["target"] for one in TWELVE]
    assert imported(tmp_path, path) == 0


_KILLED = """
import os, signal, sys
from whodid.administration import older_log
older_log._BLOCK = 4
where, left = sys.argv.pop(1), int(sys.argv.pop(1))
owner = older_log.Recorder if where == "record" else older_log
function = getattr(owner, where)
def killed(*arguments, **keywords):
    global left
    done = function(*arguments, **keywords)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
setattr(owner, where, killed)
from whodid.cli import run
run(sys.argv[1:])
"""


@pytest.mark.parametrize(("where", "times"), [("record", 3), ("record", 8), ("append_line", 2), ("append_line", 3)])
def test_an_import_that_was_killed_is_resumed_by_the_same_command(tmp_path: Path, where: str, times: int) -> None:
    path = ndjson_file(tmp_path, *TWELVE)
    command = ["import", str(path), f"--journal-dir={tmp_path / 'journal'}", "--durability=process"]
    killed = subprocess.run([sys.executable, "-c", _KILLED, where, str(times), *command], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert 0 < len(entries(tmp_path)) < 12
    assert whodid(*command).returncode == 0
    assert [one["target"] for one in entries(tmp_path)] == [one["target"] for one in TWELVE]
    assert [one["details"]["step"] for one in own(tmp_path)] == ["started", "started", "done"]


def test_ctrl_c_says_how_to_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    path = ndjson_file(tmp_path, *TWELVE)
    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "record", interrupted)
        done = call(tmp_path, path)
    assert done.returncode == 1
    assert "progress is saved; run the same command to resume" in done.stderr
    assert "12 recorded" in call(tmp_path, path).stdout


@pytest.mark.usefixtures("small_blocks")
def test_rows_in_a_journal_that_ended_meanwhile_are_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ndjson_file(tmp_path, *[row(0)] * 12)
    for cut, ends in ((1 + 2, True), (1 + 3, False)):  # one is the import itself
        with monkeypatch.context() as patched:
            _cut_after(Recorder, "record", cut, patched)
            with pytest.raises(Cut):
                imported(tmp_path, path)
        if ends:
            [segment] = (tmp_path / "journal").glob("*/0*.ndjson")
            with segment.open("ab") as file:
                file.write(b'{"edited": "by hand"}\n')
    imported(tmp_path, path)
    assert len([one for one in read(tmp_path) if one.get("imported_from") == "old"]) == 12


@pytest.mark.usefixtures("small_blocks")
def test_an_entry_of_the_application_is_not_taken_for_a_later_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ndjson_file(tmp_path, *(row(number) for number in range(12)))
    with monkeypatch.context() as patched:
        _cut_after(Recorder, "record", 1 + 2, patched)
        with pytest.raises(Cut):
            imported(tmp_path, path)
    fields = row(3)
    time, kind = fields.pop("creation_date"), fields.pop("type")
    with closing(Journal(tmp_path / "journal")) as journal:
        recorder = Recorder(Settings(journal_dir=str(tmp_path / "journal")), journal=journal)
        recorder.record(kind, {**fields, "occurred_at": time, "imported_from": "old"})
    imported(tmp_path, path)
    assert Counter(one["target"] for one in entries(tmp_path))["3"] == 2


def test_nothing_around_the_import_gets_into_its_entries(tmp_path: Path) -> None:
    with package.context(organization_id="7", user_agent="curl"):
        imported(tmp_path, ndjson_file(tmp_path, row()))
    [one] = entries(tmp_path)
    assert not {"organization_id", "user_agent"} & one.keys()


class Stored:
    """A cluster that has the entries that were in a journal."""

    found: tuple[dict[str, Any], ...] = ()

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> Stored:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def search(self, **_: object) -> Iterator[dict[str, Any]]:
        foreign: dict[str, Any] = {"imported_from": "old", "seq": "x", "journal": {}}
        return iter((*self.found, foreign, {"target": ["x"]}))


@pytest.mark.usefixtures("small_blocks")
def test_rows_that_were_shipped_and_deleted_meanwhile_are_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ndjson_file(tmp_path, *TWELVE)
    with monkeypatch.context() as patched:
        _cut_after(Recorder, "record", 1 + 7, patched)  # of which one is the import itself
        with pytest.raises(Cut):
            imported(tmp_path, path)
    monkeypatch.setattr(Stored, "found", tuple(recorded(tmp_path / "journal")))
    directory = JournalDirectory(tmp_path / "journal")
    [segment] = segments(directory.journal(str(directory.current())))
    _ship_and_delete(directory, segment)
    with pytest.raises(WhodidError, match="rows that were shipped and deleted here must be looked up: "):
        imported(tmp_path, path)
    monkeypatch.setattr(older_log, "AuditClient", Stored)
    assert imported(tmp_path, path) == 12 - 4
    found = [one for one in (*Stored.found, *read(tmp_path)) if one.get("imported_from") == "old"]
    assert Counter(one["target"] for one in found) == Counter(one["target"] for one in TWELVE)


def read(tmp_path: Path) -> list[dict[str, Any]]:
    return list(read_entries(tmp_path / "journal"))


def _ship_and_delete(directory: JournalDirectory, segment: Path) -> None:
    """As the shipper does: all entries are acknowledged, and there is a later segment."""
    last = directory_status(str(directory.path)).journals[0].last_seq
    with closing(Journal(directory.path)) as journal:
        journal.close_segment()
    whodid(
        "import", str(ndjson_file(directory.path.parent, row(99), name="x.ndjson")), f"--journal-dir={directory.path}"
    )
    Acknowledged(last, "0" * 64).write(directory.journal(str(directory.current())))
    assert prune(directory.journal(str(directory.current()))) == [segment]


@pytest.mark.usefixtures("small_blocks")
def test_a_name_belongs_to_one_unfinished_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, other = ndjson_file(tmp_path, *TWELVE), ndjson_file(tmp_path, *TWELVE, row(7), name="other.ndjson")
    with monkeypatch.context() as patched:
        _cut_after(Recorder, "record", 6, patched)
        with pytest.raises(Cut):
            imported(tmp_path, path)
    with pytest.raises(WhodidError, match="of another file from old is not complete; resume it, or use --from"):
        imported(tmp_path, other)
    with pytest.raises(WhodidError, match="this import was started with "):
        imported(tmp_path, path, "new")
    assert imported(tmp_path, other, "new") == 13
    assert imported(tmp_path, path) == 8
    assert imported(tmp_path, other) == 0


def test_one_import_at_a_time(tmp_path: Path) -> None:
    directory = JournalDirectory(tmp_path / "journal", create=True)
    lock = ProcessLock(directory.path / "import.lock")
    assert lock.try_acquire()
    done = call(tmp_path, ndjson_file(tmp_path, row()))
    lock.close()
    assert "another import into" in done.stderr
    assert done.returncode == 1


@pytest.mark.usefixtures("small_blocks")
def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    path = ndjson_file(tmp_path, *TWELVE)
    with path.open("rb") as file:
        log = OlderLog(Settings(journal_dir=str(tmp_path / "journal")), file, "old", "ndjson")
        checked = log.check()
        with path.open("a") as more:
            more.write(json.dumps(row(13)) + "\n")
        with pytest.raises(WhodidError, match="old was changed while it was imported; import a copy"):
            log.record(checked)
    assert entries(tmp_path) == []


@pytest.mark.usefixtures("small_blocks")
def test_an_import_leaves_room_for_the_application(tmp_path: Path) -> None:
    path = ndjson_file(tmp_path, *(row(number) for number in range(60)))
    done = call(tmp_path, path, "--max-bytes=40000")
    assert "the journal holds half of max_bytes" in done.stderr
    assert done.returncode == 1
    assert 20 < len(entries(tmp_path)) < 40
    assert call(tmp_path, path).returncode == 0
    assert [one["target"] for one in entries(tmp_path)] == [f"{number}" for number in range(60)]


def test_an_entry_that_may_be_lost_stops_the_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a type whose calls go on without an entry."""
    catalog = tmp_path / "events.toml"
    catalog.write_text(
        '[resources.a]\nlabel = "A"\ntarget = "t"\n'
        '[types.a_b]\nresource = "a"\nevent = "b"\nabout = "x"\non_failure = "warn"\n'
    )
    path = ndjson_file(tmp_path, row(type="a_b"))

    def full(*_: object) -> None:
        raise NotRecorded("no space")

    with monkeypatch.context() as patched:
        patched.setattr("whodid.journal.Journal.append", _but_own(full))
        with pytest.warns(UserWarning, match="was not recorded"):
            done = call(tmp_path, path, "--catalog", catalog)
    assert "whodid: no space" in done.stderr
    assert call(tmp_path, path, "--catalog", catalog).returncode == 0
    assert len(entries(tmp_path)) == 1


def _but_own(full: Callable[..., None]) -> Callable[..., Any]:
    append = Journal.append

    def appended(journal: Journal, draft: Any, *more: Any) -> Any:
        return append(journal, draft, *more) if b"audit_log_" in b"".join(draft._parts) else full()

    return appended


@pytest.mark.parametrize("odd", [b"[]", b"{", b'{"sha256": 1}', b"\xff\xfe", b'{"sha256":{},"name":1}', b"[" * 9999])
def test_a_foreign_file_of_progress_is_no_obstacle(tmp_path: Path, odd: bytes) -> None:
    path = ndjson_file(tmp_path, row())
    JournalDirectory(tmp_path / "journal", create=True)
    progress = tmp_path / "journal" / "imports.ndjson"
    progress.write_bytes(odd + b"\n")
    progress.chmod(0o600)
    assert call(tmp_path, path).returncode == 0
    assert "1 before" in call(tmp_path, path).stdout


def test_a_search_shows_when_it_happened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(tmp_path, ndjson_file(tmp_path, row()))
    print_entries(entries(tmp_path))
    head, line = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["when", "occurred", "type"]
    assert line.split()[1] == "2024-05-01T10:00:00Z"


def test_the_table_of_django_auditlog_can_be_imported(tmp_path: Path) -> None:
    database = tmp_path / "db.sqlite3"
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(
            """
            CREATE TABLE django_content_type (id integer PRIMARY KEY, app_label text, model text);
            CREATE TABLE auditlog_logentry (id integer PRIMARY KEY, content_type_id integer, object_pk text,
              object_id bigint, object_repr text, serialized_data text, action smallint, changes text, actor_id integer,
              actor_email text, cid text, remote_addr char(39), remote_port integer, timestamp datetime,
              additional_data text);
            INSERT INTO django_content_type VALUES (9, 'shop', 'credentials');
            INSERT INTO auditlog_logentry VALUES
              (1, 9, '6Yk2', NULL, 'AWS key', NULL, 0, '{"name": ["None", "AWS"]}', 42, NULL, 'c1', '203.0.113.9', 1,
               '2024-05-01 10:00:00.123456', '{"via": "admin"}'),
              (2, 9, '6Yk2', NULL, 'AWS key', NULL, 1,
               '{"name": ["AWS", "GCP"], "tags": {"type": "m2m", "operation": "add", "objects": ["a"]}}', NULL, NULL,
               NULL, NULL, NULL, '2024-05-02 10:00:00', NULL);
            """
        )
        many = ((3 + number, 9, str(number), 2, 42, "203.0.113.9", "2024-05-03 10:00:00") for number in range(1500))
        connection.executemany(
            "INSERT INTO auditlog_logentry (id, content_type_id, object_pk, action, actor_id, remote_addr, timestamp) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            many,
        )
        connection.commit()
    script = ROOT / "examples" / "import_django_auditlog.py"
    written = subprocess.run([sys.executable, str(script), str(database)], check=True, capture_output=True)
    (tmp_path / "old.ndjson").write_bytes(written.stdout)
    done = call(tmp_path, tmp_path / "old.ndjson", "--from=django-auditlog", "--durability=process")
    assert (done.returncode, done.stderr) == (0, "")
    first, second, *rest = entries(tmp_path)
    assert first["type"] == "credentials_created"
    assert (first["principal"], first["client_ip"], first["correlation_id"]) == ("42", "203.0.113.9", "c1")
    assert (first["occurred_at"], first["target_name"]) == ("2024-05-01T10:00:00.123456Z", "AWS key")
    assert (first["before"], first["after"], first["details"]) == ({"name": "None"}, {"name": "AWS"}, {"via": "admin"})
    assert (second["type"], second["principal"]) == ("credentials_updated", "system")
    assert second["details"] == {"changes": {"tags": {"type": "m2m", "operation": "add", "objects": ["a"]}}}
    assert [one["target"] for one in rest] == [str(number) for number in range(1500)]
