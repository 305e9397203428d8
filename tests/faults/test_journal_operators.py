"""Copies, clocks, stopped processes, and what operators do to a journal by hand: alarmed, and recording goes on."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir

import pytest

from tests.faults.test_journal_full_disk import dated, mounted
from tests.journal.test_writer import alarms, draft, segment_of, targets
from whodid.cluster.bulk import Document, Verdict
from whodid.entry import document_id
from whodid.errors import JournalDamaged, JournalLocked, NotRecorded
from whodid.journal import Acknowledged, Journal, JournalDirectory, prune, read_entries
from whodid.journal.directory import count_not_recorded, not_recorded
from whodid.settings import Settings
from whodid.shipping import Shipper
from whodid.shipping.dead_letters import DeadLetter, keep_dead_letters
from whodid.shipping.status import directory_status

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc and mounts")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


class Cluster:
    """What a cluster would hold, by document ID."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    def send(self, documents: Sequence[Document]) -> list[Verdict]:
        for document in documents:
            assert self.stored.setdefault(document.id, document.raw) == document.raw, "overwritten"
        return [Verdict("stored")] * len(documents)

    def ship(self, path: Path) -> None:
        Shipper(Settings(journal_dir=str(path)), self.send).run_once()


def record(path: Path, *names: str, segment_bytes: int = 1 << 20) -> list[str]:
    """The document IDs of new entries."""
    journal = Journal(path, segment_bytes=segment_bytes)
    made = [journal.append(dated(name)) for name in names]
    journal.close()
    return [document_id(position.journal, position.seq, position.hash) for position in made]


def test_a_snapshot_that_was_copied_back_is_alarmed_and_both_branches_are_shipped(path: Path, tmp_path: Path) -> None:
    cluster = Cluster()
    ids = record(path, "1", "2")
    cluster.ship(path)
    shutil.copytree(path, tmp_path / "snapshot")
    ids += record(path, "3", "4")
    cluster.ship(path)
    shutil.rmtree(path)
    shutil.copytree(tmp_path / "snapshot", path)
    ids += record(path, "3 again", "4 again")
    cluster.ship(path)
    assert sorted(cluster.stored) == sorted(ids)
    assert "new journal" in alarms(path)
    assert any("copy" in problem for problem in directory_status(str(path)).problems)


def test_a_rolled_back_volume_uses_a_number_twice_and_neither_entry_hides_the_other(path: Path) -> None:
    """A snapshot of the whole volume keeps the inodes: nothing here can tell. The IDs do, and `whodid verify`."""
    cluster = Cluster()
    ids = record(path, "1", "2")
    cluster.ship(path)
    kept = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    ids += record(path, "3", "4")
    cluster.ship(path)
    for file, content in kept.items():
        file.write_bytes(content)
    ids += record(path, "3 again")
    cluster.ship(path)
    assert sorted(cluster.stored) == sorted(ids)
    assert len({id_.rsplit("-", 1)[0] for id_ in ids}) == len(ids) - 1


def test_only_the_segments_rolled_back_is_noticed_by_the_position(path: Path) -> None:
    cluster = Cluster()
    ids = record(path, "1", "2")
    segment, kept = segment_of(path), segment_of(path).read_bytes()
    ids += record(path, "3")
    cluster.ship(path)
    segment.write_bytes(kept)
    (path / "durable").unlink()  # which would tell as well
    ids += record(path, "3 again")
    cluster.ship(path)
    assert sorted(cluster.stored) == sorted(ids)
    assert alarms(path) == ["new journal"]


def test_a_directory_moved_on_its_file_system_goes_on_and_one_copied_to_another_starts_anew(
    path: Path, tmp_path: Path
) -> None:
    record(path, "1")
    path.rename(tmp_path / "moved")
    record(tmp_path / "moved", "2")
    assert targets(tmp_path / "moved") == ["1", "2"]
    assert alarms(tmp_path / "moved") == []
    shutil.copytree(tmp_path / "moved", tmp_path / "restored", copy_function=shutil.copy2)
    record(tmp_path / "restored", "3")
    assert sorted(targets(tmp_path / "restored")) == ["1", "2", "3"]
    assert alarms(tmp_path / "restored") == ["new journal"]


