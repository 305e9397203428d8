"""Each attack is found, by its name and at its place, by what docs/explanation/integrity.md says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from whodid.proof.keys import signer_of

from .attacks import ATTACKS, Attack
from .independent import exported, independently, said
from .scene import NOW, Evidence, Scene, scene

pytestmark = pytest.mark.live

LEVELS: tuple[Evidence, ...] = ("chain", "own", "outside")


@pytest.fixture
def ready(opensearch_url: str, tmp_path: Path) -> Iterator[Scene]:
    with scene(opensearch_url, tmp_path) as made:
        yield made


def found(ready: Scene, level: Evidence) -> set[tuple[str, int, int]]:
    return {(one.kind, one.seq, one.last) for one in ready.verify(level).findings}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.replace(" ", "-"))
def test_it_is_found_and_the_independent_verifier_agrees(attack: Attack, ready: Scene, tmp_path: Path) -> None:
    public_key = ready.public_key
    attack.do(ready)
    shown = {level: found(ready, level) for level in LEVELS}
    assert shown == {"chain": set(attack.chain), "own": set(attack.own), "outside": set(attack.outside)}
    assert independently(ready, public_key, tmp_path) == shown


@pytest.mark.parametrize("name", [{}, {"journal": ""}, {"journal": None}], ids=["absent", "empty", "null"])
def test_a_document_that_names_no_journal_is_inserted_whatever_number_it_has(
    ready: Scene, tmp_path: Path, name: dict[str, str | None]
) -> None:
    forged = {**ready.made_up(30, target="forged"), "seq": 7}
    forged.pop("journal")
    ready.corner.client.index(index=ready.hits()[30]["_index"], id="forged", body=forged | name)
    for level in LEVELS:
        [finding] = ready.verify(level).findings
        assert (finding.kind, finding.entries) == ("inserted", ("forged",))
    exported(ready, tmp_path / "all.ndjson")
    shown = said(tmp_path / "all.ndjson", f"--public-key={ready.public_key}")
    assert [kind for kind, *_ in shown if not kind.startswith("the manifest")] == [
        f"inserted: document forged in {ready.hits()[30]['_index']} is not an entry"
    ]


def test_nothing_is_found_where_nothing_was_done(ready: Scene) -> None:
    for level in LEVELS:
        verification = ready.verify(level)
        assert verification.findings == []
        [verdict] = verification.journals
        assert {one.verdict for one in verdict.stretches} == {"not yet sealed" if level == "chain" else "intact"}
        assert verdict.completeness.complete


def test_entries_deleted_at_the_end_of_a_period_are_found_by_the_checkpoint_that_closed_after_it(ready: Scene) -> None:
    ready.record(10, 0.03)  # 43 minutes ago
    ready.seal()
    ready.delete(*range(31, 41))
    since, until = (f"{NOW - ago:%Y-%m-%dT%H:%M:%SZ}" for ago in (timedelta(days=100), timedelta(minutes=20)))
    found = ready.verify("outside", since=since, until=until).findings
    assert [(one.kind, one.seq, one.last) for one in found] == [("gap", 31, 40)]
    before = ready.verify("outside", since=since, until=f"{NOW - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}")
    assert before.findings == []


def test_a_shipper_that_was_silenced_is_found(ready: Scene) -> None:
    """After a stop nobody waits for the next checkpoint; after anything else it is overdue."""
    assert ready.verify("own", now=NOW + timedelta(days=30)).findings == []
    last = ready.witness[-1]
    hourly = replace(
        last.checkpoint,
        number=last.checkpoint.number + 1,
        why="time",
        previous=last.hash,
        first_seq=31,
        entries=0,
        time=f"{NOW:%Y-%m-%dT%H:%M:%SZ}",
    )
    signer = signer_of(ready.settings)
    assert signer
    ready.witness.append(hourly.sign(signer))
    [finding] = ready.verify("outside", now=NOW + timedelta(hours=5)).findings
    assert finding.kind == "silent"
    assert "web-1 has sent no checkpoint since" in finding.about
    assert ready.verify("outside", now=NOW + timedelta(minutes=100)).findings == []
