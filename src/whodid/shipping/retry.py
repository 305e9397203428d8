"""The retry: sends dead letters again, after the cause of their refusal was fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from ..cluster.bulk import Document, Verdict
from ..entry import Stamp, partition_name, partition_start
from ..settings import Settings
from .dead_letters import DeadLetter
from .delivery import Send
from .partitioning import Dates

__all__ = ["Retried", "retry"]

_AT_ONCE = 500


@dataclass(slots=True)
class Retried:
    """The result for each dead letter: IDs of those stored, those refused again with the new reason, and those not
    decided."""

    stored: list[str] = field(default_factory=list)
    refused: dict[str, DeadLetter] = field(default_factory=dict)
    waiting: int = 0
    why_waiting: str = ""


def retry(
    letters: Iterable[DeadLetter],
    settings: Settings,
    send: Send,
    dates: Dates,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Retried:
    """Sends dead letters again, each to the partition of its entry, until one has to wait. Changes no file."""
    result = Retried()
    for batch in _batches(letters):
        _retry_batch(batch, settings, send, dates, result)
        on_progress(len(result.stored) + len(result.refused))
        if result.waiting:
            break
    return result


def _retry_batch(batch: Sequence[DeadLetter], settings: Settings, send: Send, dates: Dates, result: Retried) -> None:
    documents: list[Document] = []
    sent: list[DeadLetter] = []
    for letter in batch:
        date = str(letter.entry.get("creation_date", ""))
        if why := dates.why_refused(date):
            result.refused[letter.id] = _refused_again(letter, why)
        else:
            documents.append(Document(letter.id, _partition(letter, date, settings), letter.line.encode()))
            sent.append(letter)
    verdicts: list[Verdict] = send(documents) if documents else []
    for letter, verdict in zip(sent, verdicts, strict=True):
        if verdict.kind == "stored":
            result.stored.append(letter.id)
        elif verdict.kind == "refused":
            result.refused[letter.id] = _refused_again(letter, verdict.reason)
        else:
            result.waiting += 1
            result.why_waiting = verdict.reason


def _partition(letter: DeadLetter, date: str, settings: Settings) -> str:
    """The partition it was sent to before, even if the setting has changed: an earlier retry may have stored it."""
    if partition_start(settings.index_prefix, letter.index):
        return letter.index
    return partition_name(settings.index_prefix, settings.partition, date)


def _refused_again(letter: DeadLetter, why: str) -> DeadLetter:
    return replace(letter, reason=why, time=Stamp.now().creation_date)


def _batches(letters: Iterable[DeadLetter]) -> Iterator[list[DeadLetter]]:
    remaining = iter(letters)
    while batch := list(islice(remaining, _AT_ONCE)):
        yield batch
