"""Checkpoint sources that this host can read, and what it knows about its journals, for verification."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from ..cluster.ledger import CheckpointIndex
from ..errors import NotAuthorized, ProofError, SettingsError, WitnessError
from ..files import files_below, is_there, read_lines
from ..journal import Acknowledged, JournalDirectory
from ..journal.damage import in_words
from ..proof.checkpoint import SignedCheckpoint
from ..proof.keys import PublicKey, read_public_key, signer_of
from ..proof.witness import DirectoryWitness, Witness, witnesses_of
from ..search import AuditClient
from ..settings import Settings
from ..shipping.dead_letters import each_dead_letter
from ..shipping.status import last_seq, missing_entries
from ..verify import LocalJournal, Source

__all__ = ["local_journals", "sources", "trusted_keys"]


def trusted_keys(settings: Settings, files: Sequence[str]) -> list[PublicKey]:
    """The keys in these files, or else the key of the settings; empty if no signing key is configured.

    Raises `SettingsError`.
    """
    if files:
        return [read_public_key(file) for file in files]
    if settings.signing_public_key:
        return [read_public_key(settings.signing_public_key)]
    try:
        signer = signer_of(settings)
    except SettingsError:  # verifying does not require that this user can sign
        return []
    return [signer.key] if signer else []


def sources(client: AuditClient, against: Sequence[str]) -> list[Source]:
    """Where checkpoints are: the cluster, this host, and what `against` names. Raises `WhodidError`."""
    index = CheckpointIndex(client.connection, client.settings)
    try:
        found = [Source(index.name, list(index.each()))]
    except NotAuthorized:
        found = []
    if (directory := _directory(client.settings)) and is_there(directory.checkpoints):
        found.append(Source("this host", list(_checkpoints(read_lines(directory.checkpoints)))))
    found += [_of_witness(witness) for witness in witnesses_of(client.settings)]
    found += [_of_path(path) for path in against]
    return found


def _of_witness(witness: Witness) -> Source:
    return Source(witness.name, list(_checkpoints(data for _, data in witness.each())), outside=True)


def _of_path(path: str) -> Source:
    """A directory as a witness keeps it, or that holds copies of `checkpoints.ndjson`; or one such copy."""
    place = Path(path)
    if not place.is_dir():
        if not place.exists():
            raise WitnessError(
                f"{path} is not there; --against takes what a witness kept, or a copy of checkpoints.ndjson"
            )
        return Source(path, list(_checkpoints(read_lines(place))), outside=True)
    lines = (line for file in files_below(place, ".ndjson") for line in read_lines(file))
    kept = (data for _, data in DirectoryWitness(place).each())
    return Source(path, list(_checkpoints(chain(kept, lines))), outside=True)


def local_journals(settings: Settings) -> list[LocalJournal]:
    """What this host knows of the journals in its `journal_dir`. Raises `JournalDamaged`."""
    if not (directory := _directory(settings)):
        return []
    letters: dict[str, set[int]] = {}
    for letter in each_dead_letter(directory):
        journal, _, rest = letter.id.partition("-")
        letters.setdefault(journal, set()).add(int(rest.partition("-")[0]))
    gone: dict[str, list[tuple[int, int, str]]] = {}
    for gap in missing_entries(directory):
        gone.setdefault(gap.journal, []).append((gap.first, gap.last or gap.first, in_words(directory, gap)))
    return [
        LocalJournal(
            journal,
            max(last_seq(directory.journal(journal)), shipped, *(last for _, last, _ in gone.get(journal, ()))),
            shipped,
            frozenset(letters.get(journal, ())),
            tuple(gone.get(journal, ())),
        )
        for journal in directory.journals()
        for shipped in [Acknowledged.read(directory.journal(journal)).seq]
    ]


def _directory(settings: Settings) -> JournalDirectory | None:
    """That of this host; none where nothing says which it is, as for a user without a home."""
    return JournalDirectory(settings.journal_dir) if settings.journal_dir else None


def _checkpoints(lines: Iterable[bytes]) -> Iterator[SignedCheckpoint | ProofError]:
    for line in lines:
        try:
            yield SignedCheckpoint.read(line)
        except ProofError as error:
            yield error
