"""Foreign content in each file of a journal directory, and in each answer that the shipper asks for: nothing is lost.

While it is there, no command ends in a traceback, and the shipper's loop goes on; once it is gone, everything recorded
is delivered exactly once. Nothing gets as far as the guard: each boundary knows what to do about it.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis
from prometheus_client import generate_latest

from tests.doctor.examined import examined
from tests.faults.foreign import Change, changes
from tests.faults.kit import Answer, Exchange
from tests.live.corner import eventually
from tests.shipping.small_cluster import SmallCluster, small_cluster
from whodid.cli.program import program
from whodid.cluster.bulk import Document, Verdict
from whodid.entry import Stamp
from whodid.errors import WhodidError
from whodid.integrity import Draft
from whodid.journal import Journal, JournalDirectory
from whodid.journal.directory import count_not_recorded
from whodid.proof.witness import Delivered, Deliveries
from whodid.settings import Settings
from whodid.shipping import Shipper
from whodid.shipping.delivery import Alive, ShippingEvent
from whodid.shipping.metrics import Metrics
from whodid.shipping.service import connected_shipper

FILES = (
    *("current", "durable", "alarms.ndjson", "rejected.ndjson", "damaged.ndjson", "dead-letters.ndjson"),
    *("missing.ndjson", "checkpoints.ndjson", "witnessed.json", "not-recorded", "lock", "ship.lock"),
    *("dead-letters.lock", "once"),
    *("ID/journal.json", "ID/acknowledged", "ID/partitioning", "ID/ended", "ID/00000000000000000001.ndjson"),
    *("ID/00000000000000000009.ndjson", "ID/2²x.ndjson", "ID/9 of nobody.ndjson", "nobody/journal.json"),
)
ENDPOINTS = {
    "bulk": "_bulk",
    "template": "_index_template",
    "clock": "_cat/health",
    "ISM": "_plugins/_ism",
    "holds, checkpoints, records": "_doc",
    "pages": "_search",
    "partitions": "_mapping",
    "settings of partitions": "_settings",
    "everything": "",
}
FEW = hypothesis(
    max_examples=2, deadline=None, suppress_health_check=list(HealthCheck), database=None, phases=[Phase.generate]
)
MANY = hypothesis(FEW, max_examples=60)


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whodid.shipping.delivery.random.uniform", lambda low, high: 0.0)
    monkeypatch.setattr("whodid.shipping.guard._FIRST_PAUSE", 0.01)


def record(settings: Settings, *targets: str) -> None:
    stamp = Stamp.now()
    journal = Journal(settings.journal_dir)
    for target in targets:
        entry = {"type": "t", "target": target, "creation_date": stamp.creation_date, "@timestamp": stamp.timestamp}
        journal.append(Draft(entry), "process")
    journal.close()


class Sink:
    """Stores everything but the target "refused", each document once."""

    def __init__(self) -> None:
        self.stored: dict[str, str] = {}

    def send(self, documents: Sequence[Document]) -> list[Verdict]:
        return [self._one(document) for document in documents]

    def _one(self, document: Document) -> Verdict:
        target = json.loads(document.raw)["target"]
        if target == "refused":
            return Verdict("refused", "mapper_parsing_exception: no")
        self.stored[document.id] = target
        return Verdict("stored")

    def targets(self) -> list[str]:
        return sorted(self.stored.values())


@contextmanager
def at_work(make: Callable[..., Shipper]) -> Iterator[Callable[[int], None]]:
    """A shipper in a thread; the function waits until its loop made so many more steps. It must not have ended."""
    steps = 0

    def observe(observation: ShippingEvent) -> None:
        nonlocal steps
        steps += isinstance(observation, Alive)

    def wait(more: int) -> None:
        until = steps + more
        eventually(lambda: steps >= until or not thread.is_alive(), 60)
        assert thread.is_alive()

    shipper = make(observe=observe)
    thread = threading.Thread(target=shipper.run, daemon=True)
    thread.start()
    try:
        yield wait
        assert thread.is_alive()
    finally:
        shipper.stop.set()
        thread.join(60)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A journal directory with every file, and the ID of its journal: two shipped, a dead letter, one to ship."""
    path = tmp_path_factory.mktemp("model") / "journal"
    settings = Settings(journal_dir=str(path))
    record(settings, "a", "refused", "b")
    Shipper(settings, Sink().send).run_once()
    directory = JournalDirectory(path)
    journal = directory.current() or ""
    segment = directory.journal(journal) / f"{1:020d}.ndjson"
    record(settings, "c")
    (directory.journal(journal) / "ended").write_text('{"reason": "a test"}\n')
    (directory.journal(journal) / "9 of nobody.ndjson").write_bytes(segment.read_bytes())
    directory.alarm("torn tail", "a test")
    directory.missing.write_text(json.dumps({"journal": "0" * 16, "first": 1, "last": 2, "time": "x"}) + "\n")
    directory.damaged.write_text(json.dumps({"place": "x:0", "reason": "no JSON", "base64": ""}) + "\n")
    directory.rejected.write_text(json.dumps({"error": "x", "type": "t", "fields": {}}) + "\n")
    count_not_recorded(path)
    Deliveries(path).note("the cluster", Delivered({journal: 1}, "2026-11-24T10:00:00Z", "away"))
    for one in path.rglob("*"):
        one.chmod(0o700 if one.is_dir() else 0o600)
    return path, journal


