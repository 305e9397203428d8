"""The attacks: what somebody does to the log, and by what it is found: the table of docs/explanation/integrity.md.

Each names what verification must say, and of which entries, with the chain only, with checkpoints of one's own, and
with an outside witness. `tests/attacks/test_attacks.py` tries each of them on a real OpenSearch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from whodid.administration import retry_dead_letters, set_hold
from whodid.administration.erase_journal import erased_entry
from whodid.catalog import Catalog
from whodid.cluster.bulk import Document, Verdict
from whodid.cluster.ledger import CheckpointIndex, ledger_name, write_erasure
from whodid.entry import ZERO_HASH, Stamp, partition_name
from whodid.integrity import commitments
from whodid.journal.directory import segments
from whodid.proof.checkpoint import SignedCheckpoint
from whodid.proof.keys import PublicKey, Signer, new_key, signer_of
from whodid.recording.own import record_operation
from whodid.retention.destruction import Contents, Destruction, JournalPart, count_contents, write_destruction
from whodid.settings import Settings
from whodid.shipping import Shipper
from whodid.shipping.checkpointing import Checkpointing
from whodid.shipping.dead_letters import find_dead_letters

from .scene import NOW, Scene

__all__ = ["ATTACKS", "Attack", "Found", "table"]

Found = tuple[str, int, int]
"""The kind of a finding, and the first and last entry that it is about."""


Do = Callable[[Scene], None]


@dataclass(frozen=True)
class Attack:
    """`does` in words; `who` could do it; the findings by what there is to verify by; empty: not found."""

    name: str
    who: str
    do: Do
    chain: tuple[Found, ...]
    own: tuple[Found, ...]
    outside: tuple[Found, ...]
    note: str = ""


CLUSTER = "administrator of the cluster"
HOST = "administrator of the host"
BOTH = "administrator of both"
WRITER = "someone who stole the shipper's password"


def change_one_field(scene: Scene) -> None:
    hit = scene.hits()[15]
    scene.put(hit, {**hit["_source"], "target": hit["_source"]["target"] + "x"})


def delete_a_partition(scene: Scene) -> None:
    scene.corner.client.indices.delete(index=scene.hits()[15]["_index"])


def insert(scene: Scene) -> None:
    scene.store(scene.made_up(15, target="made up"), scene.hits()[15]["_index"])


def append(scene: Scene) -> None:
    last = scene.hits()[30]
    made_up = scene.made_up(30, seq=31, prev=last["_source"]["hash"], target="made up")
    scene.store(made_up, last["_index"])
    scene.record(3, 0)
    scene.seal()


def swap(scene: Scene) -> None:
    one, two = scene.hits()[22], scene.hits()[27]
    scene.put(one, two["_source"])
    scene.put(two, one["_source"])


def replay(scene: Scene) -> None:
    old, place = scene.hits()[5], scene.hits()[25]
    scene.put(place, old["_source"])


def rebuild(scene: Scene) -> None:
    scene.rebuild(15)


def rebuild_and_forget(scene: Scene) -> None:
    scene.rebuild(15)
    scene.forget_checkpoints(2, host=False)


def rebuild_and_forget_everywhere(scene: Scene) -> None:
    scene.rebuild(15)
    scene.forget_checkpoints(2, host=True)


def roll_back(scene: Scene) -> None:
    scene.delete(*range(21, 31))
    scene.forget_checkpoints(3, host=True)


def truncate(scene: Scene) -> None:
    scene.delete(*range(21, 31))


def truncate_and_forget(scene: Scene) -> None:
    truncate(scene)
    scene.forget_checkpoints(3, host=False)


def forge_destruction(scene: Scene) -> None:
    partition = scene.hits()[15]["_index"]
    account = count_contents(scene.corner.client, partition)
    rule = {"retention_days": 365}
    record = Destruction(partition, "AbCdEfGhIjKlMnOpQrStUv", "deleted", Stamp.now().creation_date, rule, account)
    write_destruction(scene.corner.client, scene.settings, record)
    scene.corner.client.indices.delete(index=partition)


def sign_with_an_own_key(scene: Scene) -> None:
    """Rebuilds the chain, and closes the checkpoints over it anew, in the cluster and on the host."""
    scene.rebuild(15)
    with tempfile.TemporaryDirectory() as folder:
        new_key(Path(folder) / "own.pem")
        signer = signer_of(Settings(signing_key_file=f"{folder}/own.pem"))
    assert signer
    kept = [sealed for sealed in scene.witness if sealed.checkpoint.number <= 2]
    hits, previous = scene.hits(), kept[-1].hash
    for sealed in scene.witness[2:]:
        one = sealed.checkpoint
        content = {name: getattr(one, name) for name in type(one).__slots__}
        content |= {"last_hash": hits[one.last_seq]["_source"]["hash"], "previous": previous, "root": ZERO_HASH}
        forged = type(one)(**content).sign(signer)
        previous = forged.hash
        kept.append(forged)
    scene.forget_checkpoints(2, host=True)
    _replace_checkpoints(scene, kept)


def use_a_rotated_key(scene: Scene) -> None:
    """The key was changed; whoever kept the old one goes on by it, on the host."""
    with tempfile.TemporaryDirectory() as folder:
        new_key(Path(folder) / "new.pem")
        old = signer_of(scene.settings)
        new = signer_of(Settings(signing_key_file=f"{folder}/new.pem"))
    assert old
    assert new
    Checkpointing(scene.directory, scene.settings, old, now=lambda: f"{NOW:%Y-%m-%dT%H:%M:%SZ}").change_key(new)
    scene.record(3, 0)
    scene.seal()


@dataclass(frozen=True)
class _Pretender:
    """Signs under the name of a key that it doesn't have."""

    key: PublicKey
    own: Signer

    def sign(self, data: bytes) -> bytes:
        return self.own.sign(data)


