"""The verification: from the survey over the walk of each slice to the verdict of each journal."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..cluster.template import index_pattern
from ..proof.keys import PublicKey
from ..proof.merkle import Tree
from ..search import AuditClient, check_order
from ..search.requests import Asking
from ..settings import Settings
from .absence import Absence, Knowledge, explained, laid_out
from .checkpoints import Source, Statements, judged
from .evidence import Evidence, LocalJournal, gathered
from .plan import Part, Plan, Task, hits_of, planned, settled_survey, unnumbered, walked, windows
from .resume_state import Notebook
from .verdict import Completeness, Finding, JournalVerdict, Verification, merged
from .walk import Missing, Walked

__all__ = ["verify_stored"]

_A_MOMENT = timedelta(minutes=1)
"""For so long what was shipped may not be visible to searches yet."""

Progress = Callable[[int, int], None]
"""Told how many entries were checked, and how many there are."""


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
    notebook: Notebook | None = None,
    now: datetime | None = None,
    pause: Callable[[float], None] = time.sleep,
    on_progress: Progress = lambda done, total: None,
) -> Verification:
    """Checks every chain stored in OpenSearch, or one, by itself and by the checkpoints in `sources`.

    `keys` are those of whom checkpoints are trusted; without any, all of them are. `local` is what this host knows of
    its own journals. `erased` are places of which values were removed, besides those in the ledger. With `since` and
    `until` only the entries of that time are checked, and what is missing between them. `workers` is the number of
    processes. What is done is kept in a `notebook`, and what stands there is not looked at again.

    Raises `OpenSearchError`, and `QueryError` for times that can't be read. Memory stays flat.
    """
    now = now or datetime.now(UTC)
    check_order(since, until, now)
    asking = Asking(client.connection, client.settings.opensearch_timeout)
    statements = judged(sources, keys)
    evidence = gathered(client, statements)
    statements.findings += statements.silence(now, evidence.retired)
    expected = _just_shipped(statements, local, now)
    parts = settled_survey(asking, index_pattern(client.settings), journal, expected, pause)
    given = erased or {}
    on_record = {name: [*evidence.erased.get(name, ()), *given.get(name, ())] for name in {*evidence.erased, *given}}
    case = _Case(client.settings.index_prefix, asking, evidence, statements, local, now)
    names = {part.journal for part in parts if part.journal}
    names |= {*statements.by_journal, *(one.journal for one in local)}
    names &= {journal} if journal else names
    chosen = windows(asking, client, names, statements, since, until)
    plans = [
        planned(
            name,
            [part for part in parts if part.journal == name],
            chosen[name],
            statements,
            recorded=max((one.recorded for one in local if one.journal == name), default=0),
            erased=on_record.get(name, ()),
            held=evidence.held,
            prefix=client.settings.index_prefix,
        )
        for name in sorted(names)
        if name in chosen
    ]
    tasks = [task for plan in plans for task in plan.tasks]
    total, done = sum(task.job.last - task.job.first + 1 for task in tasks), 0
    results: dict[str, list[Walked]] = defaultdict(list)
    for result in _walked(tasks, asking, client.settings, workers, notebook):
        results[result.journal].append(result)
        done += result.last - result.first + 1
        on_progress(done, total)
    verification = Verification(
        findings=[one for one in statements.findings if journal in (None, one.journal)],
        notes=[*evidence.notes, *([notebook.about] if notebook and notebook.about else [])],
        keys=tuple(sorted(key.id for key in statements.keys)),
        sources=tuple(source.name for source in sources),
    )
    for plan in plans:
        verdict, findings = case.judge(plan, results[plan.journal])
        verification.journals.append(verdict)
        verification.findings += findings
    if journal is None:
        verification.findings += _strangers(asking, [part for part in parts if not part.journal])
    elif not any(verdict.entries or verdict.sealed for verdict in verification.journals):
        about = "no entry of this journal is stored: the ID is wrong, or all of it was removed"
        verification.findings.append(Finding("gap", journal, 1, about))
    verification.findings = merged(verification.findings)
    return verification


def _just_shipped(statements: Statements, local: Sequence[LocalJournal], now: datetime) -> dict[str, int]:
    """Up to where journals were shipped, as far as that may have been a moment ago."""
    found = {one.journal: one.shipped for one in local if one.shipped not in one.letters}
    for name in statements.by_journal:
        for one in statements.of(name):
            late = now - datetime.fromisoformat(one.time) < _A_MOMENT
            if late and one.last_seq not in dict(one.letters):
                found[name] = max(found.get(name, 0), one.last_seq)
    return found


def _walked(
    tasks: Sequence[Task], asking: Asking, settings: Settings, workers: int, notebook: Notebook | None
) -> Iterator[Walked]:
    """The tasks' results, in their order; but for those that the notebook has, which it gets."""
    known = [notebook.get(task) if notebook else None for task in tasks]
    rest = walked([task for task, one in zip(tasks, known, strict=True) if one is None], asking, settings, workers)
    for task, one in zip(tasks, known, strict=True):
        if one is None:
            one = next(rest)
            if notebook:
                notebook.put(task, one)
        yield one