def commands(settings: Settings) -> None:
    """None ends in a traceback, whatever lies in the directory."""
    directory = f"--journal-dir={settings.journal_dir}"
    for words in (["status", "--local"], ["status", "--local", "--json"], ["journal", "list"], ["dead-letters", "list"],
                  ["dead-letters", "list", "--each"], ["dead-letters", "export", "-"]):  # fmt: skip
        done = CliRunner().invoke(program, [*words, directory])
        assert done.exception is None or isinstance(done.exception, SystemExit | WhodidError | OSError), (
            words,
            done.exc_info,
        )
    for area in ("journal", "shipping", "disk", "versions"):
        examined(settings, area)
    with suppress(WhodidError, OSError):
        generate_latest(Metrics(settings).registry)


def unexpected(journal_dir: str) -> list[str]:
    return [one["about"] for one in JournalDirectory(journal_dir).alarms() if "report this bug" in one["about"]]


def survives_in_file(name: str, change: Change, model: tuple[Path, str], tmp_path: Path) -> None:
    path, journal = model
    settings = Settings(journal_dir=str(tmp_path / "journal"), poll_interval=0.001, drain_timeout=0.0)
    shutil.rmtree(settings.journal_dir, ignore_errors=True)
    shutil.copytree(path, settings.journal_dir)
    target = Path(settings.journal_dir) / name.replace("ID", journal)
    target.parent.mkdir(mode=0o700, exist_ok=True)
    true = target.read_bytes() if target.exists() else None
    foreign = change(true or b"")
    if target.exists():
        target.chmod(0o600)
    target.write_bytes(foreign)
    target.chmod(0o600)
    sink = Sink()

    def make(**keywords: Any) -> Shipper:
        return Shipper(settings, sink.send, **keywords)

    def heal(wait: Callable[[int], None]) -> None:
        _heal(target, true, foreign)
        record(settings, "d")
        eventually(lambda: {"c", "d"} <= set(sink.targets()), 60)
        wait(2)

    with at_work(make) as wait:
        wait(3)
        commands(settings)
        wait(1)
        if not _is_segment(name):
            heal(wait)
    if _is_segment(name):  # which is read from where the last reading ended, or after a restart
        with at_work(make) as wait:
            heal(wait)
    assert unexpected(settings.journal_dir) == []
    assert len(set(sink.targets())) == len(sink.targets())
    letters = CliRunner().invoke(program, ["dead-letters", "list", "--json", f"--journal-dir={settings.journal_dir}"])
    assert json.loads(letters.stdout)["count"] == 1


def _is_segment(name: str) -> bool:
    return name.startswith("ID/0")


