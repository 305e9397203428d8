"""tools/verify_log.py as an auditor runs it: the one file, its two libraries, and no whodid."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from whodid.export.manifest import EXPORT, Manifest
from whodid.proof.keys import envelope_of

from .test_vectors import FIRST, OLD, PROOF, ROOT, SEALED, SECOND, THIRD, signer

Run = Callable[..., CompletedProcess[str]]

TOOL = ROOT / "tools" / "verify_log.py"
JOURNAL = FIRST["journal"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a copy of the tool in an environment of its own."""
    folder = tmp_path_factory.mktemp("auditor")
    venv.create(folder / "venv", symlinks=True)
    [packages] = (folder / "venv" / "lib").glob("python*/site-packages")
    for name in ("rfc8785", "cryptography", "cffi", "_cffi_backend"):
        if (spec := find_spec(name)) and spec.origin:
            there = Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)
            (packages / there.name).symlink_to(there)
    shutil.copy(TOOL, folder)
    python = [str(folder / "venv" / "bin" / "python"), "-I"]
    assert subprocess.run([*python, "-c", "import whodid"], capture_output=True, check=False).returncode == 1

    def run(*arguments: str | Path) -> CompletedProcess[str]:
        command = [*python, "verify_log.py", *map(str, arguments)]
        return subprocess.run(command, cwd=folder, env={}, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def key(tmp_path: Path) -> str:
    (tmp_path / "key.pem.pub").write_text(signer(OLD).key.pem)
    return f"--public-key={tmp_path / 'key.pem.pub'}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The whole log of the test vectors, as `whodid export --expired --proofs` writes it."""
    file, entries, partition = tmp_path / "all.ndjson", [FIRST, SECOND, THIRD], "whodid-audit-2026.11"
    ids = [f"{one['journal']}-{one['seq']:012d}-{one['hash'][:16]}" for one in entries]
    data = ndjson(*entries)
    evidence = ndjson({"checkpoint": SEALED.envelope}, *({"id": id_, "index": partition} for id_ in ids))
    manifest = Manifest(
        file=file.name,
        form="ndjson",
        compressed=False,
        count=3,
        matching_at_end=3,
        asked="*",
        query="*",
        expired=True,
        index_prefix=SEALED.checkpoint.index_prefix,
        started="2026-11-23T10:00:00Z",
        finished="2026-11-23T10:00:01Z",
        resumed=0,
        first=None,
        last=None,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        root=SEALED.checkpoint.root,
        whodid="0.1.0",
        evidence=hashlib.sha256(evidence).hexdigest(),
    ).to_json()
    file.write_bytes(data)
    Path(f"{file}.evidence.ndjson").write_bytes(evidence)
    Path(f"{file}.manifest.json").write_text(manifest)
    Path(f"{file}.manifest.dsse").write_text(json.dumps(envelope_of(manifest.encode(), EXPORT, signer(OLD))))
    return file


def ndjson(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def tamper(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_a_log_and_an_export_without_a_finding_pass(run: Run, key: str, log: Path) -> None:
    for what in ("log", "export"):
        done = run(what, log, key)
        assert (done.returncode, done.stdout, done.stderr) == (0, "no problem found\n", "")


def test_a_tampered_entry_is_found_in_a_log(run: Run, key: str, log: Path) -> None:
    tamper(log, "203.0.113.9", "203.0.113.8")
    done = run("log", log, key)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == f"the file does not match its manifest\naltered: journal {JOURNAL}, entry 2\n"
    shown = json.loads(run("log", log, key, "--json").stdout)
    assert shown["intact"] is False
    assert shown["findings"][1:] == [{"kind": "altered", "journal": JOURNAL, "seq": 2, "last": 2}]


def test_a_tampered_entry_is_found_in_an_export(run: Run, key: str, log: Path) -> None:
    tamper(log, "203.0.113.9", "203.0.113.8")
    done = run("export", log, key)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "the file does not match its manifest\nline 2: altered\n"


def test_a_line_of_an_export_that_is_not_an_entry_is_a_finding(run: Run, key: str, log: Path) -> None:
    tamper(log, f'"journal": "{JOURNAL}"', '"journal": []')
    done = run("export", log, key)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.count(": not an entry\n") == 3


def test_a_proof_is_checked(run: Run, key: str, tmp_path: Path) -> None:
    file = tmp_path / "proof.json"
    file.write_text(PROOF.to_json())
    assert run("proof", file, key).stdout == f"entry 2 was in journal {JOURNAL}\n"
    tamper(file, "203.0.113.9", "203.0.113.8")
    done = run("proof", file, key)
    assert (done.returncode, done.stdout) == (1, "the entry does not match its hash\n")


def test_it_says_when_no_signature_was_checked(run: Run, log: Path) -> None:
    done = run("log", log)
    assert (done.returncode, done.stderr) == (0, "note: no signature was checked; give --public-key\n")


@pytest.mark.parametrize("what", ["log", "export", "proof"])
@pytest.mark.parametrize("content", [None, "[]", '{"a": 1, "a": 2}', "\0", '{"form": "ndjson"}'])
def test_a_file_that_cannot_be_checked_fails_without_a_traceback(
    run: Run, tmp_path: Path, what: str, content: str | None
) -> None:
    for name in ("file", "file.manifest.json", "file.evidence.ndjson"):
        if content is not None:
            (tmp_path / name).write_text(content)
    done = run(what, tmp_path / "file")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        r".*file.* can't be (read: No such file or directory|checked: it is damaged, or .*)\n", done.stderr
    )


def test_findings_are_shown_even_if_the_rest_cannot_be_checked(run: Run, key: str, log: Path) -> None:
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
    done = run("log", log, key)
    assert done.returncode == 1
    assert "the file has 2 entries, the manifest 3\n" in done.stdout
    assert done.stderr == f"{log} has 2 entries, and its evidence is of 3\n"


def test_a_log_without_proofs_and_a_wrong_key_are_named(run: Run, key: str, log: Path) -> None:
    assert run("log", log, f"--public-key={log}").stderr == f"{log} is not an Ed25519 public key in PEM\n"
    manifest = Path(f"{log}.manifest.json")
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "evidence": ""}))
    assert "was exported without --proofs" in run("log", log, key).stderr


