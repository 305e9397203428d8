"""The checkpoints of a log, without whodid, by docs/reference/format.md alone; verify_log.py asks them.

They may come from a witness, and from the log's own host and cluster. Where two say different things of one place, the
witness counts; and what a key signed that was changed before does not.
"""

import base64
import hashlib
import json
from collections import defaultdict

from verify_proof import CHECKPOINT, opened, root, root_by_path


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


def by_old_keys(chains):
    """Journals that only keys have signed which were changed elsewhere, and of which a witness that is there knows
    nothing: whoever has an old key still can make one up."""
    points = [point for chain in chains.values() for point in chain]
    changed = {point["keys"][0] for point in points if point.get("keys")}
    for name, chain in chains.items() if any(point["outside"] for point in points) else ():
        alone = not any(point["outside"] or point.get("keys") for point in chain)
        if chain and alone and all(point["by"] and point["by"] <= changed for point in chain):
            yield name


class Checkpoints:
    """Those of one journal, by number and hash; its documents by number; by kind, of which entries what was found."""

    def __init__(self):
        self.points, self.docs, self.found = defaultdict(dict), defaultdict(list), defaultdict(set)

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

    def proves(self, entry, place, chain, prefix):
        """Whether a path, the chain or the root leads from an entry to the one checkpoint over it, of that log."""
        over = [point for point in chain if point["first_seq"] <= entry["seq"] <= point["last_seq"]]
        if [point["index_prefix"] for point in over] != [prefix] or len(self.points[over[0]["number"]]) > 1:
            return False
        [point], seq, own = over, entry["seq"], entry["hash"]
        if "path" in place and root_by_path(own, place["leaf"], place["size"], place["path"]) == point["root"]:
            return True
        here = {own}
        for after in range(seq + 1, point["last_seq"] + 1):
            here = {doc["hash"] for doc in self.docs.get(after, []) if doc["prev"] in here and doc["fits"]}
        holes = {hole for first, last in point["holes"] for hole in range(first, last + 1)}
        places = [at for at in range(point["first_seq"], point["last_seq"] + 1) if at not in holes]
        hashes = dict(point["letters"]) | {at: doc["hash"] for at in places for doc in self.docs.get(at, [])}
        leaves = [hash_ for _, hash_ in sorted(hashes.items())]
        under_root = (hashes[seq], len(leaves), root(leaves)) == (own, point["entries"], point["root"])
        return point["last_hash"] in here or under_root
