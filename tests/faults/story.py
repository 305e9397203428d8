"""The story of a journal under attack: what callers and the cluster were told, and whether the directory agrees.

Whatever happened, afterwards: a call that returned is in the journal exactly once, or was shipped; no chain has a gap
and no line is altered; the acknowledged position is not ahead of what was stored; and recording goes on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.independent import entry_hash
from whodid.errors import JournalDamaged, NotRecorded
from whodid.integrity import Draft
from whodid.journal import Acknowledged, Damaged, Journal, JournalDirectory, JournalReader, Line, prune, read_entries
from whodid.journal.damage import keep_damaged
from whodid.journal.directory import read_lines
from whodid.shipping.dead_letters import DeadLetter, keep_dead_letters, read_dead_letters

__all__ = ["Story"]


@dataclass
class Story:
    """One journal directory and what was said about it."""

    path: Path
    promised: list[str] = field(default_factory=list)
    """Targets of the entries whose call returned."""
    by_process: list[str] = field(default_factory=list)
    """Those of durability `process`."""
    synced: list[str] = field(default_factory=list)
    """Those of them that no power loss may take any more."""
    sent: list[tuple[str, int, str, str]] = field(default_factory=list)
    """What the cluster has: journal, number, hash and target."""
    letters: list[str] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    number: int = 0
    keyed: list[str] = field(default_factory=list)
    """Targets of the calls with a key; each is made again now and then."""

    def told(self) -> tuple[int, ...]:
        """How much was said until now."""
        return len(self.promised), len(self.synced), len(self.sent), len(self.letters), len(self.keyed)

    def as_of(self, told: tuple[int, ...], path: Path) -> Story:
        """The story as it was then, if the power was lost, in the directory `path`."""
        promised, synced, sent, letters, keyed = told
        kept = set(self.synced[:synced])
        survivors = [t for t in self.promised[:promised] if t not in self.by_process or t in kept]
        story = Story(path, survivors, sent=self.sent[:sent], letters=self.letters[:letters], number=self.number)
        story.keyed = self.keyed[:keyed]
        return story

    @contextmanager
    def refusable(self) -> Iterator[None]:
        """What a caller may get: an error of ours."""
        with suppress(NotRecorded, JournalDamaged, KeyboardInterrupt):
            yield

    def record(self, journal: Journal, durability: Literal["disk", "process"] = "disk", size: int = 0) -> None:
        self.number += 1
        target = f"{self.number}"
        with self.refusable():
            journal.append(self.draft(target, size), durability)
            self.promised.append(target)
            if durability == "process":
                self.by_process.append(target)

    def record_with_key(
        self, journal: Journal, durability: Literal["disk", "process"] = "disk", again: str = ""
    ) -> None:
        """A call with a key: a new one, or one that was made before, whatever came of it."""
        self.number += 1
        target = again or f"{self.number}"
        self.keyed.append(target)
        with self.refusable():
            journal.append(self.draft(target, key=f"{int(target):032x}"), durability)
            if target in self.promised and durability == "process":
                return
            self.promised.append(target)
            if durability == "process":
                self.by_process.append(target)
            elif target in self.by_process:
                self.synced.append(target)

    @staticmethod
    def draft(target: str, size: int = 0, key: str = "") -> Draft:
        entry = {"type": "t", "target": target, "client_ip": "203.0.113.9", "target_name": "x" * size}
        keyed = {"once": key, "creation_date": "2026-11-23T08:15:30Z"} if key else {}
        return Draft({**entry, **keyed}, {"client_ip"})

    def sync(self, journal: Journal) -> None:
        with suppress(OSError, KeyboardInterrupt):
            before, alarms = list(self.by_process), len(JournalDirectory(self.path).alarms())
            journal.sync()
            if len(JournalDirectory(self.path).alarms()) == alarms:
                self.synced += before

    def ship(self, *, refused: bool = False, acknowledged: bool = True) -> None:
        """What a shipper does with a cluster that stores everything, or refuses every entry; perhaps not to the end."""
        directory = JournalDirectory(self.path)
        with suppress(OSError, JournalDamaged, KeyboardInterrupt):  # a shipper waits, and says so
            for journal in directory.journals():
                self._ship(directory, journal, refused, acknowledged)

    def _ship(self, directory: JournalDirectory, journal: str, refused: bool, acknowledged: bool) -> None:
        path = directory.journal(journal)
        reader = JournalReader(path, Acknowledged.read(path).seq)
        while lines := reader.read(2000):
            keep_damaged(directory, [line for line in lines if isinstance(line, Damaged)])
            whole = [line for line in lines if isinstance(line, Line)]
            for line in whole:
                self.sent.append((journal, line.seq, line.hash, line.entry["target"]))
                if refused:
                    letter = f"{journal}-{line.seq}"
                    keep_dead_letters(directory, [DeadLetter(letter, "i", "refused", line.raw.decode())])
                    self.letters.append(letter)
            if whole and acknowledged:
                Acknowledged(whole[-1].seq, whole[-1].hash).write(path)
            prune(path)

    def check(self) -> None:
        """With all faults gone, a new process goes on; and everything holds. Raises `AssertionError`."""
        last = Journal(self.path)
        self.promised.append("after")
        last.append(self.draft("after"))
        last.close()
        self.check_entries()
        self.check_positions()
        kept = read_dead_letters(JournalDirectory(self.path))
        assert [letter for letter in self.letters if letter not in kept] == []
        rejected = [json.loads(line)["number"] for line in read_lines(self.path / "rejected.ndjson")]
        assert set(self.rejected) <= set(rejected)

    def check_entries(self) -> None:
        before: dict[str, tuple[int, str]] = {}
        stored = {(journal, seq): target for journal, seq, _, target in self.sent}
        found = Counter(stored.values())
        for entry in read_entries(self.path):
            journal, seq = entry["journal"], entry["seq"]
            last, hash_ = before.get(journal, (0, "0" * 64))
            assert entry_hash(entry) == entry["hash"]
            if seq != last + 1:
                shipped = Acknowledged.read(self.path / journal).seq >= seq - 1
                assert shipped or self._damaged(journal), f"{last} and then {seq}"
            elif seq > 1:
                assert entry["prev"] == hash_ or not last
            before[journal] = seq, entry["hash"]
            if (journal, seq) not in stored:
                found[entry["target"]] += 1
            else:
                assert stored[journal, seq] == entry["target"], "a number was used twice"
        assert [target for target in self.promised if not found[target]] == []
        twice = [target for target, count in found.items() if count > 1]
        if set(twice) <= set(self.keyed) and JournalDirectory(self.path).alarms():
            twice = []  # keys were forgotten, or the journal ended
        assert twice == []

    def _damaged(self, journal: str) -> bool:
        """Whether a reader meets damage: of what was never synced, a power loss may take what it likes."""
        reader, found = JournalReader(self.path / journal), False
        while lines := reader.read():
            found = found or any(isinstance(line, Damaged) for line in lines)
        return found

    def check_positions(self) -> None:
        sent = {(journal, seq, hash_) for journal, seq, hash_, _ in self.sent}
        for journal in JournalDirectory(self.path).journals():
            position = Acknowledged.read(self.path / journal)
            assert position.seq == 0 or (journal, position.seq, position.hash) in sent
