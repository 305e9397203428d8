"""The sealing: every acknowledged entry is in exactly one checkpoint, whatever happens to the shipper in between."""

from __future__ import annotations

import base64
import errno
import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.live.corner import eventually
from whodid.entry import ZERO_HASH
from whodid.errors import ProofError, SettingsError
from whodid.files import append_line
from whodid.integrity import Draft
from whodid.journal import Acknowledged, Journal, JournalDirectory, Line
from whodid.journal.chain import begin_journal
from whodid.proof.checkpoint import CHECKPOINT, Checkpoint, SignedCheckpoint
from whodid.proof.keys import PublicKey, new_key, open_envelope
from whodid.proof.merkle import Tree
from whodid.settings import Settings
from whodid.shipping import Shipper
from whodid.shipping.checkpoint_delivery import CheckpointDelivery, Destination
from whodid.shipping.checkpointing import Checkpointing, closed_checkpoints

from .test_loop import REFUSED, STORED, Cluster, damage, numbered, record, target

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(journal_dir=str(tmp_path / "journal"), poll_interval=0.02, host="web-1", service="shop")


def ship(settings: Settings, cluster: Cluster | None = None) -> Cluster:
    cluster = cluster or Cluster()
    Shipper(settings, cluster.send).run_once()
    return cluster


def kept(settings: Settings, *, begun: bool = False) -> list[Checkpoint]:
    """Those of `checkpoints.ndjson`; the first one of each journal, over nothing, only on request."""
    found = [one.checkpoint for one in closed_checkpoints(JournalDirectory(settings.journal_dir))]
    return [one for one in found if begun or one.why != "begun"]


def hashes(cluster: Cluster) -> dict[int, str]:
    entries = [json.loads(document.raw) for document in cluster.stored.values()]
    return {entry["seq"]: entry["hash"] for entry in entries}


def root(*hashes: str) -> str:
    tree = Tree()
    for one in hashes:
        tree.add(one.encode())
    return tree.root().hex()


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> str:
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")


def sealing(settings: Settings, clock: Clock, notify: Callable[[str], None] = lambda text: None) -> Checkpointing:
    return Checkpointing(
        JournalDirectory(settings.journal_dir), settings, None, now=clock, notify=notify, monotonic=_no_pause()
    )


def _no_pause() -> Callable[[], float]:
    """A clock on which any patience is over at the next look."""
    times = iter(range(0, 10**9, 1000))
    return lambda: float(next(times))


def test_a_clean_end_closes_a_checkpoint_over_all_that_was_shipped(settings: Settings) -> None:
    positions = record(settings, *numbered(5))
    stored = hashes(ship(settings))
    [one] = kept(settings)
    assert (one.number, one.first_seq, one.last_seq, one.entries, one.why) == (2, 1, 5, 5, "stop")
    assert (one.journal, one.last_hash) == (positions[0].journal, stored[5])
    assert one.root == root(*(stored[seq] for seq in range(1, 6)))
    assert (dict(one.partitions), one.holes, one.dead_letters) == ({"whodid-audit-2026.11": 5}, (), 0)
    assert (one.host, one.service) == ("web-1", "shop")
    begun = kept(settings, begun=True)[0]
    assert (begun.number, begun.entries, begun.last_seq, begun.previous) == (1, 0, 0, ZERO_HASH)


def test_the_next_one_goes_on_where_the_last_one_ended_and_names_it(settings: Settings) -> None:
    for targets in (["a", "b"], ["c"], ["d", "e", "f"]):
        record(settings, *targets)
        ship(settings)
    sealed = list(closed_checkpoints(JournalDirectory(settings.journal_dir)))
    assert [(one.checkpoint.first_seq, one.checkpoint.last_seq) for one in sealed] == [(1, 0), (1, 2), (3, 3), (4, 6)]
    assert [one.checkpoint.number for one in sealed] == [1, 2, 3, 4]
    assert all(after.checkpoint.previous == before.hash for before, after in pairwise(sealed))


