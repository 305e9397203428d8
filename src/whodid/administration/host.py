"""Administrative actions on a host, with their records: its dead letters, its journals and its signing key."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from ..cluster.connection import connect
from ..cluster.partitions import stored_journals
from ..entry import ZERO_HASH, places
from ..errors import SettingsError, WhodidError
from ..journal import Acknowledged, JournalDirectory, Missing
from ..journal.chain import forget_journal
from ..journal.damage import find_stray, in_words, remove_missing
from ..journal.lock import ProcessLock
from ..proof.keys import signer_of
from ..recording.context import check_reason
from ..recording.own import record_operation
from ..settings import Settings
from ..shipping.checkpointing import Checkpointing
from ..shipping.dead_letters import DeadLetter, replace_dead_letters
from ..shipping.retry import Retried, retry
from ..shipping.service import Cluster, dates_of
from ..shipping.status import JournalStatus, directory_status, missing_entries

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = [
    "Retired",
    "Rotated",
    "drop_dead_letters",
    "export_dead_letters",
    "retire_journal",
    "retry_dead_letters",
    "rotate_key",
    "without_shipper",
]

_LETTERS = "dead letters"
_MOST = 4000


class _Writes(Protocol):
    def write(self, text: str, /) -> object: ...


def retry_dead_letters(
    settings: Settings, letters: Iterable[DeadLetter], *, on_progress: Callable[[int], None] = lambda done: None
) -> Retried:
    """Sends dead letters to OpenSearch again, by the connection that the settings name.

    Those that are stored are recorded, as `audit_log_dead_letters_retried`, before they leave the file of dead letters.
    Sent again they meet their own IDs, so nothing is stored twice.

    Parameters
    ----------
    letters
        Such as `whodid.shipping.dead_letters.find_dead_letters` returns.
    on_progress
        Called with the number of letters that were judged.

    Returns
    -------
    Retried
        Which were stored, refused again, or not judged as the cluster could not be reached.

    Raises
    ------
    SettingsError
        The settings name no cluster that can be connected to.
    NotRecorded, JournalDamaged
        It can't be recorded: the letters stay in the file.

    Example
    -------
    >>> len(retry_dead_letters(settings, find_dead_letters(settings.journal_dir)).stored)
    12
    """
    cluster = Cluster(settings)
    done = retry(letters, settings, cluster.send, dates_of(settings, cluster), on_progress)
    if done.stored:
        details = {"stored": len(done.stored), "refused": len(done.refused), **_places(done.stored)}
        record_operation(settings, "audit_log_dead_letters_retried", _LETTERS, details)
    replace_dead_letters(JournalDirectory(settings.journal_dir), set(done.stored), done.refused)
    return done


def drop_dead_letters(settings: Settings, ids: Collection[str], reason: str) -> None:
    """Discards dead letters by their IDs; their entries are lost for good.

    This is recorded first, as `audit_log_dead_letters_dropped`; without any ID, nothing is recorded.

    Raises
    ------
    InvalidEntry, NotRecorded, JournalDamaged
        It can't be recorded, and nothing was discarded.

    Example
    -------
    >>> letters = find_dead_letters(settings.journal_dir, like="expired on arrival")
    >>> drop_dead_letters(settings, {letter.id for letter in letters}, "restored a year-old volume")
    """
    check_reason(reason)
    if ids:
        details = {"reason": reason, "dropped": len(ids), **_places(ids)}
        record_operation(settings, "audit_log_dead_letters_dropped", _LETTERS, details)
        replace_dead_letters(JournalDirectory(settings.journal_dir), ids)


def export_dead_letters(settings: Settings, letters: Iterable[DeadLetter], out: _Writes, to: str) -> int:
    """Writes dead letters, with all their values, into an open text file: a JSON object a line.

    Recorded after, as `audit_log_dead_letters_exported`, with `to`, the file's name. Returns how many there were.
    Raises `NotRecorded` or `JournalDamaged`, and what `out` raises.

    Example
    -------
    >>> with open("letters.ndjson", "x") as file:
    ...     export_dead_letters(settings, find_dead_letters(settings.journal_dir), file, "letters.ndjson")
    12
    """
    count = 0
    for letter in letters:
        out.write(json.dumps(asdict(letter)) + "\n")
        count += 1
    if count:
        record_operation(settings, "audit_log_dead_letters_exported", _LETTERS, {"exported": count, "to": to})
    return count


def _places(ids: Iterable[str]) -> dict[str, Any]:
    """Where the entries of these letters stand, as far as it fits into the record; what was cut off is said."""
    every = places(ids)
    shown = {journal: ranges[:_MOST] for journal, ranges in list(every.items())[:5]}
    return {"entries": shown, "cut": True} if shown != every else {"entries": shown}


@dataclass(frozen=True, slots=True)
class Retired:
    """A journal that was retired; `removed` says that it was in this directory, and is no longer.

    `details` are those of the record: `last_seq` and `last_hash`, with `host` or `missing` where they are known.
    """

    journal: str
    removed: bool
    details: Mapping[str, Any]


def retire_journal(settings: Settings, journal_id: str, reason: str, *, client: OpenSearch | None = None) -> Retired:
    """Records that a journal has ended for good, as its host, pod or volume is gone.

    Recorded before, as `audit_log_journal_retired`. An ended journal of this host is then removed from the disk; one
    whose directory is missing is not reported as missing any more.

    Parameters
    ----------
    client
        The connection by which a journal of another host is looked up; by default, one as the settings say.

    Raises
    ------
    WhodidError
        There is no such journal, it is being written to, or it has entries that wait or that can be put back.
    InvalidEntry, NotRecorded, JournalDamaged
        It can't be recorded, and nothing was done.

    Example
    -------
    >>> retire_journal(settings, "8f14e45fceea167a", "node web-3 died, its disk is lost").details["last_seq"]
    4711
    """
    check_reason(reason)
    directory = JournalDirectory(settings.journal_dir)
    local = next((one for one in directory_status(settings.journal_dir).journals if one.journal == journal_id), None)
    missing = [gap for gap in missing_entries(directory) if gap.journal == journal_id]
    _refuse_if_needed(directory, journal_id, local, missing)
    if local is not None:
        known = Acknowledged.read(directory.journal(journal_id))
        details: dict[str, Any] = {"last_seq": known.seq, "last_hash": known.hash}
    else:
        every = stored_journals(client or connect(settings), settings)
        stored = next((one for one in every if one.journal == journal_id), None)
        if stored is not None:
            details = {"last_seq": stored.last_seq, "last_hash": stored.last_hash, "host": stored.host}
        elif missing:
            details = {"last_seq": 0, "last_hash": ZERO_HASH}
        else:
            raise WhodidError(
                f"there is no journal {journal_id} here or in OpenSearch; run `whodid journal list --cluster`"
            )
    if missing:
        details["missing"] = [[gap.first, gap.last] for gap in missing[:100]]
    record_operation(settings, "audit_log_journal_retired", journal_id, {"reason": reason, **details})
    if local is not None:
        shutil.rmtree(directory.journal(journal_id))
    forget_journal(directory, journal_id)
    remove_missing(directory, missing)
    return Retired(journal_id, local is not None, details)


def _refuse_if_needed(
    directory: JournalDirectory, journal_id: str, local: JournalStatus | None, missing: Iterable[Missing]
) -> None:
    """Raises `WhodidError` also while a file below the directory has entries that were not shipped."""
    if journal_id == directory.current():
        raise WhodidError(f"{journal_id} is the journal that new entries go to; only one that has ended can retire")
    if local is not None and local.backlog:
        raise WhodidError(
            f"{journal_id} has {local.backlog:,} entries that are not in OpenSearch; run `whodid ship --once` first"
        )
    for gap in missing:
        if journal_id in directory.folders()[1] or find_stray(directory, gap):
            raise WhodidError(in_words(directory, gap))


@dataclass(frozen=True, slots=True)
class Rotated:
    """The checkpoint that both keys signed, and the IDs of the keys."""

    journal: str
    checkpoint: int
    before: str
    after: str


def rotate_key(
    settings: Settings,
    reason: str,
    *,
    signing_key_file: str = "",
    signing_command: str = "",
    signing_public_key: str = "",
) -> Rotated:
    """Closes a checkpoint that the key of the settings and another one sign, which then vouch for each other.

    Recorded after, as `audit_log_key_rotated`. No shipper may run on this host meanwhile. Name the new key in the
    settings then, and start the shipper again.

    Parameters
    ----------
    reason
        Why; it is recorded.
    signing_key_file
        The new private key (PEM); or else
    signing_command, signing_public_key
        the command that signs by it, and the file of its public key.

    Raises
    ------
    SettingsError
        A key is missing or can't be read, or both are the same.
    ProofError
        A key can't sign, or no checkpoint has been closed here yet; in that case, name the new key in the settings.
    WhodidError
        A shipper runs.
    NotRecorded, JournalDamaged
        The checkpoint is closed and can't be recorded.

    Example
    -------
    >>> rotate_key(settings, "yearly", signing_key_file="/etc/whodid/signing-2027.pem").checkpoint
    4711
    """
    check_reason(reason)
    if bool(signing_key_file) == bool(signing_command):
        raise SettingsError(
            "name the new key: --to FILE (signing_key_file), or --to-command with --to-public-key "
            "(signing_command, signing_public_key)"
        )
    later = replace(
        settings,
        signing_key="",
        signing_key_file=signing_key_file,
        signing_command=signing_command,
        signing_public_key=signing_public_key,
    )
    old, new = signer_of(settings), signer_of(later)
    if old is None or new is None:
        raise SettingsError("no signing key is configured; set signing_key_file first")
    if old.key == new.key:
        raise SettingsError(f"{old.key.id} is already the signing key; create another with `whodid key new`")
    with without_shipper(settings, "or it would continue with the old key") as directory:
        closed = Checkpointing(directory, settings, old).change_key(new).checkpoint
        about = {"reason": reason, "before": old.key.id, "after": new.key.id}
        record_operation(settings, "audit_log_key_rotated", new.key.id, about)
    return Rotated(closed.journal, closed.number, old.key.id, new.key.id)


@contextmanager
def without_shipper(settings: Settings, why: str) -> Iterator[JournalDirectory]:
    """The journal directory, while no shipper may be active there. Raises `WhodidError` where one is.

    `why` it has to be stopped ends the message.
    """
    directory = JournalDirectory(settings.journal_dir, create=True)
    lock = ProcessLock(directory.ship_lock)
    if not lock.try_acquire():
        raise WhodidError(f"{directory.path} is being shipped by {lock.holder()}: stop that until this is done, {why}")
    try:
        yield directory
    finally:
        lock.close()
