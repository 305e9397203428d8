"""Verify an audit log, an export or the proof of one entry, without whodid.

It implements docs/reference/format.md in this one file, for auditors to read. Needs Python 3.11 or newer and
`pip install rfc8785 cryptography`.

examples:
  python verify_log.py log all.ndjson --public-key signing.pem.pub --against checkpoints.ndjson
      The whole log, written by: whodid export all.ndjson --expired --proofs
  python verify_log.py export october.ndjson.gz --public-key signing.pem.pub
      Any export in NDJSON, with or without --proofs.
  python verify_log.py proof proof.json --public-key signing.pem.pub
      One entry, written by: whodid prove ENTRY_ID > proof.json

log     Checks the file against its manifest, each entry, each chain, and what is missing. Of an export that is only
        part of the log, it checks each entry by itself. If a host's clock was ahead, its entries dated after the
        export look missing: export again later.
export  Checks the file against its manifest, each entry, and that nothing came between two entries that follow each
        other. It can't know what the export leaves out.
proof   Checks that the entry was in the log when the checkpoint was closed.

docs/explanation/integrity.md says what the findings mean. Exit status: 0 if there is no finding, 1 if there is one or
a file can't be checked, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import json
import re
import sys
from bisect import bisect, bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

try:
    import rfc8785
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
except ImportError as error:
    raise SystemExit(f"the library {error.name} is not installed; run: pip install rfc8785 cryptography") from None

Json = dict[str, Any]
Ranges = list[tuple[int, int]]

CHECKPOINT, EXPORT = (f"application/vnd.whodid.{kind}+json" for kind in ("checkpoint", "export"))
FIRST_MOMENT, LAST_MOMENT = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"
BEFORE_FIRST: Json = {"hash": "0" * 64, "@timestamp": FIRST_MOMENT}
OPENINGS = ("salt", "salts", "erased")
NEVER_COMMITTED = {
    *("type", "target", "principal", "creation_date", "@timestamp", "target_type", "before", "after", "details"),
    *("shortened", "service", "host", "schema_version", "journal", "seq", "prev", "hash", "committed", "salt"),
    *("salts", "erased", "occurred_at", "once"),
}


class Finding(NamedTuple):
    """Something that does not hold for entries `seq` to `last` of a journal, or, without a journal, for the file."""

    kind: str
    journal: str = ""
    seq: int = 0
    last: int = 0

    def __str__(self) -> str:
        numbers = f", entry {self.seq}" if self.seq == self.last else f", entries {self.seq} to {self.last}"
        return f"{self.kind}: journal {self.journal}{numbers if self.seq else ''}" if self.journal else self.kind


class CannotCheck(Exception):
    """Says why a file can't be checked."""


# Files


def content(path: str) -> bytes:
    return Path(path).read_bytes()


def lines(path: str) -> list[bytes]:
    return (gzip.decompress(content(path)) if path.endswith(".gz") else content(path)).splitlines()


def loads(data: bytes) -> Any:
    """JSON in which no object has a name twice."""

    def unique(pairs: list[tuple[str, Any]]) -> Json:
        if len(dict(pairs)) < len(pairs):
            raise ValueError(f"an object has a name twice: {[name for name, _ in pairs]}")
        return dict(pairs)

    return json.loads(data, object_pairs_hook=unique)


def rows(path: str) -> list[Any]:
    found = []
    for number, line in enumerate(lines(path), 1):
        try:
            found.append(loads(line))
        except ValueError as error:
            raise CannotCheck(f"{path}, line {number} is not JSON: {error}") from None
    return found


# Entries, Merkle trees and signatures


def entry_hash(entry: Json) -> str:
    body = {name: value for name, value in entry.items() if name not in ("hash", *OPENINGS)}
    if not {"committed", *OPENINGS}.isdisjoint(entry):
        names = entry["committed"]
        salts, erased = (derived_salts(entry), {}) if "salt" in entry else (entry.get("salts", {}), entry["erased"])
        if {} in (entry.get("salts"), entry.get("erased")) or sorted([*salts, *erased]) != names or not names:
            raise ValueError("salts and erased do not match the committed fields")
        if {*erased} & {*entry} or {*names} & NEVER_COMMITTED or not all(isinstance(name, str) for name in names):
            raise ValueError("a field can't be committed, or is both present and erased")
        for name, salt in salts.items():
            body[name] = "sha256:" + hashlib.sha256(salt_bytes(salt) + rfc8785.dumps(body[name])).hexdigest()
        body |= erased
    return hashlib.sha256(rfc8785.dumps(body)).hexdigest()