def _heal(target: Path, true: bytes | None, foreign: bytes) -> None:
    """What stood there before, with what was added to it; a file that was replaced meanwhile has healed itself."""
    if not target.exists():
        return
    found = target.read_bytes()
    if not found.startswith(foreign) and true is not None:
        return
    if true is None:
        target.unlink()
    else:
        target.write_bytes(true + (found[len(foreign) :] if target.suffix == ".ndjson" and foreign else b""))


@pytest.mark.parametrize("name", FILES)
def test_foreign_content_in_a_file(name: str, model: tuple[Path, str], tmp_path: Path) -> None:
    @FEW
    @given(changes())
    def tried(change: Change) -> None:
        survives_in_file(name, change, model, tmp_path)

    tried()


@pytest.mark.soak
@pytest.mark.parametrize("name", FILES)
def test_much_foreign_content_in_a_file(name: str, model: tuple[Path, str], tmp_path: Path) -> None:
    @MANY
    @given(changes())
    def tried(change: Change) -> None:
        survives_in_file(name, change, model, tmp_path)

    tried()


class Garbler:
    """Answers of one endpoint changed, in turn; done before, or not at all."""

    def __init__(self, cluster: SmallCluster, path: str, changes: Sequence[tuple[int, Change]]) -> None:
        self._cluster = cluster
        self._path = path
        self._changes = list(changes)
        self.times = 0

    def __call__(self, exchange: Exchange) -> Answer | None:
        if self._path not in exchange.path or not self._changes or exchange.method == "HEAD":
            return None
        status, change = self._changes[self.times % len(self._changes)]
        self.times += 1
        true = self._cluster.bulk(exchange.body) if "_bulk" in exchange.path else exchange.forward()
        return Answer(status or true.status, change(true.body), {"content-type": "application/json"})

    def heal(self) -> None:
        self._changes = []


def survives_in_answers(
    path: str, drawn: Sequence[tuple[int, Change]], cluster: SmallCluster, settings: Settings, number: int
) -> None:
    cluster.garble = garbler = Garbler(cluster, path, drawn)
    record(settings, f"{number} a", f"{number} b")

    def make(**keywords: Any) -> Shipper:
        return connected_shipper(settings, notify=lambda text: None, **keywords)

    with at_work(make) as wait:
        wait(4)
        garbler.heal()
        record(settings, f"{number} c")
        eventually(lambda: {f"{number} {one}" for one in "abc"} <= cluster.targets, 60)
        wait(2)
    assert unexpected(settings.journal_dir) == []
    assert set(cluster.stored.values()) == {1}
    assert not JournalDirectory(settings.journal_dir).dead_letters.exists()


STATUS = (0, 0, 0, 200, 400, 401, 403, 404, 409, 429, 500, 503)


def fuzz_endpoint(endpoint: str, plugin: bool, tmp_path: Path, examples: hypothesis) -> None:
    from hypothesis import strategies as st

    answers = st.lists(st.tuples(st.sampled_from(STATUS), changes()), min_size=1, max_size=4)
    with small_cluster(plugin=plugin) as cluster:
        settings = Settings(
            journal_dir=str(tmp_path / "journal"),
            opensearch_hosts=(cluster.url,),
            poll_interval=0.001,
            drain_timeout=0.0,
            opensearch_timeout=5.0,
        )
        cluster.stand_in.create_index("whodid-audit-2020.01", mark={"managed_by": "whodid"}, entries=3, age=2500)
        number = 0

        @examples
        @given(answers)
        def tried(drawn: Sequence[tuple[int, Change]]) -> None:
            nonlocal number
            number += 1
            survives_in_answers(ENDPOINTS[endpoint], drawn, cluster, settings, number)

        tried()


@pytest.mark.parametrize("plugin", [True, False], ids=["ISM", "no ISM"])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_foreign_answers(endpoint: str, plugin: bool, tmp_path: Path) -> None:
    fuzz_endpoint(endpoint, plugin, tmp_path, FEW)


@pytest.mark.soak
@pytest.mark.parametrize("plugin", [True, False], ids=["ISM", "no ISM"])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_many_foreign_answers(endpoint: str, plugin: bool, tmp_path: Path) -> None:
    fuzz_endpoint(endpoint, plugin, tmp_path, MANY)
