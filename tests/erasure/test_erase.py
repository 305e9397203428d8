"""Erasure: a person is forgotten wherever we hold them, and the log verifies as before."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from tests import independent
from tests.live.accounts import PASSWORD, account, secured_corner
from tests.live.corner import Corner, corner
from tests.opensearch_node import SecuredNode
from whodid.administration.erase_cluster import IMMUTABLE, _erase
from whodid.administration.erase_journal import erased_entry, erased_line, is_of
from whodid.cli import program
from whodid.cluster.bulk import Document, Verdict
from whodid.cluster.connection import connect
from whodid.cluster.template import index_template, template_name
from whodid.errors import WhodidError
from whodid.integrity import Draft, entry_hash, read_line, salts_of
from whodid.journal import JournalDirectory
from whodid.journal.lock import ProcessLock
from whodid.retention.holds import new_hold, set_hold
from whodid.search import AuditClient
from whodid.settings import Settings
from whodid.shipping import Shipper
from whodid.shipping.dead_letters import each_dead_letter
from whodid.verify import verify_stored

NAME, ADDRESS = "Ada Lovelace", "203.0.113.77"

values = st.text(max_size=20).filter(lambda text: "\0" not in text and text.encode(errors="ignore").decode() == text)


@given(name=values, address=values, free=st.dictionaries(st.sampled_from("abc"), st.integers() | values, max_size=2))
def test_the_hash_stays_and_the_values_go(name: str, address: str, free: dict[str, Any]) -> None:
    details = {key: value for key, value in free.items() if not isinstance(value, int) or abs(value) < 2**53}
    entry = {"type": "t", "principal": "42", "principal_name": name, "client_ip": address, "details": details}
    hash_, line = Draft(entry, ("principal_name", "client_ip")).seal("ab" * 8, 1, "0" * 64)
    erased = erased_line(line)
    assert erased is not None
    found = read_line(erased)
    assert found["hash"] == hash_ == entry_hash(found)
    assert found.keys().isdisjoint({"salt", "salts"})
    assert found.keys().isdisjoint({"principal_name", "client_ip"})
    assert set(found["erased"]) == {"principal_name", "client_ip"}
    assert erased_line(erased) is None
    assert erased_entry(found) is None


def test_what_was_erased_before_stays_so() -> None:
    entry = {"type": "t", "principal": "42", "principal_name": NAME, "client_ip": ADDRESS}
    hash_, line = Draft(entry, ("principal_name", "client_ip")).seal("ab" * 8, 1, "0" * 64)
    whole = erased_entry(orjson.loads(line))
    assert whole
    half = erased_entry(orjson.loads(line), ["client_ip"])
    assert half
    assert half["principal_name"] == NAME
    assert half["erased"] == {"client_ip": whole["erased"]["client_ip"]}
    assert entry_hash(half) == hash_ == independent.entry_hash(half)
    assert erased_entry(half, ["client_ip"]) is None
    assert erased_entry(half) == whole


def test_what_an_erasure_leaves_does_not_open_what_it_removed() -> None:
    """An address can be guessed; so the salt of the entry is removed, and only those of other fields stay."""
    entry = {"type": "t", "principal": "42", "principal_name": NAME, "client_ip": ADDRESS}
    _, line = Draft(entry, ("principal_name", "client_ip")).seal("ab" * 8, 1, "0" * 64)
    whole = orjson.loads(line)
    half = erased_entry(whole, ["client_ip"])
    assert half
    assert "salt" not in half
    assert half["salts"] == {"principal_name": salts_of(whole)["principal_name"]}
    assert salts_of(whole)["client_ip"] not in orjson.dumps(half).decode()
    assert whole["salt"] not in orjson.dumps(half).decode()


def test_of_whom_an_entry_is() -> None:
    assert is_of({"principal": "42"}, "42")
    assert is_of({"principal": "1", "on_behalf_of": "42"}, "42")
    assert not is_of({"principal": "421", "target": "42"}, "42")


@pytest.fixture
def place(opensearch_url: str, tmp_path: Path) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path) as made:
        made.set_up()
        made.record(3, principal="1", principal_name="Bob", client_ip="192.0.2.1")
        made.record(3, principal="42", principal_name=NAME, client_ip=ADDRESS)
        made.record(2, principal="1", on_behalf_of="42", principal_name="Bob", client_ip=ADDRESS)
        yield made


def erase(place: Corner, *options: str, principal: str = "42") -> Result:
    command = place.arguments("erase", "--principal", principal, "--reason", "request 4711", "--wait", "0", *options)
    return CliRunner().invoke(program, command)


def test_it_needs_somebody_and_a_reason() -> None:
    nobody = CliRunner().invoke(program, ["erase", "--principal", "", "--reason", "r"])
    assert isinstance(nobody.exception, WhodidError)
    assert "--principal must not be empty" in str(nobody.exception)
    without = CliRunner().invoke(program, ["erase", "--principal", "42", "--reason", " "])
    assert (without.exit_code, "--reason must not be empty" in without.output) == (2, True)


def everything_of(place: Corner) -> str:
    files = [path for path in Path(place.settings.journal_dir).rglob("*") if path.is_file()]
    return json.dumps(place.stored()) + "".join(path.read_text(errors="replace") for path in files)


@pytest.mark.live
def test_a_person_is_gone_from_everywhere_and_the_log_verifies(place: Corner) -> None:
    place.ship()
    assert everything_of(place).count(NAME) == 6
    done = erase(place, "--yes", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (sum(report["stored"].values()), report["on_host"], report["left"]) == (5, 5, [])
    assert report["fields"] == ["client_ip", "principal_name"]
    left = everything_of(place)
    assert NAME not in left
    assert ADDRESS not in left
    assert left.count('"Bob"') == 6
    place.ship()
    found = verify_stored(AuditClient(place.settings, client=place.client))
    assert found.findings == []
    assert sum(stretch.entries for verdict in found.journals for stretch in verdict.stretches) == 10
    kinds = {stretch.verdict for verdict in found.journals for stretch in verdict.stretches}
    assert kinds == {"not yet sealed", "erased"}


@pytest.mark.live
def test_it_is_recorded_before_and_after_and_once_more_does_nothing(place: Corner) -> None:
    place.ship()
    assert erase(place, "--yes").exit_code == 0
    again = erase(place, "--yes", "--json")
    assert (again.exit_code, json.loads(again.stdout)["stored"], json.loads(again.stdout)["on_host"]) == (0, {}, 0)
    own = [entry for entry in place.journalled() if entry["type"] == "audit_log_person_erased"]
    assert [entry["details"]["step"] for entry in own] == ["begun", "done"] * 2
    assert {entry["target"] for entry in own} == {"42"}
    assert own[1]["details"]["reason"] == "request 4711"
    assert own[1]["details"]["stored"] == 5
    assert NAME not in json.dumps(own)


@pytest.mark.live
def test_what_waits_is_erased_before_it_is_sent_and_recording_goes_on(place: Corner) -> None:
    recording, stop = threading.Event(), threading.Event()

    def record() -> None:
        recorder = place.recorder()
        number = 0
        while not stop.is_set():
            recorder.record("credentials_created", {"target": str(number), "principal": "7", "client_ip": "192.0.2.7"})
            number += 1
            recording.set()
        recorder.journal.close()

    thread = threading.Thread(target=record)
    thread.start()
    try:
        recording.wait(10)
        assert erase(place, "--yes").exit_code == 0
    finally:
        stop.set()
        thread.join(10)
    assert NAME not in everything_of(place)
    assert place.ship().damaged == 0
    assert verify_stored(AuditClient(place.settings, client=place.client)).intact


@pytest.mark.live
def test_dead_letters_are_erased_too(place: Corner) -> None:
    def refuse(documents: list[Document]) -> list[Verdict]:
        return [Verdict("refused", f"mapper_parsing_exception: {NAME}") for _ in documents]

    Shipper(place.settings, refuse).run_once()  # type: ignore[arg-type]
    assert erase(place, "--yes").exit_code == 0
    letters = list(each_dead_letter(JournalDirectory(place.settings.journal_dir)))
    assert len(letters) == 8
    assert not any(NAME in letter.line + letter.reason for letter in letters if '"42"' in letter.line)


@pytest.mark.live
def test_a_running_shipper_is_waited_for_by_nobody(place: Corner) -> None:
    lock = ProcessLock(JournalDirectory(place.settings.journal_dir).ship_lock)
    assert lock.try_acquire()
    try:
        done = erase(place, "--yes")
        assert isinstance(done.exception, WhodidError)
        assert "is being shipped by" in str(done.exception)
    finally:
        lock.close()


@pytest.mark.live
def test_a_hold_is_respected_until_told_otherwise(place: Corner) -> None:
    place.ship()
    [partition] = {hit["_index"] for hit in place.stored().values()}
    set_hold(place.client, place.settings, new_hold("case 4711", "ada", partitions=[partition]))
    done = erase(place, "--yes", "--json")
    [left] = json.loads(done.stdout)["left"]
    assert (done.exit_code, left["partition"], left["entries"]) == (1, partition, 5)
    assert "a hold keeps it (h-" in left["why"]
    assert erase(place, "--yes", "--despite-holds").exit_code == 0
    assert NAME not in json.dumps(place.stored())


@pytest.mark.live
def test_a_partition_that_can_not_be_written_is_named(place: Corner) -> None:
    place.ship()
    [partition] = {hit["_index"] for hit in place.stored().values()}
    place.client.indices.put_settings(index=partition, body={"index.blocks.write": "true"})
    done = erase(place, "--yes", "--json")
    [left] = json.loads(done.stdout)["left"]
    assert done.exit_code == 1
    assert "remove index.blocks.write" in left["why"]
    place.client.indices.put_settings(index=partition, body={"index.blocks.write": None})
    assert erase(place, "--yes").exit_code == 0
    assert NAME not in json.dumps(place.stored())


@pytest.mark.live
def test_what_the_cluster_keeps_immutable_is_left_and_says_why(secured_node: SecuredNode, tmp_path: Path) -> None:
    """The node is started with `immutable_indices: ["immutable-*"]`; what is made under it can't be deleted again."""
    administrator = secured_node.settings(index_prefix=f"immutable-{secrets.token_hex(4)}")
    settings = Settings(**administrator, journal_dir=str(tmp_path / "journal"))
    with closing(connect(settings)) as client:
        place = Corner(settings, client)
        name = template_name(settings)
        client.indices.put_index_template(name=name, body=index_template(settings))
        place.record(2, principal="42", principal_name=NAME)
        place.ship()
        before = place.stored()
        login = [f"--opensearch-{name}={given}" for name, given in (("user", "admin"), ("ca", secured_node.ca_file))]
        login.append(f"--opensearch-password-file={secured_node.password_file}")
        for option in ("--dry-run", "--yes"):
            done = erase(place, option, "--json", *login)
            [left] = json.loads(done.stdout)["left"]
            assert left["entries"] == 2
            assert "it is immutable (plugins.security.compliance.immutable_indices" in left["why"]
        assert done.exit_code == 1
        assert NAME not in "".join(path.read_text() for path in tmp_path.rglob("*.ndjson"))
        assert {key: place.stored()[key]["_source"] for key in before} == {k: h["_source"] for k, h in before.items()}
        meanwhile = _erase(client, {(hit["_index"], key): hit for key, hit in before.items()})
        assert list(meanwhile.values()) == [IMMUTABLE] * 2