def derived_salts(entry: Json) -> dict[str, str]:
    """The salts of all committed fields, from the one of the entry."""
    if "salts" in entry or "erased" in entry:
        raise ValueError("salt, salts and erased exclude each other")
    pieces = hashlib.shake_256(salt_bytes(entry["salt"])).hexdigest(16 * len(entry["committed"]))
    return {name: pieces[32 * at : 32 * at + 32] for at, name in enumerate(entry["committed"])}


def salt_bytes(salt: str) -> bytes:
    if not re.fullmatch("[0-9a-f]{32}", salt):
        raise ValueError("a salt is malformed")
    return bytes.fromhex(salt)


def hash_matches(entry: Any) -> bool:
    try:
        return is_readable(entry.get("schema_version", "2.0")) and bool(entry_hash(entry) == entry["hash"])
    except (AttributeError, KeyError, TypeError, ValueError, rfc8785.CanonicalizationError):
        return False


def is_readable(version: Any) -> bool:
    """Whether it is a version of this format; one that is no version at all is for the hash to show."""
    major = version.partition(".")[0] if isinstance(version, str) else ""
    return not re.fullmatch("[0-9]{1,15}", major) or int(major) == 2


def leaf(hash_: str) -> bytes:
    return hashlib.sha256(b"\0" + hash_.encode()).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def root(hashes: list[str]) -> str:
    """RFC 6962, section 2.1: a node without a neighbour moves up unchanged."""
    level = [leaf(hash_) for hash_ in hashes]
    while len(level) > 1:
        pairs = [node(level[n], level[n + 1]) for n in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    return (level[0] if level else hashlib.sha256().digest()).hex()


def root_by_path(hash_: str, index: int, size: int, path: list[str]) -> str:
    """RFC 9162, section 2.1.3.2; empty if the path has the wrong length."""
    at, last = leaf(hash_), size - 1
    for beside in map(bytes.fromhex, path):
        if last and (index & 1 or index == last):
            at = node(beside, at)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            at = node(at, beside)
        index, last = index >> 1, last >> 1
    return at.hex() if not last else ""


def public_key(path: str) -> str:
    """The 32 bytes of an Ed25519 key, in hex."""
    data = content(path)
    with suppress(ValueError):
        if isinstance(key := load_pem_public_key(data), Ed25519PublicKey):
            return key.public_bytes_raw().hex()
    raise CannotCheck(f"{path} is not an Ed25519 public key in PEM")


def opened(envelope: Json, kind: str, keys: set[str]) -> tuple[bytes, set[str]]:
    """The payload of a DSSE envelope, and which of the keys signed it as this kind of payload."""
    payload, name = base64.b64decode(envelope["payload"]), kind.encode()
    data, signers = b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload), set()
    for key in keys:
        for signature in envelope["signatures"]:
            with suppress(InvalidSignature):
                Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(base64.b64decode(signature["sig"]), data)
                signers.add(key)
    return payload, signers


# A proof


def proof_findings(proof: Json, keys: set[str]) -> Iterator[Finding]:
    payload, signers = opened(proof["checkpoint"], CHECKPOINT, keys)
    checkpoint, entry = json.loads(payload), proof["entry"]
    if keys and not signers:
        yield Finding("the checkpoint is not signed by a trusted key")
    if not hash_matches(entry):
        yield Finding("the entry does not match its hash")
    if (entry["journal"], proof["size"]) != (checkpoint["journal"], checkpoint["entries"]):
        yield Finding("the checkpoint covers other entries")
    if root_by_path(entry["hash"], proof["index"], proof["size"], proof["path"]) != checkpoint["root"]:
        yield Finding("the entry does not lead to the checkpoint's root")


# An export


