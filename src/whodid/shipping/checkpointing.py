"""Checkpointing: maintains the open checkpoint of each journal and closes checkpoints over shipped entries.

The state of an open checkpoint (the edge of its tree, counts) is stored with the acknowledged position in one write.
So both always refer to the same entry, and no entry has to be read again after a restart.

Invariants:
- Every acknowledged entry is in exactly one checkpoint of its journal, or in the open one.
- A checkpoint is durable in `checkpoints.ndjson` before the next one is opened. After a crash in between it is found
  there, so it is closed once.
- A checkpoint that can't be closed (a full disk, an unavailable key) stays open and is retried; shipping continues.
"""

from __future__ import annotations

import json
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from ..entry import ZERO_HASH, Stamp
from ..errors import JournalLocked, ProofError
from ..files import append_line, best_effort, read_lines
from ..journal import Acknowledged, JournalDirectory, Line
from ..journal.chain import forget_journal
from ..proof.checkpoint import Checkpoint, SignedCheckpoint, Why
from ..proof.keys import Signer
from ..proof.merkle import Tree
from ..resources import __version__
from ..settings import Settings
from ..text import FOREIGN, json_of, text_of
from .dead_letters import each_dead_letter
from .status import last_seq

__all__ = ["MOST_ENTRIES", "Checkpointing", "closed_checkpoints"]

MOST_ENTRIES = 1_000_000
"""The number of entries at which a checkpoint is closed before its interval is over."""

_MOST_PARTITIONS = 24
_MOST_HOLES = 24
_MOST_LETTERS = 1000
_OTHERS = "*"
_RETRY_AFTER = 60.0
"""Seconds until closing a checkpoint is retried."""


@dataclass(slots=True)
class _Open:
    """The open checkpoint of a journal; the last closed one is `number`, with the hash `previous`."""

    number: int = 0
    previous: str = ZERO_HASH
    since: str = ""
    """When it was opened."""
    why: str = ""
    """Why the previous one was closed."""
    first: int = 1
    last: int = 0
    last_hash: str = ZERO_HASH
    tree: Tree = field(default_factory=Tree)
    partitions: dict[str, int] = field(default_factory=dict)
    holes: list[tuple[int, int]] = field(default_factory=list)
    letters: int = 0

    def add(self, lines: Sequence[Line], partitions: Iterable[tuple[str, int]], letters: int) -> None:
        """Adds acknowledged lines; `partitions` and `letters` count where they are stored."""
        if lines and lines[0].seq <= self.last:  # shipped again after the position was lost
            lines = [line for line in lines if line.seq > self.last]
        if not lines:
            return
        self.tree.extend([line.hash.encode() for line in lines])
        if lines[-1].seq - self.last != len(lines):
            places = [self.last, *(line.seq for line in lines)]
            self.holes += [(before + 1, after - 1) for before, after in pairwise(places) if after > before + 1]
        self.last, self.last_hash = lines[-1].seq, lines[-1].hash
        self.letters += letters
        for name, count in partitions:
            known = name in self.partitions or len(self.partitions) < _MOST_PARTITIONS
            self.partitions[name if known else _OTHERS] = self.partitions.get(name if known else _OTHERS, 0) + count

    def note(self) -> str:
        content = {
            "number": self.number,
            "previous": self.previous,
            "since": self.since,
            "why": self.why,
            "first": self.first,
            "entries": self.tree.size,
            "edge": b64encode(b"".join(self.tree.edge)).decode(),
            "partitions": self.partitions,
            "holes": self.holes[:_MOST_HOLES],
            "letters": self.letters,
        }
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def of(cls, position: Acknowledged, now: str) -> _Open:
        """The checkpoint stored with a position; if there is none, a new one that starts after it."""
        try:
            return cls._noted(position)
        except FOREIGN:  # no note, or one that this version can't read
            return cls(first=position.seq + 1, last=position.seq, last_hash=position.hash, since=now)

    @classmethod
    def _noted(cls, position: Acknowledged) -> _Open:
        """Raises one of `FOREIGN` for an invalid note."""
        content = json_of(position.note.encode())
        edge = b64decode(content["edge"])
        datetime.fromisoformat(content["since"])
        return cls(
            number=_number(content["number"]),
            previous=text_of(content["previous"]),
            since=content["since"],
            why=text_of(content["why"]),
            first=_number(content["first"]),
            last=position.seq,
            last_hash=position.hash,
            tree=Tree(_number(content["entries"]), [edge[at : at + 32] for at in range(0, len(edge), 32)]),
            partitions={name: _number(count) for name, count in content["partitions"].items()},
            holes=[(_number(first), _number(last)) for first, last in content["holes"]],
            letters=_number(content["letters"]),
        )

    def begin_after(self, closed: SignedCheckpoint, why: str, since: str) -> None:
        one = closed.checkpoint
        self.number, self.previous, self.why, self.since = one.number, closed.hash, why, since
        self.first, self.last, self.last_hash = one.last_seq + 1, one.last_seq, one.last_hash
        self.tree, self.partitions, self.holes, self.letters = Tree(), {}, [], 0


