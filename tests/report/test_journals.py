"""The journals of a report: whatever was done to a log, the numbers of each add up, and begin and end where it does."""

from __future__ import annotations

import pytest

from tests.attacks.attacks import ATTACKS, Attack
from tests.attacks.scene import Scene
from whodid.report.parts import parts_of

pytestmark = pytest.mark.live

TRIED = (
    "delete a range of entries",
    "put an old entry in the place of another",
    "insert an entry beside another",
    "clone a journal, and continue both",
    "change an entry in the journal before it is sent",
)


@pytest.mark.parametrize("attack", [one for one in ATTACKS if one.name in TRIED], ids=lambda one: one.name)
def test_the_numbers_span_what_there_is_to_say(attack: Attack, ready: Scene) -> None:
    attack.do(ready)
    parts = parts_of(ready.verify("own").journals)
    assert parts
    for part in parts:
        assert part.first == min(one.first for one in part.stretches)
        assert part.last == max(one.last for one in part.stretches)
        assert part.recorded == part.last - part.first + 1
        assert part.complete is not bool(part.missing or part.damaged)


def test_every_attack_that_is_tried_exists() -> None:
    assert {one.name for one in ATTACKS} >= set(TRIED)