def manifest_findings(file: str, manifest: Json, keys: set[str]) -> Iterator[Finding]:
    """How the file differs from its manifest, and whether one of the keys signed the manifest."""
    if keys and not Path(f"{file}.manifest.dsse").exists():
        yield Finding("the manifest is not signed")
    elif keys:
        payload, signers = opened(loads(content(f"{file}.manifest.dsse")), EXPORT, keys)
        if not signers:
            yield Finding("the manifest is not signed by a trusted key")
        if payload != content(f"{file}.manifest.json"):
            yield Finding("the manifest differs from the signed one")
    data, evidence = content(file), manifest["evidence"]
    if (len(data), hashlib.sha256(data).hexdigest()) != (manifest["bytes"], manifest["sha256"]):
        yield Finding("the file does not match its manifest")
    if evidence and hashlib.sha256(content(f"{file}.evidence.ndjson")).hexdigest() != evidence:
        yield Finding("the evidence does not match the manifest")
    if manifest["form"] != "ndjson":
        yield Finding(f"only the entries of an NDJSON export can be checked; this one is {manifest['form']}")
        return
    found = lines(file)
    if len(found) != manifest["count"]:
        yield Finding(f"the file has {len(found)} entries, the manifest {manifest['count']}")
    with suppress(AttributeError, ValueError):
        if root([str(json.loads(line).get("hash", "")) for line in found]) == manifest["root"]:
            return
    yield Finding("the entries do not match the manifest's root")


def export_findings(file: str) -> Iterator[Finding]:
    """Each entry by itself, and whether it follows the one before it."""
    entries: dict[tuple[str, int], Json] = {}
    for number, line in enumerate(lines(file), 1):
        try:
            entry = loads(line)
            if not hash_matches(entry):
                yield Finding(f"line {number}: altered")
            key = entry["journal"], entry["seq"]
            doubled = key in entries
        except (AttributeError, KeyError, ValueError, TypeError):
            yield Finding(f"line {number}: not an entry")
            continue
        if doubled:
            yield Finding(f"line {number}: another entry has the same number in its journal")
        entries[key] = entry
    for (journal, seq), entry in entries.items():
        before = entries.get((journal, seq - 1))
        if before and before["hash"] != entry["prev"]:
            yield Finding("does not follow the entry before it", journal, seq, seq)


# A log: what its own entries say of missing ones


def excuses(entry: Json, place: Json) -> bool:
    """Whether a document is an entry, under its own ID, of a type that may excuse something."""
    types = ("person_erased", "journal_retired", "dead_letters_dropped", "dead_letters_retried", "retention_set")
    known = [f"audit_log_{name}" for name in (*types, "hold_set", "hold_released")]
    if not hash_matches(entry) or entry.get("type") not in known:
        return False
    return bool(place["id"] == f"{entry['journal']}-{entry['seq']:012d}-{entry['hash'][:16]}")


def has_place(entry: Json) -> bool:
    journal, seq = entry["journal"], entry["seq"]
    return isinstance(journal, str) and journal != "" and type(seq) is int and seq > 0


class Hold(NamedTuple):
    """What a hold keeps since it was set: partitions by name, or those with a day from `since` to before `until`."""

    set: datetime
    partitions: list[str]
    since: datetime
    until: datetime


class Records:
    """What entries that are proven say of erasures, dead letters, retention, holds and retired journals."""

    def __init__(self, entries: list[Json], prefix: str, days: int, erasures: list[Json]) -> None:
        digests, self.retired, was, now = set(), {}, "", datetime.now(UTC)
        self.dropped: dict[str, Ranges] = defaultdict(list)
        self.retried: dict[str, Ranges] = defaultdict(list)
        self.rules: list[tuple[Any, datetime]] = [(days, now)]
        self.holds: list[Hold] = []
        released = {entry["target"] for entry in entries if entry["type"] == "audit_log_hold_released"}
        for entry in sorted(entries, key=lambda entry: str(entry["creation_date"])):
            details, moment = entry.get("details", {}), datetime.fromisoformat(entry["creation_date"])
            kind = entry["type"].removeprefix("audit_log_")
            if kind == "person_erased":
                digests.add(details.get("digest"))
            if kind == "journal_retired":
                self.retired[entry["target"]] = details.get("last_seq", 0)
            if kind in ("dead_letters_dropped", "dead_letters_retried"):
                for journal, text in details.get("entries", {}).items():
                    (self.dropped if kind == "dead_letters_dropped" else self.retried)[journal] += ranges(text)
            if kind == "retention_set":
                self.rules.append((was or details.get("was"), moment))
                was = details.get("retention")
            if kind == "hold_set" and entry["target"] not in released and details.get("index_prefix", prefix) == prefix:
                since, until = details.get("since", FIRST_MOMENT), details.get("until", LAST_MOMENT)
                times = (datetime.fromisoformat(text) for text in (since, until))
                self.holds.append(Hold(moment, details.get("partitions", []), *times))
        self.rules.append((was, now))
        self.erased: dict[str, Ranges] = defaultdict(list)
        for page in (page for page in erasures if hashlib.sha256(rfc8785.dumps(page)).hexdigest() in digests):
            for journal, text in page["places"].items():
                self.erased[journal] += ranges(text)

    def over(self, partition: str) -> bool:
        """Whether a retention may have deleted a partition, before a hold that keeps it was set."""
        if (times := span(partition)) is None or any(partition in hold.partitions for hold in self.holds):
            return False
        start, end = times
        holds = [one for one in self.holds if not one.partitions and one.since < end and start < one.until]
        return self.expired(end, min((hold.set for hold in holds), default=datetime.now(UTC)))

    def expired(self, end: datetime, by: datetime) -> bool:
        """Whether a retention that was in force may have deleted a partition that ended then, until `by`."""
        ages = [(re.fullmatch(r"(\d{1,6})d?", str(age)), until) for age, until in self.rules]
        return any(age and min(until, by) - end >= timedelta(int(age[1])) for age, until in ages)