def test_an_end_with_nothing_new_says_nothing_new(settings: Settings) -> None:
    record(settings, "a")
    for _ in range(3):
        ship(settings)
    assert len(kept(settings)) == 1


def test_what_is_open_survives_a_shipper_that_is_killed(settings: Settings) -> None:
    """Its position and what the checkpoint has come to are one write."""
    record(settings, *numbered(7))
    small = replace(settings, bulk_entries=3)

    class Killed(BaseException):
        pass

    class Dying(Cluster):
        def send(self, documents):  # type: ignore[no-untyped-def]
            if len(self.requests) == 2:
                raise Killed
            return super().send(documents)

    cluster = Dying()
    with pytest.raises(Killed):
        Shipper(replace(small, bulks_in_flight=1), cluster.send).run_once()
    assert kept(settings) == []
    after = ship(settings)
    stored = hashes(cluster) | hashes(after)
    [one] = kept(settings)
    assert (one.entries, one.root) == (7, root(*(stored[seq] for seq in range(1, 8))))


@pytest.mark.parametrize("lost", ["the next was not begun", "the position and its note", "the file"])
def test_a_crash_right_after_a_checkpoint_closes_it_once(settings: Settings, lost: str) -> None:
    [position] = record(settings, "a")
    journal = Path(settings.journal_dir) / position.journal
    state = sealing(settings, Clock())
    state.acknowledge(position.journal, [Line(position.journal, 1, position.hash, "", b"")], [("p", 1)], 0)
    before = (journal / "acknowledged").read_bytes()
    state.close_all()
    [first] = kept(settings)
    if lost == "the next was not begun":
        (journal / "acknowledged").write_bytes(before)
    elif lost == "the file":
        (Path(settings.journal_dir) / "checkpoints.ndjson").unlink()
    else:
        Acknowledged().reserve(journal)
    record(settings, "b")
    ship(settings)
    last = kept(settings)[-1]
    assert (last.number, last.first_seq, last.last_seq, last.entries) == (2, 2, 2, 1)
    assert last.previous == first.sign().hash
    told = [alarm["about"] for alarm in JournalDirectory(settings.journal_dir).alarms()]
    assert any("checkpoints" in about for about in told) == (lost == "the file")


def test_hours_without_entries_have_checkpoints_too(settings: Settings) -> None:
    record(settings, "a")
    ship(settings)
    clock = Clock()
    clock.now = datetime.fromisoformat(kept(settings)[0].time)
    state = sealing(settings, clock)
    for minutes in range(0, 181, 10):
        clock.now += timedelta(minutes=10 if minutes else 0)
        state.close_what_is_due()
    assert [(one.number, one.entries, one.why) for one in kept(settings)[1:]] == [
        (3, 0, "time"),
        (4, 0, "time"),
        (5, 0, "time"),
    ]
    empty = kept(settings)[-1]
    assert (empty.first_seq, empty.last_seq, empty.root) == (2, 1, root())


def test_a_clock_that_was_set_back_shows(settings: Settings) -> None:
    record(settings, "a")
    ship(settings)
    clock = Clock()
    clock.now = datetime.fromisoformat(kept(settings)[0].time) - timedelta(minutes=10)
    sealing(settings, clock).close_what_is_due()
    first, second = kept(settings)
    assert second.time < first.time


def test_a_journal_that_has_ended_gets_a_last_one(settings: Settings) -> None:
    [first] = record(settings, "a")
    directory = JournalDirectory(settings.journal_dir)
    (directory.journal(first.journal) / "ended").write_text('{"reason": "for the test"}')
    [second] = record(settings, "b")
    assert first.journal != second.journal
    for _ in range(2):
        ship(settings)
    assert [(one.journal, one.why) for one in kept(settings)] == [(first.journal, "ended"), (second.journal, "stop")]


def test_a_journal_that_is_being_begun_has_not_ended(settings: Settings) -> None:
    """Its directory is there before it is the current one."""
    record(settings, "a")
    directory = JournalDirectory(settings.journal_dir)
    [old] = directory.journals()
    begun = directory.journal("00ff00ff00ff00ff")
    shutil.copytree(directory.journal(old), begun, ignore=shutil.ignore_patterns("*.ndjson", "acknowledged"))
    ship(settings)
    assert {one.journal for one in kept(settings, begun=True)} == {old}
    assert not (begun / "acknowledged").exists()


