"""Another length of partition: entries that may have been sent already keep their index, so none is stored twice."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.shipping.test_loop import NOW, STORED, Cluster, record, target
from whodid.cluster.bulk import Document, Verdict
from whodid.errors import JournalDamaged
from whodid.journal import JournalDirectory
from whodid.settings import Settings
from whodid.shipping import Shipper, partitioning
from whodid.shipping.dead_letters import read_dead_letters
from whodid.shipping.partitioning import Dates, Length, Partitioning
from whodid.shipping.retry import retry

MONTH, WEEK, DAY = "whodid-audit-2026.11", "whodid-audit-2026.w48", "whodid-audit-2026.11.23"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(journal_dir=str(tmp_path / "journal"), poll_interval=0.02)


class Partitions:
    """Stores by index and `_id`, as OpenSearch does; of an unanswered request, the shipper never hears."""

    def __init__(self) -> None:
        self.stored: set[tuple[str, str]] = set()
        self.indices: dict[str, str] = {}
        self.answers = True

    def send(self, documents: Sequence[Document]) -> list[Verdict]:
        self.stored |= {(document.partition, document.id) for document in documents}
        self.indices |= {target(document): document.partition for document in documents}
        if not self.answers:
            raise KeyboardInterrupt
        return [STORED] * len(documents)

    def twice(self) -> list[str]:
        return [id_ for id_, times in Counter(id_ for _, id_ in self.stored).items() if times > 1]


def journal_of(settings: Settings) -> Path:
    directory = JournalDirectory(settings.journal_dir)
    return directory.journal(next(directory.journals()))


def ship(settings: Settings, cluster: Partitions, partition: Length) -> None:
    Shipper(replace(settings, partition=partition), cluster.send).run_once()


def test_what_was_stored_but_not_acknowledged_before_the_change_is_not_stored_twice(settings: Settings) -> None:
    cluster = Partitions()
    record(settings, "a", "b")
    ship(settings, cluster, "month")
    record(settings, "c", "d")
    cluster.answers = False
    with pytest.raises(KeyboardInterrupt):
        ship(settings, cluster, "month")
    cluster.answers = True
    record(settings, "e")  # before anybody could know of the change
    ship(settings, cluster, "week")
    record(settings, "f")
    ship(settings, cluster, "week")
    assert cluster.twice() == []
    assert cluster.indices == {**dict.fromkeys("abcde", MONTH), "f": WEEK}


def test_changes_again_while_entries_wait_keep_each_of_them_where_it_was(settings: Settings) -> None:
    cluster = Partitions()
    cluster.answers = False
    waiting: list[tuple[str, Length]] = [("a", "month"), ("b", "week"), ("c", "day")]
    for targets, partition in waiting:
        record(settings, targets)
        with pytest.raises(KeyboardInterrupt):
            ship(settings, cluster, partition)
    cluster.answers = True
    record(settings, "d")
    ship(settings, cluster, "week")
    record(settings, "e")
    ship(settings, cluster, "week")
    assert cluster.twice() == []
    assert cluster.indices == {"a": MONTH, "b": MONTH, "c": WEEK, "d": DAY, "e": WEEK}


def test_one_batch_may_hold_entries_from_before_and_after_the_change_in_a_request_each(
    settings: Settings,
) -> None:
    record(settings, "a", "b")
    Partitioning.of(journal_of(settings), "month")
    Partitioning.of(journal_of(settings), "day")
    record(settings, "c")
    cluster = Cluster()
    Shipper(replace(settings, partition="day"), cluster.send).run_once()
    assert {target(one): one.partition for one in cluster.stored.values()} == {"a": MONTH, "b": MONTH, "c": DAY}
    assert sorted(cluster.requests) == [1, 2]


def test_a_length_is_forgotten_once_nothing_can_be_sent_under_it(settings: Settings) -> None:
    record(settings, "a", at=NOW)
    ship(settings, Partitions(), "month")
    assert Partitioning.of(journal_of(settings), "week") == Partitioning((2,), ("week",))
    assert Partitioning.of(journal_of(settings), "month") == Partitioning((2,), ("month",))


def test_a_full_disk_leaves_entries_where_they_were_and_shipping_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    record(settings, "a")
    cluster = Partitions()
    with monkeypatch.context() as patched:
        patched.setattr(partitioning, "write_file", full)
        ship(settings, cluster, "month")
    record(settings, "b")
    ship(settings, cluster, "month")
    record(settings, "c")
    with monkeypatch.context() as patched:
        patched.setattr(partitioning, "write_file", full)
        ship(settings, cluster, "week")
    record(settings, "d")
    ship(settings, cluster, "week")
    record(settings, "e")
    ship(settings, cluster, "week")
    assert cluster.indices == {**dict.fromkeys("abcd", MONTH), "e": WEEK}


@pytest.mark.parametrize("content", ["", "[]", "{}", '[[1, "year"]]', "[1]"])
def test_a_damaged_note_is_said_and_guessed_by_nobody(settings: Settings, content: str) -> None:
    record(settings, "a")
    (journal_of(settings) / "partitioning").write_text(content)
    with pytest.raises(JournalDamaged, match="partitioning is damaged"):
        ship(settings, Partitions(), "month")


def test_a_dead_letter_is_retried_where_it_was_sent_before(settings: Settings) -> None:
    record(settings, "a", "b")
    Shipper(settings, Cluster(lambda document: Verdict("refused", "no")).send).run_once()
    letters = list(read_dead_letters(JournalDirectory(settings.journal_dir)).values())
    letters[1] = replace(letters[1], index="")  # one that was never sent, for its date
    cluster = Partitions()
    done = retry(letters, replace(settings, partition="week"), cluster.send, Dates.unlimited())
    assert len(done.stored) == 2
    assert cluster.indices == {"a": MONTH, "b": WEEK}
