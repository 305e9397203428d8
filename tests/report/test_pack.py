"""The pack on disk: three files that vouch for each other, all of them or none, and never over another."""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.commands import whodid
from tests.live.corner import Corner
from whodid.errors import ProofError, ReportError
from whodid.proof.keys import PublicKey, Signer, new_key, signer_of
from whodid.report import Pack, Report, check_pack, write_pack
from whodid.settings import Settings

from .making import whodid_report


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    new_key(tmp_path / "signing.pem")
    found = signer_of(Settings(signing_key_file=str(tmp_path / "signing.pem")))
    assert found
    return found


@pytest.fixture
def signed(report: Report, signer: Signer, tmp_path: Path) -> Pack:
    made = Pack.named(tmp_path / "october")
    write_pack(made, report, signer)
    return made


def differences(made: Pack, *keys: PublicKey) -> tuple[str, ...]:
    return check_pack(made, keys).findings


def test_a_pack_is_three_files_that_only_their_owner_reads(signed: Pack, signer: Signer) -> None:
    assert sorted(path.name for path in signed.path.parent.glob("*october*")) == [
        "october.dsse",
        "october.html",
        "october.json",
    ]
    for path in (signed.html, signed.json, signed.dsse):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    checked = check_pack(signed, [signer.key])
    assert (checked.findings, checked.signed_by, checked.trusted) == ((), signer.key.id, True)


def test_without_a_key_there_is_no_envelope(report: Report, tmp_path: Path) -> None:
    from dataclasses import replace

    made = Pack.named(tmp_path / "october")
    assert write_pack(made, replace(report, made=replace(report.made, signed_by="")), None) == (made.html, made.json)
    checked = check_pack(made)
    assert (checked.findings, checked.signed_by, checked.trusted) == ((), "", False)
    assert "no: anyone who can replace this file can replace the JSON, too" in made.html.read_text()


@pytest.mark.parametrize("end", ["html", "json", "dsse"])
def test_one_byte_of_any_file_is_noticed(signed: Pack, signer: Signer, end: str) -> None:
    path = signed.path.with_name(f"october.{end}")
    data = path.read_bytes()
    hint = range(data.find(b'"keyid"'), data.find(b'"sig"'))  # which key may have signed it; nobody signs that
    for place in (place for place in range(0, len(data), 211) if place not in hint or end != "dsse"):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        try:
            assert differences(signed, signer.key), place
        except ReportError:
            assert end == "json"
    path.write_bytes(data)
    assert differences(signed, signer.key) == ()


def test_an_html_and_a_json_made_to_fit_are_not_what_was_signed(signed: Pack, signer: Signer) -> None:
    from whodid.report.statement import statement

    content = json.loads(signed.json.read_bytes())
    for name in ("digest", "html"):
        del content[name]
    html = signed.html.read_bytes().replace(b"2026-10-01", b"2025-10-01")
    signed.html.write_bytes(html)
    signed.json.write_bytes(statement(content, html, "october.html"))
    assert differences(signed) == ("its JSON differs from the signed one",)
    signed.dsse.unlink()
    assert differences(signed) == ("it is not signed: october.dsse is missing",)
    content["made"]["signed_by"] = ""
    signed.json.write_bytes(statement(content, html, "october.html"))
    assert differences(signed, signer.key) == ("it is not signed: october.dsse is missing",)
    assert differences(signed) == ()  # an unsigned one: docs/how-to/compliance.md says so


def test_another_s_signature_is_none(signed: Pack, tmp_path: Path) -> None:
    other = new_key(tmp_path / "other.pem")
    [difference] = differences(signed, other)
    assert difference.startswith("october.dsse does not vouch for it: it is not signed by a trusted key")


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"payloadType": "x", "payload": 1}', b"[" * 99_999])
def test_what_is_no_envelope_is_said_to_be_none(signed: Pack, content: bytes) -> None:
    signed.dsse.write_bytes(content)
    assert differences(signed) == ("october.dsse does not vouch for it: it is not a DSSE envelope",)


def test_an_envelope_of_another_kind_does_not_count(signed: Pack, signer: Signer) -> None:
    from whodid.proof.keys import envelope_of

    signed.dsse.write_text(json.dumps(envelope_of(signed.json.read_bytes(), "application/x", signer)))
    [difference] = differences(signed, signer.key)
    assert "it contains application/x" in difference