def test_a_terminal_does_not_obey_what_a_file_says(run: Run, tmp_path: Path) -> None:
    entry = {**SECOND, "journal": "\x1b[2J"}
    (tmp_path / "proof.json").write_text(json.dumps({**json.loads(PROOF.to_json()), "entry": entry, "index": "\x1b"}))
    done = run("proof", tmp_path / "proof.json")
    assert done.returncode == 1
    assert "\x1b" not in done.stdout + done.stderr


def test_a_wrong_command_line_exits_with_2(run: Run, log: Path) -> None:
    assert [run(*words).returncode for words in ([], ["log"], [log], ["export", log, "--against", log])] == [2, 2, 2, 2]


def test_a_missing_library_is_named() -> None:
    done = subprocess.run([sys.executable, "-I", "-S", TOOL, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "the library rfc8785 is not installed; run: pip install rfc8785 cryptography\n"


def test_its_help_says_all(run: Run) -> None:
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    options = set(re.findall(r'"(--[a-z-]+)"', TOOL.read_text()))
    assert options == {"--public-key", "--against", "--retention", "--json"}
    for part in (*options, "Exit status", *(f"python verify_log.py {what} " for what in ("log", "export", "proof"))):
        assert part in done.stdout


def test_it_is_one_file_that_knows_nothing_of_whodid() -> None:
    assert [file.name for file in TOOL.parent.glob("verify_*.py")] == [TOOL.name]
    assert not re.search(r"^\s*(import|from) +(whodid|tests|tools)\b", TOOL.read_text(), re.M)


def test_no_page_names_one_of_the_files_that_it_replaced() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"), *ROOT.glob("src/**/*.py")]
    for page in pages:
        assert not re.search(r"verify_(export|proof|checkpoints|records)\.py", page.read_text()), page
