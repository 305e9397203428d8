"""Power loss at any moment: whatever the disk kept of what was not synced, nothing that was promised is lost."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from tests.faults.disk import Call, Killed, System, disk
from tests.faults.power import Recording
from tests.faults.story import Story
from whodid.journal import Journal, JournalDirectory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="calls are recorded by way of /proc")


class Life:
    """A directory in use by processes that are killed now and then; what was promised is noted after each step."""

    def __init__(self, root: Path, random: Random) -> None:
        self.story = Story(root / "data" / "journal")
        self.recording = Recording(root)
        self.told: dict[int, tuple[int, ...]] = {}
        """What had been said after so many recorded steps, before the next one."""
        self._random = random
        self._until_killed = -1
        self._journals: list[Journal] = []

    def __call__(self, call: Call, system: System) -> object:
        """Each call is recorded, until the process is killed: then nothing reaches the disk any more."""
        if self._until_killed == 0:
            raise Killed
        self._until_killed -= 1
        self.told[self.recording.length] = self.story.told()
        return self.recording(call, system)

    def live(self, steps: int) -> None:
        with disk(self.recording._root, self):
            for _ in range(steps):
                if self._until_killed < 0 and self._random.random() < 0.25:
                    self._until_killed = self._random.randrange(12)
                with suppress(Killed):
                    self._step()
                if self._until_killed == 0:
                    self._journals.clear()
                    self._until_killed = -1
            self.told[self.recording.length] = self.story.told()
            self._until_killed = 0  # the power is gone: nothing that ends now may write
            self._journals.clear()

    def _step(self) -> None:
        story, choice = self.story, self._random.random()
        if choice < 0.5:
            story.record(self._journal(), "disk", self._random.choice([0, 50, 400]))
        elif choice < 0.7:
            story.record(self._journal(), "process")
        elif choice < 0.78:
            self._journal().sync()
        elif choice < 0.83:
            story.ship()
        elif choice < 0.86:
            story.ship(refused=True)
        elif choice < 0.92:
            story.ship(acknowledged=False)
        else:
            self._journals.append(self._new())

    def _journal(self) -> Journal:
        if not self._journals:
            self._journals.append(self._new())
        return self._random.choice(self._journals)

    def _new(self) -> Journal:
        return Journal(self.story.path, segment_bytes=1500)


def states(tmp_path: Path, seed: int, lives: int, crashes: int) -> Iterator[tuple[Life, int, Path]]:
    """So many lives, and states that the disk of each may be in after a power loss."""
    for number in range(lives):
        random = Random(seed * 1000 + number)
        root = tmp_path / f"{number}"
        (root / "disk").mkdir(parents=True)
        life = Life(root / "disk", random)
        life.live(random.choice([3, 10, 30]))
        for crash in range(crashes):
            steps = random.randint(0, life.recording.length)
            into = root / f"{crash}"
            life.recording.after(steps, random, into)
            yield life, steps, into


def check(life: Life, steps: int, into: Path) -> None:
    story = life.story.as_of(life.told[steps], into / "data" / "journal")
    promised = list(story.promised)
    with disk(into, lambda call, system: system(*call.arguments)):
        story.check()
    used = {segment.parent for segment in story.path.glob("*/[0-9]*.ndjson")}
    assert len(used) == 1 or JournalDirectory(story.path).alarms() or not promised


@pytest.mark.parametrize("seed", range(4))
def test_nothing_promised_is_lost_to_a_power_loss(tmp_path: Path, seed: int) -> None:
    for life, steps, into in states(tmp_path, seed, lives=8, crashes=12):
        check(life, steps, into)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_nothing_promised_is_lost_to_many_power_losses(tmp_path: Path) -> None:
    for life, steps, into in states(tmp_path, 99, lives=400, crashes=50):
        check(life, steps, into)
