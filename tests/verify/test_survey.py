"""The survey waits for what was stored a moment ago, and for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.attacks.scene import NOW, Scene, scene
from whodid.administration.sources import local_journals
from whodid.search import AuditClient
from whodid.shipping.checkpointing import closed_checkpoints
from whodid.verify import LocalJournal, Source, verify_stored

pytestmark = pytest.mark.live


@pytest.fixture
def ready(opensearch_url: str, tmp_path: Path) -> Iterator[Scene]:
    with scene(opensearch_url, tmp_path) as made:
        pattern = f"{made.settings.index_prefix}-*"
        made.corner.client.indices.put_settings(index=pattern, body={"index.refresh_interval": "-1"})
        yield made


def verified(ready: Scene, local: list[LocalJournal]) -> tuple[list[str], list[float]]:
    """Kinds of the findings, and the pauses; during the first, OpenSearch refreshes what it shows."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        if not pauses:
            ready.corner.refresh()
        pauses.append(seconds)

    client = AuditClient(ready.settings, client=ready.corner.client)
    sources = [Source("this host", list(closed_checkpoints(ready.directory)))]
    found = verify_stored(client, sources=sources, local=local, now=NOW + timedelta(seconds=5), pause=pause)
    return [one.kind for one in found.findings], pauses


def ship_unseen(ready: Scene) -> None:
    ready.record(3, 0)
    seen = ready.corner.refresh
    object.__setattr__(ready.corner, "refresh", lambda: None)
    ready.seal()
    object.__setattr__(ready.corner, "refresh", seen)


@pytest.mark.parametrize("where", ["on the journal's host", "elsewhere"])
def test_what_was_shipped_a_moment_ago_is_waited_for(ready: Scene, where: str) -> None:
    ship_unseen(ready)
    local = local_journals(ready.settings) if where != "elsewhere" else []
    assert verified(ready, local) == ([], [0.5])


def test_what_is_gone_for_longer_is_not_waited_for(ready: Scene) -> None:
    ready.delete(30)
    assert verified(ready, []) == (["gap"], [])
    assert verified(ready, local_journals(ready.settings)) == (["gap"], [0.5, 1.0, 1.5])


def test_a_dead_letter_at_the_end_is_not_waited_for(ready: Scene) -> None:
    last = ready.witness[-1].checkpoint
    local = [LocalJournal(last.journal, 31, 31, frozenset({31}))]
    assert verified(ready, local) == ([], [])