def test_a_journal_that_has_ended_waits_for_its_last_entry(settings: Settings) -> None:
    first = record(settings, "a", "b")[0]
    directory = JournalDirectory(settings.journal_dir)
    (directory.journal(first.journal) / "ended").write_text('{"reason": "for the test"}')
    record(settings, "c")
    state = sealing(settings, Clock())
    state.acknowledge(first.journal, [Line(first.journal, 1, "ab" * 32, "", b"")], [], 0)
    state.close_what_is_due()
    assert kept(settings) == []


def test_dead_letters_and_damage_are_in_it(settings: Settings) -> None:
    record(settings, *numbered(6))
    damage(settings, "0003")
    cluster = ship(settings, Cluster(lambda document: REFUSED if target(document) == "0001" else STORED))
    [one] = kept(settings)
    assert (one.first_seq, one.last_seq, one.entries, one.holes) == (1, 6, 5, ((4, 4),))
    [(seq, hash_)] = one.letters
    assert (seq, one.dead_letters, dict(one.partitions)) == (2, 1, {"whodid-audit-2026.11": 4})
    stored = hashes(cluster) | {2: hash_}
    assert one.root == root(*(stored[seq] for seq in (1, 2, 3, 5, 6)))


def test_many_partitions_and_holes_fit_beside_the_position(settings: Settings) -> None:
    [position] = record(settings, "a")
    state = sealing(replace(settings, index_prefix="x" * 90), Clock())
    for hour in range(300):
        seq = 10**11 + 2 * hour
        line = Line(position.journal, seq, f"{seq:064x}", "", b"")
        state.acknowledge(position.journal, [line], [(f"whodid-audit-2026.{hour:02d}.01", 1)], 0)
    closed = kept(settings)
    assert sum(one.entries for one in closed) > 200
    assert all(sum(one.partitions.values()) == one.entries for one in closed)


def test_it_is_signed_by_whom_the_settings_name(settings: Settings, tmp_path: Path) -> None:
    key = new_key(tmp_path / "key.pem")
    record(settings, "a")
    ship(replace(settings, signing_key_file=str(tmp_path / "key.pem")))
    *_, sealed = closed_checkpoints(JournalDirectory(settings.journal_dir))
    payload, by = open_envelope(sealed.envelope, CHECKPOINT, [key])
    assert (payload, by) == (sealed.checkpoint.payload(), key)


def test_a_key_that_is_not_there_stops_the_start(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="signing_key_file"):
        Shipper(replace(settings, signing_key_file="/nowhere/key.pem"), Cluster().send)


class _Away:
    """A key behind a network that comes and goes."""

    def __init__(self) -> None:
        self.away = True
        self.key = PublicKey(bytes(32))

    def sign(self, data: bytes) -> bytes:
        if self.away:
            raise ProofError("signing_command failed with exit code 1: no route to the KMS")
        return bytes(64)


def test_a_key_that_is_away_stops_nothing_and_is_told_once(settings: Settings) -> None:
    [position] = record(settings, "a")
    told: list[str] = []
    signer = _Away()
    clock = Clock()
    state = Checkpointing(
        JournalDirectory(settings.journal_dir), settings, signer, now=clock, notify=told.append, monotonic=_no_pause()
    )
    state.begin(position.journal)
    state.acknowledge(position.journal, [Line(position.journal, 1, position.hash, "", b"")], [], 0)
    clock.now += timedelta(hours=2)
    for _ in range(3):
        state.close_what_is_due()
    assert told == ["a checkpoint can't be closed: signing_command failed with exit code 1: no route to the KMS"]
    assert kept(settings) == []
    signer.away = False
    state.close_what_is_due()
    assert [one.entries for one in kept(settings)] == [1]


