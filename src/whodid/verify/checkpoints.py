"""The statements: checkpoints from wherever they are kept, which of them are trusted, and what they vouch for.

They come from several places, the outermost first: witnesses, the journal's own host, the index in OpenSearch. Where
two places say different things, the outer one counts, and the contradiction is a finding.

A change of keys is a checkpoint that the key until then and the new one have signed: who trusts one of them trusts
both. Behind it in the same journal the old one signs nothing any more. A journal of which such an old key alone has
signed the checkpoints is trusted unless there is a witness that does not know it: whoever has the old key still can
make one up, and date it as they like.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, pairwise

from ..entry import ZERO_HASH
from ..errors import ProofError
from ..proof.checkpoint import CHECKPOINT, Checkpoint, Sealed
from ..proof.keys import PublicKey, signed_by, signers_of
from .verdict import Finding
from .walk import Anchor

__all__ = ["Source", "Statements", "judged", "letters_of"]

_LATE = timedelta(hours=1)
"""So much later than it was due a checkpoint may come: the shipper was busy, or is just being restarted."""
_CLOCK = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Source:
    """A place where checkpoints are kept: `outside` where neither the host nor the cluster can change it."""

    name: str
    statements: Sequence[Sealed | ProofError]
    outside: bool = False


@dataclass(slots=True)
class Statements:
    """What is trusted: for each journal its checkpoints, by number."""

    by_journal: dict[str, list[Sealed]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    forks: dict[str, list[Sealed]] = field(default_factory=dict)
    """Others of the same place and standing, by journal: nobody knows which of them is right."""
    sources: dict[str, str] = field(default_factory=dict)
    """Which source each checkpoint is from, by its key."""
    keys: frozenset[PublicKey] = frozenset()
    """Whose checkpoints are trusted: the keys given, and those that changes of keys join with them."""

    def of(self, journal: str) -> list[Checkpoint]:
        return [one.checkpoint for one in self.by_journal.get(journal, ())]

    def covering(self, journal: str, seq: int) -> Sealed | None:
        """The checkpoint over an entry; `None` for one that is not sealed yet."""
        found = self.by_journal.get(journal, ())
        return next((one for one in found if one.checkpoint.first_seq <= seq <= one.checkpoint.last_seq), None)

    def undisputed(self, journal: str, seq: int, prefix: str) -> Sealed | None:
        """The same, if there is no other of its number and standing, and it is of the log of that `index_prefix`."""
        sealed = self.covering(journal, seq)
        others = {one.checkpoint.number for one in self.forks.get(journal, ())}
        if sealed is None or sealed.checkpoint.number in others or sealed.checkpoint.index_prefix != prefix:
            return None
        return sealed

    def silence(self, now: datetime, quiet: Collection[str]) -> Iterator[Finding]:
        """Journals of which a checkpoint is overdue; those in `quiet` have announced that none will come."""
        for journal, signed in self.by_journal.items():
            if signed and journal not in quiet:
                yield from _silence(signed[-1].checkpoint, now)

    def anchors(self, journal: str) -> dict[int, Anchor]:
        """What they say of single entries, by `seq`."""
        found: dict[int, Anchor] = {}
        for sealed in self.by_journal.get(journal, ()):
            one = sealed.checkpoint
            who = f"checkpoint {one.number} ({self.sources[sealed.key]})"
            if one.last_seq and one.last_seq not in found:
                found[one.last_seq] = Anchor(frozenset({one.last_hash}), who, one.time)
        for sealed in self.forks.get(journal, ()):
            one = sealed.checkpoint
            known = found.get(one.last_seq, Anchor(frozenset(), f"checkpoint {one.number}", one.time))
            found[one.last_seq] = known._replace(hashes=known.hashes | {one.last_hash})
        return found


def judged(sources: Iterable[Source], keys: Collection[PublicKey]) -> Statements:
    """Puts the statements of all places together. With `keys`, only what one of them signed counts."""
    sources = sorted(sources, key=lambda source: not source.outside)
    result = Statements(keys=_joined(chain.from_iterable(source.statements for source in sources), keys))
    places: dict[tuple[str, int], dict[str, tuple[Sealed, Source]]] = {}
    signers: dict[str, frozenset[PublicKey]] = {}
    for source in sources:
        for statement in source.statements:
            if isinstance(statement, ProofError):
                result.findings.append(Finding("untrusted", "", 0, f"{source.name}: {statement}"))
                continue
            one = statement.checkpoint
            by = signers_of(statement.envelope, CHECKPOINT, result.keys)
            if keys and not by:
                about = f"checkpoint {one.number} in {source.name}, said to be of {one.time}: {_unsigned(statement)}"
                result.findings.append(Finding("untrusted", one.journal, one.first_seq, about, one.last_seq))
                continue
            signers.setdefault(statement.key, by)
            places.setdefault((one.journal, one.number), {}).setdefault(statement.hash, (statement, source))
    for (journal, _), found in sorted(places.items()):
        (chosen, source), *others = found.values()
        result.by_journal.setdefault(journal, []).append(chosen)
        result.sources[chosen.key] = source.name
        for other, elsewhere in others:
            if source.outside == elsewhere.outside:
                result.forks.setdefault(journal, []).append(other)
            result.findings.append(_contradiction(chosen, source, other, elsewhere))
    for journal, signed in result.by_journal.items():
        result.by_journal[journal] = kept = list(_without_changed_keys(signed, signers, result))
        result.findings += _chain_findings(kept)
    if any(source.outside for source in sources):
        witnessed = {key for source in sources if source.outside for key in _keys_of(source)}
        _drop_what_old_keys_made_up(result, signers, witnessed)
    return result


def _keys_of(source: Source) -> Iterator[str]:
    return (one.key for one in source.statements if isinstance(one, Sealed))


def _drop_what_old_keys_made_up(
    result: Statements, signers: Mapping[str, frozenset[PublicKey]], witnessed: Collection[str]
) -> None:
    changed = {one.checkpoint.change[0] for kept in result.by_journal.values() for one in kept if one.checkpoint.change}
    for journal, kept in [*result.by_journal.items()]:
        if any(one.key in witnessed or one.checkpoint.change or not signers[one.key] for one in kept):
            continue
        if all(signers[one.key] <= changed for one in kept):
            del result.by_journal[journal]
            first, last = kept[0].checkpoint, kept[-1].checkpoint
            about = "its checkpoints are signed by a key that was changed, and no witness has any of them"
            result.findings.append(Finding("untrusted", journal, first.first_seq, about, last.last_seq))


def _joined(statements: Iterable[Sealed | ProofError], keys: Collection[PublicKey]) -> frozenset[PublicKey]:
    """The keys, and those that changes of keys join with one of them."""
    trusted = frozenset(keys)
    changes = [one for one in statements if isinstance(one, Sealed) and one.checkpoint.change] if trusted else []
    while changes:
        both = next((pair for one in changes for pair in _change(one) if trusted & pair and not pair <= trusted), None)
        if both is None:
            break
        trusted |= both
    return trusted


def _change(sealed: Sealed) -> Iterable[frozenset[PublicKey]]:
    """The key until then and the new one, if both have signed it."""
    pair = frozenset(sealed.checkpoint.change or ())
    if signers_of(sealed.envelope, CHECKPOINT, pair) == pair:
        yield pair


def _without_changed_keys(
    signed: Sequence[Sealed], signers: Mapping[str, frozenset[PublicKey]], result: Statements
) -> Iterable[Sealed]:
    """The checkpoints of a journal but for those whose key was changed before: what it signs since proves nothing."""
    changed: set[PublicKey] = set()
    before: frozenset[PublicKey] = frozenset()
    for sealed in signed:
        one = sealed.checkpoint
        by = signers[sealed.key]
        if by and by <= changed:
            ids = ", ".join(sorted(key.id for key in by))
            about = (
                f"checkpoint {one.number} in {result.sources[sealed.key]} is signed by {ids}, which was changed before"
            )
            result.findings.append(Finding("untrusted", one.journal, one.first_seq, about, one.last_seq))
            continue
        changed |= before - by
        if one.change:
            changed.add(one.change[0])
        before = by
        yield sealed


def _unsigned(sealed: Sealed) -> str:
    """Why no key vouches for it, in words."""
    named = ", ".join(signed_by(sealed.envelope, CHECKPOINT))
    return f"no key that is trusted here has signed it; it names {named}" if named else "it is not signed"


def _contradiction(chosen: Sealed, source: Source, other: Sealed, elsewhere: Source) -> Finding:
    one = chosen.checkpoint
    last = max(one.last_seq, other.checkpoint.last_seq)
    if source.outside == elsewhere.outside:
        about = (
            f"there are two checkpoints {one.number}, in {source.name} and in {elsewhere.name}: the journal was "
            "copied, or rolled back and written again"
        )
        return Finding("forked", one.journal, one.first_seq, about, last, (), one.time)
    about = f"checkpoint {one.number} in {elsewhere.name} is another than the one in {source.name}"
    return Finding("rebuilt", one.journal, one.first_seq, about, last, (), one.time)


def _chain_findings(signed: Sequence[Sealed]) -> Iterable[Finding]:
    """Whether each goes on from the one before."""
    first = signed[0].checkpoint
    if first.number > 1:
        about = f"checkpoints 1 to {first.number - 1} are missing"
        yield Finding("gap", first.journal, 0, about)
    elif first.previous != ZERO_HASH:
        yield Finding("rebuilt", first.journal, 0, "checkpoint 1 names one before it")
    for before, after in pairwise(signed):
        one, two = before.checkpoint, after.checkpoint
        if two.number > one.number + 1:
            about = f"checkpoints {one.number + 1} to {two.number - 1} are missing"
            yield Finding("gap", one.journal, 0, about)
        elif two.previous != before.hash or two.first_seq != one.last_seq + 1:
            about = f"checkpoint {two.number} does not go on from checkpoint {one.number}"
            yield Finding("rebuilt", one.journal, two.first_seq, about, two.last_seq, (), one.time)
        elif _moment(one.time) - _moment(two.time) > _CLOCK:
            about = f"checkpoint {two.number} is of {two.time}, and the one before it of {one.time}"
            yield Finding("clock set back", one.journal, two.first_seq, about, two.last_seq)


def _silence(last: Checkpoint, now: datetime) -> Iterable[Finding]:
    """Whether the next one is overdue."""
    if last.why in ("stop", "ended", "key"):
        return
    due = _moment(last.time) + timedelta(seconds=last.interval)
    if now > due + max(_LATE, timedelta(seconds=last.interval)):
        about = (
            f"its shipper on {last.host} has said nothing since {last.time}, and was not stopped: a checkpoint was due "
            f"at {due:%Y-%m-%dT%H:%M:%SZ}. If that host is gone for good, say so by `whodid journal retire`"
        )
        yield Finding("silent", last.journal, 0, about)


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat("1970-01-01T00:00:00Z")


def letters_of(checkpoints: Iterable[Checkpoint]) -> Mapping[int, str]:
    """Hashes of the entries that were dead letters when their checkpoint was closed, by `seq`."""
    return {seq: hash_ for one in checkpoints for seq, hash_ in one.letters}
