"""Checks a whole log without whodid, by docs/format.md alone: an export of it, with its checkpoints.

    whodid export all.ndjson --expired --proofs
    python verify_log.py all.ndjson [--key signing.pem.pub] [--against checkpoints.ndjson] [--retention 365]

Of an export that is only a part, each entry is checked by itself. Needs Python, `rfc8785` and `cryptography`. Prints
what does not hold, and exits with 1 if there is anything. What the words mean: docs/integrity.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from verify_proof import CHECKPOINT, entry_hash, opened, read_key, root_by_path

Doc = dict[str, Any]
Finding = tuple[str, str, int, int]


class Log:
    """Entries by journal and number, and checkpoints by journal and number; a witness is heard before the others."""

    def __init__(self, days: int, *, whole: bool) -> None:
        self.docs: dict[str, dict[int, list[Doc]]] = defaultdict(lambda: defaultdict(list))
        self.points: dict[str, dict[int, dict[str, Doc]]] = defaultdict(lambda: defaultdict(dict))
        self.found: set[Finding] = set()
        self.days, self.whole = days, whole

    def tell(self, kind: str, journal: str, first: int, last: int = 0) -> None:
        self.found.add((kind, journal, first, max(first, last)))

    def is_altered(self, journal: str, seq: int) -> bool:
        return ("altered", journal, seq, seq) in self.found

    def hear(self, envelope: Doc, key: Ed25519PublicKey | None, outside: bool) -> None:
        payload, trusted = opened(envelope, CHECKPOINT, key)
        one, hash_ = {**json.loads(payload), "outside": outside}, hashlib.sha256(payload).hexdigest()
        known = self.points[one["journal"]][one["number"]]
        if not trusted:
            self.tell("untrusted", one["journal"], one["first_seq"], one["last_seq"])
        elif known and hash_ not in known:
            worse = not outside and all(other["outside"] for other in known.values())
            last = max(other["last_seq"] for other in [one, *known.values()])
            self.tell("rebuilt" if worse else "forked", one["journal"], one["first_seq"], last)
            known |= {} if worse else {hash_: one}
        else:
            known.setdefault(hash_, one)

    def add(self, entry: Doc, place: Doc) -> None:
        journal, seq, hash_ = str(entry["journal"]), int(entry["seq"]), str(entry["hash"])
        if entry_hash(entry) != hash_ or entry.get("erased"):  # no record is known here that says it should be
            self.tell("altered", journal, seq)
        for point in self.points[journal].get(place.get("number", 0), {}).values():
            if root_by_path(hash_, place["leaf"], place["size"], place["path"]) != point["root"]:
                self.tell("rebuilt", journal, seq)
        self.docs[journal][seq].append({**entry, "_id": place["id"], "_index": place["index"]})

    def check(self) -> None:
        chains = {name: [p for n in sorted(of) for p in of[n].values()] for name, of in self.points.items()}
        begun = min((p["time"] for chain in chains.values() for p in chain), default="9999-01-01T00:00:00Z")
        for journal in {*self.docs, *chains}:
            docs, chain = self.docs[journal], chains.get(journal, [])
            newest = max(
                (doc["creation_date"] for group in docs.values() for doc in group), default="1970-01-01T00:00:00Z"
            )
            if not chain and datetime.fromisoformat(newest) >= datetime.fromisoformat(begun) + timedelta(hours=1):
                self.tell("unknown journal", journal, min(docs), max(docs))
            self.walk(journal, docs, chain)

    def walk(self, name: str, docs: dict[int, list[Doc]], chain: list[Doc]) -> None:
        anchors: dict[int, set[str]] = defaultdict(set)
        for point in chain:
            anchors[point["last_seq"]].add(point["last_hash"])
        letters = {seq: hash_ for point in chain for seq, hash_ in point["letters"]}
        holes = {seq for point in chain for first, last in point["holes"] for seq in range(first, last + 1)}
        over = Counter({p["number"]: sum(n for part, n in p["partitions"].items() if self.over(part)) for p in chain})
        good, last, before, branch = 0, 0, [], set[str]()
        for seq in range(1, max([*docs, *anchors], default=0) + 1) if self.whole else sorted(docs):
            before = before if last == seq - 1 else []
            follows = {"0" * 64} if seq == 1 else {doc["hash"] for doc in before} or anchors.get(seq - 1, set())
            last, vouching = seq, {doc["prev"] for doc in docs.get(seq + 1, [])} | anchors.get(seq, set())
            if seq in docs:
                before = self.judge(name, seq, docs[seq], follows, vouching, branch, before)
                if seq in anchors and {doc["hash"] for doc in before} & anchors[seq]:
                    good = seq
                elif seq in anchors and not self.is_altered(name, seq):
                    self.tell("rebuilt", name, good + 1 if self.whole else seq, seq)
                continue
            number = next((p["number"] for p in chain if p["first_seq"] <= seq <= p["last_seq"]), 0)
            if seq not in letters and over[number] <= 0:
                self.tell("altered" if seq in holes else "gap", name, seq)
            over[number] -= seq not in letters
            before = [{"hash": letters[seq]}] if seq in letters else []

    def judge(
        self,
        name: str,
        seq: int,
        group: list[Doc],
        follows: set[str],
        vouching: set[str],
        branch: set[str],
        before: list[Doc],
    ) -> list[Doc]:
        """Looks at the documents of one number, and returns those that count."""
        hashes = Counter(doc["hash"] for doc in group)
        for doc in group:
            self.look_at_its_place(doc, name, seq, hashes[doc["hash"]])
        chosen = hashes.keys() & vouching or {doc["hash"] for doc in group if doc["prev"] in follows} or {*hashes}
        if len(chosen) > 1:
            self.tell("forked", name, seq)
            branch |= chosen
        for doc in (doc for doc in group if doc["hash"] not in chosen):
            split = doc["hash"] in vouching or doc["prev"] in branch
            branch |= {doc["hash"]} if split else set()
            self.tell("forked" if split else "inserted", name, seq)
        group = [doc for doc in group if doc["hash"] in chosen]
        if self.is_altered(name, seq):
            return group
        broken = follows and not any(doc["prev"] in follows for doc in group)
        if broken and not self.is_altered(name, seq - 1):
            self.tell(*(("altered", name, seq - 1) if chosen & vouching else ("inserted", name, seq)))
        if before and before[0].get("@timestamp", "") > group[0]["@timestamp"]:
            back = datetime.fromisoformat(before[0]["@timestamp"]) - datetime.fromisoformat(group[0]["@timestamp"])
            if back > timedelta(seconds=60):
                self.tell("clock set back", name, seq)
        return group

    def look_at_its_place(self, doc: Doc, name: str, seq: int, copies: int) -> None:
        right, day = f"{name}-{seq:012d}-{doc['hash'][:16]}", date.fromisoformat(doc["creation_date"][:10])
        if self.is_altered(name, seq):
            return
        if doc["_id"] != right:
            same = doc["_id"].rpartition("-")[0] == right.rpartition("-")[0]
            self.tell("inserted" if copies > 1 else "altered" if same else "reordered", name, seq)
        elif doc["_index"].rpartition("-")[2] not in (f"{day:%Y.%m}", f"{day:%Y.%m.%d}", f"{day:%G.w%V}"):
            self.tell("reordered", name, seq)

    def over(self, partition: str) -> bool:
        """Whether a partition is past its time; one of a week or a day counts as its month."""
        year, _, part = partition.rpartition("-")[2].partition(".")
        begin = datetime.strptime(f"{year} {part} 1", "%G w%V %u" if part[0] == "w" else "%Y %m 1").replace(tzinfo=UTC)
        return (begin + timedelta(days=31)).replace(day=1) + timedelta(days=self.days) <= datetime.now(UTC)


def joined(found: set[Finding]) -> list[Finding]:
    """Those of one kind that touch or overlap as one."""
    result: list[Finding] = []
    for kind, journal, first, last in sorted(found):
        if result and result[-1][:2] == (kind, journal) and first <= result[-1][3] + 1:
            first, last = result[-1][2], max(last, result.pop()[3])
        result.append((kind, journal, first, last))
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("file", "--key", "--against"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--retention", type=int, default=365, help="days")
    given = parser.parse_args()
    key = read_key(given.key)
    manifest = json.loads(Path(f"{given.file}.manifest.json").read_bytes())
    evidence = [json.loads(line) for line in Path(f"{given.file}.evidence.ndjson").read_bytes().splitlines()]
    log = Log(given.retention, whole=manifest["asked"] in ("", "*") and manifest["expired"])
    for line in given.against.read_bytes().splitlines() if given.against else ():
        log.hear(json.loads(line), key, True)
    for one in evidence:
        if "checkpoint" in one:
            log.hear(one["checkpoint"], key, False)
    places = (one for one in evidence if "id" in one)
    for line in given.file.read_bytes().splitlines():
        log.add(json.loads(line), next(places))
    log.check()
    for kind, journal, first, last in joined(log.found):
        print(f"{kind}: journal {journal}, {first} to {last}")
    print("" if log.found else "nothing found", end="" if log.found else "\n")
    sys.exit(1 if log.found else 0)