def test_a_full_disk_leaves_it_open(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    record(settings, "a")

    def full(path: Path, *lines: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("whodid.shipping.checkpointing.append_line", full)
    assert len(ship(settings).stored) == 1
    monkeypatch.setattr("whodid.shipping.checkpointing.append_line", append_line)
    assert kept(settings) == []
    record(settings, "b")
    ship(settings)
    assert [(one.first_seq, one.last_seq, one.entries) for one in kept(settings)] == [(1, 2, 2)]


def test_the_running_shipper_closes_them_by_itself(settings: Settings) -> None:
    record(settings, "a")
    stop = threading.Event()
    brought: list[SignedCheckpoint] = []
    checkpoint_delivery = CheckpointDelivery(
        JournalDirectory(settings.journal_dir, create=True), [Destination("w", brought.append)], print
    )
    shipper = Shipper(
        replace(settings, checkpoint_interval=0.5), Cluster().send, stop=stop, checkpoint_delivery=checkpoint_delivery
    )
    thread = threading.Thread(target=shipper.run)
    thread.start()
    try:
        eventually(lambda: len(brought) >= 2)
    finally:
        stop.set()
        thread.join(10)
    assert [one.checkpoint for one in brought] == kept(settings, begun=True)
    assert kept(settings)[-1].why == "stop"


def test_a_copied_directory_has_checkpoints_of_its_own_journal(settings: Settings, tmp_path: Path) -> None:
    [first] = record(settings, "a")
    ship(settings)
    shutil.copytree(settings.journal_dir, tmp_path / "copy")
    there = replace(settings, journal_dir=str(tmp_path / "copy"))
    [second] = record(there, "b")
    ship(there)
    assert first.journal != second.journal
    assert [one.journal for one in kept(there)] == [first.journal, first.journal, second.journal]


@given(data=st.binary(max_size=200) | st.sampled_from([b"{}", b'{"payload":1}', b"[]"]))
def test_what_is_no_checkpoint_is_told_so(data: bytes) -> None:
    for given_ in (data, _around(data), _around(json.dumps({"format": 1, "number": -1}).encode())):
        with pytest.raises(ProofError):
            SignedCheckpoint.read(given_)


def _around(payload: bytes) -> bytes:
    content = {"payload": base64.b64encode(payload).decode(), "payloadType": CHECKPOINT, "signatures": []}
    return json.dumps(content).encode()


def test_one_of_a_newer_format_is_refused_by_its_name() -> None:
    with pytest.raises(ProofError, match="can't read a checkpoint of format 2; upgrade whodid"):
        SignedCheckpoint.read(_around(b'{"format":2}'))


def test_a_note_beside_the_position_is_as_old_as_the_position(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    position = journal.append(Draft({"type": "t"}), "process")
    directory = tmp_path / "journal" / position.journal
    for turn in range(6):
        Acknowledged(1, position.hash, f"note {turn}").write(directory)
        assert Acknowledged.read(directory).note == f"note {turn}"
        file = directory / "acknowledged"
        whole = file.read_bytes()
        slots = [whole[:4096], whole[4096:]]
        newest = next(at for at, slot in enumerate(slots) if f"note {turn}".encode() in slot)
        slots[newest] = slots[newest].replace(b"note", b"hoax")
        file.write_bytes(b"".join(slots))
        assert Acknowledged.read(directory).note in ("", f"note {turn - 1}")
        file.write_bytes(whole)


def test_a_journal_that_begins_amid_the_look_is_not_taken_for_an_unused_one_that_ended(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = JournalDirectory(settings.journal_dir, create=True)
    look = JournalDirectory.current

    def amid(directory: JournalDirectory) -> str | None:
        found = look(directory)
        monkeypatch.setattr(JournalDirectory, "current", look)
        begin_journal(directory)
        return found

    forgotten: list[str] = []
    monkeypatch.setattr(JournalDirectory, "current", amid)
    monkeypatch.setattr(
        "whodid.shipping.checkpointing.forget_journal", lambda _directory, journal: forgotten.append(journal)
    )
    sealing(settings, Clock()).close_all()
    assert len([*directory.journals()]) == 1
    assert forgotten == []
