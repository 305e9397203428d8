"""Checkpoints from all sources: which are trusted, and which entries they vouch for.

Sources are witnesses, the journal's own host, and the index in OpenSearch, the outermost first. If two sources
contradict each other, the outer one counts, and the contradiction is a finding.

A change of keys is a checkpoint that the old and the new key sign, so that anyone who trusts one of them trusts both.
After it, the old key signs nothing more in that journal. If a journal's checkpoints are signed by a replaced key alone,
they are not trusted once there is a witness that does not have them: anyone who still has the old key could have made
them up, with any date.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, pairwise

from ..entry import ZERO_HASH
from ..errors import ProofError
from ..proof.checkpoint import CHECKPOINT, Checkpoint, SignedCheckpoint
from ..proof.keys import PublicKey, signed_by, signers_of
from .verdict import Finding
from .walk import Anchor

__all__ = ["Source", "TrustedCheckpoints", "judged", "letters_of"]

_LATE = timedelta(hours=1)
"""How late a checkpoint may be: the shipper may be busy, or restarting."""
_CLOCK = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Source:
    """A place where checkpoints are kept; `outside` if neither the host nor the cluster can change it.

    A checkpoint that can't be read is in `checkpoints` as its error.
    """

    name: str
    checkpoints: Sequence[SignedCheckpoint | ProofError]
    outside: bool = False


@dataclass(slots=True)
class TrustedCheckpoints:
    """The trusted checkpoints of each journal, ordered by number."""

    by_journal: dict[str, list[SignedCheckpoint]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    forks: dict[str, list[SignedCheckpoint]] = field(default_factory=dict)
    """By journal, checkpoints that contradict a trusted one of the same number from an equally trusted source."""
    sources: dict[str, str] = field(default_factory=dict)
    """The source of each checkpoint, by its storage key."""
    keys: frozenset[PublicKey] = frozenset()
    """The trusted keys: those given, and those that changes of keys link to them."""

    def of(self, journal: str) -> list[Checkpoint]:
        return [one.checkpoint for one in self.by_journal.get(journal, ())]

    def covering(self, journal: str, seq: int) -> SignedCheckpoint | None:
        """The checkpoint that covers an entry, if there is one yet."""
        found = self.by_journal.get(journal, ())
        return next((one for one in found if one.checkpoint.first_seq <= seq <= one.checkpoint.last_seq), None)

    def undisputed(self, journal: str, seq: int, prefix: str) -> SignedCheckpoint | None:
        """The checkpoint that covers an entry, if no fork contradicts it and it belongs to that `index_prefix`."""
        signed = self.covering(journal, seq)
        forked = {one.checkpoint.number for one in self.forks.get(journal, ())}
        if signed is None or signed.checkpoint.number in forked or signed.checkpoint.index_prefix != prefix:
            return None
        return signed

    def silence(self, now: datetime, quiet: Collection[str]) -> Iterator[Finding]:
        """Findings for journals with an overdue checkpoint; those in `quiet` are retired, and none is due."""
        for journal, signed in self.by_journal.items():
            if signed and journal not in quiet:
                yield from _silence(signed[-1].checkpoint, now)

    def anchors(self, journal: str) -> dict[int, Anchor]:
        """The hash that checkpoints state for single entries, by `seq`."""
        found: dict[int, Anchor] = {}
        for signed in self.by_journal.get(journal, ()):
            one = signed.checkpoint
            who = f"checkpoint {one.number} ({self.sources[signed.key]})"
            if one.last_seq and one.last_seq not in found:
                found[one.last_seq] = Anchor(frozenset({one.last_hash}), who, one.time)
        for signed in self.forks.get(journal, ()):
            one = signed.checkpoint
            known = found.get(one.last_seq, Anchor(frozenset(), f"checkpoint {one.number}", one.time))
            found[one.last_seq] = known._replace(hashes=known.hashes | {one.last_hash})
        return found


def judged(sources: Iterable[Source], keys: Collection[PublicKey]) -> TrustedCheckpoints:
    """Combines the checkpoints of all sources. With `keys`, only checkpoints signed by one of them count."""
    sources = sorted(sources, key=lambda source: not source.outside)
    result = TrustedCheckpoints(keys=_linked(chain.from_iterable(source.checkpoints for source in sources), keys))
    places: dict[tuple[str, int], dict[str, tuple[SignedCheckpoint, Source]]] = {}
    signers: dict[str, frozenset[PublicKey]] = {}
    for source in sources:
        for signed in source.checkpoints:
            if isinstance(signed, ProofError):
                result.findings.append(Finding("untrusted", "", 0, f"{source.name}: {signed}"))
                continue
            one = signed.checkpoint
            by = signers_of(signed.envelope, CHECKPOINT, result.keys)
            if keys and not by:
                about = f"checkpoint {one.number} in {source.name}, dated {one.time}: {_unsigned(signed)}"
                result.findings.append(Finding("untrusted", one.journal, one.first_seq, about, one.last_seq))
                continue
            signers.setdefault(signed.key, by)
            places.setdefault((one.journal, one.number), {}).setdefault(signed.hash, (signed, source))
    for (journal, _), found in sorted(places.items()):
        (chosen, source), *others = found.values()
        result.by_journal.setdefault(journal, []).append(chosen)
        result.sources[chosen.key] = source.name
        for other, elsewhere in others:
            result.sources[other.key] = elsewhere.name
            if source.outside == elsewhere.outside:
                result.forks.setdefault(journal, []).append(other)
            result.findings.append(_contradiction(chosen, source, other, elsewhere))
    for journal, found_in in result.by_journal.items():
        forks = result.forks.get(journal, [])
        ordered = sorted([*found_in, *forks], key=lambda one: one.checkpoint.number)
        trusted = {one.key for one in _without_replaced_keys(ordered, signers, result)}
        result.by_journal[journal] = kept = [one for one in found_in if one.key in trusted]
        if forks:
            result.forks[journal] = forks = [one for one in forks if one.key in trusted]
        result.findings += _chain_findings(kept, forks)
    if any(source.outside for source in sources):
        witnessed = {
            one.key
            for source in sources
            if source.outside
            for one in source.checkpoints
            if isinstance(one, SignedCheckpoint)
        }
        _drop_unwitnessed_of_replaced_keys(result, signers, witnessed)
    return result


def _drop_unwitnessed_of_replaced_keys(
    result: TrustedCheckpoints, signers: Mapping[str, frozenset[PublicKey]], witnessed: Collection[str]
) -> None:
    changed = {one.checkpoint.change[0] for kept in result.by_journal.values() for one in kept if one.checkpoint.change}
    for journal, kept in [*result.by_journal.items()]:
        if any(one.key in witnessed or one.checkpoint.change or not signers[one.key] for one in kept):
            continue
        if all(signers[one.key] <= changed for one in kept):
            del result.by_journal[journal]
            first, last = kept[0].checkpoint, kept[-1].checkpoint
            about = "its checkpoints are signed by a replaced key, and no witness has any of them"
            result.findings.append(Finding("untrusted", journal, first.first_seq, about, last.last_seq))


def _linked(found: Iterable[SignedCheckpoint | ProofError], keys: Collection[PublicKey]) -> frozenset[PublicKey]:
    """The keys, and those that changes of keys link to one of them."""
    trusted = frozenset(keys)
    changes = [one for one in found if isinstance(one, SignedCheckpoint) and one.checkpoint.change] if trusted else []
    while changes:
        both = next((pair for one in changes for pair in _change(one) if trusted & pair and not pair <= trusted), None)
        if both is None:
            break
        trusted |= both
    return trusted


def _change(signed: SignedCheckpoint) -> Iterable[frozenset[PublicKey]]:
    """The old and the new key, if both have signed the checkpoint."""
    pair = frozenset(signed.checkpoint.change or ())
    if signers_of(signed.envelope, CHECKPOINT, pair) == pair:
        yield pair


def _without_replaced_keys(
    checkpoints: Sequence[SignedCheckpoint], signers: Mapping[str, frozenset[PublicKey]], result: TrustedCheckpoints
) -> Iterable[SignedCheckpoint]:
    """The checkpoints of a journal without those signed by a key after its replacement, which prove nothing."""
    changed: set[PublicKey] = set()
    before: frozenset[PublicKey] = frozenset()
    for signed in checkpoints:
        one = signed.checkpoint
        by = signers[signed.key]
        if by and by <= changed:
            ids = ", ".join(sorted(key.id for key in by))
            about = f"checkpoint {one.number} in {result.sources[signed.key]} is signed by {ids}, a replaced key"
            result.findings.append(Finding("untrusted", one.journal, one.first_seq, about, one.last_seq))
            continue
        changed |= before - by
        if one.change:
            changed.add(one.change[0])
        before = by
        yield signed


def _unsigned(signed: SignedCheckpoint) -> str:
    """Explains why no trusted key vouches for a checkpoint."""
    named = ", ".join(signed_by(signed.envelope, CHECKPOINT))
    return f"it is not signed by a trusted key; it names {named}" if named else "it is not signed"


def _contradiction(chosen: SignedCheckpoint, source: Source, other: SignedCheckpoint, elsewhere: Source) -> Finding:
    one = chosen.checkpoint
    last = max(one.last_seq, other.checkpoint.last_seq)
    if source.outside == elsewhere.outside:
        about = (
            f"there are two checkpoints {one.number}, in {source.name} and in {elsewhere.name}: the journal was "
            "copied, or rolled back and continued"
        )
        return Finding("forked", one.journal, one.first_seq, about, last, (), one.time)
    about = f"checkpoint {one.number} in {elsewhere.name} differs from the one in {source.name}"
    return Finding("rebuilt", one.journal, one.first_seq, about, last, (), one.time)


def _chain_findings(signed: Sequence[SignedCheckpoint], forks: Sequence[SignedCheckpoint]) -> Iterable[Finding]:
    """Findings if checkpoints are missing, or don't link to the one before. After a fork, each branch may continue."""
    if not signed:
        return
    first = signed[0].checkpoint
    if first.number > 1:
        about = f"checkpoints 1 to {first.number - 1} are missing"
        yield Finding("gap", first.journal, 0, about)
    elif first.previous != ZERO_HASH:
        yield Finding("rebuilt", first.journal, 0, "checkpoint 1 names a previous checkpoint")
    for before, after in pairwise(signed):
        one, two = before.checkpoint, after.checkpoint
        if two.number > one.number + 1:
            about = f"checkpoints {one.number + 1} to {two.number - 1} are missing"
            yield Finding("gap", one.journal, 0, about)
        elif not any(_continues(two, each) for each in (before, *forks) if each.checkpoint.number == one.number):
            about = f"checkpoint {two.number} does not link to checkpoint {one.number}"
            yield Finding("rebuilt", one.journal, two.first_seq, about, two.last_seq, (), one.time)
        elif _moment(one.time) - _moment(two.time) > _CLOCK:
            about = f"checkpoint {two.number} is dated {two.time}, and the one before it {one.time}"
            yield Finding("clock set back", one.journal, two.first_seq, about, two.last_seq)


def _continues(two: Checkpoint, before: SignedCheckpoint) -> bool:
    return two.previous == before.hash and two.first_seq == before.checkpoint.last_seq + 1


def _silence(last: Checkpoint, now: datetime) -> Iterable[Finding]:
    """A finding if the next checkpoint is overdue."""
    if last.why in ("stop", "ended", "key"):
        return
    interval = timedelta(seconds=last.interval)
    if now - _moment(last.time) > interval + max(_LATE, interval):
        due = _moment(last.time) + interval
        about = (
            f"its shipper on {last.host} has sent no checkpoint since {last.time}, and was not stopped: one was due at "
            f"{due:%Y-%m-%dT%H:%M:%SZ}. If that host is gone for good, retire the journal with `whodid journal retire`"
        )
        yield Finding("silent", last.journal, 0, about)


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat("1970-01-01T00:00:00Z")


def letters_of(checkpoints: Iterable[Checkpoint]) -> Mapping[int, str]:
    """The hashes of entries that were dead letters when their checkpoint was closed, by `seq`."""
    return {seq: hash_ for one in checkpoints for seq, hash_ in one.letters}
