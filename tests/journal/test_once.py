"""Keys: a call that repeats one within a day finds the first entry, in whatever process, after whatever kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests import independent
from whodid.entry import Stamp
from whodid.errors import JournalFull, NotRecorded
from whodid.files import write_file
from whodid.integrity import Draft
from whodid.journal import Acknowledged, Journal, JournalDirectory, Position, once, prune, read_entries, segment
from whodid.journal.chain import Chain
from whodid.journal.once import Keys
from whodid.journal.segment import Segment

DAY = 86_400


def draft(key: str, second: int = 0, **fields: object) -> Draft:
    date, timestamp = Stamp.from_ns((1_800_000_000 + second) * 10**9)
    keyed = {"once": sha256(key.encode()).hexdigest()[:32]} if key else {}
    entry = {"type": "t", "target": key, "client_ip": "203.0.113.9", "creation_date": date, "@timestamp": timestamp}
    return Draft({**entry, **keyed, **fields}, {"client_ip"})


def place(position: Position) -> tuple[str, int, str]:
    return position[:3]


def targets(path: Path) -> list[str]:
    entries = list(read_entries(path))
    assert independent.problems(sorted(entries, key=lambda entry: (entry["journal"], entry["seq"]))) == []
    return [entry["target"] for entry in entries]


def alarms(path: Path) -> list[str]:
    return [alarm["about"] for alarm in JournalDirectory(path).alarms()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a test reaches."""
    monkeypatch.setattr(once, "_FAR", 3000)
    monkeypatch.setattr(once, "_AT_ONCE", 1500)


