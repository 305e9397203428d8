"""The journal beside a model of it: whatever several processes do, in whatever order, both say the same."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from tests.faults.disk import disk
from tests.faults.story import Story
from whodid.integrity import Draft
from whodid.journal import Acknowledged, Journal, JournalDirectory, JournalReader, Line, prune, read_entries

FULL = 2_500


class JournalMachine(RuleBasedStateMachine):
    """Up to five processes append to one directory, crash, are stopped; a shipper reads, acknowledges and prunes.

    The model is a list: the targets in the order in which the calls returned.
    """

    processes = Bundle("processes")

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.path = self.root / "journal"
        self.quick = ExitStack()
        self.quick.enter_context(disk(self.root, lambda call, system: system(*call.arguments)))
        self.quick.enter_context(patch.object(Journal, "_sync_soon", lambda journal: None))  # a rule does that
        self.recorded: list[str] = []
        self.shipped = 0
        self.pruned = 0
        self.reader: JournalReader | None = None
        self.read: list[str] = []

    def teardown(self) -> None:
        self.quick.close()
        shutil.rmtree(self.root)

    @rule(target=processes, segment_bytes=st.sampled_from([1, 900, FULL]))
    def a_process_starts(self, segment_bytes: int) -> Journal:
        return Journal(self.path, segment_bytes=segment_bytes)

    @rule(process=processes, size=st.integers(0, 700), durability=st.sampled_from(["disk", "process"]))
    def it_records(self, process: Journal, size: int, durability: Any) -> None:
        target = str(len(self.recorded) + 1)
        position = process.append(Story.draft(target, size), durability)
        self.recorded.append(target)
        assert position.seq == len(self.recorded)

    @rule(process=processes, sizes=st.lists(st.integers(0, 500), min_size=2, max_size=4))
    def its_threads_record_at_once(self, process: Journal, sizes: list[int]) -> None:
        """As the group commit does it."""
        targets = [str(len(self.recorded) + 1 + n) for n in range(len(sizes))]
        drafts: list[Draft] = [Story.draft(target, size) for target, size in zip(targets, sizes, strict=True)]
        written = process._write(drafts)
        assert not [outcome for outcome in written if isinstance(outcome, Exception)]
        self.recorded += targets

    @rule(process=processes)
    def it_syncs(self, process: Journal) -> None:
        process.sync()

    @rule(process=processes)
    def it_closes_and_goes_on(self, process: Journal) -> None:
        process.close()

    @rule(process=consumes(processes), torn=st.binary(max_size=600).map(lambda data: data.replace(b"\n", b"")))
    def it_is_killed_in_the_middle_of_a_write(self, process: Journal, torn: bytes) -> None:
        process._let_go()
        segment = self._last_segment()
        if segment is not None and segment.stat().st_mode & 0o200:
            with segment.open("ab") as file:
                file.write(torn)

    @rule(process=consumes(processes))
    def it_is_killed_between_two_segments(self, process: Journal) -> None:
        process._let_go()
        segment = self._last_segment()
        if segment is not None and segment.stat().st_size and segment.read_bytes().endswith(b"\n"):
            with (self.path / "lock").open("ab") as lock:  # as whoever closes one does first
                lock.write(b"\0")
            segment.chmod(0o400)

    def _last_segment(self) -> Path | None:
        return max(self.path.glob("*/[0-9]*.ndjson"), default=None)

    @precondition(lambda self: self.recorded)
    @rule(most=st.integers(1, 3000))
    def the_shipper_reads(self, most: int) -> None:
        if self.reader is None:
            self.reader, self.read = JournalReader(self._journal(), self.shipped), self.recorded[: self.shipped]
        lines = self.reader.read(most)
        self.read += [line.entry["target"] for line in lines if isinstance(line, Line)]
        assert self.read == self.recorded[: len(self.read)]

    @precondition(lambda self: self.reader)
    @rule(random=st.randoms(use_true_random=False), keep=st.booleans())
    def it_acknowledges_some_of_that(self, random: Random, keep: bool) -> None:
        position = random.randint(self.shipped, len(self.read))
        if position > self.shipped:
            reader, hash_ = JournalReader(self._journal(), position - 1), ""
            while not hash_:
                hash_ = next(line.hash for line in reader.read() if isinstance(line, Line))
            Acknowledged(position, hash_).write(self._journal())
            self.shipped = position
        if not keep:
            prune(self._journal())

    @rule()
    def the_shipper_is_started_anew(self) -> None:
        self.reader = None

    def _journal(self) -> Path:
        return self.path / str(JournalDirectory(self.path).current())

    @invariant()
    def both_agree(self) -> None:
        found = [entry["target"] for entry in read_entries(self.path)]
        assert found == self.recorded[len(self.recorded) - len(found) :]
        assert len(found) >= len(self.recorded) - self.shipped
        assert not [alarm for alarm in JournalDirectory(self.path).alarms() if alarm["alarm"] != "torn tail"]
        if self.recorded:
            assert Acknowledged.read(self._journal()).seq == self.shipped
            assert found


JournalMachine.TestCase.settings = settings(
    max_examples=1500 if os.environ.get("WHODID_TEST_SOAK") else 60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestJournalModel = pytest.mark.longer(JournalMachine.TestCase)