@pytest.mark.parametrize("years", [-1, 1])
def test_a_clock_that_jumps_by_a_year_stops_neither_recording_nor_shipping(
    path: Path, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    journal, cluster = Journal(path, segment_bytes=1000), Cluster()
    for number in range(6):
        journal.append(dated(f"{number}"))
    jumped = time.time() + years * 365 * 86400
    monkeypatch.setattr("time.time", lambda: jumped)
    monkeypatch.setattr("time.time_ns", lambda: int(jumped * 1e9))
    for number in range(6, 12):
        journal.append(dated(f"{number}"))
    cluster.ship(path)
    assert len(cluster.stored) == 12
    assert alarms(path) == []


def test_a_segment_written_while_the_clock_was_ahead_is_kept_no_longer_than_those_after_it(path: Path) -> None:
    journal = Journal(path, segment_bytes=1)
    positions = [journal.append(draft(f"{n}")) for n in range(5)]
    directory = path / positions[0].journal
    first, second, *_ = sorted(directory.glob("[0-9]*.ndjson"))
    ahead = time.time() + 365 * 86400
    os.utime(first, (ahead, ahead))
    Acknowledged(5, positions[-1].hash).write(directory)
    assert prune(directory, keep_days=3) == []
    assert prune(directory, keep_days=3, now=time.time() + 4 * 86400)[:2] == [first, second]


_HOLDER = """
import sys
from pathlib import Path
from tempfile import gettempdir
from whodid.journal.lock import FileLock
lock = FileLock(Path(sys.argv[1]))
lock.acquire(5)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def stopped_holder(lock: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that took a lock, and was stopped (SIGSTOP)."""
    command = [sys.executable, "-c", _HOLDER, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGSTOP)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.communicate("", timeout=30)


@linux
@pytest.mark.timeout(60)
def test_a_process_stopped_while_it_holds_the_lock_is_named_and_the_others_go_on_after_it(path: Path) -> None:
    journal = Journal(path, lock_timeout=0.2)
    journal.append(draft("before"))
    with stopped_holder(path / "lock") as holder, pytest.raises(JournalLocked, match=f"process {holder.pid}"):
        journal.append(draft("meanwhile"))
    journal.append(draft("after"))
    assert targets(path) == ["before", "after"]


@linux
@pytest.mark.timeout(60)
def test_a_process_stopped_while_it_holds_the_durable_mark_or_the_counter_stops_nobody(path: Path) -> None:
    journal, other = Journal(path), Journal(path)
    journal.append(draft("before"))
    with stopped_holder(path / "durable"):
        journal.append(draft("a"))
        other.append(draft("b"))
    with stopped_holder(path / "not-recorded"):
        count_not_recorded(path)
    assert targets(path) == ["before", "a", "b"]
    assert not_recorded(path) == 1


def remount(how: str, path: Path) -> None:
    subprocess.run([str(shutil.which("mount")), "-o", f"remount,{how}", path], check=True)


@linux
def test_a_directory_on_a_read_only_file_system_is_an_error_that_says_so_and_can_still_be_read(path: Path) -> None:
    with mounted(path, "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"):
        record(path, "before")
        remount("ro", path)
        journal = Journal(path)
        with pytest.raises(NotRecorded, match="Read-only file system"):
            journal.append(draft())
        assert directory_status(str(path)).backlog == 1
        remount("rw", path)
        journal.append(draft("after"))
        assert targets(path) == ["before", "after"]


_AS_NOBODY = """
import os, sys
from whodid.errors import WhodidError
from whodid.integrity import Draft
from whodid.journal import Journal
os.setgid(65534); os.setuid(65534)
try:
    Journal(sys.argv[1]).append(Draft({"type": "t"}))
except WhodidError as error:
    print(error)
"""


def let_others_in(path: Path) -> None:
    for folder in path.parents:
        if folder.owner() == "root" and folder != Path(gettempdir()):
            folder.chmod(folder.stat().st_mode | 0o011)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_told_whose_directory_it_is(path: Path) -> None:
    record(path, "before")
    let_others_in(path)
    done = subprocess.run([sys.executable, "-c", _AS_NOBODY, path], capture_output=True, text=True)
    assert done.stderr == ""
    assert "user" in done.stdout


@pytest.fixture
def of_a_service(path: Path) -> Path:
    """A journal directory that was made by another user, who may reach it."""
    let_others_in(path)
    path.mkdir(0o700)
    os.chown(path, 65534, 65534)
    as_nobody(path)
    return path


def as_nobody(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _AS_NOBODY, path], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_what_root_creates_in_the_directory_of_a_service_belongs_to_the_service(of_a_service: Path) -> None:
    path = of_a_service
    for name in ("lock", "durable", "not-recorded"):
        (path / name).unlink()
    record(path, "1", "2", segment_bytes=1)
    Cluster().ship(path)
    Journal(path).quarantine({"x": 1})
    count_not_recorded(path)
    with segment_of(path).open("ab") as file:
        file.write(b"half")
    record(path, "3")  # a torn tail, and its alarm
    with segment_of(path).open("ab") as file:
        file.write(b"{}\n")
    record(path, "4")  # a new journal
    assert {file.stat().st_uid for file in path.rglob("*")} == {65534}
    held = len(list(read_entries(path)))
    as_nobody(path)
    assert len(list(read_entries(path))) == held + 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_file_with_another_name_elsewhere_is_not_given_to_the_owner_of_the_directory(
    of_a_service: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.touch(0o600)
    (of_a_service / "not-recorded").unlink()
    os.link(secret, of_a_service / "not-recorded")
    count_not_recorded(of_a_service)
    assert secret.stat().st_uid == 0


def test_a_segment_edited_in_the_middle_is_quarantined_and_counted_and_the_chain_goes_on(path: Path) -> None:
    cluster = Cluster()
    ids = record(path, "1", "2", "3")
    segment = segment_of(path)
    segment.write_bytes(segment.read_bytes().replace(b'"target":"2"', b'"target":"9"'))
    ids += record(path, "4")
    cluster.ship(path)
    assert sorted(cluster.stored) == sorted([ids[0], *ids[2:]])
    assert directory_status(str(path)).damaged == 1


def test_a_segment_cut_by_hand_ends_its_journal(path: Path) -> None:
    record(path, "1", "2", "3")
    segment = segment_of(path)
    os.truncate(segment, len(segment.read_bytes().splitlines(keepends=True)[0]))
    record(path, "4")
    assert sorted(targets(path)) == ["1", "4"]
    assert alarms(path) == ["new journal"]


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_segments_removed_by_hand_before_they_were_shipped_end_their_journal(path: Path, kept: int) -> None:
    record(path, "1", "2", "3", segment_bytes=1)
    for segment in sorted(path.glob("*/[0-9]*.ndjson"))[kept:]:
        segment.unlink()
    record(path, "4")
    assert sorted(targets(path)) == [*"12"[:kept], "4"]
    assert alarms(path) == ["new journal"]


SMALL_FILES = ["current", "lock", "durable", "not-recorded", "rejected.ndjson"]


@pytest.mark.parametrize("name", [*SMALL_FILES, "*/journal.json", "*/acknowledged", "*/[0-9]*.ndjson"])
def test_a_link_in_the_place_of_a_file_is_refused_and_named_or_left_alone(
    path: Path, tmp_path: Path, name: str
) -> None:
    record(path, "before")
    outside = tmp_path / "outside"
    file = next(path.glob(name), path / name)
    outside.write_bytes(before := file.read_bytes() if file.exists() else b"outside")
    file.unlink(missing_ok=True)
    file.symlink_to(outside)
    journal = Journal(path)
    if name in ("not-recorded", "rejected.ndjson"):
        count_not_recorded(path)
        if name == "rejected.ndjson":
            with pytest.raises(JournalDamaged, match="symbolic link"):
                journal.quarantine({"x": 1})
    else:
        with pytest.raises(JournalDamaged, match=f"{file.name} is a symbolic link"):
            journal.append(draft("refused"))
    assert outside.read_bytes() == before
    file.unlink()


@pytest.mark.parametrize(
    "put", [lambda path: os.mkfifo(path, 0o600), lambda path: path.symlink_to("elsewhere")], ids=["pipe", "link"]
)
@pytest.mark.parametrize("name", ["not-recorded", "alarms.ndjson"])
def test_an_untrusted_file_for_counts_or_alarms_stops_no_recording(
    path: Path, name: str, put: Callable[[Path], None]
) -> None:
    record(path, "before")
    (path / name).unlink(missing_ok=True)
    put(path / name)
    journal = Journal(path)
    journal.append(draft("a"))
    segment_of(path).rename(path / "moved")
    for target in "bc":
        journal.append(draft(target))
    shutil.move(next(path.glob("*/journal.json")).parent, path / "gone")
    journal.append(draft("d"))
    count_not_recorded(path)
    assert {"b", "c", "d"} <= set(targets(path))
    with pytest.raises(JournalDamaged, match=name):
        directory_status(str(path))


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o177, 0o277, 0o777])
def test_whatever_the_umask_the_owner_and_nobody_else_may_use_what_is_made(path: Path, mask: int) -> None:
    path = path / "below" / "journal"
    before = os.umask(mask)
    try:
        record(path, "a", "b", segment_bytes=1)
        Journal(path).quarantine({"x": 1})
        Cluster().ship(path)
        keep_dead_letters(JournalDirectory(path), [DeadLetter("id", "index", "reason", "{}")])
        segment_of(path).rename(path / "moved")
        record(path, "c")
    finally:
        os.umask(before)
    modes = {file: stat.S_IMODE(file.stat().st_mode) for file in path.rglob("*")}
    assert {modes.pop(file) for file in list(modes) if file.is_dir()} == {0o700}
    assert {modes.pop(segment) for segment in path.glob("*/[0-9]*.ndjson")} <= {0o600, 0o400}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o777 & ~mask | 0o700


