"""The evidence: nothing that somebody puts into cluster or ledger stops a verification, or excuses what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.scene import Scene, scene
from whodid.administration import release_hold, set_hold
from whodid.cluster.ledger import Ledger, erasures
from whodid.errors import NotAuthorized, OpenSearchError
from whodid.recording.own import record_operation
from whodid.retention.holds import holds
from whodid.retention.schedule import RetentionView

pytestmark = pytest.mark.live

JUNK: list[Any] = [
    {},
    {"id": 1},
    {"partition": 7, "account": {"journals": []}},
    {"account": {"journals": [{"journal": "x"}]}},
    {"account": 3, "partition": "p"},
]


@pytest.fixture
def ready(opensearch_url: str, tmp_path: Path) -> Iterator[Scene]:
    with scene(opensearch_url, tmp_path) as made:
        yield made


@pytest.mark.parametrize("kind", ["hold", "destruction", "erasure"])
def test_junk_in_the_ledger_stops_no_verification(ready: Scene, kind: Any) -> None:
    ledger = Ledger(ready.corner.client, ready.settings)
    for number, body in enumerate(JUNK):
        ledger.write(f"{kind}-{number}", kind, body, known=None)
    assert ready.verify("outside").findings == []


@pytest.mark.parametrize("odd", [{"places": {"x": 5}}, {"places": ["x"]}, {"fields": [["client_ip"]]}, {"time": 5}])
def test_a_page_of_an_erasure_with_other_values_is_none(ready: Scene, odd: dict[str, Any]) -> None:
    page = {"id": "e-1", "principal": "42", "reason": "r", "by": "b", "time": "t", "fields": [], "places": {"x": "1"}}
    ledger = Ledger(ready.corner.client, ready.settings)
    for number, body in enumerate((page, page | odd)):
        ledger.write(f"erasure-{number}", "erasure", body, known=None)
    assert [one.body for one in erasures(ready.corner.client, ready.settings)] == [page]


def test_a_hold_that_can_not_be_read_lets_nothing_go(ready: Scene) -> None:
    Ledger(ready.corner.client, ready.settings).write("hold-x", "hold", {"id": "x", "until_when": 1}, known=None)
    with pytest.raises(OpenSearchError, match="the page hold-x of the ledger is no valid hold"):
        holds(ready.corner.client, ready.settings)


ODD: list[dict[str, Any]] = [
    *({"entries": "1-30"}, {"entries": {"x": 3}}, {"entries": {"x": "1" * 5000}}, {"retention": []}),
    *({"digest": {}}, {"since": 1}, {"partitions": 3}),
]


@pytest.mark.parametrize("details", ODD, ids=lambda details: str(details)[:40])
@pytest.mark.parametrize(
    "type_",
    [
        *("audit_log_dead_letters_dropped", "audit_log_dead_letters_retried", "audit_log_retention_set"),
        *("audit_log_person_erased", "audit_log_hold_set", "audit_log_hold_released", ["audit_log_retention_set"]),
    ],
    ids=str,
)
def test_an_own_entry_that_somebody_inserts_is_found_and_stops_nothing(
    ready: Scene, type_: Any, details: dict[str, Any]
) -> None:
    ready.store(ready.made_up(15, type=type_, details=details), ready.hits()[15]["_index"])
    assert [(one.kind, one.seq) for one in ready.verify("outside").findings] == [("inserted", 15)]


def test_a_policy_that_was_shortened_by_hand_excuses_nothing(ready: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    view = RetentionView(asked_days=365, floor_days=1, ceiling_days=33, enforced_by="ism")
    monkeypatch.setattr("whodid.verify.evidence.retention_in_force", lambda *_: view)
    ready.corner.client.indices.delete(index=ready.hits()[5]["_index"])
    found = ready.verify("outside")
    assert [(one.kind, one.seq, one.last) for one in found.findings] == [("gap", 1, 10)]
    assert any("the cluster keeps entries for 1 days" in note and "--retention 1d" in note for note in found.notes)


@contextmanager
def _over(ready: Scene, path: Path) -> Iterator[str]:
    """The name of a partition whose time is over, with ten entries under a checkpoint."""
    host = ready.another_host(path / "away")
    host.record(10, 400)
    host.seal()
    [old] = {hit["_index"] for hit in ready.corner.stored().values() if hit["_source"]["journal"] == host.journal}
    yield old


def test_a_partition_that_goes_once_its_hold_is_released_raises_no_alarm(ready: Scene, tmp_path: Path) -> None:
    with _over(ready, tmp_path) as old:
        client, settings = ready.corner.client, ready.settings
        hold = set_hold(client, settings, "case 4711", partitions=[old]).hold
        ready.seal()
        release_hold(client, settings, hold.id, "closed")
        ready.corner.ship()  # no checkpoint that is known here covers it yet
        client.indices.delete(index=old)
        assert ready.verify("outside").findings == []


def test_a_hold_of_another_prefix_or_one_that_could_not_be_set_keeps_nothing(
    ready: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _over(ready, tmp_path) as old:
        details = {"reason": "case 4711", "since": "2020-01-01T00:00:00Z", "index_prefix": "another"}
        record_operation(ready.settings, "audit_log_hold_set", "h-1", details)

        def refused(*_: object, **__: object) -> None:
            raise NotAuthorized("this user may not write the ledger")

        with monkeypatch.context() as patched, pytest.raises(NotAuthorized):
            patched.setattr(Ledger, "write", refused)
            set_hold(ready.corner.client, ready.settings, "case 4712", partitions=[old])
        ready.seal()
        ready.corner.client.indices.delete(index=old)
        assert ready.verify("outside").findings == []