@pytest.mark.live
def test_a_dry_run_changes_nothing_and_nobody_is_asked_without_a_terminal(place: Corner) -> None:
    place.ship()
    before = everything_of(place)
    done = erase(place, "--dry-run")
    assert done.exit_code == 0
    assert "5 stored entries of 42 would be erased (client_ip, principal_name)" in done.output
    assert isinstance(erase(place).exception, WhodidError)
    assert everything_of(place) == before


@pytest.mark.live
def test_a_kill_in_between_is_gone_on_with(place: Corner) -> None:
    place.ship()
    program_ = """
import os, signal, sys
from pathlib import Path
replace = Path.replace
def killed(self, target):
    if self.name[:20].isdigit():  # a segment
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = killed
from whodid.__main__ import main
sys.argv = ["whodid", *sys.argv[1:]]
main()
"""
    command = place.arguments("erase", "--principal", "42", "--reason", "request 4711", "--wait=0", "--yes")
    done = subprocess.run([sys.executable, "-c", program_, *command], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert erase(place, "--yes").exit_code == 0
    assert NAME not in everything_of(place)
    place.ship()
    assert verify_stored(AuditClient(place.settings, client=place.client)).intact


@pytest.mark.live
def test_a_forged_page_in_the_ledger_excuses_nothing(place: Corner) -> None:
    from whodid.cluster.ledger import write_erasure

    place.ship()
    [hit] = [hit for hit in place.stored().values() if hit["_source"]["seq"] == 4]
    entry = erased_entry(hit["_source"])
    place.client.index(index=hit["_index"], id=hit["_id"], body=entry)
    journal = hit["_source"]["journal"]
    write_erasure(place.client, place.settings, "42", "because", "mallory", ["client_ip"], {journal: "4"})
    place.refresh()
    [finding] = verify_stored(AuditClient(place.settings, client=place.client)).findings
    assert (finding.kind, finding.seq) == ("altered", 4)


@pytest.mark.live
def test_the_role_for_it_is_enough_and_that_of_an_auditor_is_not(secured_node: SecuredNode, tmp_path: Path) -> None:
    with secured_corner(secured_node, tmp_path) as place:
        place.record(2, principal="42", principal_name=NAME)
        place.ship()
        (tmp_path / "password").write_text(PASSWORD)
        (tmp_path / "password").chmod(0o600)

        def as_(role: str) -> Result:
            options = [
                f"--opensearch-user={account(place, role)}",
                f"--opensearch-password-file={tmp_path / 'password'}",
            ]
            options.append(f"--opensearch-ca={place.settings.opensearch_ca}")
            return erase(place, "--yes", "--json", *options)

        refused = as_("auditor")
        assert refused.exit_code == 1
        assert NAME in json.dumps(place.stored())
        done = as_("eraser")
        assert done.exit_code == 0, (done.output, done.exception)
        assert NAME not in json.dumps(place.stored())
        assert orjson.loads(done.stdout)["left"] == []


@pytest.mark.live
def test_what_was_erased_before_a_crash_is_on_record_after_the_same_command(place: Corner, tmp_path: Path) -> None:
    """The values were removed, and neither the page of the ledger nor the entry that vouches for it was written.

    The command is given on another host, which has none of these entries in its journal.
    """
    place.ship()
    for name, hit in place.stored().items():
        if entry := erased_entry(hit["_source"]) if is_of(hit["_source"], "42") else None:
            place.client.index(index=hit["_index"], id=name, body=entry)
    place.refresh()
    client = AuditClient(place.settings, client=place.client)
    assert {one.kind for one in verify_stored(client).findings} == {"altered"}
    elsewhere = replace(place, settings=replace(place.settings, journal_dir=str(tmp_path / "elsewhere")))
    assert erase(elsewhere, "--yes").exit_code == 0
    elsewhere.ship()
    assert verify_stored(client).findings == []


@pytest.mark.live
@pytest.mark.soak
def test_the_values_leave_the_files_of_opensearch(place: Corner) -> None:
    """Five of 108 entries: fewer than a tenth, so that a merge of deleted documents leaves the segment alone."""
    place.record(100, principal="7", principal_name="Carol", client_ip="192.0.2.7")
    place.ship()
    [partition] = {hit["_index"] for hit in place.stored().values()}
    place.client.indices.flush(index=partition)
    done = erase(place, "--yes", "--json", "--wait", "120")
    assert (done.exit_code, json.loads(done.stdout)["files_of_the_cluster"]) == (0, {})
    stats = place.client.indices.stats(index=partition, metric="docs")["_all"]["total"]["docs"]
    assert stats == {"count": 108, "deleted": 0}
    settings = place.client.indices.get_settings(index=partition)[partition]["settings"]["index"]
    assert "merge" not in settings
