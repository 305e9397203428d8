"""The story of a journal under attack: what callers and the cluster were told, and whether the directory agrees.

Whatever happened, afterwards: a call that returned is in the journal exactly once, or was shipped; no chain has a gap
and no line is altered; the acknowledged position is not ahead of what was stored; and recording goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.independent import entry_hash
from whodid.dead_letters import DeadLetter, keep_dead_letters, read_dead_letters
from whodid.errors import JournalDamaged, NotRecorded
from whodid.integrity import Draft
from whodid.journal import Acknowledged, Damaged, Journal, JournalDirectory, JournalReader, Line, prune, read_entries
from whodid.journal.damage import keep_damaged

__all__ = ["Story"]


@dataclass
class Story:
    """One journal directory and what was said about it."""

    path: Path
    promised: list[str] = field(default_factory=list)
    """Targets of the entries whose call returned."""
    unsynced: list[str] = field(default_factory=list)
    """Those of durability `process` that a power loss may still take."""
    stored: dict[tuple[str, int], str] = field(default_factory=dict)
    """What the cluster has: the target of each entry, by journal and number."""
    hashes: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    letters: list[str] = field(default_factory=list)
    number: int = 0

    @contextmanager
    def refusable(self) -> Iterator[None]:
        """What a caller may get: an error of ours."""
        try:
            yield
        except (NotRecorded, JournalDamaged) as error:
            assert str(error)

    def record(self, journal: Journal, durability: Literal["disk", "process"] = "disk", size: int = 0) -> None:
        self.number += 1
        target = f"{self.number}"
        with self.refusable():
            journal.append(self.draft(target, size), durability)
            self.promised.append(target)
            if durability == "process":
                self.unsynced.append(target)

    @staticmethod
    def draft(target: str, size: int = 0) -> Draft:
        return Draft(
            {"type": "t", "target": target, "client_ip": "203.0.113.9", "target_name": "x" * size}, {"client_ip"}
        )

    def sync(self, journal: Journal) -> None:
        before = list(self.unsynced)
        alarms = len(JournalDirectory(self.path).alarms())
        journal.sync()
        if len(JournalDirectory(self.path).alarms()) == alarms:
            self.unsynced = [target for target in self.unsynced if target not in before]

    def ship(self, *, refused: bool = False) -> None:
        """What a shipper does with a cluster that stores everything, or refuses every entry."""
        directory = JournalDirectory(self.path)
        try:
            for journal in directory.journals():
                self._ship(directory, journal, refused)
        except OSError:
            pass  # a shipper waits
        except JournalDamaged as error:
            assert str(error)

    def _ship(self, directory: JournalDirectory, journal: str, refused: bool) -> None:
        path = directory.journal(journal)
        reader = JournalReader(path, Acknowledged.read(path).seq)
        while lines := reader.read(2000):
            keep_damaged(directory, [line for line in lines if isinstance(line, Damaged)])
            whole = [line for line in lines if isinstance(line, Line)]
            for line in whole:
                self.stored[journal, line.seq] = line.entry["target"]
                self.hashes.setdefault((journal, line.seq), set()).add(line.hash)
                if refused:
                    letter = f"{journal}-{line.seq}"
                    keep_dead_letters(directory, [DeadLetter(letter, "i", "refused", line.raw.decode())])
                    self.letters.append(letter)
            if whole:
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

    def check_entries(self) -> None:
        before: dict[str, tuple[int, str]] = {}
        found = Counter(self.stored.values())
        for entry in read_entries(self.path):
            journal, seq = entry["journal"], entry["seq"]
            last, hash_ = before.get(journal, (0, "0" * 64))
            assert entry_hash(entry) == entry["hash"]
            if seq != last + 1:
                assert Acknowledged.read(self.path / journal).seq >= seq - 1, f"{last} and then {seq}"
            elif seq > 1:
                assert entry["prev"] == hash_
            before[journal] = seq, entry["hash"]
            if (journal, seq) not in self.stored:
                found[entry["target"]] += 1
            else:
                assert self.stored[journal, seq] == entry["target"], "a number was used twice"
        assert [target for target in self.promised if not found[target]] == []
        assert [target for target, count in found.items() if count > 1] == []

    def check_positions(self) -> None:
        for journal in JournalDirectory(self.path).journals():
            position = Acknowledged.read(self.path / journal)
            if position.seq:
                assert position.hash in self.hashes[journal, position.seq]
