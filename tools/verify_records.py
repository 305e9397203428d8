"""What the records beside the entries say, without whodid, by docs/format.md alone; verify_log.py asks it.

Checkpoints may come from a witness, and from the log's own host and cluster. Where two say different things of one
place, the witness counts; and what a key signed that was changed before does not. An erasure counts where an entry of
the log vouches for it.
"""

import base64
import hashlib
import json
from collections import defaultdict

import rfc8785
from verify_proof import CHECKPOINT, opened


def journal_of(envelope):
    return json.loads(base64.b64decode(envelope["payload"]))["journal"]


def joined(keys, envelopes):
    """The keys, and those that a change of keys joins with one of them: both have signed it."""
    pairs = [{*json.loads(base64.b64decode(one["payload"])).get("keys", [])} for one in envelopes]
    changes = [
        pair for one, pair in zip(envelopes, pairs, strict=True) if pair and opened(one, CHECKPOINT, pair)[1] == pair
    ]
    while more := [pair for pair in changes if pair & keys and pair - keys]:
        keys = keys.union(*more)
    return keys


class Checkpoints:
    """Those of one journal, by number and hash; and by kind, of which entries what was found."""

    def __init__(self):
        self.points, self.found = defaultdict(dict), defaultdict(set)

    def tell(self, kind, first, last=0):
        self.found[kind] |= {*range(first, max(first, last) + 1)}

    def hear(self, envelope, keys, outside):
        """Takes one. What a witness says has to come first."""
        payload, signers = opened(envelope, CHECKPOINT, keys)
        hash_, point = hashlib.sha256(payload).hexdigest(), json.loads(payload)
        point |= {"hash": hash_, "by": signers, "outside": outside}
        known = self.points[point["number"]]
        if keys and not signers:
            self.tell("untrusted", point["first_seq"], point["last_seq"])
        elif known and hash_ not in known:
            worse = not outside and all(other["outside"] for other in known.values())
            last = max(other["last_seq"] for other in [point, *known.values()])
            self.tell("rebuilt" if worse else "forked", point["first_seq"], last)
            known |= {} if worse else {hash_: point}
        else:
            known.setdefault(hash_, point)

    def chain(self):
        """Those that count, in their order."""
        changed, before, number, follows = set(), set(), 0, {"0" * 64}
        for point in [point for _, points in sorted(self.points.items()) for point in points.values()]:
            if point["by"] and point["by"] <= changed:
                self.tell("untrusted", point["first_seq"], point["last_seq"])
                continue
            changed, before = changed | (before - point["by"]) | {*point.get("keys", [])[:1]}, point["by"]
            if point["number"] > number + 1:
                self.tell("gap", 0)
            elif point["number"] > number and point["previous"] not in follows:
                self.tell("rebuilt", point["first_seq"], point["last_seq"])
            number, follows = point["number"], {*self.points[point["number"]]}
            yield point


def excused(pages, entries):
    """Of which entries a page of the ledger says that values were removed, where an entry of the log vouches for it."""
    vouched = {entry["details"].get("digest") for entry in entries if entry["type"] == "audit_log_person_erased"}
    for page in (page for page in pages if hashlib.sha256(rfc8785.dumps(page)).hexdigest() in vouched):
        for journal, part in ((name, part) for name, parts in page["places"].items() for part in parts.split(",")):
            first, _, last = part.partition("-")
            yield from ((journal, seq) for seq in range(int(first), int(last or first) + 1))