def in_child(work: Callable[[], object]) -> int:
    """The signal that ended the child, else its exit code."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


@pytest.mark.parametrize("durability", ["disk", "process"])
def test_a_repeated_key_records_nothing_and_returns_the_first_entry(path: Path, durability: Any) -> None:
    journal = Journal(path)
    first = journal.append(draft("a"), durability)
    journal.append(draft("b"), durability)
    for again in (journal, Journal(path)):
        repeated = again.append(draft("a", 60), durability)
        assert (place(repeated), repeated.line) == (place(first), b"")
    assert targets(path) == ["a", "b"]
    assert alarms(path) == []


def test_a_key_counts_for_a_day_in_either_direction_of_the_clock(path: Path) -> None:
    journal = Journal(path)
    first = journal.append(draft("a"))
    assert journal.append(draft("a", DAY - 1)).seq == journal.append(draft("a", 1 - DAY)).seq == first.seq
    second = journal.append(draft("a", DAY))
    assert second.seq == first.seq + 1
    journal.close_segment()
    assert journal.append(draft("a", DAY + 5)).seq == second.seq  # the last one counts
    assert journal.append(draft("a", -DAY)).seq == second.seq + 1  # the clock was set back: it is recorded


@pytest.mark.parametrize("every", [1, 2000])
def test_a_key_outlives_its_segment_and_the_shipper_that_deletes_it(path: Path, every: int) -> None:
    journal = Journal(path, segment_bytes=every)
    first = [journal.append(draft(str(n))) for n in range(12)]
    journal.close_segment()
    journal.append(draft("last"))
    last = journal.append(draft("really the last"))
    Acknowledged(last.seq, last.hash).write(path / last.journal)
    assert prune(path / last.journal)
    for again in (journal, Journal(path)):
        assert [place(again.append(draft(str(n)))) for n in range(12)] == list(map(place, first))
    assert alarms(path) == []


@pytest.mark.usefixtures("small")
def test_keys_are_found_however_far_the_file_lags_behind(path: Path) -> None:
    writers = [Journal(path, segment_bytes=40_000) for _ in range(3)]
    plain = Journal(path, segment_bytes=40_000)
    first = {}
    for n in range(200):
        first[n] = place(writers[n % 2].append(draft(str(n)), "process"))
        plain.append(draft(""), "process")
        assert place(writers[(n + 1) % 2].append(draft(str(n // 2)), "process")) == first[n // 2]
    for journal in (*writers, Journal(path)):
        assert {n: place(journal.append(draft(str(n)))) for n in range(200)} == first
    assert max(Counter(targets(path)).items(), key=lambda item: item[0] != "" and item[1])[1] == 1
    assert alarms(path) == []


def test_calls_without_a_key_read_and_write_nothing_of_keys(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Keys, "find")
    monkeypatch.delattr(Keys, "_follow")
    journal = Journal(path, segment_bytes=1)
    for _ in range(3):
        journal.append(draft(""))
    assert not (path / "once").exists()


def test_processes_that_race_with_a_key_record_one_entry(path: Path) -> None:
    read, write = os.pipe()

    def race() -> None:
        os.close(write)
        os.read(read, 1)  # until all are there
        journal = Journal(path, segment_bytes=3000)
        places = [place(journal.append(draft(str(n)), "disk" if n % 4 else "process")) for n in range(40)]
        (path.parent / f"{os.getpid()}.json").write_text(json.dumps(places))
        os._exit(0)

    children = []
    for _ in range(4):
        if (child := os.fork()) == 0:
            try:
                race()
            finally:
                os._exit(1)
        children.append(child)
    os.close(read)
    os.close(write)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert sorted(targets(path), key=int) == [str(n) for n in range(40)]
    said = [json.loads(file.read_text()) for file in path.parent.glob("*.json")]
    assert said == [said[0]] * 4


def test_threads_that_race_with_a_key_record_one_entry(path: Path) -> None:
    journal, said = Journal(path), []
    begin = threading.Barrier(8)

    def race() -> None:
        begin.wait()
        said.extend([place(journal.append(draft(str(n)))) for n in range(10)])
        journal.append(draft(""))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(targets(path)) == {**{str(n): 1 for n in range(10)}, "": 8}
    assert len(set(said)) == 10


def test_a_repeated_call_returns_once_the_first_entry_is_on_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "_sync_soon", lambda journal: None)
    before = Journal(path)
    before.append(draft("before"), "process")  # which makes the file of keys, and so syncs
    first = before.append(draft("a"), "process")
    [file] = path.glob("*/[0-9]*.ndjson")

    def on_disk() -> int:
        return int((path / "durable").read_bytes().split()[1] if (path / "durable").stat().st_size else 0)

    assert place(before.append(draft("a"), "process")) == place(first)
    assert on_disk() < file.stat().st_size
    assert place(before.append(draft("a"), "disk")) == place(first)
    assert on_disk() == file.stat().st_size


STEPS: list[tuple[object, str, bool]] = [
    (Segment, "append", True),  # recorded, and nothing else
    (Segment, "sync", False),
    (Keys, "_write", False),
    (once, "write_file", True),
    (Keys, "keep", False),
    (Keys, "keep", True),
    (Segment, "shut", False),
    (Segment, "shut", True),  # no segment is open
    (Chain, "_adopt", False),
]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("nth", [1, 2, 5])
@pytest.mark.parametrize(("owner", "name", "after"), STEPS)
def test_a_kill_at_any_step_forgets_no_entry_and_remembers_none_that_is_not_there(
    path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, after: bool, nth: int
) -> None:
    Journal(path).append(draft("before"))
    real, calls = getattr(owner, name), []

    def killed(*arguments: Any, **keywords: Any) -> Any:
        calls.append(name)
        if len(calls) == nth and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        done = real(*arguments, **keywords)
        if len(calls) == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    def record() -> None:
        monkeypatch.setattr(owner, name, killed)
        journal = Journal(path, segment_bytes=1500)
        for n in range(20):
            journal.append(draft(str(n)))

    assert in_child(record) == signal.SIGKILL
    others = Journal(path, segment_bytes=1500)  # a process that knows of no keys is the next, and ships
    last = [others.append(draft("")) for _ in range(3)][-1]
    Acknowledged(last.seq, last.hash).write(path / last.journal)
    entries = list(read_entries(path))
    found = {entry["target"]: (entry["journal"], entry["seq"], entry["hash"]) for entry in entries if entry["target"]}
    prune(path / last.journal)
    journal = Journal(path, segment_bytes=1500)
    now = {str(n): place(journal.append(draft(str(n)))) for n in range(20)}
    assert {target: now[target] for target in found if target != "before"} == {
        target: where for target, where in found.items() if target != "before"
    }
    new = [target for target in now if target not in found]
    assert [entry["target"] for entry in read_entries(path)][-len(new) :] == new
    assert alarms(path) == []


def test_at_most_so_many_keys_are_known_the_newest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "MOST", 5)
    journal = Journal(path)
    for n in range(9):
        journal.append(draft(str(n)))
    assert len(journal._chain.keys._found) <= 6  # type: ignore[union-attr]  # the last is read at the next call
    assert journal.append(draft("5")).seq == 6
    assert journal.append(draft("3")).seq == 10  # forgotten, so recorded again
    journal.close_segment()
    head, _, records = (path / "once").read_bytes().partition(b"\n")
    assert (json.loads(head)["format"], len(records)) == (1, 5 * 64)
    assert Journal(path).append(draft("8")).seq == 9


def test_the_newest_are_those_that_were_recorded_last(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "MOST", 2)
    journal = Journal(path)
    for key, second in (("a", 0), ("b", 0), ("a", DAY), ("c", DAY)):
        journal.append(draft(key, second))
    assert journal.append(draft("a", DAY)).seq == 3


@pytest.mark.usefixtures("small")
def test_processes_do_not_all_write_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def write(path: Path, content: bytes) -> None:
        written.append(path)
        write_file(path, content)

    monkeypatch.setattr(once, "write_file", write)
    journals = [Journal(path) for _ in range(8)]
    for n in range(160):
        journals[n % 8].append(draft(str(n)), "process")
    [file] = path.glob("*/[0-9]*.ndjson")
    assert 2 < len(written) <= 1 + file.stat().st_size // 3000


@pytest.mark.usefixtures("small", "no_flush")
def test_the_file_says_nothing_that_was_not_synced_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, said = [0], []

    def sync(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)

    def write(_path: Path, content: bytes) -> None:
        said.append(json.loads(content.partition(b"\n")[0])["offset"])
        assert said[-1] == synced[-1]

    monkeypatch.setattr(segment, "datasync", sync)
    monkeypatch.setattr(once, "write_file", write)
    monkeypatch.setattr(Journal, "_sync_soon", lambda journal: None)
    journal = Journal(path)
    for n in range(20):
        journal.append(draft(str(n)), "process")
    journal.close_segment()
    assert len(said) > 3


def test_a_key_is_not_kept_for_longer_than_a_day(path: Path) -> None:
    journal = Journal(path)
    for second in (0, 5, DAY, DAY + 4):
        journal.append(draft(str(second), second))
    journal.close_segment()
    assert len((path / "once").read_bytes().partition(b"\n")[2]) == 3 * 64


def test_the_file_is_private_and_holds_no_key_in_clear(path: Path) -> None:
    journal = Journal(path)
    journal.append(draft("secret"))
    journal.close_segment()
    content = (path / "once").read_bytes()
    assert (path / "once").stat().st_mode & 0o777 == 0o600
    assert len(content.partition(b"\n")[2]) == 64
    assert b"secret" not in content


def other_version(file: Path) -> None:
    head, _, records = file.read_bytes().partition(b"\n")
    file.write_bytes(json.dumps({**json.loads(head), "format": 2}).encode() + b"\n" + records)


def huge(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(1 << 40)


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to(file.with_name("elsewhere"))


def without_offset(file: Path) -> None:
    head, _, records = file.read_bytes().partition(b"\n")
    about = {**json.loads(head), "offset": [1], "segment": int(max(file.parent.glob("*/[0-9]*.ndjson")).stem)}
    file.write_bytes(json.dumps(about).encode() + b"\n" + records)


def one_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def removed(file: Path) -> None:
    file.unlink()


def of_another_user(file: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    os.chown(file, 4321, 4321)


def unreadable(file: Path) -> None:
    file.unlink()
    file.mkdir(0o700)


BAD: list[Callable[[Path], object]] = [
    other_version, huge, pipe, link, without_offset, one_bit, removed, of_another_user, unreadable,
    lambda file: file.write_bytes(b""),
    lambda file: file.write_bytes(b"[]\n"),
    lambda file: file.write_bytes(b"\0" * 5000),
    lambda file: file.write_bytes(file.read_bytes()[:-1]),
    lambda file: file.write_bytes(b"x" * 100),
]  # fmt: skip


@pytest.mark.parametrize("spoil", BAD)
def test_a_file_that_is_lost_or_foreign_forgets_keys_and_stops_no_call(
    path: Path, spoil: Callable[[Path], object]
) -> None:
    journal = Journal(path)
    journal.append(draft("old"))
    journal.close_segment()
    new = journal.append(draft("new"))
    spoil(path / "once")
    other = Journal(path)
    assert place(other.append(draft("new"))) == place(new)
    assert other.append(draft("old")).seq == 3
    assert journal.append(draft("old")).seq == 3
    journal.close_segment()
    assert other.append(draft("later")).seq == 4
    assert [about for about in alarms(path) if "may be recorded again" in about] or spoil is removed
    other.close_segment()
    assert Journal(path).append(draft("later")).seq == 4 or spoil is unreadable


def test_a_file_that_is_removed_while_it_is_in_use_is_alarmed(path: Path) -> None:
    journal = Journal(path, segment_bytes=1)
    journal.append(draft("a"))
    journal.append(draft("b"))
    (path / "once").unlink()
    journal.append(draft("c"))
    [about] = alarms(path)
    assert "No such file" in about
    assert journal.append(draft("c")).seq == 3


@pytest.mark.parametrize("as_long", [False, True])
def test_a_key_of_a_file_that_is_ahead_of_the_segments_is_not_believed(path: Path, as_long: bool) -> None:
    """As after a backup that took the segments first, put back in place: the other files say nothing of it."""
    journal = Journal(path)
    journal.append(draft("a"))
    journal.sync()
    [file] = path.glob("*/[0-9]*.ndjson")
    size, durable = file.stat().st_size, (path / "durable").read_bytes()
    journal.append(draft("lost"))
    journal._exclusively(lambda chain, _: chain.keys.keep(chain.current()), None)
    end = file.stat().st_size
    os.truncate(file, size)
    (path / "durable").write_bytes(durable)
    if as_long:
        target = "x" * (len("lost") + len(',"once":""') + 32)
        assert Journal(path).append(draft("", target=target)).seq == 2
        assert file.stat().st_size == end
    found = Journal(path).append(draft("lost"))
    assert found.seq == 2 + as_long
    assert [target for target in targets(path) if "x" not in target] == ["a", "lost"]
    assert ["state of the journal" in about for about in alarms(path)] == [True]


def test_a_copied_directory_and_a_journal_that_ended_start_without_keys(path: Path, tmp_path: Path) -> None:
    journal = Journal(path)
    first = journal.append(draft("a"))
    journal.close_segment()
    shutil.copytree(path, tmp_path / "copy")
    again = Journal(tmp_path / "copy").append(draft("a"))
    assert again.journal != first.journal
    assert Journal(tmp_path / "copy").append(draft("a")).hash == again.hash
    assert place(journal.append(draft("a"))) == place(first)


@pytest.mark.usefixtures("no_flush")
def test_an_entry_whose_sync_failed_is_not_known(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)
    first = journal.append(draft("before"))

    def failing(_fd: int) -> None:
        raise OSError(5, "the disk failed")

    with monkeypatch.context() as patched:
        patched.setattr(segment, "datasync", failing)
        with pytest.raises(NotRecorded):
            journal.append(draft("a"))
    again = journal.append(draft("a"))
    assert again.journal != first.journal
    assert place(Journal(path).append(draft("a"))) == place(again)


def test_a_call_that_found_no_room_is_not_known(path: Path) -> None:
    tight = Journal(path, max_bytes=1000)
    first = tight.append(draft("a"))
    with pytest.raises(JournalFull):
        tight.append(draft("large", target_name="x" * 900))
    assert place(tight.append(draft("a"))) == place(first)
    assert Journal(path).append(draft("large", target_name="x" * 900)).seq == 2


def test_only_a_whole_entry_of_this_journal_with_a_key_of_its_own_names_one(path: Path) -> None:
    journal = Journal(path)
    key = sha256(b"a").hexdigest()[:32]
    journal.append(draft("", details={"once": key, "more": {"x": 1, "once": key}}))
    journal.append(draft("", once="ab"))
    line = journal.append(draft("a", target="damaged")).line
    journal.append(draft(""))
    moved = Journal(path.with_name("other")).append(draft("a", target="moved")).line
    [file] = path.glob("*/[0-9]*.ndjson")
    file.write_bytes(moved + b"\n" + file.read_bytes().replace(line, line.replace(b"damaged", b"DAMAGED")))
    assert Journal(path).append(draft("a")).seq == 5


def test_a_forked_child_and_its_parent_know_each_others_keys(path: Path) -> None:
    journal = Journal(path)
    first = journal.append(draft("parent"))

    def child() -> None:
        assert place(journal.append(draft("parent"))) == place(first)
        assert journal.append(draft("child")).seq == 2

    assert in_child(child) == 0
    assert journal.append(draft("child")).seq == 2


def test_a_process_without_calls_with_a_key_keeps_those_of_others_when_it_closes_a_segment(path: Path) -> None:
    first = Journal(path).append(draft("a"))
    other = Journal(path, segment_bytes=1)
    for _ in range(3):
        other.append(draft(""))
    assert other._chain.keys._found == {}  # type: ignore[union-attr]  # it needs no memory for them
    assert place(Journal(path).append(draft("a"))) == place(first)


def test_a_full_disk_forgets_keys_rather_than_stop_recording(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _content: bytes) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(once, "write_file", full)
    journal = Journal(path, segment_bytes=1)
    first = journal.append(draft("a"))
    assert place(journal.append(draft("a"))) == place(first)
    journal.append(draft("b"))
    assert journal.append(draft("a")).seq == 3
    assert any("no space left" in about for about in alarms(path))
