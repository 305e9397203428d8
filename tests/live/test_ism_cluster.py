"""Retention on a cluster that has ISM, given by `WHODID_TEST_OPENSEARCH` (a URL, with user and password in it if any).

`WHODID_TEST_OPENSEARCH_CA` names the authority's file where the certificate is not one that this machine trusts.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.live.corner import Corner, corner, eventually
from whodid.cluster.partitions import creation_dates
from whodid.doctor import Subject, examine
from whodid.retention.enforcement import record_upcoming
from whodid.retention.holds import new_hold, release_hold, set_hold
from whodid.retention.ism import Ism, policy_body, policy_name
from whodid.retention.moves import set_retention
from whodid.retention.schedule import retention_in_force
from whodid.setup.setup import plan

pytestmark = pytest.mark.ism

_SWEEP_SECONDS = 120
"""ISM takes a new index under its policy at its next sweep, whose period is a setting of the cluster."""


def _settings(url: str, ca: str) -> tuple[str, dict[str, Any]]:
    parts = urlsplit(url)
    host = f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    named = {"opensearch_user": unquote(parts.username or ""), "opensearch_password": unquote(parts.password or "")}
    return host, {**named, "opensearch_ca": ca}


@pytest.fixture(params=["365d", "30d"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Corner]:
    url = os.environ.get("WHODID_TEST_OPENSEARCH")
    if not url:
        pytest.skip(
            "RETENTION IS NOT TESTED ON A REAL ISM: set WHODID_TEST_OPENSEARCH to the URL of a cluster that has the "
            "plugin, such as the one of opensearch/docker-compose.yml"
        )
    host, settings = _settings(url, os.environ.get("WHODID_TEST_OPENSEARCH_CA", ""))
    with corner(host, tmp_path, retention=request.param, **settings) as made:
        yield made


def kinds(place: Corner) -> list[str]:
    """What setup would change; whether the cluster has roles is none of this page's business."""
    return [change.kind for change in plan(place.client, place.settings) if not change.what.startswith("role")]


def _managed(place: Corner) -> dict[str, Any]:
    """What ISM says of the one partition, once it has taken it."""

    def look() -> dict[str, Any] | None:
        [about] = Ism(place.client).explain(f"{place.settings.index_prefix}-*").values()
        return about if about.get("policy_id") else None

    found = eventually(look, _SWEEP_SECONDS)
    assert found
    return found


@pytest.mark.timeout(_SWEEP_SECONDS + 120)
def test_a_new_partition_is_managed_with_the_promised_age(place: Corner) -> None:
    place.set_up()
    assert kinds(place) == ["unchanged", "unchanged"]
    place.record(1)
    assert place.ship().shipped == 1
    about = _managed(place)
    days = int(place.settings.retention.removesuffix("d"))
    assert about["policy_id"] == policy_name(place.settings)
    live = about["policy"]["states"][0]
    assert live["transitions"] == [{"state_name": "delete", "conditions": {"min_index_age": f"{days + 31 + 2}d"}}]
    view = retention_in_force(place.client, place.settings)
    assert (view.floor_days, view.ceiling_days, view.problems) == (days, days + 33, ())
    assert kinds(place) == ["unchanged", "unchanged"]


def test_an_index_made_before_the_policy_is_taken_by_setup(place: Corner) -> None:
    place.set_up()
    name = policy_name(place.settings)
    place.client.transport.perform_request("DELETE", f"/_plugins/_ism/policies/{name}")
    place.record(1)
    place.ship()
    assert kinds(place) == ["unchanged", "create", "update"]
    place.set_up()
    assert _managed(place)["policy_id"] == name


