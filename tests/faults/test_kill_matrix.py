"""kill -9 at random points, of recorders and shippers at once: nothing lost, nothing stored twice, chains whole.

Victims are killed at random, or a random moment into a phase that they say they are in. After each kill of a shipper
the acknowledged position must not be ahead of what OpenSearch has; in the end every receipt's entry is in OpenSearch or
among the dead letters, exactly once. `make soak` kills thousands.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests import independent
from tests.faults.victims import POISON
from tests.faults.zygote import Victim, Zygote
from tests.live.corner import Corner
from whodid.cluster.template import index_pattern, template_name
from whodid.entry import document_id
from whodid.journal import Acknowledged, JournalDirectory
from whodid.shipping.dead_letters import read_dead_letters

pytestmark = pytest.mark.live

RECORDING = ("", "writing", "recording", "rotating", "starting", "catching up", "syncing")
SHIPPING = ("", "sending", "acknowledging", "dead-lettering", "pruning")


@dataclass
class Matrix:
    """Victims at work on one journal directory, and what was seen of them."""

    place: Corner
    zygote: Zygote
    folder: Path
    random: random.Random
    pause: float
    size: int
    hits: Counter[str] = field(default_factory=Counter)
    names: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))

    def recorder(self) -> Victim:
        name = f"r{next(self.names)}"
        return self.zygote.fork(
            "recorder",
            journal_dir=self.place.settings.journal_dir,
            durability=self.random.choice(["disk", "process"]),
            threads=self.random.choice([1, 1, 4]),
            name=name,
            receipts=str(self.folder / f"{name}.receipts"),
            pause=self.pause,
            size=self.size,
        )

    def shipper(self) -> Victim:
        settings = self.place.settings
        return self.zygote.fork(
            "shipper",
            journal_dir=settings.journal_dir,
            opensearch_hosts=settings.opensearch_hosts,
            index_prefix=settings.index_prefix,
            poll_interval=0.01,
            bulk_entries=50,
            retention="off",
        )

    def kill(self, victim: Victim) -> None:
        phase = self.random.choice(SHIPPING if victim.role == "shipper" else RECORDING)
        after = self.random.uniform(0, {"": 0.05, "writing": 0.0}.get(phase, 0.002))
        self.hits[victim.kill_in(phase, after, 0.5) or "starting up"] += 1

    def receipts(self) -> list[str]:
        found: list[str] = []
        for path in self.folder.glob("*.receipts"):
            text = path.read_text()
            found += text[: text.rfind("\n") + 1].split()
        return found

    def stored(self) -> dict[str, dict[str, Any]]:
        """All documents, by ID."""
        return {id_: hit["_source"] for id_, hit in self.place.stored().items()}

    def letters(self) -> dict[str, dict[str, Any]]:
        letters = read_dead_letters(JournalDirectory(self.place.settings.journal_dir))
        return {id_: orjson.loads(letter.line) for id_, letter in letters.items()}

    def check_positions(self) -> None:
        """Every entry up to the acknowledged one is in OpenSearch, or a dead letter."""
        for path in Path(self.place.settings.journal_dir).glob("*/acknowledged"):
            seq, journal = Acknowledged.read(path.parent).seq, path.parent.name
            letters = sum(entry["journal"] == journal and entry["seq"] <= seq for entry in self.letters().values())
            self.place.refresh()
            query = {"bool": {"filter": [{"term": {"journal": journal}}, {"range": {"seq": {"lte": seq}}}]}}
            count = self.place.client.count(index=index_pattern(self.place.settings), body={"query": query})["count"]
            assert count + letters == seq


@pytest.fixture
def matrix(place: Corner, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Matrix]:
    _refuse_poison(place)
    folder = tmp_path / "victims"
    folder.mkdir()
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    with Zygote(folder) as zygote:
        yield Matrix(place, zygote, folder, random.Random(seed), *request.param)


def _refuse_poison(place: Corner) -> None:
    name = template_name(place.settings)
    [answer] = place.client.indices.get_index_template(name=name)["index_templates"]
    template = answer["index_template"]
    for poison in POISON:
        del template["template"]["mappings"]["properties"][poison]
    place.client.indices.put_index_template(name=name, body=template)


def _kill_and_check(matrix: Matrix, recorders: int, kills: int) -> None:
    victims = [matrix.recorder() for _ in range(recorders)]
    shipper = matrix.shipper()
    for number in range(kills):
        if number % 3 == 0:
            matrix.kill(shipper)
            if number % 9 == 0:
                matrix.check_positions()
            shipper = matrix.shipper()
        else:
            place = matrix.random.randrange(recorders)
            matrix.kill(victims[place])
            victims[place] = matrix.recorder()
    for victim in [*victims, shipper]:
        victim.kill_in("", 0, 0)
    _check_all(matrix, kills)


def _check_all(matrix: Matrix, kills: int) -> None:
    matrix.place.ship()
    stored, letters, receipts = matrix.stored(), matrix.letters(), matrix.receipts()
    entries = [*stored.values(), *letters.values()]
    targets = Counter(entry["target"] for entry in entries)
    lost = set(receipts) - set(targets)
    doubled = {target for target, count in targets.items() if count > 1}
    alarms = Counter(alarm["alarm"] for alarm in JournalDirectory(matrix.place.settings.journal_dir).alarms())
    report: dict[str, Any] = {"kills": kills, "receipts": len(receipts), "lost": len(lost), "doubled": len(doubled)}
    report |= {"dead letters": len(letters), "alarms": dict(alarms), "killed while": dict(matrix.hits.most_common())}
    print(json.dumps(report))
    assert (sorted(lost), sorted(doubled)) == ([], [])
    assert set(alarms) <= {"torn tail"}  # a kill is no reason for any other
    assert not set(stored) & set(letters)
    assert all(set(POISON) <= set(entry) for entry in letters.values())
    assert not any(set(POISON) & set(entry) for entry in stored.values())
    assert {
        id_ for id_, entry in stored.items() if id_ != document_id(entry["journal"], entry["seq"], entry["hash"])
    } == set()
    by_place = sorted(entries, key=lambda entry: (entry["journal"], entry["seq"]))
    assert independent.problems(by_place) == []
    assert len(receipts) > kills
    assert "Traceback" not in matrix.zygote.said(), matrix.zygote.said()


# Recorders, kills, seconds between entries, and the size of an entry: a large one is more often cut by a kill.
SHORT = [(1, 20, (0.0, 25_000)), (8, 30, (0.004, 1500))]
LONG = [(1, 1600, (0.002, 25_000)), (8, 2000, (0.01, 1500)), (32, 1600, (0.05, 1500))]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("recorders", "kills", "matrix"), SHORT, indirect=["matrix"])
def test_every_receipt_is_stored_exactly_once_whatever_is_killed(matrix: Matrix, recorders: int, kills: int) -> None:
    _kill_and_check(matrix, recorders, kills)


@pytest.mark.soak
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(("recorders", "kills", "matrix"), LONG, indirect=["matrix"])
def test_every_receipt_is_stored_exactly_once_after_thousands_of_kills(
    matrix: Matrix, recorders: int, kills: int
) -> None:
    _kill_and_check(matrix, recorders, kills)