def make_up_a_journal_by_a_rotated_key(scene: Scene) -> None:
    """The key was changed; whoever kept the old one has a journal under it, which no witness was told of."""
    old = scene.settings
    use = replace(scene.corner, settings=old)
    with tempfile.TemporaryDirectory() as folder:
        new_key(Path(folder) / "new.pem")
        signer, new = signer_of(old), signer_of(Settings(signing_key_file=f"{folder}/new.pem"))
        assert signer
        assert new
        Checkpointing(scene.directory, old, signer, now=lambda: f"{NOW:%Y-%m-%dT%H:%M:%SZ}").change_key(new)
        scene.seal()
        thief = Scene(replace(use, settings=replace(old, journal_dir=f"{folder}/journal")), scene.key)
        thief.record(3, 0.1)
        thief.seal(hours_ago=3)


def forge_a_rotation(scene: Scene) -> None:
    """To a key of one's own, without the key until then."""
    file = f"{scene.settings.journal_dir}-thief.pem"
    new_key(file)
    there = replace(scene.settings, signing_key_file=file)
    thief = signer_of(there)
    assert thief
    pretender = _Pretender(scene.key, thief)
    Checkpointing(scene.directory, there, pretender, now=lambda: f"{NOW:%Y-%m-%dT%H:%M:%SZ}").change_key(thief)
    scene.corner = replace(scene.corner, settings=there)
    scene.record(3, 0)
    scene.seal()


def _replace_checkpoints(scene: Scene, kept: list[SignedCheckpoint]) -> None:
    index = CheckpointIndex(scene.corner.client, scene.settings)
    for sealed in kept:
        index.keep(sealed)
    scene.directory.checkpoints.write_bytes(b"".join(sealed.line() + b"\n" for sealed in kept))


def clone(scene: Scene) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = scene.clone(Path(folder) / "copy")
        copy.record(3, 0)
        copy.seal()
        scene.record(5, 0)
        scene.seal()