class Absence:
    """Explains why entries of one journal are not stored."""

    def __init__(self, journal: Journal, chain: list[Json], records: Records, checkpointed: bool) -> None:
        self.docs, self.records, self.stored = journal.docs, records, sorted(journal.docs)
        self.chain = [*{one["number"]: one for one in reversed(chain)}.values()][::-1]
        self.dropped, self.holes = records.dropped[journal.name], [hole for one in chain for hole in one["holes"]]
        letters = [seq for one in chain for seq, _ in one["letters"]]
        self.resent = {seq for seq in letters if among(seq, records.retried[journal.name])}
        counted = [(seq, doc["index"]) for seq, docs in self.docs.items() if seq not in self.resent for doc in docs]
        there = Counter((self.over(seq), index) for seq, index in counted)
        self.gone: dict[int, dict[str, int]] = {
            one["number"]: {
                name: count - there[one["number"], name] if records.over(name) else 0
                for name, count in one["partitions"].items()
            }
            for one in self.chain
        }
        self.left = {number: sum(max(0, count) for count in gone.values()) for number, gone in self.gone.items()}
        self.unnamed = {one["number"]: one["dead_letters"] - len(one["letters"]) for one in chain}
        self.unnamed[0] = 0 if checkpointed else sys.maxsize

    def over(self, seq: int) -> int:
        """The number of the checkpoint over an entry; 0 without one."""
        at = bisect(self.chain, seq, key=lambda one: one["first_seq"]) - 1
        return self.chain[at]["number"] if at >= 0 and seq <= self.chain[at]["last_seq"] else 0

    def findings(self, first: int, last: int) -> Iterator[tuple[str, int, int]]:
        """Kind, first and last number of the parts of a missing range that nothing explains."""
        cuts = {one["first_seq"] for one in self.chain} | {one["last_seq"] + 1 for one in self.chain}
        for begin, end in pairwise([first, *sorted(cut for cut in cuts if first < cut <= last), last + 1]):
            for one, other in self.without_dropped(begin, end - 1):
                if any(hole[0] <= one and other <= hole[1] for hole in self.holes):
                    yield "altered", one, other
                elif not self.expired(one, other):
                    yield "gap", one, other

    def without_dropped(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The parts that are no dropped dead letters: of these, no more than the checkpoint counts."""
        number = self.over(first)
        for begin, end in sorted(self.dropped):
            begin = max(begin, first)
            count = min(min(end, last) - begin + 1, self.unnamed[number])
            if count > 0:
                self.unnamed[number] -= count
                if begin > first:
                    yield first, begin - 1
                first = begin + count
        if first <= last:
            yield first, last

    def expired(self, first: int, last: int) -> bool:
        """Whether retention may have deleted these, which follow each other, with their partitions."""
        at, number = bisect(self.stored, first), self.over(first)
        before = span(self.docs[self.stored[at - 1]][0]["index"]) if at else None
        after = span(self.docs[self.stored[at]][0]["index"]) if at < len(self.stored) else None
        resent = sum(first <= seq <= last for seq in self.resent)  # counted in no partition
        if not self.gone.get(number) or resent == last - first + 1:  # no checkpoint says in which partitions they were
            known = after is not None and self.records.expired(after[0], datetime.now(UTC))
            return known and not (before and after and before[1] >= after[0])
        spans = [span(name) for name, count in self.gone[number].items() if count > 0]
        around = [(not before or before[0] < one[1]) and (not after or one[0] < after[1]) for one in spans if one]
        count = last - first + 1 - resent
        if count > self.left[number] or (resent and not any(around)):
            return False
        self.left[number] -= count
        return True


def among(seq: int, ranges: Ranges) -> bool:
    return any(first <= seq <= last for first, last in ranges)


def ranges(text: str) -> Ranges:
    parts = (part.partition("-") for part in text.split(","))
    return [(int(first), int(last or first)) for first, _, last in parts]


def span(partition: str) -> tuple[datetime, datetime] | None:
    """When the partition of a month, a week or a day starts and ends; None for `*`, many partitions together."""
    name = partition.rpartition("-")[2].replace(".", "-").upper()
    if name in ("", "*"):
        return None
    start = date.fromisoformat(name + {7: "-01", 8: "-1"}.get(len(name), ""))
    if start.year > 9000:
        return None
    end = (start + timedelta(31)).replace(day=1) if len(name) == 7 else start + timedelta(7 if "W" in name else 1)
    return datetime.combine(start, time(), UTC), datetime.combine(end, time(), UTC)


# A log: its checkpoints. If two differ, the one of a witness counts; a key that was replaced no longer counts.


def payload_of(envelope: Json) -> Any:
    return json.loads(base64.b64decode(envelope["payload"]))


def with_rotated(keys: set[str], envelopes: list[Json]) -> set[str]:
    """The keys, and those connected with them by rotations: both the old and the new key signed each."""
    pairs = [(one, {*payload_of(one).get("keys", [])}) for one in envelopes]
    changes = [pair for one, pair in pairs if pair and opened(one, CHECKPOINT, pair)[1] == pair]
    while more := [pair for pair in changes if pair & keys and pair - keys]:
        keys = keys.union(*more)
    return keys


def signed_by_old_keys(chains: dict[str, list[Json]]) -> Iterator[str]:
    """Journals that no witness knows, although one was asked, and that only keys signed which were replaced in other
    journals: anyone who has an old key can invent such a journal."""
    points = [point for chain in chains.values() for point in chain]
    replaced = {point["keys"][0] for point in points if point.get("keys")}
    for name, chain in chains.items() if any(point["witnessed"] for point in points) else ():
        alone = not any(point["witnessed"] or point.get("keys") for point in chain)
        if chain and alone and all(point["by"] and point["by"] <= replaced for point in chain):
            yield name


def has_root(point: Json, hashes: dict[int, str]) -> bool:
    leaves = [hash_ for _, hash_ in sorted(hashes.items())]
    return (len(leaves), root(leaves)) == (point["entries"], point["root"])


class Journal:
    """One journal: its checkpoints by number and hash, its documents by `seq`, and by kind the ranges with findings.

    `counted` has the documents of each `seq` that count, `anchors` the hashes that checkpoints name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.points: dict[int, dict[str, Json]] = defaultdict(dict)
        self.docs: dict[int, list[Json]] = defaultdict(list)
        self.found: dict[str, set[tuple[int, int]]] = defaultdict(set)
        self.counted: dict[int, list[Json]] = {0: [BEFORE_FIRST]}
        self.anchors: dict[int, set[str]] = defaultdict(set)
        self.branch: set[str] = set()

    def report(self, kind: str, first: int, last: int = 0) -> None:
        self.found[kind].add((first, max(first, last)))

    def altered(self, seq: int) -> bool:
        return (seq, seq) in self.found["altered"]

    def add_checkpoint(self, envelope: Json, keys: set[str], witnessed: bool) -> None:
        """Those of witnesses must come first."""
        payload, signers = opened(envelope, CHECKPOINT, keys)
        hash_, point = hashlib.sha256(payload).hexdigest(), json.loads(payload)
        point |= {"hash": hash_, "by": signers, "witnessed": witnessed}
        known = self.points[point["number"]]
        if keys and not signers:
            self.report("untrusted", point["first_seq"], point["last_seq"])
        elif known and hash_ not in known:
            worse = not witnessed and all(other["witnessed"] for other in known.values())
            last = max(other["last_seq"] for other in [point, *known.values()])
            self.report("rebuilt" if worse else "forked", point["first_seq"], last)
            known |= {} if worse else {hash_: point}
        else:
            known.setdefault(hash_, point)

    def chain(self) -> Iterator[Json]:
        """The checkpoints that count, in order."""
        replaced, before, number, follows = set[str](), set[str](), 0, {"0" * 64}
        for point in [point for _, points in sorted(self.points.items()) for point in points.values()]:
            if point["by"] and point["by"] <= replaced:
                self.report("untrusted", point["first_seq"], point["last_seq"])
                continue
            replaced, before = replaced | (before - point["by"]) | {*point.get("keys", [])[:1]}, point["by"]
            if point["number"] > number + 1:
                self.report("gap", 0)
            elif point["number"] > number and point["previous"] not in follows:
                self.report("rebuilt", point["first_seq"], point["last_seq"])
            number, follows = point["number"], {*self.points[point["number"]]}
            yield point

    def proves(self, entry: Json, place: Json, chain: list[Json], prefix: str) -> bool:
        """Whether a path, the chain or the root leads from an entry to the one checkpoint over it, of this log."""
        points = [point for point in chain if point["first_seq"] <= entry["seq"] <= point["last_seq"]]
        if [point["index_prefix"] for point in points] != [prefix] or len(self.points[points[0]["number"]]) > 1:
            return False
        [point], seq, own = points, entry["seq"], entry["hash"]
        if "path" in place and root_by_path(own, place["leaf"], place["size"], place["path"]) == point["root"]:
            return True
        linked, after = {own}, seq
        while linked and after < point["last_seq"]:
            after += 1
            linked = {doc["hash"] for doc in self.docs.get(after, []) if doc["prev"] in linked and doc["matches"]}
        hashes = self.under(point)
        return point["last_hash"] in linked or (hashes.get(seq) == own and has_root(point, hashes))

    @cached_property
    def seqs(self) -> list[int]:
        """The numbers of all documents, once all were added."""
        return sorted(self.docs)

    def under(self, point: Json) -> dict[int, str]:
        """The hashes of the entries under a checkpoint, by number, as far as they are known."""
        over = self.seqs[bisect_left(self.seqs, point["first_seq"]) : bisect(self.seqs, point["last_seq"])]
        places = [at for at in over if not among(at, point["holes"])]
        return dict(point["letters"]) | {at: doc["hash"] for at in places for doc in self.docs[at]}

    def check_roots(self, chain: list[Json]) -> None:
        """Compares the root of a checkpoint with its entries, where dead letters or holes interrupt their chain."""
        worse = [found for kind, ranges in self.found.items() if kind != "altered" for found in ranges]
        for point in [point for point in chain if point["letters"] or point["holes"]]:
            if not any(first <= point["last_seq"] and last >= point["first_seq"] for first, last in worse):
                hashes = self.under(point)
                if len(hashes) == point["entries"] > 0 and not has_root(point, hashes):
                    self.report("rebuilt", point["first_seq"], point["last_seq"])

    def add(self, entry: Json, place: Json) -> None:
        """Takes one document, and checks it by itself."""
        if not (matches := hash_matches(entry)):
            self.report("altered", entry["seq"])
        roots = {point["root"] for point in self.points.get(place.get("number", 0), {}).values()}
        if roots and root_by_path(entry["hash"], place["leaf"], place["size"], place["path"]) not in roots:
            self.report("rebuilt", entry["seq"])
        day, start = date.fromisoformat(entry["creation_date"][:10]), f"{entry['journal']}-{entry['seq']:012d}-"
        partitions = f"{day:%Y.%m}", f"{day:%Y.%m.%d}", f"{day:%G.w%V}"
        misplaced = "" if place["index"].rpartition("-")[2] in partitions else "elsewhere"
        if place["id"] != start + entry["hash"][:16]:
            misplaced = "altered" if place["id"].startswith(start) else "reordered"
        self.docs[entry["seq"]].append(entry | {"misplaced": misplaced, "matches": matches, "index": place["index"]})

    def check_ends(self, chain: list[Json], records: Records) -> None:
        """Reports values removed without a record, and entries after the end of the journal."""
        for seq in (seq for seq, docs in self.docs.items() if any("erased" in doc for doc in docs)):
            if not among(seq, records.erased[self.name]):
                self.report("altered", seq)
        if (chain and chain[-1]["why"] == "ended") or self.name in records.retired:
            end = max(chain[-1]["last_seq"] if chain else 0, records.retired.get(self.name, 0))
            if self.docs and max(self.docs) > end:
                self.report("inserted", end + 1, max(self.docs))

    def check_entries(self, chain: list[Json], absence: Absence, whole: bool) -> None:
        """Goes through what is there, and, of a whole log, through what is missing in between."""
        for point in chain:
            self.anchors[point["last_seq"]].add(point["last_hash"])
        letters = {seq: hash_ for point in chain for seq, hash_ in point["letters"]}
        known = sorted({*self.docs, *(letters.keys() - absence.resent)})
        for before, after in pairwise([0, *known, max([*known, *self.anchors], default=0) + 1]) if whole else ():
            for finding in absence.findings(before + 1, after - 1) if before + 1 < after else ():
                self.report(*finding)
        good = 0
        for seq in sorted({*self.docs, *letters}):
            if seq not in self.docs:
                self.counted[seq] = [BEFORE_FIRST | {"hash": letters[seq]}]
                continue
            self.judge(seq, self.docs[seq], self.counted.get(seq - 1, []), self.anchors.get(seq, set()))
            if self.anchors.get(seq, set()) & {doc["hash"] for doc in self.counted[seq]}:
                good = seq
            elif seq in self.anchors and not self.altered(seq):
                self.report("rebuilt", good + 1 if whole else seq, seq)

    def judge(self, seq: int, docs: list[Json], before: list[Json], anchor: set[str]) -> None:
        """Decides which documents of a number count, what the others are, and if they follow the one before."""
        follows = {doc["hash"] for doc in before} or self.anchors.get(seq - 1, set())
        vouched = {doc["prev"] for doc in self.docs.get(seq + 1, [])} | anchor
        hashes = Counter(doc["hash"] for doc in docs)
        chosen = hashes.keys() & vouched or {doc["hash"] for doc in docs if doc["prev"] in follows} or {*hashes}
        self.counted[seq] = [doc for doc in docs if doc["hash"] in chosen]
        if len(chosen) > 1:
            self.report("forked", seq)
            self.branch |= chosen
        for doc in docs:
            wrong = doc["misplaced"] if doc["hash"] in chosen else doc["misplaced"].replace("elsewhere", "")
            if wrong and not self.altered(seq):
                self.report("inserted" if hashes[doc["hash"]] > 1 else wrong.replace("elsewhere", "reordered"), seq)
            if doc["hash"] not in chosen and doc["matches"]:
                self.report("forked" if doc["prev"] in self.branch else "inserted", seq)
                self.branch |= {doc["hash"]} if doc["prev"] in self.branch else set()
        if self.altered(seq) or self.altered(seq - 1):
            return
        if follows and not any(doc["prev"] in follows for doc in self.counted[seq]):
            if seq - 1 not in self.docs or follows & self.anchors.get(seq - 1, set()):
                self.report("altered", seq)
            elif chosen & vouched:
                self.report("altered", seq - 1)
            else:
                self.report("inserted", seq)
        earlier, later = (one[0]["@timestamp"] for one in (before or [BEFORE_FIRST], self.counted[seq]))
        if datetime.fromisoformat(earlier) - datetime.fromisoformat(later) > timedelta(seconds=60):
            self.report("clock set back", seq)

    def findings(self) -> Iterator[Finding]:
        for kind, ranges in sorted(self.found.items()):
            first, last = 0, -2
            for begin, end in [*sorted(ranges), (sys.maxsize, 0)]:
                if begin > last + 1:
                    if last >= 0:
                        yield Finding(kind, self.name, first, last)
                    first = begin
                last = max(last, end)


def log_findings(file: str, manifest: Json, keys: set[str], against: list[Json], days: int) -> Iterator[Finding]:
    if not manifest["evidence"]:
        raise CannotCheck(f"{file} was exported without --proofs, which a log needs; it can be checked as an export")
    entries, evidence = rows(file), rows(f"{file}.evidence.ndjson")
    whole = manifest["asked"] in ("", "*") and manifest["expired"]
    places = [one for one in evidence if "id" in one]
    entries += [place["entry"] for place in places if "entry" in place]
    if len(entries) != len(places):
        raise CannotCheck(f"{file} has {len(entries)} entries, and its evidence is of {len(places)}")
    documents = [*zip(entries, places, strict=True)]

    journals: dict[str, Journal] = {}
    heard = [(one, True) for one in against] + [(one["checkpoint"], False) for one in evidence if "checkpoint" in one]
    trusted = with_rotated(keys, [envelope for envelope, _ in heard])
    for envelope, witnessed in heard:
        name = payload_of(envelope)["journal"]
        journals.setdefault(name, Journal(name)).add_checkpoint(envelope, trusted, witnessed)
    for entry, place in documents:
        try:
            if not has_place(entry):
                raise ValueError("it names no journal, or has no number in it")
            journals.setdefault(entry["journal"], Journal(entry["journal"])).add(entry, place)
        except (AttributeError, KeyError, TypeError, ValueError):
            yield Finding(f"inserted: document {place['id']} in {place['index']} is not an entry")

    chains = defaultdict(list, {name: [*journal.chain()] for name, journal in journals.items()})
    for name in [*signed_by_old_keys(chains)]:
        journals[name].report("untrusted", chains[name][0]["first_seq"], chains.pop(name)[-1]["last_seq"])
    checkpointed, prefix = any(chains.values()), manifest["index_prefix"]
    excusing = [(entry, place) for entry, place in documents if excuses(entry, place)]
    if checkpointed:
        excusing = [
            (entry, place)
            for entry, place in excusing
            if entry["type"] == "audit_log_hold_released"  # at once; a made-up one is a finding itself
            or journals[entry["journal"]].proves(entry, place, chains[entry["journal"]], prefix)
        ]
    erasures = [one["erasure"] for one in evidence if "erasure" in one]
    records = Records([entry for entry, _ in excusing], prefix, days, erasures)
    for name, journal in sorted(journals.items()):
        if checkpointed and not chains[name] and journal.docs:
            journal.report("unknown journal", min(journal.docs), max(journal.docs))
        journal.check_ends(chains[name], records)
        journal.check_entries(chains[name], Absence(journal, chains[name], records, checkpointed), whole)
        journal.check_roots(chains[name])
        yield from journal.findings()


# The command line


def findings(what: str, file: str, keys: set[str], against: list[str], days: int) -> Iterator[Finding]:
    if what == "proof":
        yield from proof_findings(loads(content(file)), keys)
        return
    manifest = loads(content(f"{file}.manifest.json"))
    yield from manifest_findings(file, manifest, keys)
    if manifest["form"] == "ndjson" and what == "export":
        yield from export_findings(file)
    elif manifest["form"] == "ndjson":
        yield from log_findings(file, manifest, keys, [one for path in against for one in rows(path)], days)


def why(file: str, error: Exception) -> str:
    if isinstance(error, CannotCheck):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} can't be read: {error.strerror}"
    return f"{file} can't be checked: it is damaged, or whodid did not write it ({type(error).__name__}: {error})"


