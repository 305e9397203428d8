"""Whatever a file or an answer holds that others wrote, a command ends with a message and not with a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import whodid as package
from tests.commands import whodid
from tests.live.corner import Corner, corner
from tests.recording import WHO, configured
from tests.web.stored import Stored, stored
from whodid.export.manifest import EXPORT, Manifest
from whodid.proof.checkpoint import CHECKPOINT, Checkpoint
from whodid.proof.keys import envelope_of, new_key, signer_of
from whodid.report.pack import REPORT
from whodid.report.statement import statement
from whodid.settings import Settings
from whodid.verify import ResumeState

ODD = {
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "970 lists": b"[" * 970 + b"]" * 970,
    "300 objects": b'{"a":' * 300 + b"1" + b"}" * 300,
    "list": b'[1, "a", null]',
    "objects": b'[{"a": 1}]',
    "object": b"{}",
    "text": b'"x"',
    "null": b"null",
    "boolean": b"true",
    "infinite": b"1e400",
    "negative": b"-1",
    "5,000 digits": b"9" * 5000,
    "400 digits": b"9" * 400,
    "surrogate": rb'"\ud800"',
    "NUL": rb'"\u0000"',
    "bare NUL": b"\0",
    "escape": rb'"\u001b[2J"',
    "empty": b"",
    "line break": b"\n",
    "not UTF-8": b"\xff\xfe\x00",
    "byte order mark": b"\xef\xbb\xbf{}",
}
"""What is odd → the bytes."""

MANIFEST = Manifest("x.csv", "csv", False, 1, 1, "*", "*", False, "p", "a", "b", 0, None, None, 1, "0", "0", "1")
CHECKPOINT_1 = {
    "format": 1,
    **asdict(
        Checkpoint(
            *("j" * 16, 1, 1, 1, "0" * 64, 1, "0" * 64, {"p": 1}, ((1, 1),), 0, ((1, "0"),), "0" * 64),
            *("2026-01-01T00:00:00Z", "time", 3600, "h", "s", "whodid-audit", "1", ("0" * 64, "1" * 64)),
        )
    ),
}


def variants(whole: Mapping[str, Any], odd: bytes) -> Iterator[bytes]:
    """The odd bytes, and the document with each of its values replaced by them, on each level."""
    yield odd
    for text in _places(json.loads(json.dumps(whole))):
        yield text.replace(b'"@"', odd)


def _places(value: Any) -> Iterator[bytes]:
    """The JSON of a value with the mark `"@"` in place of each value inside."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        kept, value[key] = value[key], "@"
        yield json.dumps(value).encode()
        value[key] = kept
        if isinstance(kept, dict | list):
            for text in _places(kept):
                value[key] = "@inner"
                yield json.dumps(value).encode().replace(b'"@inner"', text)
                value[key] = kept


def ends(*command: str, given: str = "") -> str:
    """What a command writes; it may not steer a terminal."""
    done = whodid(*command, given=given)
    assert done.returncode in (0, 1, 2)
    written = done.stdout + done.stderr
    assert all(character.isprintable() or character in "\n\t" for character in written), written[:300]
    assert len(written) < 400_000
    return written


@pytest.fixture
def signing(tmp_path: Path) -> Path:
    new_key(tmp_path / "signing.pem")
    return tmp_path / "signing.pem"


def envelope(payload: bytes, kind: str, key: Path) -> dict[str, Any]:
    signer = signer_of(Settings(signing_key_file=str(key)))
    assert signer
    return envelope_of(payload, kind, signer)


@pytest.mark.parametrize("what", ODD)
def test_a_proof(tmp_path: Path, signing: Path, what: str) -> None:
    file = tmp_path / "proof.json"
    checkpoint = envelope(json.dumps(CHECKPOINT_1).encode(), CHECKPOINT, signing)
    proof = {"format": 1, "entry": {"hash": "x", "seq": 1}, "index": 0, "size": 1, "path": ["00"]}
    for data in variants({**proof, "checkpoint": checkpoint}, ODD[what]):
        file.write_bytes(data)
        ends("prove", "--check", str(file))
        ends("prove", "--check", str(file), "--json", f"--public-key={signing}.pub")
    for payload in variants(CHECKPOINT_1, ODD[what]):
        signed = envelope(payload, CHECKPOINT, signing)
        file.write_text(json.dumps({**proof, "checkpoint": signed}))
        ends("prove", "--check", str(file), f"--public-key={signing}.pub")


