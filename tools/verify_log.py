"""Checks a whole log without whodid, by docs/format.md alone: an export of it, with its manifest and checkpoints.

    whodid export all.ndjson --expired --proofs
    python verify_log.py all.ndjson [--key signing.pem.pub] [--against checkpoints.ndjson] [--retention 365]

Of an export that is only a part, each entry is checked by itself. Entries dated ahead of the export are not in it, and
look missing, if a host's clock was ahead: export once more, later. Needs Python, `rfc8785` and `cryptography`. Prints
what does not hold, and exits with 1 if there is anything. What the words mean: docs/integrity.md.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

from verify_export import lines, unlike_the_manifest
from verify_proof import content, entry_hash, read_keys, root_by_path
from verify_records import Checkpoints, excused, joined, journal_of

BEGIN = {"hash": "0" * 64, "@timestamp": "0001-01-01T00:00:00Z"}


class Journal(Checkpoints):
    """One journal: its documents by number, those of each number that count, and what checkpoints name."""

    def __init__(self):
        super().__init__()
        self.docs, self.kept, self.anchors, self.branch = defaultdict(list), {0: [BEGIN]}, defaultdict(set), set()

    def add(self, entry, place, erased):
        if entry_hash(entry) != entry["hash"] or (entry.get("erased") and not erased):
            self.tell("altered", entry["seq"])
        roots = {point["root"] for point in self.points.get(place.get("number"), {}).values()}
        if roots and root_by_path(entry["hash"], place["leaf"], place["size"], place["path"]) not in roots:
            self.tell("rebuilt", entry["seq"])
        day, begin = date.fromisoformat(entry["creation_date"][:10]), f"{entry['journal']}-{entry['seq']:012d}-"
        here = place["index"].rpartition("-")[2] in (f"{day:%Y.%m}", f"{day:%Y.%m.%d}", f"{day:%G.w%V}")
        misplaced = "" if here else "reordered"
        if place["id"] != begin + entry["hash"][:16]:
            misplaced = "altered" if place["id"].startswith(begin) else "reordered"
        self.docs[entry["seq"]].append(entry | {"misplaced": misplaced})

    def walk(self, chain, days, whole):
        for point in chain:
            self.anchors[point["last_seq"]].add(point["last_hash"])
        letters = {seq: hash_ for point in chain for seq, hash_ in point["letters"]}
        holes = {seq for point in chain for first, last in point["holes"] for seq in range(first, last + 1)}
        gone = {p["number"]: sum(n for name, n in p["partitions"].items() if over(name, days)) for p in chain}
        good = 0
        for seq in range(1, max([*self.docs, *self.anchors], default=0) + 1) if whole else sorted(self.docs):
            if seq in self.docs:
                self.judge(seq, self.docs[seq], self.kept.get(seq - 1, []), self.anchors.get(seq, set()))
                if self.anchors.get(seq, set()) & {doc["hash"] for doc in self.kept[seq]}:
                    good = seq
                elif seq in self.anchors and seq not in self.found["altered"]:
                    self.tell("rebuilt", good + 1 if whole else seq, seq)
            elif seq in letters:
                self.kept[seq] = [BEGIN | {"hash": letters[seq]}]
            else:
                number = next((p["number"] for p in chain if p["first_seq"] <= seq <= p["last_seq"]), 0)
                gone[number] = gone.get(number, 0) - 1
                if gone[number] < 0:
                    self.tell("altered" if seq in holes else "gap", seq)

    def judge(self, seq, group, before, anchor):
        """Which documents of a number count, what the others are, and whether they follow the one before."""
        follows = {doc["hash"] for doc in before} or self.anchors.get(seq - 1, set())
        vouching = {doc["prev"] for doc in self.docs.get(seq + 1, [])} | anchor
        hashes = Counter(doc["hash"] for doc in group)
        chosen = hashes.keys() & vouching or {doc["hash"] for doc in group if doc["prev"] in follows} or {*hashes}
        self.kept[seq] = [doc for doc in group if doc["hash"] in chosen]
        if len(chosen) > 1:
            self.tell("forked", seq)
            self.branch |= chosen
        for doc in group:
            if doc["misplaced"] and seq not in self.found["altered"]:
                self.tell("inserted" if hashes[doc["hash"]] > 1 else doc["misplaced"], seq)
            if doc["hash"] not in chosen:
                self.tell("forked" if doc["prev"] in self.branch else "inserted", seq)
                self.branch |= {doc["hash"]} if doc["prev"] in self.branch else set()
        if {seq, seq - 1} & self.found["altered"]:
            return
        if follows and not any(doc["prev"] in follows for doc in self.kept[seq]):
            self.tell(*(("altered", seq - 1) if chosen & vouching else ("inserted", seq)))
        if at((before or [BEGIN])[0]["@timestamp"]) - at(self.kept[seq][0]["@timestamp"]) > timedelta(seconds=60):
            self.tell("clock set back", seq)


def at(text):
    return datetime.fromisoformat(text)


def read(path):
    return [json.loads(line) for line in lines(path)]


def over(partition, days):
    """Whether a partition of a month, a week or a day is past its time."""
    name = partition.rpartition("-")[2].replace(".", "-").upper()
    if name == "*":  # what a checkpoint counts together
        return False
    begin = date.fromisoformat(name + {7: "-01", 8: "-1"}.get(len(name), ""))
    end = (begin + timedelta(31)).replace(day=1) if len(name) == 7 else begin + timedelta(7 if "W" in name else 1)
    return end + timedelta(days) <= datetime.now(UTC).date()


def findings(file, keys, against, days):
    entries, evidence = read(file), read(f"{file}.evidence.ndjson")
    manifest = json.loads(content(f"{file}.manifest.json"))
    whole = manifest["asked"] in ("", "*") and manifest["expired"]
    journals, places = defaultdict(Journal), [one for one in evidence if "id" in one]
    entries += [place["entry"] for place in places if "entry" in place]
    heard = [(one, True) for one in against] + [(one["checkpoint"], False) for one in evidence if "checkpoint" in one]
    trusted = joined(keys, [envelope for envelope, _ in heard])
    for envelope, outside in heard:
        journals[journal_of(envelope)].hear(envelope, trusted, outside)
    erased = {*excused([one["erasure"] for one in evidence if "erasure" in one], entries)}
    for entry, place in zip(entries, places, strict=True):
        try:
            journals[entry["journal"]].add(entry, place, (entry["journal"], entry["seq"]) in erased)
        except (KeyError, TypeError, ValueError):
            yield f"inserted: {place['id']} in {place['index']} is no entry"
    chains = {name: [*journal.chain()] for name, journal in journals.items()}
    begun = min((point["time"] for chain in chains.values() for point in chain), default="9999-01-01T00:00:00Z")
    for name, journal in sorted(journals.items()):
        newest = max((doc["creation_date"] for docs in journal.docs.values() for doc in docs), default=begun)
        if not chains[name] and at(newest) >= at(begun) + timedelta(hours=1):
            journal.tell("unknown journal", min(journal.docs), max(journal.docs))
        journal.walk(chains[name], days, whole)
        for kind, seqs in sorted(journal.found.items()):
            for _, run in groupby(enumerate(sorted(seqs)), key=lambda one: one[1] - one[0]):
                row = [seq for _, seq in run]
                yield f"{kind}: journal {name}, {row[0]} to {row[-1]}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--key", action="append", default=[], help="a public key that is trusted; may be repeated")
    parser.add_argument("--against", action="append", default=[], help="checkpoints of a witness; may be repeated")
    parser.add_argument("--retention", type=int, default=365, help="days")
    given = parser.parse_args()
    keys, against = read_keys(*given.key), [one for path in given.against for one in read(path)]
    found = [*unlike_the_manifest(given.file, keys), *findings(given.file, keys, against, given.retention)]
    print("\n".join(found) or "nothing found")
    sys.exit(1 if found else 0)
