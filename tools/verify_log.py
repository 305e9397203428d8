"""Checks a whole log without whodid, by docs/reference/format.md alone: an export with its manifest and checkpoints.

    whodid export all.ndjson --expired --proofs
    python verify_log.py all.ndjson [--key signing.pem.pub] [--against checkpoints.ndjson] [--retention 365]

Of an export that is only a part, each entry is checked by itself. Entries dated ahead of the export are not in it, and
look missing, if a host's clock was ahead: export once more, later. Needs Python, `rfc8785` and `cryptography`. Prints
what does not hold, and exits with 1 if there is anything. What the words mean: docs/explanation/integrity.md.
"""

import argparse
import sys
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from itertools import groupby

from verify_checkpoints import Checkpoints, by_old_keys, joined, journal_of
from verify_export import lines, unlike_the_manifest
from verify_proof import content, fits, loads, read_keys, root_by_path
from verify_records import Absent, Records, says

at = datetime.fromisoformat
BEGIN = {"hash": "0" * 64, "@timestamp": "0001-01-01T00:00:00Z"}


class Journal(Checkpoints):
    """One journal: its documents by number, those of each number that count, and what checkpoints name."""

    def __init__(self, name):
        super().__init__()
        self.name = name
        self.kept, self.anchors, self.branch = {0: [BEGIN]}, defaultdict(set), set()

    def add(self, entry, place):
        """Takes one document, and looks at it by itself."""
        if not (right := fits(entry)):
            self.tell("altered", entry["seq"])
        roots = {point["root"] for point in self.points.get(place.get("number"), {}).values()}
        if roots and root_by_path(entry["hash"], place["leaf"], place["size"], place["path"]) not in roots:
            self.tell("rebuilt", entry["seq"])
        day, begin = date.fromisoformat(entry["creation_date"][:10]), f"{entry['journal']}-{entry['seq']:012d}-"
        places = f"{day:%Y.%m}", f"{day:%Y.%m.%d}", f"{day:%G.w%V}"
        misplaced = "" if place["index"].rpartition("-")[2] in places else "reordered"
        if place["id"] != begin + entry["hash"][:16]:
            misplaced = "altered" if place["id"].startswith(begin) else "reordered"
        self.docs[entry["seq"]].append(entry | {"misplaced": misplaced, "fits": right, "index": place["index"]})

    def ends(self, chain, records):
        """Values removed without a record, and entries behind the end of the journal."""
        for seq in (seq for seq, docs in self.docs.items() if any("erased" in doc for doc in docs)):
            if (self.name, seq) not in records.excused:
                self.tell("altered", seq)
        if (chain and chain[-1]["why"] == "ended") or self.name in records.retired:
            end = max(chain[-1]["last_seq"] if chain else 0, records.retired.get(self.name, 0))
            self.found["inserted"] |= {seq for seq in self.docs if seq > end}

    def walk(self, chain, absent, whole):
        for point in chain:
            self.anchors[point["last_seq"]].add(point["last_hash"])
        letters = {seq: hash_ for point in chain for seq, hash_ in point["letters"]}
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
            elif kind := absent.explained(seq):
                self.tell(kind, seq)

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
            alone = ("altered", seq) if seq - 1 not in self.docs else ("inserted", seq)
            self.tell(*(("altered", seq - 1) if chosen & vouching and seq - 1 in self.docs else alone))
        if at((before or [BEGIN])[0]["@timestamp"]) - at(self.kept[seq][0]["@timestamp"]) > timedelta(seconds=60):
            self.tell("clock set back", seq)


def read(path):
    return [loads(line) for line in lines(path)]


def findings(file, keys, against, days):
    entries, evidence = read(file), read(f"{file}.evidence.ndjson")
    manifest = loads(content(f"{file}.manifest.json"))
    whole = manifest["asked"] in ("", "*") and manifest["expired"]
    journals, places = {}, [one for one in evidence if "id" in one]
    entries += [place["entry"] for place in places if "entry" in place]
    heard = [(one, True) for one in against] + [(one["checkpoint"], False) for one in evidence if "checkpoint" in one]
    trusted = joined(keys, [envelope for envelope, _ in heard])
    for envelope, outside in heard:
        journals.setdefault(name := journal_of(envelope), Journal(name)).hear(envelope, trusted, outside)
    for entry, place in zip(entries, places, strict=True):
        try:
            journals.setdefault(entry["journal"], Journal(entry["journal"])).add(entry, place)
        except (AttributeError, KeyError, TypeError, ValueError):
            yield f"inserted: {place['id']} in {place['index']} is no entry"
    chains = {name: [*journal.chain()] for name, journal in journals.items()}
    for name in [*by_old_keys(chains)]:
        journals[name].tell("untrusted", chains[name][0]["first_seq"], chains.pop(name)[-1]["last_seq"])
    chains, prefix, sealing = defaultdict(list, chains), manifest["index_prefix"], any(chains.values())
    vouching = [(entry, place) for entry, place in zip(entries, places, strict=True) if says(entry, place)]
    if sealing:
        vouching = [(e, p) for e, p in vouching if journals[e["journal"]].proves(e, p, chains[e["journal"]], prefix)]
    pages = [one["erasure"] for one in evidence if "erasure" in one]
    records = Records([entry for entry, _ in vouching], days, pages)
    for name, journal in sorted(journals.items()):
        if sealing and not chains[name] and journal.docs:
            journal.tell("unknown journal", min(journal.docs), max(journal.docs))
        journal.ends(chains[name], records)
        journal.walk(chains[name], Absent(name, chains[name], journal.docs, records, sealing), whole)
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
