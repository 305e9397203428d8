"""Entries that are gone from the journal before they were shipped: kept, alarmed, and shipped once they are back."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.live.corner import eventually
from tests.shipping.test_loop import Cluster, acknowledged, numbered, record, target
from whodid.administration.sources import local_journals
from whodid.cli.program import program
from whodid.cluster.bulk import STORED, Verdict
from whodid.errors import WhodidError
from whodid.integrity import Draft
from whodid.journal import Journal, JournalDirectory, JournalReader, Line, Missing, prune
from whodid.journal.chain import begin_journal, forget_journal
from whodid.journal.damage import count_damaged, gone_journals, read_missing
from whodid.settings import Settings
from whodid.shipping import Progress, Shipper
from whodid.shipping.checkpointing import Checkpointing
from whodid.shipping.status import directory_status


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(journal_dir=str(tmp_path / "journal"), poll_interval=0.02, segment_bytes=1000)


@pytest.fixture
def place(settings: Settings) -> Path:
    """The directory of a journal of twelve entries in several segments."""
    return Path(settings.journal_dir) / record(settings, *numbered(12))[0].journal


def draft() -> Draft:
    return Draft({"type": "t", "target": "more", "creation_date": "2026-11-23T08:00:00Z"})


def files(place: Path) -> list[Path]:
    return sorted(place.glob("[0-9]*.ndjson"))


def held(segment: Path) -> tuple[int, int]:
    """The numbers of the first and the last entry in a segment."""
    seqs = [json.loads(line)["seq"] for line in segment.read_bytes().splitlines()]
    return seqs[0], seqs[-1]


def directory(settings: Settings) -> JournalDirectory:
    return JournalDirectory(settings.journal_dir)


def alarmed(settings: Settings) -> list[str]:
    return [alarm["about"] for alarm in directory(settings).alarms() if alarm["alarm"] == "missing entries"]


def without(seqs: tuple[int, int], count: int = 12) -> list[str]:
    return [name for number, name in enumerate(numbered(count), 1) if not seqs[0] <= number <= seqs[1]]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_segment_that_was_deleted_is_kept_in_mind_and_the_others_are_shipped(
    settings: Settings, place: Path, number: int
) -> None:
    first, last = held(files(place)[number])
    files(place)[number].unlink()
    assert [text.split(":")[0] for text in directory_status(settings.journal_dir).missing] == [
        f"entries {first} to {last} of journal {place.name}"
    ]
    cluster = Cluster()
    gone = last - first + 1
    assert Shipper(settings, cluster.send).run_once() == Progress(shipped=12 - gone, missing=gone)
    assert sorted(cluster.seen) == without((first, last))
    assert read_missing(directory(settings)) == [Missing(place.name, first, last)]
    assert Shipper(settings, cluster.send).run_once() == Progress()
    [alarm] = alarmed(settings)
    assert alarm.startswith(f"entries {first} to {last} of journal {place.name}: missing, and not shipped")
    assert acknowledged(settings, place.name) == 12
    assert len(directory_status(settings.journal_dir).missing) == 1


@pytest.mark.parametrize(
    "rename",
    [
        lambda path: path.rename(f"{path}.1"),
        lambda path: path.rename(path.with_name("old")),
        lambda path: path.rename(path.with_name(f"{path.stem}-old.ndjson")),
        lambda path: path.rename(path.parent.parent / path.name),
    ],
)
def test_a_segment_that_was_renamed_is_named_and_shipped_once_when_it_is_back(
    settings: Settings, place: Path, rename: Callable[[Path], Path]
) -> None:
    segment = files(place)[1]
    first, last = held(segment)
    moved = rename(segment)
    cluster = Cluster()
    Shipper(settings, cluster.send).run_once()
    [alarm] = alarmed(settings)
    assert f"found in {moved}: move it back to {segment}, and run `whodid ship`" in alarm
    moved.rename(segment).chmod(0o600)  # as a copy would be
    assert "found again, but not shipped" in directory_status(settings.journal_dir).missing[0]
    assert Shipper(settings, cluster.send).run_once() == Progress(shipped=last - first + 1)
    assert sorted(cluster.seen) == numbered(12)
    assert (read_missing(directory(settings)), directory_status(settings.journal_dir).missing) == ([], ())
    assert len(files(place)) == 1  # the rest was pruned
    assert Shipper(settings, cluster.send).run_once() == Progress()


def test_a_part_of_what_is_missing_may_be_put_back(settings: Settings, place: Path, tmp_path: Path) -> None:
    (first, _), (begin, last) = map(held, files(place)[1:3])
    shutil.copy(files(place)[1], tmp_path / "kept")
    back = files(place)[1]
    files(place)[2].unlink()
    back.unlink()
    cluster = Cluster()
    Shipper(settings, cluster.send).run_once()
    assert read_missing(directory(settings)) == [Missing(place.name, first, last)]
    shutil.copy(tmp_path / "kept", back)
    Shipper(settings, cluster.send).run_once()
    assert read_missing(directory(settings)) == [Missing(place.name, begin, last)]
    assert sorted(cluster.seen) == without((begin, last))


def test_what_is_put_back_while_the_shipper_runs_is_shipped(settings: Settings, place: Path) -> None:
    segment = files(place)[1]
    moved = segment.rename(f"{segment}.1")
    cluster = Cluster()
    shipper = Shipper(settings, cluster.send)
    thread = threading.Thread(target=shipper.run)
    thread.start()
    try:
        eventually(lambda: alarmed(settings))
        moved.rename(segment)
        eventually(lambda: sorted(cluster.seen) == numbered(12))
        eventually(lambda: not read_missing(directory(settings)))
    finally:
        shipper.stop.set()
        thread.join(30)


def test_nothing_that_was_put_back_is_pruned_before_it_is_shipped(settings: Settings, place: Path) -> None:
    segment = files(place)[1]
    moved = segment.rename(f"{segment}.1")
    Shipper(replace(settings, keep_days=1.0), Cluster().send).run_once()
    moved.rename(segment)
    assert segment not in prune(place, missing=read_missing(directory(settings)))
    assert segment in prune(place)


def test_the_newest_segment_is_missed_though_nothing_comes_after_it(settings: Settings, place: Path) -> None:
    newest = files(place)[-1]
    first, last = held(newest)
    moved = newest.rename(f"{newest}.1")
    cluster = Cluster()
    assert Shipper(settings, cluster.send).run_once() == Progress(shipped=first - 1, missing=last - first + 1)
    assert read_missing(directory(settings)) == [Missing(place.name, first, last)]
    moved.rename(newest)
    Shipper(settings, cluster.send).run_once()
    assert (sorted(cluster.seen), read_missing(directory(settings))) == (numbered(12), [])


@pytest.mark.usefixtures("no_flush")  # which would hold up the mark of the sync on a slow disk
def test_a_newest_segment_that_was_synced_and_is_gone_is_missed(settings: Settings, place: Path) -> None:
    Journal(settings.journal_dir, segment_bytes=settings.segment_bytes).append(draft(), "disk")
    newest = files(place)[-1]
    content = newest.read_bytes()
    newest.unlink()
    cluster = Cluster()
    assert Shipper(settings, cluster.send).run_once().missing == 1
    assert alarmed(settings)[0].startswith(f"the segment that starts with entry {int(newest.stem)} of journal")
    newest.write_bytes(content)
    Shipper(settings, cluster.send).run_once()
    assert (len(cluster.stored), read_missing(directory(settings))) == (13, [])


def test_the_end_of_a_segment_that_was_on_disk_and_was_cut_is_missed(settings: Settings) -> None:
    journal = Journal(settings.journal_dir)
    positions = [journal.append(draft(), "disk") for _ in range(4)]
    place = Path(settings.journal_dir) / positions[0].journal
    [segment] = files(place)
    whole = segment.read_bytes()
    segment.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    cluster = Cluster()
    assert Shipper(settings, cluster.send).run_once() == Progress(shipped=2, missing=1)
    assert read_missing(directory(settings)) == [Missing(place.name, 3, 3)]
    segment.write_bytes(whole)
    assert Shipper(settings, cluster.send).run_once() == Progress(shipped=2)
    assert directory_status(settings.journal_dir).missing == ()


def test_a_segment_that_was_compressed_is_named(settings: Settings, place: Path) -> None:
    packed = files(place)[1].rename(f"{files(place)[1]}.gz")
    packed.write_bytes(gzip.compress(packed.read_bytes()))
    Shipper(settings, Cluster().send).run_once()
    assert f"it may be {packed}: restore its content" in alarmed(settings)[0]


def test_a_journal_whose_directory_was_moved_is_missed_until_it_is_back(settings: Settings, place: Path) -> None:
    moved = place.rename(Path(settings.journal_dir).with_name("moved"))
    assert Shipper(settings, Cluster().send).run_once() == Progress(missing=1)
    [text] = directory_status(settings.journal_dir).missing
    assert text.startswith(f"the whole directory of journal {place.name}: missing, and not shipped")
    moved.rename(place)
    assert Shipper(settings, Cluster().send).run_once() == Progress(shipped=12)
    assert directory_status(settings.journal_dir).missing == ()


def test_an_ended_journal_is_not_retired_while_what_is_missing_can_be_put_back(
    settings: Settings, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = files(place)[-1]
    moved = newest.rename(f"{newest}.1")
    (place / "ended").write_text("{}")
    begin_journal(directory(settings))
    Shipper(settings, Cluster().send).run_once()
    done = CliRunner().invoke(
        program, ["journal", "retire", place.name, "--reason=x", f"--journal-dir={settings.journal_dir}"]
    )
    assert isinstance(done.exception, WhodidError)
    assert f"found in {moved}" in str(done.exception)
    assert moved.exists()


def test_lines_of_somebody_else_in_the_notes_stop_nothing(settings: Settings, place: Path) -> None:
    directory(settings).missing.write_text('{"first": {}}\n{"journal": 1}\n[]\n')
    assert Shipper(settings, Cluster().send).run_once() == Progress(shipped=12)


def test_a_writer_that_noticed_how_far_it_was_tells_it_to_the_shipper(settings: Settings) -> None:
    journal = Journal(settings.journal_dir)
    positions = [journal.append(draft(), "disk") for _ in range(3)]
    Shipper(settings, Cluster().send).run_once()
    positions += [journal.append(draft(), "disk") for _ in range(3)]
    place = Path(settings.journal_dir) / positions[0].journal
    files(place)[-1].unlink()
    journal.append(draft(), "disk")
    Shipper(settings, Cluster().send).run_once()
    assert read_missing(directory(settings)) == [Missing(place.name, 4, 6)]


def test_lines_that_were_cut_out_of_a_segment_are_missing(settings: Settings) -> None:
    whole = replace(settings, segment_bytes=1 << 20)
    place = Path(settings.journal_dir) / record(whole, *numbered(9))[0].journal
    [segment] = files(place)
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([*lines[:3], b"damaged\n", *lines[6:]]))
    cluster = Cluster()
    assert Shipper(whole, cluster.send).run_once() == Progress(shipped=6, damaged=1, missing=3)
    assert read_missing(directory(settings)) == [Missing(place.name, 4, 6)]


def test_a_number_that_was_used_twice_is_damage_and_both_entries_are_shipped(settings: Settings) -> None:
    whole = replace(settings, segment_bytes=1 << 20)
    place = Path(settings.journal_dir) / record(whole, *numbered(3))[0].journal
    [segment] = files(place)
    cut = segment.read_bytes().splitlines(keepends=True)
    segment.chmod(0o600)
    segment.write_bytes(b"".join(cut[:2]))
    record(replace(whole, journal_dir=str(Path(settings.journal_dir))), "other")
    segment.write_bytes(segment.read_bytes() + cut[2])
    cluster = Cluster()
    assert Shipper(whole, cluster.send).run_once() == Progress(shipped=4, damaged=1)
    assert sorted(cluster.seen) == ["0000", "0001", "0002", "other"]
    assert count_damaged(directory(settings)) == 1
    assert acknowledged(settings, place.name) == 3


def test_an_entry_of_another_journal_is_damage_and_shipped(settings: Settings, tmp_path: Path) -> None:
    other = replace(settings, journal_dir=str(tmp_path / "other"))
    record(other, "foreign")
    [foreign] = Path(other.journal_dir).glob("*/[0-9]*.ndjson")
    place = Path(settings.journal_dir) / record(settings, "own")[0].journal
    with files(place)[-1].open("ab") as segment:
        segment.write(foreign.read_bytes())
    cluster = Cluster()
    assert Shipper(settings, cluster.send).run_once() == Progress(shipped=2, damaged=1)
    assert sorted(cluster.seen) == ["foreign", "own"]


def test_a_position_that_was_lost_is_no_loss_of_entries(settings: Settings, place: Path) -> None:
    cluster = Cluster()
    Shipper(settings, cluster.send).run_once()
    record(settings, "more")
    (place / "acknowledged").unlink()
    Shipper(settings, cluster.send).run_once()
    assert alarmed(settings) == []
    assert len(cluster.stored) == 13


def test_a_crash_before_the_position_is_written_notes_it_once(
    settings: Settings, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(place)[1].unlink()

    noted, acknowledge = directory(settings).missing, Checkpointing.acknowledge

    def crash(*arguments: Any) -> None:
        if noted.exists():
            raise KeyboardInterrupt
        acknowledge(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Checkpointing, "acknowledge", crash)
        Shipper(settings, Cluster().send).run_once()
    assert len(read_missing(directory(settings))) == 1
    Shipper(settings, Cluster().send).run_once()
    assert (len(read_missing(directory(settings))), len(alarmed(settings))) == (1, 1)


def test_a_segment_replaced_or_cut_while_it_is_read_is_read_again_and_nothing_twice(settings: Settings) -> None:
    whole = replace(settings, segment_bytes=1 << 20)
    place = Path(settings.journal_dir) / record(whole, *numbered(6))[0].journal
    [segment] = files(place)
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.chmod(0o600)
    segment.write_bytes(b"".join(lines[:4]))
    reader = JournalReader(place)
    assert _seqs(reader) == [1, 2, 3, 4]
    copy = segment.with_name("copy")
    copy.write_bytes(b"".join([lines[0], *lines[3:5]]))
    copy.rename(segment)
    assert _seqs(reader) == [5]
    segment.write_bytes(lines[5])
    assert _seqs(reader) == [6]


def _seqs(reader: JournalReader) -> list[int]:
    return [line.seq for line in reader.read() if isinstance(line, Line)]


@pytest.mark.parametrize("harm", ["missing", "damaged", "none"])
def test_ship_once_exits_1_with_what_is_missing_or_damaged(
    settings: Settings, place: Path, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if harm == "missing":
        files(place)[1].unlink()
    elif harm == "damaged":
        segment = files(place)[1]
        segment.chmod(0o600)
        segment.write_bytes(segment.read_bytes().replace(b'"target":"', b'"target":"x', 1))
    monkeypatch.setattr("whodid.cli.ship.connected_shipper", lambda settings, **_: Shipper(settings, Cluster().send))
    done = CliRunner().invoke(program, ["ship", "--once", "--json", f"--journal-dir={settings.journal_dir}"])
    assert done.exit_code == (harm != "none")
    report = json.loads(done.stdout)
    assert bool(report["missing"]) == (harm == "missing")
    assert bool(report["damaged"]) == (harm == "damaged")
    assert ("missing, and not shipped" in done.stderr) == (harm == "missing")


def test_the_host_tells_verification_what_was_lost_before_it_was_shipped(settings: Settings, place: Path) -> None:
    first, last = held(files(place)[1])
    files(place)[1].unlink()
    Shipper(settings, Cluster().send).run_once()
    [known] = local_journals(settings)
    assert [(begin, end) for begin, end, _ in known.missing] == [(first, last)]
    assert "missing, and not shipped" in known.missing[0][2]


def ended(settings: Settings, *names: str) -> Path:
    """The directory of a journal that has ended; an entry, `after`, is in the one that follows it."""
    place = Path(settings.journal_dir) / record(settings, *names)[0].journal
    (place / "ended").write_text("{}")
    record(settings, "after")
    return place


def test_journals_without_their_marker_are_shipped(settings: Settings) -> None:
    place = ended(settings, *numbered(12))
    for marker in place.parent.glob("*/journal.json"):
        marker.unlink()
    assert [one.backlog for one in directory_status(settings.journal_dir).journals] == [12, 1]
    cluster = Cluster()
    Shipper(settings, cluster.send).run_once()
    assert sorted(cluster.seen) == [*numbered(12), "after"]


def test_a_journal_whose_directory_was_moved_away_is_missed_until_it_is_back(
    settings: Settings, tmp_path: Path
) -> None:
    place = ended(settings, *numbered(12))
    moved = place.rename(tmp_path / "moved")
    cluster = Cluster()
    for missing in (1, 0):
        assert Shipper(settings, cluster.send).run_once().missing == missing
        assert read_missing(directory(settings)) == [Missing(place.name, 0, 0)]
        [problem] = directory_status(settings.journal_dir).missing
        assert problem.startswith(f"the whole directory of journal {place.name}: missing, and not shipped")
    assert alarmed(settings) == [problem]
    moved.rename(place)
    Shipper(settings, cluster.send).run_once()
    assert sorted(cluster.seen) == [*numbered(12), "after"]
    assert directory_status(settings.journal_dir).missing == ()


def test_a_journal_that_is_gone_is_missed_though_current_was_removed(settings: Settings) -> None:
    place = ended(settings, *numbered(12))
    (place.parent / "current").unlink()
    record(settings, "another")
    shutil.rmtree(place)
    assert Shipper(settings, Cluster().send).run_once() == Progress(shipped=2, missing=1)


def test_a_journal_that_has_ended_and_is_wholly_shipped_may_be_removed(settings: Settings) -> None:
    place = ended(settings, *numbered(12))
    Shipper(settings, Cluster().send).run_once()
    shutil.rmtree(place)
    record(settings, "more")
    assert Shipper(settings, Cluster().send).run_once() == Progress(shipped=1)
    assert directory_status(settings.journal_dir).missing == ()


def test_a_writer_keeps_its_journal_when_another_is_known_to_be_shipped(settings: Settings) -> None:
    ended(settings, "a")
    journal = Journal(settings.journal_dir)
    before = journal.append(draft())
    Shipper(settings, Cluster().send).run_once()
    after = journal.append(draft())
    assert (after.journal, after.seq) == (before.journal, before.seq + 1)
    assert directory(settings).alarms() == []


def test_a_journal_whose_directory_this_user_may_not_read_is_missed_until_it_is_readable(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ended(settings, *numbered(12))
    listdir = os.listdir

    def refused(path: str | Path) -> Any:
        if Path(path) in (place, place.parent / "lost+found"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return listdir(path)

    cluster = Cluster()
    (place.parent / "lost+found").mkdir(0o700)
    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", refused)
        assert Shipper(settings, cluster.send).run_once() == Progress(shipped=1, missing=1)
        [problem] = directory_status(settings.journal_dir).missing
        assert problem.startswith(f"the whole directory of journal {place.name}: unreadable for this user")
    Shipper(settings, cluster.send).run_once()
    assert sorted(cluster.seen) == [*numbered(12), "after"]
    assert directory_status(settings.journal_dir).missing == ()


@pytest.mark.usefixtures("no_flush")
def test_a_segment_is_missed_though_the_process_that_ended_its_journal_had_not_read_it(settings: Settings) -> None:
    journal = Journal(settings.journal_dir)
    positions = [journal.append(draft(), "disk") for _ in range(3)]
    place = Path(settings.journal_dir) / positions[0].journal
    content = files(place)[0].read_bytes()
    files(place)[0].unlink()
    record(settings, "after")
    cluster = Cluster()
    assert Shipper(settings, cluster.send).run_once() == Progress(shipped=1, missing=1)
    assert read_missing(directory(settings)) == [Missing(place.name, 1, 1)]
    (place / f"{1:020d}.ndjson").write_bytes(content)
    assert Shipper(settings, cluster.send).run_once().shipped == 3
    assert directory_status(settings.journal_dir).missing == ()


@pytest.mark.parametrize("what", ["damaged", "missing", "dead-letters"])
def test_what_was_not_stored_is_reported_by_each_run_until_it_is_dealt_with(
    settings: Settings, place: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    segment = files(place)[0]
    segment.chmod(0o600)
    if what == "damaged":
        segment.write_bytes(segment.read_bytes().replace(b'"0000"', b'"9999"'))
    if what == "missing":
        segment.unlink()
    refused = Verdict("refused", "its mapping") if what == "dead-letters" else STORED
    cluster = Cluster(lambda document: refused if target(document) == "0000" else STORED)
    monkeypatch.setattr("whodid.cli.ship.connected_shipper", lambda settings, **_: Shipper(settings, cluster.send))
    monkeypatch.setattr("whodid.cli.ship._stop_on_signals", lambda *_: None)
    monkeypatch.setattr("whodid.cli.ship._collect_garbage_rarely", lambda: None)

    def ship() -> tuple[int, str]:
        done = CliRunner().invoke(program, ["ship", "--once", f"--journal-dir={settings.journal_dir}"])
        return done.exit_code, done.output

    for _ in range(2):
        code, said = ship()
        assert (code, what.replace("-", " ") in said) == (1, True)
    (place.parent / f"{what}.ndjson").unlink()
    assert ship()[0] == 0


@pytest.mark.parametrize("change", ["begun", "shipped and removed"])
def test_a_journal_that_is_begun_or_removed_amid_the_look_is_not_missed(
    settings: Settings, place: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    Shipper(settings, Cluster().send).run_once()
    looked = JournalDirectory.folders

    def amid(directory: JournalDirectory) -> tuple[list[str], list[str]]:
        found = looked(directory) if change == "begun" else None
        monkeypatch.setattr(JournalDirectory, "folders", looked)
        begin_journal(directory)
        if found is None:
            forget_journal(directory, place.name)
            shutil.rmtree(place)
        return found or looked(directory)

    monkeypatch.setattr(JournalDirectory, "folders", amid)
    assert gone_journals(directory(settings)) == []
    assert gone_journals(directory(settings)) == []
    shutil.rmtree(directory(settings).journal(str(directory(settings).current())))
    assert len(gone_journals(directory(settings))) == 1
