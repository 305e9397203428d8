"""`whodid key`: keys are made, shown, and rotated, and a private one is never printed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.shipping.test_loop import Cluster, record
from whodid.cli import program
from whodid.journal import JournalDirectory, read_entries
from whodid.journal.lock import ProcessLock
from whodid.proof.keys import read_public_key
from whodid.settings import Settings
from whodid.shipping import Shipper
from whodid.shipping.checkpointing import closed_checkpoints
from whodid.verify.checkpoints import Source, judged


def run(*arguments: object) -> Result:
    return CliRunner().invoke(program, [str(one) for one in arguments])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for name in ("old", "new"):
        assert run("key", "new", tmp_path / f"{name}.pem").exit_code == 0
    return Settings(journal_dir=str(tmp_path / "journal"), signing_key_file=str(tmp_path / "old.pem"))


def rotate(settings: Settings, *options: object) -> Result:
    own = ("--journal-dir", settings.journal_dir, "--signing-key-file", settings.signing_key_file)
    return run("key", "rotate", *options, "--reason", "yearly", *own)


def ship(settings: Settings, *targets: str) -> None:
    record(settings, *targets)
    Shipper(settings, Cluster().send).run_once()


def test_after_a_rotation_either_key_vouches_for_the_whole_log(settings: Settings, tmp_path: Path) -> None:
    ship(settings, "a")
    done = rotate(settings, "--to", tmp_path / "new.pem", "--json")
    assert done.exit_code == 0, done.output
    ship(replace(settings, signing_key_file=str(tmp_path / "new.pem")), "b")
    kept = list(closed_checkpoints(JournalDirectory(settings.journal_dir)))
    assert [one.checkpoint.why for one in kept] == ["begun", "stop", "key", "stop"]
    for name in ("old", "new"):
        keys = [read_public_key(tmp_path / f"{name}.pem.pub")]
        found = judged([Source("here", kept)], keys)
        assert (found.findings, len(found.of(kept[0].checkpoint.journal))) == ([], 4)
    told = json.loads(done.stdout)
    [own] = [entry for entry in read_entries(settings.journal_dir) if entry["type"] == "audit_log_key_rotated"]
    assert own["target"] == told["after"] == read_public_key(tmp_path / "new.pem.pub").id
    assert own["details"] == {name: told[name] for name in ("reason", "before", "after")}


def test_it_says_what_to_do_next_and_no_secret(settings: Settings, tmp_path: Path) -> None:
    ship(settings, "a")
    done = rotate(settings, "--to", tmp_path / "new.pem")
    assert f"configure the new key (signing_key_file = {tmp_path / 'new.pem'}), and start the shipper" in done.output
    secret = (tmp_path / "new.pem").read_text().splitlines()[1]
    assert secret not in done.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "name the new key"),
        (("--to", "{tmp}/old.pem"), "is already the signing key"),
        (("--to", "{tmp}/nowhere.pem"), "nowhere.pem"),
        (("--to", "{tmp}/new.pem", "--to-command", "sign"), "name the new key"),
        (("--to-command", "sign"), "signing_command needs signing_public_key"),
        (("--to", "{tmp}/new.pem", "--signing-key-file", ""), "no signing key is configured"),
        (("--to", "{tmp}/new.pem"), "no checkpoint was closed here yet"),
        (("--to", "{tmp}/new.pem.pub"), "is not an Ed25519 private key"),
    ],
)
def test_what_can_not_be_rotated_says_why(
    settings: Settings, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    (tmp_path / "new.pem.pub").chmod(0o600)
    given = [option.format(tmp=tmp_path) for option in options]
    done = run("key", "rotate", "--journal-dir", settings.journal_dir, "--signing-key-file", settings.signing_key_file,
               "--reason", "yearly", *given)  # fmt: skip
    assert done.exit_code == 1
    assert said in str(done.exception)
    assert not list(closed_checkpoints(JournalDirectory(settings.journal_dir)))
    assert not list(read_entries(settings.journal_dir))


def test_a_shipper_that_runs_has_to_be_stopped_first(settings: Settings, tmp_path: Path) -> None:
    ship(settings, "a")
    lock = ProcessLock(JournalDirectory(settings.journal_dir).ship_lock)
    assert lock.try_acquire()
    try:
        done = rotate(settings, "--to", tmp_path / "new.pem")
        assert "stop that until this is done, or it would continue with the old key" in str(done.exception)
    finally:
        lock.close()


def test_a_key_in_a_kms_takes_over(settings: Settings, tmp_path: Path) -> None:
    ship(settings, "a")
    private = f"load_pem_private_key(open({str(tmp_path / 'new.pem')!r}, 'rb').read(), None)"
    script = f"""import sys
from cryptography.hazmat.primitives.serialization import load_pem_private_key
sys.stdout.buffer.write({private}.sign(sys.stdin.buffer.read()))
"""
    (tmp_path / "sign.py").write_text(script)
    command = f"{sys.executable} {tmp_path / 'sign.py'}"
    done = rotate(settings, "--to-command", command, "--to-public-key", tmp_path / "new.pem.pub")
    assert done.exit_code == 0, done.output
    assert "signing_command, signing_public_key" in done.output