class Checkpointing:
    """The checkpoints of one journal directory; the caller holds the lock of the one active shipper.

    `on_closed` gets each checkpoint once it is on disk; `notify` gets the reason when one can't be closed.
    """

    def __init__(
        self,
        directory: JournalDirectory,
        settings: Settings,
        signer: Signer | None,
        *,
        on_closed: Callable[[SignedCheckpoint], None] = lambda closed: None,
        notify: Callable[[str], None] = lambda text: None,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], str] = lambda: _now(),
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._signer = signer
        self._on_closed = on_closed
        self._notify = notify
        self._monotonic = monotonic
        self._now = now
        self._open: dict[str, _Open] = {}
        self._retry_at = 0.0
        self._reported = ""

    def forget(self) -> None:
        """Drops the state in memory, to be read again: another shipper may have been active."""
        self._open.clear()

    def last(self, journal: str) -> int:
        """The number of the last entry of a journal in a checkpoint, closed or open."""
        return self._of(journal).last

    def begin(self, journal: str) -> None:
        """Closes an empty first checkpoint, so that the journal is known from now on."""
        open_ = self._of(journal)
        if not (open_.number or open_.tree.size):
            self._try_to_close(journal, open_, "begun")  # the reason is part of the format

    def acknowledge(
        self, journal: str, lines: Sequence[Line], partitions: Iterable[tuple[str, int]], letters: int
    ) -> None:
        """Records durably that everything up to the last line is stored or accounted for. Raises `OSError`."""
        open_ = self._of(journal)
        open_.add(lines, partitions, letters)
        self._write(journal, open_)
        if open_.tree.size >= MOST_ENTRIES or len(open_.holes) >= _MOST_HOLES:
            self._try_to_close(journal, open_, "size")

    def close_what_is_due(self) -> None:
        """Closes checkpoints that have been open for the interval, and the last one of each journal that has ended."""
        if self._monotonic() < self._retry_at:
            return
        self._close_ended()
        if current := self._current():
            journal, open_ = current
            if (open_.number or open_.tree.size) and self._is_due(open_):
                self._try_to_close(journal, open_, "time")

    def close_all(self) -> None:
        """Closes open checkpoints when everything is shipped and the shipper ends, except empty ones after a stop."""
        self._close_ended()
        if current := self._current():
            journal, open_ = current
            if open_.tree.size or open_.why not in ("stop", "begun", "key", ""):
                self._try_to_close(journal, open_, "stop")

    def change_key(self, new: Signer) -> SignedCheckpoint:
        """Closes the open checkpoint, signed by the current key and by the new one; it names both.

        Raises `OSError`, and `ProofError` if it can't be signed or no checkpoint was closed here yet.
        """
        current = self._current()
        if current is None or not current[1].number:
            raise ProofError("no checkpoint was closed here yet, so set the new key in the settings instead")
        return self._close(*current, "key", new)

    def _current(self) -> tuple[str, _Open] | None:
        journal = self._directory.current()
        return (journal, self._of(journal)) if journal else None

    def _close_ended(self) -> None:
        """Closes the last checkpoint of each ended journal; one without entries and checkpoints was never used.

        Then it may be removed: its absence is not reported any more.
        """
        started, current = self._directory.started(), self._directory.current()  # in this order: a journal may begin
        for journal in self._directory.journals():
            if journal == current:
                continue
            open_, last = self._of(journal), last_seq(self._directory.journal(journal))
            unused = not (open_.number or open_.last or last)
            if open_.why != "ended" and last <= open_.last and not unused:
                self._try_to_close(journal, open_, "ended")
            if (unused or open_.why == "ended") and journal in started:
                with best_effort(), suppress(JournalLocked):  # tried again next time
                    forget_journal(self._directory, journal)

    def _is_due(self, open_: _Open) -> bool:
        """Whether it has been open for the interval, or the clock was set back."""
        try:
            age = (datetime.fromisoformat(self._now()) - datetime.fromisoformat(open_.since)).total_seconds()
        except FOREIGN:  # not written by whodid
            return True
        return not 0 <= age < self._settings.checkpoint_interval

    def _of(self, journal: str) -> _Open:
        if journal not in self._open:
            self._open[journal] = self._found(journal)
        return self._open[journal]

    def _found(self, journal: str) -> _Open:
        """The open checkpoint of a journal, compared with the closed ones on disk in case of a crash."""
        open_ = _Open.of(Acknowledged.read(self._directory.journal(journal)), self._now())
        kept = max(closed_checkpoints(self._directory, journal), key=lambda one: one.checkpoint.number, default=None)
        if kept is None or (kept.checkpoint.number, kept.hash) == (open_.number, open_.previous):
            if kept is None and open_.number:
                self._directory.alarm("checkpoints", f"those of journal {journal} are gone from checkpoints.ndjson")
            return open_
        one = kept.checkpoint
        if one.number == open_.number + 1 and one.previous == open_.previous:
            open_.begin_after(kept, one.why, one.time)  # a crash came before the next one was opened
        elif one.number > open_.number:
            self._directory.alarm("checkpoints", f"the position of journal {journal} is older than its checkpoints")
            open_.begin_after(kept, one.why, one.time)
        else:
            about = f"checkpoints.ndjson ends with number {one.number} of journal {journal}, not {open_.number}"
            self._directory.alarm("checkpoints", about)
        return open_

    def _try_to_close(self, journal: str, open_: _Open, why: Why) -> None:
        try:
            self._close(journal, open_, why)
            self._reported = ""
        except (OSError, ProofError) as error:
            self._retry_at = self._monotonic() + _RETRY_AFTER
            text = f"a checkpoint can't be closed: {error}"
            if text != self._reported:
                self._notify(text)
            self._reported = text

    def _close(self, journal: str, open_: _Open, why: Why, new: Signer | None = None) -> SignedCheckpoint:
        settings = self._settings
        signers = [signer for signer in (self._signer, new) if signer]
        letters = list(self._letters(journal, open_)) if open_.letters else []
        closed = Checkpoint(
            journal=journal,
            number=open_.number + 1,
            first_seq=open_.first,
            last_seq=open_.last,
            last_hash=open_.last_hash,
            entries=open_.tree.size,
            root=open_.tree.root().hex(),
            partitions=dict(open_.partitions),
            holes=tuple(open_.holes),
            dead_letters=open_.letters,
            letters=tuple(letters[:_MOST_LETTERS]),
            previous=open_.previous,
            time=self._now(),
            why=why,
            interval=round(settings.checkpoint_interval),
            host=settings.host,
            service=settings.service,
            index_prefix=settings.index_prefix,
            whodid=__version__,
            keys=tuple(signer.key.raw.hex() for signer in signers) if new else (),
        ).sign(*signers)
        append_line(self._directory.checkpoints, closed.line())
        open_.begin_after(closed, why, closed.checkpoint.time)
        self._write(journal, open_)
        self._on_closed(closed)
        return closed

    def _letters(self, journal: str, open_: _Open) -> Iterator[tuple[int, str]]:
        for letter in each_dead_letter(self._directory, lambda letter: letter.id.startswith(f"{journal}-")):
            seq, hash_ = letter.entry.get("seq"), letter.entry.get("hash")
            if type(seq) is int and isinstance(hash_, str) and open_.first <= seq <= open_.last:
                yield seq, hash_

    def _write(self, journal: str, open_: _Open) -> None:
        Acknowledged(open_.last, open_.last_hash, open_.note()).write(self._directory.journal(journal))


def closed_checkpoints(directory: JournalDirectory, journal: str | None = None) -> Iterator[SignedCheckpoint]:
    """The checkpoints in `checkpoints.ndjson`, of all journals or one, in the order in which they were closed.

    Lines that are no valid checkpoint are skipped: a newer version may have written them.
    """
    for line in read_lines(directory.checkpoints):
        try:
            one = SignedCheckpoint.read(line)
        except ProofError:
            continue
        if journal in (None, one.checkpoint.journal):
            yield one


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError("not a number of entries")
    return value


def _now() -> str:
    return Stamp.now().creation_date