def test_other_tools_can_check_the_signature(signed: Pack, signer: Signer) -> None:
    """By DSSE's own words, without any code of ours."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    envelope = json.loads(signed.dsse.read_bytes())
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    data = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    Ed25519PublicKey.from_public_bytes(signer.key.raw).verify(base64.b64decode(envelope["signatures"][0]["sig"]), data)
    assert payload == signed.json.read_bytes()


@pytest.mark.parametrize("name", ["october", "october.html", "october.json", "october.dsse"])
def test_any_of_its_files_names_it(name: str) -> None:
    assert Pack.named(name).path == Path("october")


def test_a_name_with_dots_stays_whole() -> None:
    assert Pack.named("x/log.2026.10").json == Path("x/log.2026.10.json")


@pytest.mark.parametrize("end", ["html", "json", "dsse"])
def test_a_file_that_is_there_is_never_replaced(report: Report, signer: Signer, tmp_path: Path, end: str) -> None:
    there = tmp_path / f"october.{end}"
    there.write_text("mine")
    made = Pack.named(tmp_path / "october")
    with pytest.raises(ReportError, match=rf"october\.{end} already exists; choose another name"):
        made.check_free()
    with pytest.raises(ReportError, match=rf"october\.{end} was created by another process"):
        write_pack(made, report, signer)
    assert [path.name for path in tmp_path.iterdir() if "october" in path.name] == [there.name]
    assert there.read_text() == "mine"


def test_a_directory_is_no_name(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="is a directory; name the report in it"):
        Pack.named(tmp_path)
    with pytest.raises(ReportError, match="is not a directory; create it first"):
        Pack.named(tmp_path / "nowhere" / "october").check_free()


def fails(code: int) -> Callable[..., Any]:
    def failing(*_: Any, **__: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return failing


@pytest.mark.parametrize("call", ["fsync", "link"])
def test_a_disk_that_fails_leaves_nothing_half_written(
    report: Report, signer: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    made = Pack.named(tmp_path / "october")
    if call == "link":
        monkeypatch.setattr(Path, "rename", fails(errno.EIO))
    monkeypatch.setattr(os, call, fails(errno.ENOSPC))
    with pytest.raises(ReportError, match="can't be written"):
        write_pack(made, report, signer)
    assert [path.name for path in tmp_path.iterdir() if "october" in path.name] == []


def test_a_file_system_without_links_will_do(
    report: Report, signer: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", fails(errno.EPERM))
    made = Pack.named(tmp_path / "october")
    write_pack(made, report, signer)
    assert differences(made, signer.key) == ()
    with pytest.raises(ReportError, match="was created by another process"):
        write_pack(made, report, signer)


def test_two_at_once_give_one_whole_pack(report: Report, signer: Signer, tmp_path: Path) -> None:
    made, refused = Pack.named(tmp_path / "october"), []

    def write() -> None:
        try:
            write_pack(made, report, signer)
        except ReportError as error:
            refused.append(error)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7
    assert differences(made, signer.key) == ()
    assert len([path for path in tmp_path.iterdir() if "october" in path.name]) == 3


def test_a_key_that_can_t_sign_leaves_nothing(report: Report, tmp_path: Path) -> None:
    public = new_key(tmp_path / "signing.pem")
    (tmp_path / "pub").write_text(public.pem)
    refusing = signer_of(Settings(signing_command="false", signing_public_key=str(tmp_path / "pub")))
    with pytest.raises(ProofError, match="signing_command failed with exit code 1"):
        write_pack(Pack.named(tmp_path / "october"), report, refusing)
    assert list(tmp_path.glob("*october*")) == []


def report_command(*words: str) -> CompletedProcess[str]:
    return whodid("report", *words)


def test_check_tells_a_person_what_it_is(signed: Pack, signer: Signer, tmp_path: Path) -> None:
    done = report_command(str(signed.html), "--check", "--public-key", str(tmp_path / "signing.pem.pub"))
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"{signed.path} is the report of 2026-10-01T00:00:00Z to 2026-11-01T00:00:00Z, "
        "written at 2026-11-27T12:00:00Z: no findings",
        f"signed by {signer.key.id}",
    ]
    assert "but the signature was not verified: use --public-key" in report_command(str(signed.path), "--check").stdout


def test_check_fails_on_a_difference_and_tells_programs_too(signed: Pack, tmp_path: Path) -> None:
    signed.html.write_text(signed.html.read_text() + " ")
    done = report_command(str(signed.path), "--check")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == f"{signed.path} differs from the report that was written: its HTML differs from what was written\n"
    )
    told = json.loads(report_command(str(signed.path), "--check", "--json").stdout)
    assert told["differences"] == ["its HTML differs from what was written"]
    assert told["trusted"] is False
    assert told["summary"]["findings"] == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["r", "--check"], 1, "r.json can't be read (No such file or directory)"),
        (["r", "--check", "--since=-7d"], 2, "--check takes a report and no period"),
        (["r"], 2, "a report needs a period"),
        (["r", "--since=2026-11-01", "--until=2026-10-01"], 2, "is after until"),
        (["r", "--since=whenever"], 2, "since: 'whenever' is not a valid time"),
        ([".", "--since=-7d"], 1, ". is a directory; name the report in it"),
        (["nowhere/r", "--since=-7d"], 1, "nowhere is not a directory; create it first"),
        (["r", "--since=-7d", "--public-key=nowhere.pub"], 2, "the public key: 'nowhere.pub' can't be read"),
    ],
    ids=str,
)
def test_wrong_use_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = report_command(*words)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.live
def test_a_report_is_not_begun_where_its_file_is(place: Corner, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("mine")
    done = whodid_report(place, str(tmp_path / "r"), "--since=-7d")
    assert isinstance(done.exception, ReportError)
    assert "already exists" in str(done.exception)
    assert not (tmp_path / "r.html").exists()
