"""Whom checkpoints are trusted of: a key that is changed hands over to the next, and signs nothing any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.checkpoint import EXAMPLE
from whodid.entry import ZERO_HASH
from whodid.proof.checkpoint import SignedCheckpoint
from whodid.proof.keys import PublicKey, Signer, new_key, signer_of
from whodid.settings import Settings
from whodid.verify.checkpoints import Source, TrustedCheckpoints, judged

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)


@pytest.fixture
def signers(tmp_path: Path) -> list[Signer]:
    made = []
    for name in "abc":
        new_key(tmp_path / f"{name}.pem")
        signer = signer_of(Settings(signing_key_file=str(tmp_path / f"{name}.pem")))
        assert signer
        made.append(signer)
    return made


class Chain(list[SignedCheckpoint]):
    """Checkpoints of one journal, ten entries each."""

    def by(self, *signers: Signer, names: Sequence[Signer] = ()) -> Chain:
        before = self[-1] if self else None
        last = before.checkpoint.last_seq if before else 0
        one = replace(
            EXAMPLE,
            number=len(self) + 1,
            first_seq=last + 1,
            last_seq=last + 10,
            previous=before.hash if before else ZERO_HASH,
            keys=tuple(signer.key.raw.hex() for signer in names),
        )
        self.append(SignedCheckpoint.read(one.sign(*signers).line()))
        return self


def told(chain: Chain, *trusted: Signer) -> tuple[TrustedCheckpoints, list[tuple[str, int, int]]]:
    keys: list[PublicKey] = [signer.key for signer in trusted]
    found = judged([Source("here", chain)], keys)
    return found, [(one.kind, one.seq, one.last) for one in found.findings]


def test_who_trusts_one_of_a_row_of_keys_trusts_all(signers: list[Signer]) -> None:
    a, b, c = signers
    chain = Chain().by(a).by(a, b, names=[a, b]).by(b).by(b, c, names=[b, c]).by(c)
    for signer in signers:
        trusted, findings = told(chain, signer)
        assert findings == []
        assert trusted.keys == {a.key, b.key, c.key}
        assert len(trusted.of(EXAMPLE.journal)) == 5


def test_behind_the_change_the_old_key_counts_for_nothing(signers: list[Signer]) -> None:
    a, b, _ = signers
    chain = Chain().by(a).by(a, b, names=[a, b]).by(b).by(a)
    for keys in ([a], [b], [a, b]):
        trusted, findings = told(chain, *keys)
        assert findings == [("untrusted", 31, 40)]
        assert [one.number for one in trusted.of(EXAMPLE.journal)] == [1, 2, 3]
    immediately = Chain().by(a).by(a, b, names=[a, b]).by(a)
    assert told(immediately, a)[1] == [("untrusted", 21, 30)]


def test_a_change_that_one_of_the_two_did_not_sign_joins_nothing(signers: list[Signer]) -> None:
    a, thief, _ = signers
    assert told(Chain().by(a).by(thief, names=[a, thief]).by(thief), a)[1] == [
        ("untrusted", 11, 20),
        ("untrusted", 21, 30),
    ]
    unwilling = Chain().by(a).by(a, names=[a, thief]).by(thief)
    trusted, findings = told(unwilling, a)
    assert findings == [("untrusted", 21, 30)]
    assert trusted.keys == {a.key}


def test_a_lost_key_is_replaced_by_giving_the_auditor_both(signers: list[Signer]) -> None:
    """The procedure in docs/explanation/integrity.md."""
    lost, new, _ = signers
    chain = Chain().by(lost).by(new).by(new)
    assert told(chain, lost)[1] == [("untrusted", 11, 20), ("untrusted", 21, 30)]
    assert told(chain, lost, new)[1] == []
    found_again = chain.by(lost)
    assert told(found_again, lost, new)[1] == [("untrusted", 31, 40)]


def test_without_a_key_nothing_is_said_of_signatures(signers: list[Signer]) -> None:
    a, b, _ = signers
    assert told(Chain().by(a).by().by(b).by(a))[1] == []


@pytest.mark.parametrize("keys", [["00" * 32], ["00", "11"], ["g" * 64, "0" * 64], [1, 2], "ab", None])
def test_a_change_of_something_else_is_no_checkpoint(keys: object) -> None:
    import orjson

    from whodid.errors import ProofError
    from whodid.proof.checkpoint import CHECKPOINT
    from whodid.proof.keys import envelope_of

    content = {**orjson.loads(EXAMPLE.payload()), "keys": keys}
    with pytest.raises(ProofError, match="it is not a checkpoint, or is damaged"):
        SignedCheckpoint.read(envelope_of(orjson.dumps(content), CHECKPOINT))


def test_a_checkpoint_at_the_end_of_the_calendar_is_not_overdue() -> None:
    last = replace(EXAMPLE, number=1, previous=ZERO_HASH, time="9999-12-31T23:59:59Z", why="time").sign()
    trusted = judged([Source("somebody's", [last])], [])
    assert list(trusted.silence(datetime(2026, 11, 23, tzinfo=UTC), ())) == []
