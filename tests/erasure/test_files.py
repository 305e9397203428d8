"""The files of OpenSearch, with a cluster that says what the real one says, and no waiting."""

from __future__ import annotations

from typing import Any

import pytest
from opensearchpy.exceptions import AuthorizationException

from whodid.administration import remove_from_files

SETTING = "index.merge.policy.expunge_deletes_allowed"


class Cluster:
    """Each merge of a partition removes what the next number says; a merge without the setting removes nothing."""

    def __init__(self, **deleted: list[int]) -> None:
        self.indices = self
        self._deleted = deleted
        self._allowed: dict[str, Any] = {}
        self.asked: list[str] = []
        self.now = 0.0

    def stats(self, index: str, metric: str) -> dict[str, Any]:
        assert metric == "docs"
        return {"_all": {"total": {"docs": {"count": 9, "deleted": self._deleted[index][0]}}}}

    def put_settings(self, index: str, body: dict[str, Any]) -> None:
        self._allowed[index] = body[SETTING]

    def flush(self, index: str) -> None:
        self.asked.append(f"flush {index}")

    def forcemerge(self, index: str, params: dict[str, str]) -> None:
        assert params["only_expunge_deletes"] == "true"
        self.asked.append(f"merge {index}")
        if self._allowed.get(index) == 0 and len(self._deleted[index]) > 1:
            del self._deleted[index][0]

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def remove(self, *partitions: str, patience: float = 60) -> dict[str, str]:
        given: Any = self
        return remove_from_files(given, partitions, patience=patience, pause=self.pause, monotonic=lambda: self.now)


def test_it_merges_until_nothing_is_left_and_sets_the_policy_back() -> None:
    cluster = Cluster(a=[5, 5, 2, 0], b=[0])
    assert cluster.remove("a", "b") == {}
    assert cluster.asked == ["flush a", "merge a"] * 3
    assert cluster._allowed == {"a": None}


def test_what_is_left_after_the_time_is_told() -> None:
    cluster = Cluster(a=[5, 2])
    assert cluster.remove("a", patience=10) == {"a": "2 of 2 replaced documents are still in its files"}
    assert cluster.now <= 12


def test_a_user_without_the_right_is_told_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(a=[5, 0], b=[5, 0])

    def refused(index: str, body: dict[str, Any]) -> None:
        if index == "a":
            raise AuthorizationException(403, "security_exception", {"error": {"type": "security_exception"}})
        Cluster.put_settings(cluster, index, body)

    monkeypatch.setattr(cluster, "put_settings", refused)
    assert set(cluster.remove("a", "b", patience=4)) == {"a"}
    assert "this user may not merge its files" in cluster.remove("a", patience=0)["a"]


def test_the_policy_is_set_back_though_the_merge_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from opensearchpy.exceptions import ConnectionTimeout

    cluster = Cluster(a=[5, 0])

    def late(index: str, params: dict[str, str]) -> None:
        raise ConnectionTimeout("N/A", "timed out", Exception())

    monkeypatch.setattr(cluster, "forcemerge", late)
    assert "its files could not be merged" in cluster.remove("a", patience=0)["a"]
    assert cluster._allowed == {"a": None}
