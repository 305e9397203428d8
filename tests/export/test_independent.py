"""The independent verifier, which knows nothing of whodid, agrees with exports, and finds what was done to them."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.live.corner import Corner, corner
from whodid.export import export
from whodid.proof.keys import new_key
from whodid.search import AuditClient

pytestmark = pytest.mark.live

VERIFIER = Path(__file__).parents[2] / "tools" / "verify_log.py"
Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def place(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path_factory.mktemp("independent")) as made:
        made.set_up()
        made.record(30, client_ip="192.0.2.7", principal_name="Zoë", details={"ratio": 0.25, "n": 1e30})
        made.ship()
        yield made


@pytest.fixture
def client(place: Corner, tmp_path: Path) -> AuditClient:
    new_key(tmp_path / "key.pem")
    return AuditClient(replace(place.settings, signing_key_file=str(tmp_path / "key.pem")), client=place.client)


def said(file: Path, key: Path | None = None) -> list[str]:
    options = [f"--public-key={key}"] if key else []
    command = [sys.executable, "-E", "-s", str(VERIFIER), "export", str(file), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ("" if key else "note: no signature was checked; give --public-key\n")
    lines = done.stdout.splitlines()
    assert done.returncode == (lines != ["no problem found"])
    return [] if done.returncode == 0 else lines


@pytest.mark.parametrize("name", ["all.ndjson", "all.ndjson.gz"])
def test_nothing_is_wrong_with_an_export(client: AuditClient, tmp_path: Path, name: str) -> None:
    assert export(client, None, tmp_path / name).count == 30
    assert said(tmp_path / name) == said(tmp_path / name, tmp_path / "key.pem.pub") == []


def altered(lines: Lines) -> Lines:
    return [{**lines[0], "principal": "somebody else"}, *lines[1:]]


def removed(lines: Lines) -> Lines:
    return [*lines[:7], *lines[8:]]


def doubled(lines: Lines) -> Lines:
    return [*lines[:7], lines[7], *lines[7:]]


def swapped(lines: Lines) -> Lines:
    return [lines[1], lines[0], *lines[2:]]


def broken(lines: Lines) -> Any:
    return [5, *lines[1:]]


def stripped(lines: Lines) -> Lines:
    return [{"type": "x"}, *lines[1:]]


ATTACKS: dict[Callable[[Lines], Lines], str] = {
    altered: "line 1: altered",
    removed: "the file has 29 entries, the manifest 30",
    doubled: "line 9: another entry has the same number in its journal",
    swapped: "the entries do not match the manifest's root",
    broken: "line 1: not an entry",
    stripped: "line 1: not an entry",
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize("manifest_too", [False, True])
def test_it_finds_what_was_done_even_where_the_manifest_was_mended(
    client: AuditClient, tmp_path: Path, attack: Callable[[Lines], Lines], manifest_too: bool
) -> None:
    file = tmp_path / "all.ndjson"
    export(client, None, file)
    lines = attack([json.loads(line) for line in file.read_text().splitlines()])
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if manifest_too:  # by somebody who doesn't know of the root
        written = Path(f"{file}.manifest.json")
        data = file.read_bytes()
        mended = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        written.write_text(json.dumps({**json.loads(written.read_text()), **mended}))
    found = said(file, tmp_path / "key.pem.pub")
    assert ATTACKS[attack] in found
    assert ("the file does not match its manifest" in found) != manifest_too
    assert ("the manifest differs from the signed one" in found) == manifest_too


def test_it_finds_another_key_a_missing_signature_and_a_broken_chain(client: AuditClient, tmp_path: Path) -> None:
    file = tmp_path / "all.ndjson"
    export(client, None, file)
    new_key(tmp_path / "another.pem")
    assert said(file, tmp_path / "another.pem.pub") == ["the manifest is not signed by a trusted key"]
    Path(f"{file}.manifest.dsse").unlink()
    assert said(file, tmp_path / "key.pem.pub") == ["the manifest is not signed"]
    compressed = tmp_path / "all.ndjson.gz"
    export(client, None, compressed)
    lines = [json.loads(line) for line in gzip.decompress(compressed.read_bytes()).splitlines()]
    lines[3]["prev"] = "0" * 64
    compressed.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))
    journal = lines[3]["journal"]
    assert f"does not follow the entry before it: journal {journal}, entry 4" in said(compressed)
    assert "line 4: altered" in said(compressed)


def test_a_form_that_is_not_the_entries_is_told(client: AuditClient, tmp_path: Path) -> None:
    export(client, None, tmp_path / "all.csv")
    assert said(tmp_path / "all.csv", tmp_path / "key.pem.pub") == [
        "only the entries of an NDJSON export can be checked; this one is csv"
    ]