def clone_and_go_on(scene: Scene) -> None:
    clone(scene)
    scene.record(3, 0)
    scene.seal()


def edit_the_journal(scene: Scene) -> None:
    """One byte of an entry that was not sent yet."""
    scene.record(3, 0)
    segment = segments(scene.directory.journal(scene.journal))[-1]
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[-2] = lines[-2].replace(b'"principal":"42"', b'"principal":"43"')
    with segment.open("r+b") as file:
        file.write(b"".join(lines))
    scene.seal()


def set_the_clock_back(scene: Scene) -> None:
    scene.record(2, 2)
    scene.seal()


def overwrite(scene: Scene) -> None:
    """Under an `_id` that it knows, which OpenSearch lets who may write do; with a hash that fits."""
    hit = scene.hits()[15]
    scene.put(hit, scene.made_up(15, target="another"))


def forge_a_journal(scene: Scene) -> None:
    prev = ZERO_HASH
    for seq in (1, 2, 3):
        entry = scene.made_up(30, journal="00ff00ff00ff00ff", seq=seq, prev=prev, **_later())
        scene.store(entry, partition_name(scene.settings.index_prefix, "month", entry["creation_date"]))
        prev = entry["hash"]


def _later() -> dict[str, str]:
    """A time that is hours after the first checkpoints."""
    stamp = Stamp.now()
    return {"creation_date": stamp.creation_date, "@timestamp": stamp.timestamp}


def take_a_name_out(scene: Scene) -> None:
    hit = scene.hits()[15]
    entry = dict(hit["_source"])
    hidden = commitments(entry)
    del entry["salt"], entry["client_ip"]
    scene.put(hit, entry | {"erased": hidden})


def pass_a_commitment_off_as_the_value(scene: Scene) -> None:
    """What an erasure leaves, without saying that there was one."""
    hit = scene.hits()[15]
    entry = hit["_source"]
    scene.put(hit, {**entry, "principal_name": commitments(entry)["principal_name"]})


def pass_a_commitment_off_as_a_text(scene: Scene) -> None:
    """The same, and the list of personal fields does not name it any more."""
    hit = scene.hits()[15]
    entry = hit["_source"]
    hidden = commitments(entry)["principal_name"]
    scene.put(hit, {**entry, "principal_name": hidden, "committed": ["client_ip"]})


def show_a_text_as_another_value(scene: Scene) -> None:
    """A text that was recorded on purpose as the commitment to something else, which is now shown in its place."""
    value, salt = "somebody else", "ab" * 16
    hidden = commitments({"target_name": value, "committed": ["target_name"], "salt": salt})["target_name"]
    scene.record(1, 0, target_name=hidden)
    scene.record(2, 0)
    scene.seal()
    hit = scene.hits()[31]
    entry = {name: value for name, value in hit["_source"].items() if name not in {"committed", "salt"}}
    scene.put(hit, {**entry, "target_name": value, "committed": ["target_name"], "salt": salt})


def _excuse(scene: Scene, number: int, type_: str, details: dict[str, Any], target: str = "x", beside: int = 1) -> None:
    """The first entry of a made-up journal, dated before the first checkpoint, in the partition of entry `beside`."""
    about = {"journal": f"00ff00ff00ff00{number:02d}", "seq": 1, "prev": ZERO_HASH, "target": target}
    scene.store(scene.made_up(beside, type=type_, details=details, **about), scene.hits()[beside]["_index"])


def excuse_by_dropped_letters(scene: Scene) -> None:
    scene.delete(*range(12, 19))
    _excuse(scene, 0, "audit_log_dead_letters_dropped", {"entries": {scene.journal: "12-18"}})


def excuse_by_letters_that_were_none(scene: Scene) -> None:
    """A record that is proven, of letters that the checkpoint does not know."""
    record_operation(
        scene.settings, "audit_log_dead_letters_dropped", "dead letters", {"entries": {scene.journal: "12-18"}}
    )
    scene.seal()
    scene.delete(*range(12, 19))


