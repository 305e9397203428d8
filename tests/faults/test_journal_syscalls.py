"""Each system call of the journal fails in turn: EIO, no space, an interruption, half a write, once or from then on.

A call that returned a receipt is in the journal exactly once; one that raised raised an error of ours; and with the
fault gone the same process goes on, and a new one, on one whole chain or, alarmed, on a new one.
"""

from __future__ import annotations

import errno
import shutil
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.disk import CTRL_C, Fault, failing, without_syncs
from tests.faults.story import Story
from whodid.journal import Journal, JournalDirectory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="faults are injected by way of /proc")

FAULTS = [
    Fault("EIO", errno.EIO),
    Fault("EIO after it was done", errno.EIO, done=True),
    Fault("EIO from then on", errno.EIO, lasting=True),
    Fault("EINTR", errno.EINTR),
    Fault("Ctrl-C", CTRL_C),
    Fault("Ctrl-C after it was done", CTRL_C, done=True),
    Fault("no space", errno.ENOSPC),
    Fault("no space from then on", errno.ENOSPC, lasting=True),
    Fault("half a write"),
    Fault("half a write from then on", lasting=True),
]
"""The first six may meet any call. So where each meets every sixth, beginning with another, all calls meet one."""

Scenario = Callable[[Story, Journal], None]


def first_append(story: Story, journal: Journal) -> None:
    story.record(journal)
    story.record(journal)


def rotation(story: Story, journal: Journal) -> None:
    for _ in range(6):
        story.record(journal, size=300)


def two_processes(story: Story, journal: Journal) -> None:
    other = _journal(story.path)
    for _ in range(3):
        story.record(journal)
        story.record(other)


def threads(story: Story, journal: Journal) -> None:
    workers = [threading.Thread(target=story.record, args=(journal,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def process_durability(story: Story, journal: Journal) -> None:
    for _ in range(3):
        story.record(journal, "process")
    story.sync(journal)
    story.record(journal, "process")


def shipping(story: Story, journal: Journal) -> None:
    rotation(story, journal)
    story.ship()
    story.record(journal)
    story.ship()


def dead_letters(story: Story, journal: Journal) -> None:
    first_append(story, journal)
    story.ship(refused=True)
    story.ship(refused=True)


def found(story: Story, pattern: str) -> list[Path]:
    """The files that the scenario itself changes; none where the fault meets it."""
    with suppress(OSError, KeyboardInterrupt):
        return list(story.path.glob(pattern))
    return []


def damage(story: Story, journal: Journal) -> None:
    """A line that was changed by hand, in a journal that ended."""
    first_append(story, journal)
    for segment in found(story, "*/[0-9]*.ndjson"):
        segment.write_bytes(segment.read_bytes() + b"{}\n")
    story.record(_journal(story.path))
    story.ship()


def quarantine(story: Story, journal: Journal) -> None:
    for number in range(3):
        with story.refusable():
            journal.quarantine({"number": number})
            story.rejected.append(number)


def torn_tail(story: Story, journal: Journal) -> None:
    first_append(story, journal)
    for segment in found(story, "*/[0-9]*.ndjson"):
        with segment.open("ab") as file:
            file.write(b'{"half')
    story.record(journal)
    story.record(_journal(story.path))


def a_new_journal(story: Story, journal: Journal) -> None:
    first_append(story, journal)
    for marker in found(story, "*/journal.json"):
        with suppress(OSError, KeyboardInterrupt):
            shutil.copy(marker, marker.with_name("copy"))
            marker.with_name("copy").rename(marker)
    story.record(_journal(story.path))
    story.record(journal)


def calls_with_keys(story: Story, journal: Journal) -> None:
    """The first two are recorded; then each is made again, in this process and another, in and after its segment."""
    other = _journal(story.path)
    for target in ("", "", "1", "2"):
        story.record_with_key(journal, again=target)
    story.record(journal, size=900)
    for target in ("2", "1", "", "9"):
        story.record_with_key(other, again=target)


SCENARIOS: list[Scenario] = [
    first_append, rotation, two_processes, threads, process_durability, shipping, dead_letters, damage, quarantine,
    torn_tail, a_new_journal, calls_with_keys,
]  # fmt: skip


def _journal(path: Path) -> Journal:
    return Journal(path, segment_bytes=1500, lock_timeout=2.0)


def _play(path: Path, scenario: Scenario, fault: Fault, number: int) -> int:
    """How many calls there were."""
    story, journal = Story(path), _journal(path)
    with failing(path.parent, fault, number) as count:
        scenario(story, journal)
    with without_syncs():
        again = story.number
        for _ in range(2):  # the first may be told that the directory is another one by now
            story.record(journal)
        assert str(again + 2) in story.promised
        story.check()
    if fault.number != CTRL_C and not (fault.lasting and fault.number == errno.EIO):
        _nothing_left_over(path)
    shutil.rmtree(path.parent)  # the long form makes thousands
    return count()


def _nothing_left_over(path: Path) -> None:
    begun = {folder.name for folder in path.iterdir() if folder.is_dir()}
    assert begun == set(JournalDirectory(path).journals())


def _sweep(tmp_path: Path, scenario: Scenario, fault: Fault, every: int) -> None:
    calls = _play(tmp_path / "0" / "journal", scenario, fault, 0)
    for number in range(1 + FAULTS.index(fault) % every, calls + 1, every):
        _play(tmp_path / str(number) / "journal", scenario, fault, number)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_system_call_fails(tmp_path: Path, scenario: Scenario, fault: Fault) -> None:
    _sweep(tmp_path, scenario, fault, every=20)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_whichever_system_call_fails(tmp_path: Path, scenario: Scenario, fault: Fault) -> None:
    _sweep(tmp_path, scenario, fault, every=1)