@pytest.fixture
def quick_jobs(place: Corner) -> Iterator[None]:
    """Has ISM look every minute instead of every five, for as long as the test takes."""
    setting = "plugins.index_state_management.job_interval"
    place.client.cluster.put_settings(body={"transient": {setting: 1}})
    yield
    place.client.cluster.put_settings(body={"transient": {setting: None}})


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("quick_jobs")
def test_a_changed_retention_reaches_every_partition(place: Corner) -> None:
    place.set_up()
    place.record(1)
    place.ship()
    _managed(place)
    longer = replace(place.settings, retention="400d")
    report = set_retention(place.client, longer, tries=600, pause=_pause)
    assert (len(report.running), report.problems) == (1, {})
    view = retention_in_force(place.client, longer)
    assert (view.floor_days, view.ceiling_days, view.problems) == (400, 433, ())
    again = set_retention(place.client, longer, tries=1, pause=lambda: None)
    assert again == report
    off = set_retention(place.client, replace(longer, retention="off"), tries=600, pause=_pause)
    assert (len(off.running), off.problems) == (1, {})
    back = set_retention(place.client, longer, tries=600, pause=_pause)
    assert (len(back.running), back.problems) == (1, {})


def _pause() -> None:
    threading.Event().wait(2)


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("quick_jobs")
def test_a_partition_past_its_age_is_really_deleted(place: Corner) -> None:
    """With the policy as it is, but for an age of a minute."""
    place.set_up()
    ism, name = Ism(place.client), policy_name(place.settings)
    body = policy_body(place.settings)
    body["policy"]["states"][0]["transitions"][0]["conditions"]["min_index_age"] = "1m"
    ism.put_policy(name, body, ism.policy(name))
    place.record(1)
    place.ship()
    pattern = f"{place.settings.index_prefix}-*"
    assert ism.explain(pattern)
    assert eventually(lambda: not ism.explain(pattern), 1500)
    assert not place.client.indices.exists(index=pattern, params={"allow_no_indices": "false"})


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("quick_jobs")
def test_what_is_held_is_left_alone_by_a_real_ism(place: Corner) -> None:
    """Through a policy that would delete it after a minute, a sweep, and a change of retention."""
    place.set_up()
    place.record(1)
    place.ship()
    _managed(place)
    [name] = creation_dates(place.client, place.settings)
    hold = new_hold("case 4711", "alice", partitions=[name])
    assert set_hold(place.client, place.settings, hold).problems == {}
    ism, policy = Ism(place.client), policy_name(place.settings)
    body = policy_body(place.settings)
    body["policy"]["states"][0]["transitions"][0]["conditions"]["min_index_age"] = "1m"
    ism.put_policy(policy, body, ism.policy(policy))
    threading.Event().wait(_SWEEP_SECONDS)
    assert ism.explain(name)[name].get("policy_id") is None
    assert set_retention(place.client, place.settings, tries=60, pause=_pause, force=True).running == []
    place.set_up()
    [shown] = retention_in_force(place.client, place.settings).partitions
    assert (shown.holds, shown.problem) == ((hold.id,), "")
    assert release_hold(place.client, place.settings, hold.id, by="bob", reason="closed").released == (name,)
    assert _managed(place)["policy_id"] == policy


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("quick_jobs")
def test_no_sequence_of_commands_has_a_real_ism_delete_an_entry_before_its_time(place: Corner) -> None:
    """The short form of tests/opensearch/test_retention_model.py."""
    place.set_up()
    place.record(3)
    place.ship()
    _managed(place)
    for retention in ("1d", "off", "400d", "7d"):
        wanted = replace(place.settings, retention=retention)
        assert set_retention(place.client, wanted, tries=600, pause=_pause).problems == {}
        [name] = creation_dates(place.client, wanted)
        hold = new_hold("case", "alice", partitions=[name])
        assert set_hold(place.client, wanted, hold).problems == {}
        assert release_hold(place.client, wanted, hold.id, by="bob", reason="r").problems == {}
        ism = Ism(place.client)
        ism.remove(name)
        for finding in examine(Subject(wanted, environ={}, timeout=20.0), ["retention"]):
            if finding.fix:
                finding.fix.make(place.client)
        assert _managed(place)["policy_id"] == policy_name(wanted)
        assert record_upcoming(place.client, wanted) == []
    assert len(place.stored()) == 3