def excuse_by_retention(scene: Scene) -> None:
    """It is said to have been a day, for a while. What follows the partition is old as well, whatever day it is."""
    place = scene.hits()[5]["_index"]
    _excuse(scene, 0, "audit_log_retention_set", {"retention": "1d"}, beside=15)
    scene.corner.client.indices.delete(index=place)


def excuse_by_retention_of_then(scene: Scene) -> None:
    """It was a day in truth, before the entries that were deleted; then it was a year again."""
    with tempfile.TemporaryDirectory() as folder:
        host = scene.another_host(Path(folder) / "journal")
        for seconds, retention, was in ((10, "1d", "365d"), (20, "365d", "1d")):
            at = int((NOW - timedelta(days=70) + timedelta(seconds=seconds)).timestamp() * 1e9)
            recorder = host.corner.recorder(catalog=Catalog.own(), clock_ns=partial(int, at))
            about = {"target": "audit", "principal": "root", "details": {"retention": retention, "was": was}}
            recorder.record("audit_log_retention_set", about)
            recorder.journal.close()
        host.seal()
    scene.corner.client.indices.delete(index=scene.hits()[15]["_index"])


def delete_a_letter_that_was_sent_again(scene: Scene) -> None:
    """Once a dead letter is stored, it is an entry like any other, though a checkpoint calls it a dead letter."""
    scene.record(3, 0)

    def refuse(documents: Sequence[Document]) -> list[Verdict]:
        verdicts = iter(scene.corner.send([one for one in documents if "-000000000032-" not in one.id]))
        return [Verdict("refused", "no") if "-000000000032-" in one.id else next(verdicts) for one in documents]

    with patch("whodid.shipping.checkpointing._now", lambda: f"{NOW:%Y-%m-%dT%H:%M:%SZ}"):
        Shipper(scene.settings, refuse).run_once(patience=10)
    retry_dead_letters(scene.settings, list(find_dead_letters(scene.directory)))
    scene.seal()
    scene.delete(32)