@linux
def test_calls_that_are_refused_again_and_again_leave_no_descriptor_open(path: Path, tmp_path: Path) -> None:
    record(path, "before")
    (path / "durable").unlink()
    (path / "durable").symlink_to(tmp_path / "elsewhere")
    journal = Journal(path)
    gc.collect()  # what other tests left, so that it isn't collected in between
    counts = []
    for _ in range(10):
        with pytest.raises(JournalDamaged):
            journal.append(draft("refused"))
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert counts[-1] <= counts[0]


@pytest.mark.parametrize("name", [".", "current"])
def test_what_others_may_read_is_warned_of_once_and_shown_by_status(path: Path, name: str) -> None:
    record(path, "before")
    (path / name).chmod(0o755)
    journal = Journal(path)
    with pytest.warns(UserWarning, match="accessible to other users"):
        journal.append(draft("a"))
    journal.append(draft("b"))
    journal.close()
    journal.append(draft("c"))
    assert targets(path) == ["before", "a", "b", "c"]
    [problem] = directory_status(str(path)).problems
    assert "chmod go=" in problem


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE])
@pytest.mark.parametrize("name", ["listdir", "stat"])
def test_a_directory_that_can_not_be_looked_at_for_a_moment_is_not_taken_for_empty(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    record(path, "before")
    real = getattr(os, name)

    def failing(place: str | Path | int, **options: bool) -> object:
        if str(place).startswith(str(path)):
            raise OSError(number, os.strerror(number), str(place))
        return real(place, **options)

    journal, cluster = Journal(path), Cluster()
    with monkeypatch.context() as patched:
        patched.setattr(os, name, failing)
        with pytest.raises(NotRecorded, match=os.strerror(number)):
            journal.append(draft("refused"))
        with pytest.raises(OSError, match=os.strerror(number)):
            cluster.ship(path)
        with pytest.raises(OSError, match=os.strerror(number)):
            directory_status(str(path))
    journal.append(draft("after"))
    assert targets(path) == ["before", "after"]
    assert alarms(path) == []


def test_a_marker_that_can_not_be_read_for_a_moment_ends_no_journal(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a process has too many files open."""
    record(path, "before")
    real = os.open

    def no_marker(name: str | Path, *arguments: int) -> int:
        if str(name).endswith("journal.json"):
            raise OSError(24, "Too many open files")
        return real(name, *arguments)

    journal = Journal(path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", no_marker)
        with pytest.raises(NotRecorded, match="Too many open files"):
            journal.append(draft("refused"))
    journal.append(draft("after"))
    assert targets(path) == ["before", "after"]
    assert alarms(path) == []