def printable(text: str) -> str:
    """Escapes control characters: whoever is audited must not control the auditor's terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["log", "export", "proof"], help="what to verify")
    parser.add_argument("file", metavar="FILE", help="the export or the proof; an export has its manifest beside it")
    several: Json = {"action": "append", "default": []}
    parser.add_argument("--public-key", **several, metavar="PEM", help="a trusted key; may be repeated")
    parser.add_argument("--against", **several, metavar="FILE", help="log: checkpoints of a witness; may be repeated")
    parser.add_argument("--retention", type=int, metavar="DAYS", help="log: days that entries are kept (default: 365)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    if given.what != "log" and (given.against or given.retention is not None):
        parser.error("--against and --retention are for a log")
    found, failure, passed = [], "", "no problem found"
    try:
        keys = {public_key(path) for path in given.public_key}
        days = 365 if given.retention is None else given.retention
        for one in findings(given.what, given.file, keys, given.against, days):
            found.append(one)
        if given.what == "proof":
            entry = loads(content(given.file))["entry"]
            passed = f"entry {entry['seq']} was in journal {entry['journal']}"
    except Exception as error:  # noqa: BLE001 (no file, whoever made it, may end in a traceback)
        failure, passed = why(given.file, error), ""
    if given.json and not failure:
        print(json.dumps({"intact": not found, "findings": [one._asdict() for one in found]}))
    elif found or passed:
        print("\n".join(printable(str(one)) for one in found) or printable(passed))
    if failure:
        print(printable(failure), file=sys.stderr)
    elif not given.public_key:
        print("note: no signature was checked; give --public-key", file=sys.stderr)
    return 1 if found or failure else 0


if __name__ == "__main__":
    sys.exit(main())
