"""Power loss at any moment: whatever the disk kept of what was not synced, nothing that was promised is lost."""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from pathlib import Path
from random import Random
from unittest.mock import patch

import pytest

from tests.faults.disk import Call, Killed, System, disk
from tests.faults.power import Recording
from tests.faults.story import Story
from whodid.journal import Journal, JournalDirectory, once

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="calls are recorded by way of /proc")


class Life:
    """A directory in use by processes that are killed now and then; what was promised is noted after each step."""

    def __init__(self, root: Path, random: Random, story: Story | None = None, *, keys: bool = False) -> None:
        self.story = story or Story(root / "data" / "journal")
        self.recording = Recording(root)
        self.began = self.recording.length
        self.told: dict[int, tuple[int, ...]] = {}
        """What had been said after so many recorded steps, before the next one."""
        self._random = random
        self._keys = keys
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
        no_flusher = patch.object(Journal, "_sync_soon", lambda journal: None)  # a step does that
        with disk(self.recording._root, self), no_flusher, patch.object(once, "_FAR", 700):
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
        if self._keys and choice < 0.6:
            again = self._random.choice([*story.keyed, "", ""])
            story.record_with_key(self._journal(), self._random.choice(["disk", "process"]), again)
        elif choice < 0.5:
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

    def lose_power(self, into: Path) -> Story:
        """Makes `into` what the disk may hold after a power loss at some moment; what had been said by then."""
        steps = self._random.randint(self.began, self.recording.length)
        self.recording.after(steps, self._random, into)
        return self.story.as_of(self.told[steps], into / "data" / "journal")


def check(story: Story, into: Path) -> None:
    promised = list(story.promised)
    with disk(into, lambda call, system: system(*call.arguments)):
        story.check()
    used = {segment.parent for segment in story.path.glob("*/[0-9]*.ndjson")}
    assert len(used) == 1 or JournalDirectory(story.path).alarms() or not promised


def lose_power(tmp_path: Path, seed: int, lives: int, crashes: int, *, keys: bool = False) -> None:
    """So many lives, each with so many states that its disk may be in after a power loss; half of them live on."""
    for number in range(lives):
        random = Random(seed * 1000 + number)
        root = tmp_path / f"{number}"
        (root / "disk").mkdir(parents=True)
        life = Life(root / "disk", random, keys=keys)
        life.live(random.choice([3, 10, 30]))
        for crash in range(crashes):
            into = root / f"{crash}"
            story = life.lose_power(into)
            if crash % 2:
                second = Life(into, random, story, keys=keys)
                second.live(random.choice([1, 3, 10]))
                into = root / f"{crash} again"
                story = second.lose_power(into)
            check(story, into)
        shutil.rmtree(root)  # the long form makes thousands


@pytest.mark.parametrize("seed", [0, 50])  # 50: segments are deleted by a position that is not synced
def test_nothing_promised_is_lost_to_a_power_loss(tmp_path: Path, seed: int) -> None:
    lose_power(tmp_path, seed, lives=8, crashes=16)


def test_a_call_with_a_key_that_is_made_again_is_lost_to_no_power_loss(tmp_path: Path) -> None:
    lose_power(tmp_path, 7, lives=8, crashes=16, keys=True)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("keys", [False, True])
def test_nothing_promised_is_lost_to_many_power_losses(tmp_path: Path, keys: bool) -> None:
    lose_power(tmp_path, 99, lives=400, crashes=50, keys=keys)