@pytest.mark.parametrize("what", ODD)
def test_an_export_and_its_signature(tmp_path: Path, signing: Path, what: str) -> None:
    (tmp_path / "x.csv").write_bytes(b"x")
    manifest, signature = tmp_path / "x.csv.manifest.json", tmp_path / "x.csv.manifest.dsse"
    for data in variants(asdict(MANIFEST), ODD[what]):
        manifest.write_bytes(data)
        ends("export", "--check", str(tmp_path / "x.csv"))
        ends("export", "--check", str(tmp_path / "x.csv"), "--json")
    manifest.write_text(MANIFEST.to_json())
    for data in variants(envelope(MANIFEST.to_json().encode(), EXPORT, signing), ODD[what]):
        signature.write_bytes(data)
        ends("export", "--check", str(tmp_path / "x.csv"), f"--public-key={signing}.pub")


@pytest.mark.parametrize("what", ODD)
def test_the_state_of_an_export_to_resume(tmp_path: Path, what: str) -> None:
    file, state = tmp_path / "x.csv", tmp_path / "x.csv.part.json"
    key = {"version": 1, "form": "csv", "compressed": False, "query": "*", "expired": False}
    whole: dict[str, Any] = {
        "key": {**key, "index_prefix": "whodid-audit"},
        "asked": "*",
        "started": "2026-01-01T00:00:00Z",
    }
    whole |= {"resumed": 0, "count": 1, "bytes": 1, "after": [1, "a", 1], "first": None, "last": None, "edge": ["00"]}
    with stored("{}") as place:
        for data in variants(whole, ODD[what]):
            file.unlink(missing_ok=True)
            (tmp_path / "x.csv.part").write_bytes(b"x")
            state.write_bytes(data)
            ends("export", str(file), f"--opensearch-hosts={place.url}", f"--journal-dir={tmp_path / 'journal'}")


@pytest.mark.parametrize("what", ODD)
def test_a_report_and_its_signature(tmp_path: Path, signing: Path, what: str) -> None:
    content = {
        "format": 1,
        "period": {"since": "2026-01-01", "until": "2026-02-01"},
        "made": {"at": "2026-02-01T00:00:00Z", "signed_by": ""},
        "summary": {"findings": 0},
    }
    data = statement(content, b"<p>", "r.html")
    (tmp_path / "r.html").write_bytes(b"<p>")
    for text in variants(json.loads(data), ODD[what]):
        (tmp_path / "r.json").write_bytes(text)
        ends("report", "--check", str(tmp_path / "r"))
        ends("report", "--check", str(tmp_path / "r"), "--json")
    (tmp_path / "r.json").write_bytes(data)
    for text in variants(envelope(data, REPORT, signing), ODD[what]):
        (tmp_path / "r.dsse").write_bytes(text)
        ends("report", "--check", str(tmp_path / "r"), f"--public-key={signing}.pub")


@pytest.mark.parametrize("what", ODD)
def test_a_catalog_a_schema_and_settings(tmp_path: Path, what: str) -> None:
    file = tmp_path / "odd"
    for before in (b"", b"personal = ", b"[types.x]\nresource = ", b"[resources.x]\nlabel = ", b"extends = "):
        file.write_bytes(before + ODD[what])
        ends("events", "check", f"--catalog={file}")
        ends("events", "list", f"--config={file}")
    for name in (b"service", b"retention", b"opensearch_timeout", b"opensearch_hosts", b"max_bytes", b"durability"):
        file.write_bytes(name + b" = " + ODD[what])
        ends("status", f"--config={file}", f"--journal-dir={tmp_path / 'journal'}", "--opensearch-hosts=http://[::1]:1")
    schema = {"$defs": {"entry": {"properties": {"type": {"type": "string"}}}, "x": {"properties": {"type": 1}}}}
    for data in variants(schema, ODD[what]):
        file.write_bytes(data)
        ends("events", "check", f"--against={file}")
    ends("events", "check", "--against=-", given=ODD[what].decode(errors="replace"))
    ends("events", "docs", f"--check={file}")


@pytest.mark.parametrize("what", ODD)
def test_keys_and_secrets(tmp_path: Path, what: str) -> None:
    file = tmp_path / "odd"
    for before in (b"", b"-----BEGIN PUBLIC KEY-----\n", b"-----BEGIN PRIVATE KEY-----\n"):
        file.write_bytes(before + ODD[what] + b"\n-----END PUBLIC KEY-----\n")
        file.chmod(0o600)
        ends("verify", f"--public-key={file}")
        ends("key", "show", f"--signing-key-file={file}")
    file.write_bytes(ODD[what])
    for setting in ("opensearch-password-file", "hash-key-file", "opensearch-ca", "opensearch-client-cert"):
        arguments = [f"--{setting}={file}", f"--journal-dir={tmp_path / 'journal'}", "--opensearch-user=u"]
        ends("doctor", *arguments, "--opensearch-hosts=https://127.0.0.1:1")
        ends("search", *arguments, "--opensearch-hosts=https://127.0.0.1:1")


