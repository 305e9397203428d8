"""The verification of the stored log: survey, plan, walk and judge, one journal after the other."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial

from ..cluster.template import index_pattern
from ..proof.keys import PublicKey
from ..proof.merkle import Tree
from ..search import AuditClient, check_order
from ..search.requests import Searcher
from .absence import Absence, Knowledge, explained, laid_out
from .checkpoints import Source, TrustedCheckpoints, judged
from .evidence import Evidence, LocalJournal, gathered
from .plan import Part, Plan, Task, hits_of, planned, settled_survey, stored_in, unnumbered, walked, windows
from .resume_state import ResumeState
from .verdict import Completeness, Finding, JournalVerdict, Verification, merged
from .walk import Missing, Walked

__all__ = ["verify_stored"]

_REFRESH = timedelta(minutes=1)
"""Searches may not find yet what was shipped this recently."""

Progress = Callable[[int, int], None]
"""Called with how many entries were checked, and how many there are."""


def verify_stored(
    client: AuditClient,
    *,
    journal: str | None = None,
    since: object = None,
    until: object = None,
    sources: Sequence[Source] = (),
    keys: Collection[PublicKey] = (),
    local: Sequence[LocalJournal] = (),
    erased: Mapping[str, Sequence[tuple[int, int]]] | None = None,
    workers: int = 1,
    resume_state: ResumeState | None = None,
    now: datetime | None = None,
    pause: Callable[[float], None] = time.sleep,
    on_progress: Progress = lambda done, total: None,
) -> Verification:
    """Checks every chain stored in OpenSearch, or one, by itself and by the checkpoints in `sources`.

    `keys` are the keys that may sign checkpoints; without any, every checkpoint is trusted. `local` is what this host
    knows about its journals. `erased` are entries whose values were removed, besides those in the ledger. With `since`
    and `until` only the entries of that time are checked, and what is missing between them. `workers` is the number of
    processes. With a `resume_state`, slices that it holds are not walked again, and each slice walked is saved in it.

    Raises `OpenSearchError`, and `QueryError` for times that can't be read. Memory use does not grow with the log.
    """
    now = now or datetime.now(UTC)
    check_order(since, until, now)
    trusted = judged(sources, keys)
    evidence = gathered(client, trusted)
    trusted.findings += trusted.silence(now, evidence.retired)
    for name, places in (erased or {}).items():
        evidence.erased[name] = [*evidence.erased.get(name, ()), *places]
    verifier = _Verifier(client, journal, trusted, evidence, local, now)
    parts = verifier.survey(pause)
    plans = verifier.plan(parts, since, until)
    results = verifier.walk(plans, workers, resume_state, on_progress)
    verification = Verification(
        findings=[one for one in trusted.findings if journal in (None, one.journal)],
        notes=[*evidence.notes, *([resume_state.about] if resume_state and resume_state.about else [])],
        keys=tuple(sorted(key.id for key in trusted.keys)),
        sources=tuple(source.name for source in sources),
    )
    for plan in plans:
        verdict, findings = verifier.judge(plan, results[plan.journal])
        verification.journals.append(verdict)
        verification.findings += findings
    if journal is None:
        verification.findings += verifier.foreign([part for part in parts if not part.journal])
    elif not any(verdict.entries or verdict.sealed for verdict in verification.journals):
        about = "no entry of this journal is stored: the ID is wrong, or all of it was removed"
        verification.findings.append(Finding("gap", journal, 1, about))
    verification.findings = merged(verification.findings)
    return verification


class _Verifier:
    """The four steps, and all that is known besides the entries. Without a `journal`, every journal is meant."""

    def __init__(
        self,
        client: AuditClient,
        journal: str | None,
        trusted: TrustedCheckpoints,
        evidence: Evidence,
        local: Sequence[LocalJournal],
        now: datetime,
    ) -> None:
        self._client = client
        self._settings = client.settings
        self._searcher = Searcher(client.connection, client.settings.opensearch_timeout)
        self._journal = journal
        self._trusted = trusted
        self._evidence = evidence
        self._local = {one.journal: one for one in local}
        self._now = now

    def survey(self, pause: Callable[[float], None]) -> list[Part]:
        """Which partition holds which entries, once searches find what was shipped last."""
        expected = {one.journal: one.shipped for one in self._local.values() if one.shipped not in one.letters}
        for name in self._trusted.by_journal:
            for one in self._trusted.of(name):
                recent = self._now - datetime.fromisoformat(one.time) < _REFRESH
                if recent and one.last_seq not in dict(one.letters):
                    expected[name] = max(expected.get(name, 0), one.last_seq)
        return settled_survey(self._searcher, index_pattern(self._settings), self._journal, expected, pause)

    def plan(self, parts: Sequence[Part], since: object, until: object) -> list[Plan]:
        """What is to be checked of each journal that is stored, known to this host, or named by a checkpoint."""
        names = {part.journal for part in parts if part.journal} | {*self._trusted.by_journal, *self._local}
        names &= {self._journal} if self._journal else names
        chosen = windows(self._searcher, self._client, names, self._trusted, since, until)
        return [
            planned(
                self._searcher,
                name,
                [part for part in parts if part.journal == name],
                chosen[name],
                self._trusted,
                recorded=self._local[name].recorded if name in self._local else 0,
                erased=self._evidence.erased.get(name, ()),
                held=self._evidence.held,
                prefix=self._settings.index_prefix,
            )
            for name in sorted(chosen)
        ]

    def walk(
        self, plans: Sequence[Plan], workers: int, resume_state: ResumeState | None, on_progress: Progress
    ) -> Mapping[str, list[Walked]]:
        """The results of all slices by journal, in order; those in the resume state are taken from there."""
        tasks = [task for plan in plans for task in plan.tasks]
        total, done = sum(task.job.last - task.job.first + 1 for task in tasks), 0
        found: dict[str, list[Walked]] = defaultdict(list)
        for result in self._results(tasks, workers, resume_state):
            found[result.journal].append(result)
            done += result.last - result.first + 1
            on_progress(done, total)
        return found

    def _results(self, tasks: Sequence[Task], workers: int, resume_state: ResumeState | None) -> Iterator[Walked]:
        known = [resume_state.get(task) if resume_state else None for task in tasks]
        unknown = [task for task, one in zip(tasks, known, strict=True) if one is None]
        rest = walked(unknown, self._searcher, self._settings, workers)
        for task, one in zip(tasks, known, strict=True):
            if one is None:
                one = next(rest)
                if resume_state:
                    resume_state.put(task, one)
            yield one

    def judge(self, plan: Plan, results: Sequence[Walked]) -> tuple[JournalVerdict, list[Finding]]:
        """The verdict of a journal whose slices were walked."""
        here = self._local.get(plan.journal)
        absence = explained(_missing(plan, results), self._knowledge(plan, here))
        findings = [
            *(finding for result in results for finding in result.findings),
            *absence.findings,
            *self._rebuilt(plan, results),
            *self.foreign(plan.parts),
        ]
        findings += self._unrooted(plan, findings)
        findings += self._after_the_end(plan)
        unknown = self._unknown(plan)
        if unknown:
            findings.append(unknown)
        runs = [run for result in results for run in result.runs]
        known = [*findings, *(one for one in self._trusted.findings if one.journal == plan.journal)]
        stretches = laid_out(runs, plan.sealed, unknown is not None, absence.stretches, merged(known))
        last = plan.checkpoints[-1] if plan.checkpoints else None
        verdict = JournalVerdict(
            journal=plan.journal,
            host=last.host if last else "",
            stretches=stretches,
            completeness=self._completeness(plan, results, absence, here),
            checkpoints=len(plan.checkpoints),
            sealed=plan.sealed,
            sealed_at=last.time if last else "",
        )
        return verdict, findings

    def _knowledge(self, plan: Plan, here: LocalJournal | None) -> Knowledge:
        ranges = self._evidence.resent.get(plan.journal, ())
        resent = {seq for seq in plan.letters if any(first <= seq <= last for first, last in ranges)}
        return Knowledge(
            journal=plan.journal,
            prefix=self._settings.index_prefix,
            now=self._now,
            present=self._evidence.present,
            held=self._evidence.held,
            holds=self._evidence.holds,
            rules=self._evidence.rules,
            destructions=self._evidence.destructions,
            checkpoints=plan.checkpoints,
            letters=plan.letters.keys() - resent,
            resent=resent,
            here=here.letters if here else frozenset(),
            dropped=self._evidence.dropped.get(plan.journal, ()),
            checkpointed=bool(self._trusted.by_journal),
            shipped=max(here.shipped, plan.sealed) if here else None,
            recorded=here.recorded if here else None,
            lost=here.missing if here else (),
            stored=cache(partial(stored_in, self._searcher, plan.journal, frozenset(resent))),
        )

    def _rebuilt(self, plan: Plan, results: Sequence[Walked]) -> Iterator[Finding]:
        """Where the chain contradicts checkpoints, beginning after the last checkpoint that it agrees with."""
        good = sorted(seq for result in results for seq in result.good)
        bad = sorted(seq for result in results for seq in result.bad)
        for seq in bad:
            anchor = plan.anchors[seq]
            begin = max((one for one in good if one < seq), default=0) + 1
            about = (
                f"the chain is consistent, but entry {seq:,} does not have the hash in {anchor.who} "
                f"({', '.join(sorted(hash_[:16] for hash_ in anchor.hashes))}…)"
            )
            yield Finding("rebuilt", plan.journal, begin, about, seq, (), anchor.time)

    def _unrooted(self, plan: Plan, findings: Sequence[Finding]) -> Iterator[Finding]:
        """Checkpoints whose entries don't match the Merkle root, checked if the chain has an explained interruption."""
        for one in plan.checkpoints:
            if not (one.letters or one.holes) or not one.entries or not plan.first <= one.first_seq <= plan.last:
                continue
            if any(
                f.seq <= one.last_seq and max(f.seq, f.last) >= one.first_seq for f in findings if f.kind != "altered"
            ):
                continue
            hashes = dict(one.letters)
            numbered = [part for part in plan.parts if part.last >= 1]
            for hit in hits_of(self._searcher, numbered, one.first_seq, one.last_seq) if numbered else ():
                if one.holds(hit["sort"][0]):
                    hashes[hit["sort"][0]] = str(hit["_source"].get("hash"))
            if len(hashes) != one.entries:
                continue  # some expired or were discarded: the root can't be computed from the rest
            tree = Tree()
            tree.extend(hashes[seq].encode() for seq in sorted(hashes))
            if tree.root().hex() != one.root:
                about = f"the stored entries are not those that checkpoint {one.number} covers"
                yield Finding("rebuilt", plan.journal, one.first_seq, about, one.last_seq, (), one.time)

    def _unknown(self, plan: Plan) -> Finding | None:
        """A journal without a checkpoint while others have one: the first is closed before any entry is shipped."""
        if plan.checkpoints or not plan.parts or not self._trusted.by_journal:
            return None
        about = "no checkpoint names this journal: no whodid shipper has shipped it"
        return Finding("unknown journal", plan.journal, plan.lowest, about, plan.highest)

    def _after_the_end(self, plan: Plan) -> Iterator[Finding]:
        """Entries after the end of a journal, which its last checkpoint or the record that retired it states."""
        ended = plan.checkpoints[-1].why == "ended" if plan.checkpoints else False
        if not ended and plan.journal not in self._evidence.retired:
            return
        end = max(plan.sealed, self._evidence.retired.get(plan.journal, 0))
        first, last = max(plan.first, end + 1), min(plan.last, plan.highest)
        if first <= last:
            about = (
                f"its last checkpoint, or the record that retired the journal, says that it ended with entry {end:,}"
            )
            yield Finding("inserted", plan.journal, first, about, last)

    def _completeness(
        self, plan: Plan, results: Sequence[Walked], absence: Absence, here: LocalJournal | None
    ) -> Completeness:
        def counted(verdict: str) -> int:
            return sum(one.entries for one in absence.stretches if one.verdict == verdict)

        dropped = sum(
            max(0, min(last, plan.last) - max(first, plan.first) + 1)
            for first, last in self._evidence.dropped.get(plan.journal, ())
        )
        gaps = [one for one in absence.findings if one.kind == "gap"]
        holes = [one for one in absence.findings if one.kind != "gap"]
        letters = counted("dead letter")
        return Completeness(
            recorded=plan.last,
            stored=sum(result.present for result in results),
            expired=counted("expired by policy"),
            dead_letters=max(0, letters - dropped),
            dropped=min(dropped, letters),
            damaged=sum(max(one.seq, one.last) - one.seq + 1 for one in holes),
            backlog=counted("not yet shipped"),
            missing=sum(max(one.seq, one.last) - one.seq + 1 for one in gaps),
        )

    def foreign(self, parts: Sequence[Part]) -> Iterator[Finding]:
        """Documents without a place in a journal."""
        for hit in unnumbered(self._searcher, parts) if parts else ():
            about = "it has no place in a journal: something other than a whodid shipper stored it"
            yield Finding("inserted", parts[0].journal, 0, about, 0, (str(hit["_id"]),))


def _missing(plan: Plan, results: Sequence[Walked]) -> list[Missing]:
    """The ranges without an entry, across slices, from the first to the last known number."""
    at, before = plan.first, ""
    ranges: list[Missing] = []
    for number, result in enumerate(results):
        if result.first > at:  # nothing is stored there
            ranges.append(Missing(at, result.first - 1, before, result.partition))
        ranges += result.missing
        if result.missing and result.missing[-1].last == result.last and number + 1 < len(results):
            ranges[-1] = ranges[-1]._replace(after=results[number + 1].partition)
        at, before = result.last + 1, _index_of(plan, result.last)
    if at <= plan.last:
        ranges.append(Missing(at, plan.last, before, ""))
    found: list[Missing] = []
    for one in ranges:
        if found and found[-1].last == one.first - 1:
            first = found.pop()
            one = Missing(first.first, one.last, first.before, one.after)
        found.append(one)
    return found


def _index_of(plan: Plan, seq: int) -> str:
    return next((part.index for part in plan.parts if part.first <= seq <= part.last), "")
