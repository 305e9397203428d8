"""The verification: from the survey over the walk of each slice to the verdict of each journal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..client import AuditClient
from ..client.asking import Asking
from ..opensearch.template import index_pattern
from ..proof.checkpoint import Checkpoint
from ..proof.keys import PublicKey
from ..proof.merkle import Tree
from ..query import Filter, Window, window_of
from ..settings import Settings
from .absence import Absence, Knowledge, explained
from .crew import Task, walked
from .evidence import Evidence, LocalJournal, gathered
from .layout import laid_out
from .notebook import Notebook
from .scan import hits_of, unnumbered
from .statements import Source, Statements, judged, letters_of
from .survey import Part, survey
from .verdict import Completeness, Finding, JournalVerdict, Verification, merged
from .walk import Anchor, Missing, Slice, Walked

__all__ = ["SLICE", "verify_stored"]

SLICE = 20_000
"""Entries that are walked in one go."""

_NEW = timedelta(hours=1)
"""So long after the first checkpoint of all a journal without one may be of a host that has none yet."""

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
    asking = Asking(client.connection)
    evidence = gathered(client)
    statements = judged(sources, keys, now, evidence.quiet)
    parts = survey(asking, index_pattern(client.settings), journal)
    given = erased or {}
    on_record = {name: [*evidence.erased.get(name, ()), *given.get(name, ())] for name in {*evidence.erased, *given}}
    case = _Case(client.settings.index_prefix, asking, evidence, statements, local, on_record, now)
    names = {part.journal for part in parts if part.journal}
    names |= {*statements.by_journal, *(one.journal for one in local)}
    names &= {journal} if journal else names
    windows = _windows(asking, client, names, statements, since, until)
    plans = [
        case.plan(name, [part for part in parts if part.journal == name], windows[name])
        for name in sorted(names)
        if name in windows
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
class _Plan:
    """What is to be looked at of one journal: entries `first` to `last`, of which `lowest` to `highest` are stored."""

    journal: str
    first: int
    last: int
    lowest: int
    highest: int
    parts: tuple[Part, ...]
    tasks: tuple[Task, ...]
    checkpoints: tuple[Checkpoint, ...]
    anchors: Mapping[int, Anchor]
    letters: Mapping[int, str]

    @property
    def sealed(self) -> int:
        return max((one.last_seq for one in self.checkpoints), default=0)


@dataclass(frozen=True, slots=True)
class _Case:
    """All that is known besides the entries."""

    prefix: str
    asking: Asking
    evidence: Evidence
    statements: Statements
    local: Sequence[LocalJournal]
    erased: Mapping[str, Sequence[tuple[int, int]]]
    now: datetime

    def plan(self, journal: str, parts: Sequence[Part], window: tuple[int, int] | None) -> _Plan:
        """Cuts a journal into slices."""
        checkpoints = tuple(self.statements.of(journal))
        anchors, letters = self.statements.anchors(journal), letters_of(checkpoints)
        numbered = tuple(part for part in parts if part.last >= 1)
        lowest = min((max(part.first, 1) for part in numbered), default=0)
        highest = max((part.last for part in numbered), default=0)
        here = self._here(journal)
        known = (highest, *(one.last_seq for one in checkpoints), here.recorded if here else 0)
        first, last = window or (1, max(known))
        erased = tuple(self.erased.get(journal, ()))
        tasks = []
        for at in range(max(first, lowest), min(last, highest) + 1 if numbered else 0, SLICE):
            end = min(at + SLICE - 1, last, highest)
            job = Slice(
                journal,
                at,
                end,
                {seq: anchor for seq, anchor in anchors.items() if at - 1 <= seq <= end},
                {seq: hash_ for seq, hash_ in letters.items() if at - 1 <= seq <= end},
                tuple((begin, until) for begin, until in erased if begin <= end and until >= at),
                self.evidence.held,
                self.prefix,
            )
            tasks.append(Task(job, numbered))
        return _Plan(journal, first, last, lowest, highest, tuple(parts), tuple(tasks), checkpoints, anchors, letters)

    def judge(self, plan: _Plan, results: Sequence[Walked]) -> tuple[JournalVerdict, list[Finding]]:
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

    def _knowledge(self, plan: _Plan, here: LocalJournal | None) -> Knowledge:
        letters = {*plan.letters, *(here.letters if here else ())}
        return Knowledge(
            journal=plan.journal,
            prefix=self.prefix,
            now=self.now,
            present=self.evidence.present,
            shortest=self.evidence.shortest,
            destructions=self.evidence.destructions,
            checkpoints=plan.checkpoints,
            letters=letters,
            dropped=self.evidence.dropped.get(plan.journal, ()),
            shipped=here.shipped if here else None,
            recorded=here.recorded if here else None,
        )

    def _rebuilt(self, plan: _Plan, results: Sequence[Walked]) -> Iterator[Finding]:
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

    def _unrooted(self, plan: _Plan, findings: Sequence[Finding]) -> Iterator[Finding]:
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
                hashes[hit["sort"][0]] = str(hit["_source"].get("hash"))
            if len(hashes) != one.entries:
                continue  # some expired, or were given up: what is left can't be shown by the root
            tree = Tree()
            tree.extend(hashes[seq].encode() for seq in sorted(hashes))
            if tree.root().hex() != one.root:
                about = f"the entries are others than those that checkpoint {one.number} was closed over"
                yield Finding("rebuilt", plan.journal, one.first_seq, about, one.last_seq, (), one.time)

    def _unknown(self, plan: _Plan) -> Finding | None:
        """A journal that no checkpoint names, though there are some of others since before its last entry."""
        first = self.statements.first_time
        if plan.checkpoints or not plan.parts or not first:
            return None
        latest = max(part.latest for part in plan.parts) / 1000
        if datetime.fromtimestamp(latest, UTC) < datetime.fromisoformat(first) + _NEW:
            return None
        about = "no checkpoint names this journal: no shipper of ours has ever sent it"
        return Finding("unknown journal", plan.journal, plan.lowest, about, plan.highest)

    def _completeness(
        self, plan: _Plan, results: Sequence[Walked], absence: Absence, here: LocalJournal | None
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


def _missing(plan: _Plan, results: Sequence[Walked]) -> list[Missing]:
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


def _index_of(plan: _Plan, seq: int) -> str:
    return next((part.index for part in plan.parts if part.first <= seq <= part.last), "")


def _strangers(asking: Asking, parts: Sequence[Part]) -> Iterator[Finding]:
    """Documents that are in no place of a journal."""
    for hit in unnumbered(asking, parts) if parts else ():
        about = "it has no place in a journal: something else than a shipper of ours stored it"
        yield Finding("inserted", parts[0].journal, 0, about, 0, (str(hit["_id"]),))


def _windows(
    asking: Asking, client: AuditClient, names: Iterable[str], statements: Statements, since: object, until: object
) -> dict[str, tuple[int, int] | None]:
    """By journal, which entries are of that time; `None` for all of them, and journals without any are left out.

    The checkpoints of that time say of which there should be some.
    """
    if since is None and until is None:
        return dict.fromkeys(names)
    asked = Filter.of(since, until)
    window = window_of(asked, datetime.now(UTC))
    body = client.query_of(asked)
    ends = {"first": {"min": {"field": "seq"}}, "last": {"max": {"field": "seq"}}}
    found: dict[str, tuple[int, int] | None] = {}
    for name in names:
        wanted = {"bool": {"filter": [body, {"term": {"journal": name}}]}}
        answer = asking.ask({"size": 0, "query": wanted, "aggs": ends}, index_pattern(client.settings))
        values = [bucket["value"] for bucket in answer.get("aggregations", {}).values()]
        seqs = [max(1, int(value)) for value in values if value is not None]
        for one in statements.of(name):
            if one.entries and _within(window, datetime.fromisoformat(one.time)):
                seqs += [one.first_seq, one.last_seq]
        if seqs:
            found[name] = min(seqs), max(seqs)
    return found


def _within(window: Window, moment: datetime) -> bool:
    return (window.start is None or moment >= window.start) and (window.end is None or moment < window.end)