@dataclass(frozen=True, slots=True)
class _Case:
    """All that is known besides the entries."""

    prefix: str
    asking: Asking
    evidence: Evidence
    statements: Statements
    local: Sequence[LocalJournal]
    now: datetime

    def judge(self, plan: Plan, results: Sequence[Walked]) -> tuple[JournalVerdict, list[Finding]]:
        """The verdict of a journal whose slices were walked."""
        here = self._here(plan.journal)
        absence = explained(_missing(plan, results), self._knowledge(plan, here))
        findings = [
            *(finding for result in results for finding in result.findings),
            *absence.findings,
            *self._rebuilt(plan, results),
            *_strangers(self.asking, plan.parts),
        ]
        findings += self._unrooted(plan, findings)
        findings += self._behind_the_end(plan)
        unknown = self._unknown(plan)
        if unknown:
            findings.append(unknown)
        runs = [run for result in results for run in result.runs]
        told = [*findings, *(one for one in self.statements.findings if one.journal == plan.journal)]
        stretches = laid_out(runs, plan.sealed, unknown is not None, absence.stretches, merged(told))
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

    def _here(self, journal: str) -> LocalJournal | None:
        return next((one for one in self.local if one.journal == journal), None)

    def _knowledge(self, plan: Plan, here: LocalJournal | None) -> Knowledge:
        return Knowledge(
            journal=plan.journal,
            prefix=self.prefix,
            now=self.now,
            present=self.evidence.present,
            held=self.evidence.held,
            rules=self.evidence.rules,
            destructions=self.evidence.destructions,
            checkpoints=plan.checkpoints,
            letters=plan.letters.keys(),
            here=here.letters if here else frozenset(),
            dropped=self.evidence.dropped.get(plan.journal, ()),
            sealing=bool(self.statements.by_journal),
            shipped=max(here.shipped, plan.sealed) if here else None,
            recorded=here.recorded if here else None,
            lost=here.missing if here else (),
        )

    def _rebuilt(self, plan: Plan, results: Sequence[Walked]) -> Iterator[Finding]:
        """Where the chain contradicts checkpoints, from the last one that it agrees with on."""
        good = sorted(seq for result in results for seq in result.good)
        bad = sorted(seq for result in results for seq in result.bad)
        for seq in bad:
            anchor = plan.anchors[seq]
            begin = max((one for one in good if one < seq), default=0) + 1
            about = (
                f"the chain is consistent, but entry {seq:,} has another hash than {anchor.who} names "
                f"({', '.join(sorted(hash_[:16] for hash_ in anchor.hashes))}…)"
            )
            yield Finding("rebuilt", plan.journal, begin, about, seq, (), anchor.time)

    def _unrooted(self, plan: Plan, findings: Sequence[Finding]) -> Iterator[Finding]:
        """Where the chain is interrupted for a good reason, the tree of the checkpoint must vouch for its entries."""
        for one in plan.checkpoints:
            if not (one.letters or one.holes) or not one.entries or not plan.first <= one.first_seq <= plan.last:
                continue
            if any(
                f.seq <= one.last_seq and max(f.seq, f.last) >= one.first_seq for f in findings if f.kind != "altered"
            ):
                continue
            hashes = dict(one.letters)
            numbered = [part for part in plan.parts if part.last >= 1]
            for hit in hits_of(self.asking, numbered, one.first_seq, one.last_seq) if numbered else ():
                if one.holds(hit["sort"][0]):
                    hashes[hit["sort"][0]] = str(hit["_source"].get("hash"))
            if len(hashes) != one.entries:
                continue  # some expired, or were given up: what is left can't be shown by the root
            tree = Tree()
            tree.extend(hashes[seq].encode() for seq in sorted(hashes))
            if tree.root().hex() != one.root:
                about = f"the entries are others than those that checkpoint {one.number} was closed over"
                yield Finding("rebuilt", plan.journal, one.first_seq, about, one.last_seq, (), one.time)

    def _unknown(self, plan: Plan) -> Finding | None:
        """A journal that no checkpoint names, though there are some of others: the first is closed before an entry."""
        if plan.checkpoints or not plan.parts or not self.statements.by_journal:
            return None
        about = "no checkpoint names this journal: no shipper of ours has ever sent it"
        return Finding("unknown journal", plan.journal, plan.lowest, about, plan.highest)

    def _behind_the_end(self, plan: Plan) -> Iterator[Finding]:
        """Entries of a journal that had ended: by its last checkpoint, or by the record that retired it."""
        ended = plan.checkpoints[-1].why == "ended" if plan.checkpoints else False
        if not ended and plan.journal not in self.evidence.retired:
            return
        end = max(plan.sealed, self.evidence.retired.get(plan.journal, 0))
        first, last = max(plan.first, end + 1), min(plan.last, plan.highest)
        if first <= last:
            about = f"the journal has ended with entry {end:,}, by its last checkpoint or by the record that retired it"
            yield Finding("inserted", plan.journal, first, about, last)

    def _completeness(
        self, plan: Plan, results: Sequence[Walked], absence: Absence, here: LocalJournal | None
    ) -> Completeness:
        def counted(verdict: str) -> int:
            return sum(one.entries for one in absence.stretches if one.verdict == verdict)

        dropped = sum(
            max(0, min(last, plan.last) - max(first, plan.first) + 1)
            for first, last in self.evidence.dropped.get(plan.journal, ())
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


def _missing(plan: Plan, results: Sequence[Walked]) -> list[Missing]:
    """The ranges without an entry, across slices, from the first to the last number that is known."""
    found: list[Missing] = []
    if not results:
        return [Missing(plan.first, plan.last, "", "")] if plan.first <= plan.last else []
    if plan.lowest > plan.first:
        found.append(Missing(plan.first, plan.lowest - 1, "", results[0].partition))
    for number, result in enumerate(results):
        for one in result.missing:
            if one.last == result.last and not one.after and number + 1 < len(results):
                one = Missing(one.first, one.last, one.before, results[number + 1].partition)
            if found and found[-1].last == one.first - 1:
                one = Missing(found[-1].first, one.last, found[-1].before, one.after)
                found.pop()
            found.append(one)
    if plan.highest < plan.last:
        found.append(Missing(plan.highest + 1, plan.last, _index_of(plan, plan.highest), ""))
    return found


def _index_of(plan: Plan, seq: int) -> str:
    return next((part.index for part in plan.parts if part.first <= seq <= part.last), "")


def _strangers(asking: Asking, parts: Sequence[Part]) -> Iterator[Finding]:
    """Documents that are in no place of a journal."""
    for hit in unnumbered(asking, parts) if parts else ():
        about = "it has no place in a journal: something else than a shipper of ours stored it"
        yield Finding("inserted", parts[0].journal, 0, about, 0, (str(hit["_id"]),))