@pytest.mark.parametrize("what", ODD)
def test_the_files_of_a_journal_directory(tmp_path: Path, what: str) -> None:
    journal_dir = configured(tmp_path)
    package.get_logger().audit("credentials_created", target="1", **WHO)
    files = [path for path in journal_dir.rglob("*") if path.is_file()]
    names = ("dead-letters.ndjson", "checkpoints.ndjson", "witnessed.json", "alarms.ndjson", "rejected.ndjson")
    for path in (*files, *(journal_dir / name for name in names)):
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(ODD[what] + b"\n")
        path.chmod(0o600)
        for command in (["status"], ["journal", "list"], ["dead-letters", "list"], ["search", "--local"]):
            ends(*command, f"--journal-dir={journal_dir}", "--opensearch-hosts=http://127.0.0.1:1")
        path.unlink() if before is None else path.write_bytes(before)


@pytest.mark.parametrize("what", ODD)
def test_the_record_of_a_node_for_development(tmp_path: Path, what: str) -> None:
    mark = {"pid": 1, "started": 1.0}
    record = {"format": 1, "node": mark, "guard": mark, "port": 1, "version": "3", "detached": True, "secured": False}
    for data in variants(record, ODD[what]):
        (tmp_path / "node.json").write_bytes(data)
        (tmp_path / "node.json").chmod(0o600)
        ends("dev", "status", f"--data-dir={tmp_path}")


class Answering(Stored):
    """A cluster whose every answer is odd."""

    def answer(self, method: str, url: str, body: str) -> tuple[int, str]:
        return 200, self.source


ASKED = (["search"], ["stats"], ["get", "x"], ["verify"], ["retention", "show"], ["hold", "list"], ["doctor"])


@pytest.mark.parametrize("what", [what for what in ODD if "UTF-8" not in what])
def test_what_a_cluster_answers(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.web.stored.Stored", Answering)
    with stored(ODD[what].decode()) as place:
        for command in (*ASKED, ["journal", "list", "--cluster"], ["prove", "x"], ["setup", "--dry-run"]):
            ends(*command, f"--opensearch-hosts={place.url}", f"--journal-dir={tmp_path / 'journal'}")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("proof.json", lambda file: ["prove", "--check", file]),
        ("x.manifest.json", lambda file: ["export", "--check", file.removesuffix(".manifest.json")]),
        ("x.json", lambda file: ["report", "--check", file.removesuffix(".json")]),
        ("x.toml", lambda file: ["events", "check", f"--catalog={file}"]),
    ],
)
def test_a_deep_document_in_a_process_with_little_on_its_stack(
    tmp_path: Path, name: str, command: Callable[[str], list[str]]
) -> None:
    for data in (ODD["deep lists"], b"a = " + ODD["deep lists"]):
        (tmp_path / name).write_bytes(data)
        program = [sys.executable, "-m", "whodid", *command(str(tmp_path / name))]
        done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode in (1, 2)
        assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def place(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path_factory.mktemp("foreign")) as made:
        made.set_up()
        made.record(3)
        made.ship()
        yield made


@pytest.mark.live
@pytest.mark.parametrize("what", ODD)
def test_checkpoints_of_a_witness_and_the_state_of_a_verification(place: Corner, tmp_path: Path, what: str) -> None:
    (tmp_path / "witness").mkdir()
    (tmp_path / "witness" / "1.json").write_bytes(ODD[what])
    lines = [ODD[what], b'{"payload": %b}' % ODD[what], b'{"payload": "", "payloadType": %b}' % ODD[what]]
    (tmp_path / "checkpoints.ndjson").write_bytes(b"\n".join([*lines, b""]))
    for against in (tmp_path / "witness", tmp_path / "checkpoints.ndjson"):
        ends(*place.arguments("verify", f"--against={against}"))
    state = tmp_path / "state"
    head = json.dumps({"format": 1, "index_prefix": place.settings.index_prefix, "begun": "2026-01-01T00:00:00Z"})
    for data in (ODD[what], b"%b\n%b\n" % (head.encode(), ODD[what])):
        state.write_bytes(data)
        state.chmod(0o600)
        ends(*place.arguments("verify", f"--resume={state}"))


@pytest.mark.live
@pytest.mark.parametrize("what", ODD)
def test_the_result_of_a_slice_in_the_state_of_a_verification(
    place: Corner, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    with monkeypatch.context() as kept:
        kept.setattr(ResumeState, "remove", lambda _: None)
        ends(*place.arguments("verify", f"--resume={state}"))
    head, *slices = [line for line in state.read_bytes().splitlines() if line]
    assert slices
    for walked in variants(json.loads(slices[0]), ODD[what]):
        state.write_bytes(head + b"\n" + walked.replace(b"\n", b"") + b"\n")
        ends(*place.arguments("verify", f"--resume={state}"))