@contextmanager
def _host_that_was_away(scene: Scene) -> Iterator[dict[int, dict[str, Any]]]:
    """Another host's hits by number: 1 to 10 are a year old and over, 11 to 20 of today, all under one checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        host = scene.another_host(Path(folder) / "journal")
        host.record(10, 400)
        host.record(10, 0.1)
        host.seal()
        own = [hit for hit in scene.corner.stored().values() if hit["_source"]["journal"] == host.journal]
        yield {hit["_source"]["seq"]: hit for hit in own}


def excuse_young_entries_by_an_old_partition(scene: Scene) -> None:
    """The old partition is there again, and with all that was in it."""
    with _host_that_was_away(scene) as hits:
        old = hits[1]["_index"]
        account = count_contents(scene.corner.client, old)
        record = Destruction(old, "of another index", "deleted", f"{NOW:%Y-%m-%dT%H:%M:%SZ}", {}, account)
        write_destruction(scene.corner.client, scene.settings, record)
        for seq in range(12, 19):
            scene.corner.client.delete(index=hits[seq]["_index"], id=hits[seq]["_id"])


def delete_what_a_hold_keeps(scene: Scene) -> None:
    """And all that the ledger knows of holds."""
    with _host_that_was_away(scene) as hits:
        old = hits[1]["_index"]
        hold = set_hold(scene.corner.client, scene.settings, "case 4711", partitions=[old]).hold
        scene.seal()
        scene.corner.client.indices.delete(index=old)
        scene.corner.client.delete(index=ledger_name(scene.settings), id=f"hold-{hold.id}", refresh=True)


def excuse_unsealed_entries_by_an_old_partition(scene: Scene) -> None:
    """A record of a partition that perhaps never was, and that claims to have held whatever is missing."""
    scene.record(6, 0)
    index = scene.hits()[30]["_index"]
    for entry in scene.corner.journalled():
        if entry["seq"] > 30:
            scene.store(entry, index)
    scene.corner.refresh()
    scene.delete(32, 33, 34)
    part = JournalPart(scene.journal, 1000, 1, ZERO_HASH, 1000, ZERO_HASH)
    name = f"{scene.settings.index_prefix}-2020.01"
    record = Destruction(name, "any", "deleted", "2021-03-01T00:00:00Z", {}, Contents(1000, "", "", (part,)))
    write_destruction(scene.corner.client, scene.settings, record)


def store_a_huge_number(scene: Scene) -> None:
    made = scene.made_up(30, seq=9 * 10**15, prev=ZERO_HASH)
    scene.store(made, scene.hits()[30]["_index"])


def excuse_by_erasure(scene: Scene) -> None:
    hit = scene.hits()[15]
    entry = erased_entry(hit["_source"])
    if entry is None:
        raise ValueError("an attack before this one left nothing to erase")
    scene.put(hit, entry)
    places = {scene.journal: "15"}
    page = write_erasure(scene.corner.client, scene.settings, "42", "because", "mallory", ["client_ip"], places)
    _excuse(scene, 0, "audit_log_person_erased", {"digest": page.digest}, target="42")


def excuse_beside_an_entry(scene: Scene) -> None:
    """The record is a second entry in the place of one that is under a checkpoint."""
    scene.delete(*range(12, 19))
    made = scene.made_up(25, type="audit_log_dead_letters_dropped", details={"entries": {scene.journal: "12-18"}})
    scene.store(made, scene.hits()[25]["_index"])


def excuse_by_a_changed_record(scene: Scene) -> None:
    """A record that was there is changed to name more."""
    record_operation(scene.settings, "audit_log_dead_letters_dropped", "dead letters", {"entries": {"x": "1"}})
    scene.seal()
    hit = scene.hits()[31]
    scene.put(hit, {**hit["_source"], "details": {"entries": {scene.journal: "12-18"}}})
    scene.delete(*range(12, 19))


def go_on_behind_the_end(scene: Scene) -> None:
    """The journal has ended, and another is used; its entries go on."""
    last = scene.hits()[30]
    scene.end_the_journal()
    made = scene.made_up(30, journal=last["_source"]["journal"], seq=31, prev=last["_source"]["hash"], target="made up")
    scene.store(made, last["_index"])


def forge_an_old_journal(scene: Scene) -> None:
    """Dated before the first checkpoint."""
    _excuse(scene, 0, "credentials_created", {})


def move(scene: Scene) -> None:
    """Into an older partition, which retention deletes sooner."""
    hits = scene.hits()
    scene.delete(25)
    scene.store(hits[25]["_source"], hits[5]["_index"])


def _everywhere(name: str, who: str, do: Do, *found: Found, note: str = "") -> Attack:
    return Attack(name, who, do, found, found, found, note)


def _sealed(name: str, who: str, do: Do, *found: Found, note: str = "") -> Attack:
    """Found by checkpoints, and not without."""
    return Attack(name, who, do, (), found, found, note)


_MADE_UP: Found = ("unknown journal", 1, 1)

_ELSEWHERE = "found on the journal's own host, or by a witness: elsewhere the checkpoints are gone as well"

ATTACKS = (
    _everywhere("change one byte of one field", CLUSTER, change_one_field, ("altered", 15, 15)),
    _everywhere("overwrite an entry under its known ID", WRITER, overwrite, ("altered", 15, 15)),
    _everywhere("take a personal value out, without a record", CLUSTER, take_a_name_out, ("altered", 15, 15)),
    _everywhere(
        "put the commitment of a personal value in its place",
        CLUSTER,
        pass_a_commitment_off_as_the_value,
        ("altered", 15, 15),
    ),
    _everywhere(
        "call the commitment of a personal value a text", CLUSTER, pass_a_commitment_off_as_a_text, ("altered", 15, 15)
    ),
    _everywhere(
        "record a text that looks like a commitment, and show another value later",
        CLUSTER,
        show_a_text_as_another_value,
        ("altered", 31, 31),
    ),
    _everywhere("delete one entry", CLUSTER, lambda scene: scene.delete(15), ("gap", 15, 15)),
    _everywhere("delete the first entry", CLUSTER, lambda scene: scene.delete(1), ("gap", 1, 1)),
    _everywhere("delete a range of entries", CLUSTER, lambda scene: scene.delete(*range(12, 18)), ("gap", 12, 17)),
    _everywhere("delete a partition before its time", CLUSTER, delete_a_partition, ("gap", 11, 20)),
    _everywhere(
        "delete a partition and forge a record of its destruction", CLUSTER, forge_destruction, ("gap", 11, 20)
    ),
    _sealed("delete the last entry", CLUSTER, lambda scene: scene.delete(30), ("gap", 30, 30)),
    _sealed("delete the newest hour", CLUSTER, truncate, ("gap", 21, 30)),
    _sealed(
        "delete the newest hour, and its checkpoint in the cluster",
        CLUSTER,
        truncate_and_forget,
        ("gap", 21, 30),
        note=_ELSEWHERE,
    ),
    _everywhere("insert an entry beside another", CLUSTER, insert, ("inserted", 15, 15)),
    _everywhere(
        "append an entry that fits",
        CLUSTER,
        append,
        ("inserted", 31, 31),
        note="found once the journal continues; until then it is `not yet sealed`",
    ),
    _everywhere("swap two entries", CLUSTER, swap, ("reordered", 22, 22), ("reordered", 27, 27)),
    _everywhere("put an old entry in the place of another", CLUSTER, replay, ("inserted", 5, 5), ("gap", 25, 25)),
    _everywhere("move an entry into an older partition", CLUSTER, move, ("reordered", 25, 25)),
    _sealed("rebuild the chain from an entry on, with hashes that fit", CLUSTER, rebuild, ("rebuilt", 11, 30)),
    _sealed(
        "rebuild the chain, and delete its checkpoints in the cluster",
        CLUSTER,
        rebuild_and_forget,
        ("rebuilt", 11, 30),
        note=_ELSEWHERE,
    ),
    Attack(
        "rebuild the chain, and delete all checkpoints of it",
        BOTH,
        rebuild_and_forget_everywhere,
        (),
        (),
        (("rebuilt", 11, 30),),
        "without a witness the entries are `not yet sealed`, for as long as no checkpoint is closed",
    ),
    Attack("roll cluster and host back to an earlier state", BOTH, roll_back, (), (), (("gap", 21, 30),)),
    Attack(
        "rebuild the chain, and sign checkpoints over it with another key",
        BOTH,
        sign_with_an_own_key,
        (),
        (("untrusted", 11, 30),),
        (("untrusted", 11, 30), ("rebuilt", 11, 30)),
    ),
    _sealed("use a rotated key", HOST, use_a_rotated_key, ("untrusted", 31, 33)),
    Attack(
        "make up a journal under a key that was rotated",
        "someone who has the old key",
        make_up_a_journal_by_a_rotated_key,
        (),
        (),
        (("untrusted", 1, 3), ("unknown journal", 1, 3)),
    ),
    _sealed("forge a rotation to another key", HOST, forge_a_rotation, ("untrusted", 31, 33)),
    Attack(
        "clone a journal, and continue both",
        HOST,
        clone,
        (("forked", 31, 33),),
        (("forked", 31, 35),),
        (("forked", 31, 35),),
    ),
    Attack(
        "clone a journal, continue both, and one of them further",
        HOST,
        clone_and_go_on,
        (("forked", 31, 33),),
        (("forked", 31, 35),),
        (("forked", 31, 35),),
    ),
    Attack(
        "change an entry in the journal before it is sent",
        HOST,
        edit_the_journal,
        (("gap", 32, 32),),
        (("altered", 32, 32),),
        (("altered", 32, 32),),
    ),
    _everywhere("set the clock back", HOST, set_the_clock_back, ("clock set back", 31, 31)),
    _sealed("make up a journal", CLUSTER, forge_a_journal, ("unknown journal", 1, 3)),
    _sealed("make up a journal, dated before the first checkpoint", CLUSTER, forge_an_old_journal, _MADE_UP),
    _sealed(
        "delete entries, and make up a record that they were dropped dead letters",
        CLUSTER,
        excuse_by_dropped_letters,
        _MADE_UP,
        ("gap", 12, 18),
    ),
    _sealed(
        "delete a partition, and make up a record that retention was a day",
        CLUSTER,
        excuse_by_retention,
        _MADE_UP,
        ("gap", 1, 10),
    ),
    _sealed(
        "remove personal values, and make up page and record of an erasure",
        CLUSTER,
        excuse_by_erasure,
        _MADE_UP,
        ("altered", 15, 15),
    ),
    Attack(
        "delete entries, and insert such a record beside an entry",
        CLUSTER,
        excuse_beside_an_entry,
        (("inserted", 25, 25),),
        (("gap", 12, 18), ("inserted", 25, 25)),
        (("gap", 12, 18), ("inserted", 25, 25)),
    ),
    _everywhere(
        "delete entries, and change a record to name them",
        CLUSTER,
        excuse_by_a_changed_record,
        ("gap", 12, 18),
        ("altered", 31, 31),
    ),
    _sealed(
        "record that entries were dropped dead letters, which they were not, and delete them",
        BOTH,
        excuse_by_letters_that_were_none,
        ("gap", 12, 18),
    ),
    _everywhere(
        "delete a partition because retention was shorter for a while, before it was due",
        CLUSTER,
        excuse_by_retention_of_then,
        ("gap", 11, 20),
    ),
    _everywhere(
        "delete a dead letter that was sent again and stored",
        CLUSTER,
        delete_a_letter_that_was_sent_again,
        ("gap", 32, 32),
    ),
    _everywhere(
        "delete young entries, and make up a record that an old partition, which is there, was destroyed",
        CLUSTER,
        excuse_young_entries_by_an_old_partition,
        ("gap", 12, 18),
    ),
    _everywhere("delete a partition under a hold, and the hold", CLUSTER, delete_what_a_hold_keeps, ("gap", 1, 10)),
    _everywhere(
        "delete entries under no checkpoint yet, and make up a record of an old partition",
        CLUSTER,
        excuse_unsealed_entries_by_an_old_partition,
        ("gap", 32, 34),
    ),
    _everywhere("store an entry with a huge number", WRITER, store_a_huge_number, ("gap", 31, 9 * 10**15 - 1)),
    _sealed("append to a journal that has ended", CLUSTER, go_on_behind_the_end, ("inserted", 31, 31)),
)


def table() -> Iterator[str]:
    """What docs/explanation/integrity.md shows."""
    yield "| what is done | by whom | found by the chain only | with own checkpoints | with a witness |"
    yield "| --- | --- | --- | --- | --- |"
    notes = list(dict.fromkeys(attack.note for attack in ATTACKS if attack.note))
    for attack in ATTACKS:
        mark = f" ({notes.index(attack.note) + 1})" if attack.note else ""
        words = (_words(found) for found in (attack.chain, attack.own, attack.outside))
        yield f"| {attack.name}{mark} | {attack.who} | {' | '.join(words)} |"
    yield ""
    for number, note in enumerate(notes, 1):
        yield f"({number}) {note[0].upper()}{note[1:]}.{'' if number == len(notes) else '  '}"


def _words(found: tuple[Found, ...]) -> str:
    return ", ".join(dict.fromkeys(kind for kind, _, _ in found)) or "no"
