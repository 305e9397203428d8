"""What the doctor finds on this host: disk, journal directory, shipping, clock, settings, secrets, versions."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.doctor.examined import examined, worst
from tests.faults.test_journal_full_disk import mounted
from tests.live.corner import eventually
from whodid.doctor import versions
from whodid.doctor.journal import Mount, mount_of
from whodid.files import append_line
from whodid.integrity import Draft
from whodid.journal import Acknowledged, Journal, JournalDirectory
from whodid.journal.damage import keep_damaged, keep_missing
from whodid.journal.directory import count_not_recorded
from whodid.journal.reader import Damaged, Missing
from whodid.settings import Settings
from whodid.shipping.dead_letters import DeadLetter, keep_dead_letters

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc and mounts")
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount, and give files away")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def record(path: Path, count: int = 1, ago: timedelta = timedelta(0), **fields: Any) -> Path:
    """Entries of some time ago; returns the directory of their journal."""
    at = (datetime.now(UTC) - ago).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    journal = Journal(path)
    for _ in range(count):
        journal.append(Draft({"type": "t", "@timestamp": at, **fields}))
    journal.close()
    directory = JournalDirectory(path)
    return directory.journal(str(directory.current()))


def here(path: Path, *only: str, **settings: Any) -> list[tuple[str, str]]:
    return worst(examined(Settings(journal_dir=str(path), **settings), *only))


@contextmanager
def shipping(path: Path) -> Iterator[None]:
    """This process holds the shipper's lock."""
    with (path / "ship.lock").open("w") as file:
        (path / "ship.lock").chmod(0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_a_journal_that_is_well_has_no_findings(path: Path) -> None:
    record(path)
    with shipping(path):
        found = examined(Settings(journal_dir=str(path)), "disk", "journal", "shipping", "settings", "secrets")
    assert worst(tuple(one for one in found if not one.what.startswith("is in "))) == []
    assert {one.area for one in found} >= {"disk", "journal", "shipping"}


def test_the_doctor_leaves_everything_as_it_was(path: Path) -> None:
    def state() -> dict[Path, tuple[int, int, bytes]]:
        return {
            one: (one.stat().st_mtime_ns, one.stat().st_mode, one.read_bytes() if one.is_file() else b"")
            for one in (path, *path.rglob("*"))
        }

    record(path, 3)
    before = state()
    examined(Settings(journal_dir=str(path), opensearch_hosts=("http://127.0.0.1:1",)))
    assert state() == before
    examined(Settings(journal_dir=str(path.with_name("nowhere")), opensearch_hosts=("http://127.0.0.1:1",)))
    assert not path.with_name("nowhere").exists()


def test_no_journal_is_a_warning_and_one_that_can_not_be_made_a_problem(path: Path) -> None:
    assert ("warning", "does not exist yet") in here(path, "journal")
    path.write_text("")
    assert any(
        "is a file; set it to a directory" in what for severity, what in here(path, "journal") if severity == "problem"
    )


def test_what_others_may_get_at_is_a_problem(path: Path) -> None:
    journal = record(path)
    path.chmod(0o755)
    (journal / "acknowledged").chmod(0o640)
    found = examined(Settings(journal_dir=str(path)), "journal")
    assert [(one.on, one.advice) for one in found if "accessible to other users" in one.what] == [
        (str(path), f"chmod go= {path}"),
        (str(journal / "acknowledged"), f"chmod go= {journal / 'acknowledged'}"),
    ]


def test_a_link_in_the_place_of_a_file_is_a_problem(path: Path) -> None:
    journal = record(path)
    (path / "alarms.ndjson").symlink_to(path.with_name("elsewhere"))
    segment = max(journal.glob("0*.ndjson"))
    segment.rename(segment.with_suffix(".real"))
    segment.symlink_to(segment.with_suffix(".real"))
    linked = {one.on for one in examined(Settings(journal_dir=str(path)), "journal") if "symbolic link; " in one.what}
    assert {str(path / "alarms.ndjson"), str(segment)} <= linked


@root
def test_files_that_a_command_of_root_left_behind_are_a_problem(path: Path) -> None:
    record(path)
    os.chown(path, 65534, 65534)
    found = [one for one in examined(Settings(journal_dir=str(path)), "journal") if "the directory to" in one.what]
    assert str(path / "current") in {one.on for one in found}
    assert all(one.severity == "problem" and one.advice.startswith("chown ") for one in found)


_AS_NOBODY = """
import os, sys
import whodid.cli.doctor, whodid.doctor
from whodid.cli import run
os.setgid(65534); os.setuid(65534)
run(["doctor", "--journal-dir", sys.argv[1], "--only", "journal", "--only", "shipping", "--only", "disk"])
"""


@root
def test_another_user_is_told_whose_directory_it_is(path: Path) -> None:
    record(path)
    for folder in path.parents[:-2]:  # all below the folder of all temporary files
        folder.chmod(folder.stat().st_mode | 0o011)
    done = subprocess.run([sys.executable, "-c", _AS_NOBODY, path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    assert "belongs to root, but this user is " in done.stdout


@linux
@root
def test_a_journal_in_memory_and_one_that_can_not_be_written_to_are_told(path: Path) -> None:
    with mounted(path, "-t", "tmpfs", "-o", "size=1m,nr_inodes=60,mode=700", "tmpfs"):
        record(path)
        assert (
            "warning",
            "is in memory (tmpfs): unshipped entries are lost when the host or the pod restarts",
        ) in here(path, "journal")
        full = here(path, "disk")
        assert any(severity == "problem" and "the disk is nearly full" in what for severity, what in full)
        assert any(severity == "warning" and "inodes left" in what for severity, what in full)
        subprocess.run([str(shutil.which("mount")), "-o", "remount,ro", path], check=True)
        assert ("problem", "the file system is read-only: nothing can be recorded") in here(path, "journal")


MOUNTINFO = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /srv/with\040space rw,relatime - nfs4 server:/export rw,vers=4.2
31 22 0:41 / /srv/with\040space/local ro,noatime - xfs /dev/sdb rw
32 22 0:42 / /app rw - overlay overlay rw,lowerdir=/x
33 22 0:43 / /dev/shm rw - tmpfs tmpfs rw
34 22 0:44 / /home/me rw - fuse.sshfs me@host: rw
"""


@pytest.mark.parametrize(
    ("place", "mount", "loses"),
    [
        ("/var/lib/app", Mount("/", "ext4", False), ""),
        ("/srv/with space/journal", Mount("/srv/with space", "nfs4", False), "network"),
        ("/srv/with space/local/journal", Mount("/srv/with space/local", "xfs", True), ""),
        ("/app/journal", Mount("/app", "overlay", False), "container"),
        ("/application", Mount("/", "ext4", False), ""),
        ("/dev/shm/journal", Mount("/dev/shm", "tmpfs", False), "memory"),
        ("/home/me/journal", Mount("/home/me", "fuse.sshfs", False), "network"),
    ],
)
def test_the_mount_of_a_path_says_what_is_lost_with_it(place: str, mount: Mount, loses: str) -> None:
    found = mount_of(Path(place), MOUNTINFO)
    assert found == mount
    assert loses in found.loses
    assert bool(loses) == bool(found.loses)


def test_a_journal_on_a_network_file_system_is_a_warning(path: Path, tmp_path: Path) -> None:
    record(path)
    (tmp_path / "mountinfo").write_text(f"1 0 0:1 / {tmp_path.resolve()} rw - nfs4 server:/x rw\n")
    found = examined(Settings(journal_dir=str(path)), "journal", mountinfo=tmp_path / "mountinfo")
    assert [severity for severity, what in worst(found) if "network or user-space" in what] == ["warning"]


def test_space_is_told_beside_the_rate_at_which_the_journal_grows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = max(record(path, 20).glob("0*.ndjson"))
    first = datetime.fromisoformat(json.loads(segment.read_bytes().splitlines()[0])["@timestamp"]).timestamp()
    os.utime(segment, (first + 100, first + 100))
    free = 20 * segment.stat().st_size  # is 2000 s at this rate

    def statvfs(place: object) -> os.statvfs_result:
        return os.statvfs_result((4096, 1, 1, free, free, 0, 0, 0, 0, 255))

    monkeypatch.setattr("whodid.doctor.journal.os.statvfs", statvfs)
    [(severity, what)] = here(path, "disk", segment_bytes=1000)
    assert severity == "warning"
    assert "33 minutes" in what


def test_max_bytes_that_are_nearly_used_are_a_warning_and_all_a_problem(path: Path) -> None:
    record(path, 20, details={"a": "x" * 20_000})
    size = sum(one.stat().st_size for one in path.glob("*/0*.ndjson"))
    assert here(path, "disk", max_bytes=int(size / 0.9) + 65536)[-1:] == []
    [(severity, what)] = here(path, "disk", max_bytes=size + 1)
    assert (severity, "calls fail" in what) == ("problem", True)
    [(severity, _)] = here(path, "disk", max_bytes=size + 65537)
    assert severity == "warning"


def test_what_waits_without_a_shipper_is_a_problem(path: Path) -> None:
    journal = record(path, 3, ago=timedelta(hours=2))
    found = here(path, "shipping")
    assert ("problem", "no shipper is running: 3 entries are waiting") in found
    assert any(what.startswith("3 entries are waiting to be shipped, the oldest for 7,2") for _, what in found)
    with shipping(path):
        assert [severity for severity, _ in here(path, "shipping")] == ["problem"]
    last = json.loads(max(journal.glob("0*.ndjson")).read_bytes().splitlines()[-1])
    Acknowledged(3, last["hash"]).write(journal)
    assert here(path, "shipping") == [("warning", "no shipper is running: new entries will wait")]
    with shipping(path):
        assert here(path, "shipping") == []


def test_what_waits_for_minutes_is_a_warning(path: Path) -> None:
    record(path, 3, ago=timedelta(minutes=10))
    with shipping(path):
        assert [severity for severity, _ in here(path, "shipping")] == ["warning"]


def test_dead_letters_damage_alarms_and_lost_calls_are_told_each_with_its_advice(path: Path) -> None:
    journal = record(path)
    directory = JournalDirectory(path)
    keep_dead_letters(directory, [DeadLetter("j-1-h", "i", "mapping", "{}")])
    keep_damaged(directory, [Damaged(journal / "00000000000000000001.ndjson", 9, b"x", "hash")])
    keep_missing(directory, [Missing(journal.name, 7, 9)])
    directory.alarm("new journal", "a copy")
    directory.alarm("new journal", "another copy")
    append_line(directory.rejected, b"{}")
    count_not_recorded(path)
    found = examined(Settings(journal_dir=str(path)), "journal", "shipping")
    told = {what.split(",")[0] for _, what in worst(found)}
    assert {
        "1 dead letters: entries that OpenSearch rejected",
        "1 damaged lines: manipulation",
        f"entries 7 to 9 of journal {journal.name}: missing",
        "1 calls violated the catalog and were not recorded",
        "1 calls were not recorded (on_failure = warn)",
        "2 × new journal",
    } <= told
    assert len({one.advice for one in found if one.severity != "ok"}) >= 6


@linux
def test_a_stopped_process_that_holds_the_lock_is_named(path: Path) -> None:
    record(path)
    script = (
        "import fcntl,sys,time; f=open(sys.argv[1]); fcntl.flock(f,fcntl.LOCK_EX); print(1,flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, path / "lock"], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout
            holder.stdout.readline()
            holder.send_signal(signal.SIGSTOP)
            eventually(lambda: f"process {holder.pid} (" in str(here(path, "journal")))
            assert [severity for severity, what in here(path, "journal") if "which is suspended" in what] == ["problem"]
        finally:
            holder.kill()


def test_entries_from_the_future_are_told(path: Path) -> None:
    record(path, ago=timedelta(minutes=-10))
    [(severity, what)] = here(path, "clock", opensearch_hosts=("http://127.0.0.1:1",))[:1]
    assert (severity, "the clock was set back" in what) == ("warning", True)
    record(path, ago=timedelta(days=-3))
    [(severity, what)] = here(path, "clock", opensearch_hosts=("http://127.0.0.1:1",))[:1]
    assert (severity, "they become dead letters" in what) == ("problem", True)


def test_a_directory_of_a_newer_version_is_a_problem(path: Path) -> None:
    record(path)
    current = json.loads((path / "current").read_text())
    (path / "current").write_text(json.dumps({**current, "format": 99}))
    found = examined(Settings(journal_dir=str(path)), "journal", "shipping", "disk", "versions")
    assert {one.area for one in found if "newer whodid" in one.what and one.severity == "problem"} >= {
        "versions",
        "journal",
    }


def test_libraries_that_are_too_old_are_named() -> None:
    assert [name for name, _, _ in versions.too_old(["click>=999; extra == 'cli'", "orjson>=1.0", "not-there>=1"])] == [
        "click"
    ]


def test_unknown_variables_are_told_with_what_was_meant(path: Path) -> None:
    environ = {"WHODID_JOURNAL_DIRS": "x", "WHODID_PORT_80_TCP": "x", "WHODID_SERVICE": "shop"}
    found = examined(Settings(journal_dir=str(path)), "settings", environ=environ)
    assert [(one.severity, one.on) for one in found] == [
        ("warning", "WHODID_JOURNAL_DIRS"),
        ("warning", "WHODID_PORT_80_TCP"),
    ]
    assert "journal_dir" in found[0].what


def test_secrets_that_others_may_read_are_problems_and_their_values_are_never_told(tmp_path: Path) -> None:
    password, key, config = tmp_path / "password", tmp_path / "key", tmp_path / "whodid.toml"
    password.write_text("Top-Secret-1")
    password.chmod(0o644)
    key.write_text("")
    key.chmod(0o600)
    files = Settings(opensearch_user="u", opensearch_password_file=str(password), hash_key_file=str(key))
    assert worst(examined(files, "secrets")) == [
        ("problem", "opensearch_password_file is accessible to other users (mode 0644)"),
        ("problem", "hash_key_file is empty"),
    ]
    password.unlink()
    assert worst(examined(files, "secrets"))[0] == (
        "problem",
        f"opensearch_password_file can't be read: {os.strerror(errno.ENOENT)}",
    )
    given = Settings(opensearch_user="u", opensearch_password="Top-Secret-1")
    found = examined(given, "secrets", environ={"WHODID_OPENSEARCH_PASSWORD": "Top-Secret-1"})
    assert [(one.severity, one.on) for one in found] == [("warning", "WHODID_OPENSEARCH_PASSWORD")]
    config.write_text("")
    config.chmod(0o644)
    assert [severity for severity, _ in worst(examined(given, "secrets", config_file=str(config)))] == ["problem"]
    config.chmod(0o600)
    assert [severity for severity, _ in worst(examined(given, "secrets", config_file=str(config)))] == ["warning"]
    assert "Top-Secret" not in str((found, examined(given, "secrets", config_file=str(config))))
