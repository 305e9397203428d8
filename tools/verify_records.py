"""What the records beside the entries say, without whodid, by docs/reference/format.md alone; verify_log.py asks it.

What an entry of the log says of erasures, dropped dead letters, retention and retired journals counts if the entry
itself is proven by a checkpoint.
"""

import hashlib
import re
from bisect import bisect
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta

import rfc8785
from verify_proof import fits


def says(entry, place):
    """Whether a document is an entry, in its own place, that may excuse something."""
    types = ("person_erased", "journal_retired", "dead_letters_dropped", "retention_set")
    if not fits(entry) or entry.get("type") not in [f"audit_log_{name}" for name in types]:
        return False
    return place["id"] == f"{entry['journal']}-{entry['seq']:012d}-{entry['hash'][:16]}"


class Records:
    """What these entries, which are proven, say, together with the pages of the ledger on erasures."""

    def __init__(self, entries, days, pages):
        erased, self.dropped, self.retired = set(), defaultdict(list), {}
        self.rules, before, now = [(days, datetime.now(UTC))], "", datetime.now(UTC)
        for entry in sorted(entries, key=lambda entry: entry["creation_date"]):
            details = entry.get("details", {})
            if entry["type"] == "audit_log_person_erased":
                erased.add(details.get("digest"))
            if entry["type"] == "audit_log_journal_retired":
                self.retired[entry["target"]] = details.get("last_seq", 0)
            if entry["type"] == "audit_log_dead_letters_dropped":
                for journal, text in details.get("entries", {}).items():
                    self.dropped[journal] += ranges(text)
            if entry["type"] == "audit_log_retention_set":
                self.rules.append((before or details.get("was"), datetime.fromisoformat(entry["creation_date"])))
                before = details.get("retention")
        self.rules.append((before, now))
        self.excused = set()
        for page in (page for page in pages if hashlib.sha256(rfc8785.dumps(page)).hexdigest() in erased):
            for journal, text in page["places"].items():
                self.excused |= {(journal, seq) for first, last in ranges(text) for seq in range(first, last + 1)}

    def past(self, end):
        """Whether a retention that was in force may have deleted what ended then."""
        ages = [(re.fullmatch(r"(\d+)d?", str(age)), until) for age, until in self.rules]
        return any(age and end + timedelta(int(age[1])) <= until for age, until in ages)


class Absent:
    """Of one journal: what explains that an entry is not stored."""

    def __init__(self, name, chain, docs, records, sealing):
        self.chain, self.docs, self.records, self.stored = chain, docs, records, sorted(docs)
        self.dropped, self.holes = records.dropped[name], [hole for point in chain for hole in point["holes"]]
        gone = {point["number"]: [n for name, n in point["partitions"].items() if self.over(name)] for point in chain}
        self.gone = {number: sum(counts) for number, counts in gone.items()} | {0: 0}
        self.unnamed = {point["number"]: point["dead_letters"] - len(point["letters"]) for point in chain}
        self.unnamed[0] = 0 if sealing else float("inf")

    def explained(self, seq):
        over = [point["number"] for point in self.chain if point["first_seq"] <= seq <= point["last_seq"]]
        number = over[0] if over else 0
        for left in [self.unnamed] * among(seq, self.dropped) + [self.gone]:
            if left[number] > 0:
                left[number] -= 1
                return ""
        if not number and self.by_the_rule(seq):
            return ""
        return "altered" if among(seq, self.holes) else "gap"

    def over(self, partition):
        return (times := span(partition)) is not None and self.records.past(times[1])

    def by_the_rule(self, seq):
        """Where no checkpoint counts them: whether the partitions before the next entry's are past their time."""
        at = bisect(self.stored, seq)
        after = span(self.docs[self.stored[at]][0]["index"]) if at < len(self.stored) else None
        before = span(self.docs[self.stored[at - 1]][0]["index"]) if at else None
        return after is not None and self.records.past(after[0]) and not (before and before[1] >= after[0])


def among(seq, ranges):
    return any(first <= seq <= last for first, last in ranges)


def ranges(text):
    parts = (part.partition("-") for part in text.split(","))
    return [(int(first), int(last or first)) for first, _, last in parts]


def span(partition):
    """When a partition of a month, a week or a day begins and ends; nothing for what a checkpoint counts together."""
    name = partition.rpartition("-")[2].replace(".", "-").upper()
    if name in ("", "*"):
        return None
    begin = date.fromisoformat(name + {7: "-01", 8: "-1"}.get(len(name), ""))
    end = (begin + timedelta(31)).replace(day=1) if len(name) == 7 else begin + timedelta(7 if "W" in name else 1)
    return datetime.combine(begin, time(), UTC), datetime.combine(end, time(), UTC)
