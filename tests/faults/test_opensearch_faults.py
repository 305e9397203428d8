"""OpenSearch slow, hanging, cut off, refusing: each entry is stored exactly once in the end, without a restart."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from tests.faults.kit import (
    Fault,
    FaultProxy,
    answer,
    bad_gateway,
    cut,
    drip,
    drip_request,
    hang,
    item_errors,
    latency,
    lost_answer,
    reset,
    reset_answer,
    reset_request,
    throttled,
    too_large,
    truncated,
    unavailable,
    unresolvable,
)
from tests.faults.shipping import all_stored_once, shipping
from tests.live.corner import Corner, eventually
from whodid.cluster.bulk import Cause
from whodid.entry import Stamp, partition_name
from whodid.settings import Settings

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("soak"):
        return
    monkeypatch.setattr("whodid.shipping.delivery.random.uniform", lambda _low, high: min(high, 0.02))


@pytest.fixture
def behind(place: Corner) -> Iterator[tuple[Corner, FaultProxy, Settings]]:
    """A corner, a proxy before its node, and settings of a shipper that goes through the proxy."""
    now = Stamp.now().creation_date
    place.client.indices.create(index=partition_name(place.settings.index_prefix, "month", now))  # which takes its time
    with FaultProxy(place.settings.opensearch_hosts[0]) as proxy:
        hosts = (proxy.url,)
        yield place, proxy, replace(place.settings, opensearch_hosts=hosts, opensearch_timeout=20.0, bulk_entries=50)


BLOCKED = "cluster_block_exception"
FAULTS: dict[str, tuple[Fault, *tuple[Cause, ...]]] = {
    "latency": (latency(0.1),),
    "hang": (hang(), "time_out"),
    "lost answer": (lost_answer(), "time_out"),
    "latency beyond the patience": (latency(3.0), "time_out"),
    "reset": (reset(), "no_connection"),
    "reset in the request": (reset_request(), "no_connection"),
    "reset in the answer": (reset_answer(), "no_connection"),
    "answer cut": (cut(0.9), "no_connection"),
    "no answer": (cut(0.0), "no_connection"),
    "half a head": (cut(0.02), "no_connection", "answer"),
    "half of the json": (truncated(), "answer"),
    "slow answer": (drip(0.2),),
    "slow request": (drip_request(0.2),),
    "429": (throttled(), "throttled"),
    "429 with Retry-After": (throttled(1), "throttled"),
    "503": (unavailable(), "unavailable"),
    "503 with Retry-After": (unavailable(1), "unavailable"),
    "413": (too_large(), "too_large"),
    "502": (bad_gateway(), "unavailable"),
    "504": (answer(504, "<html>", content_type="text/html"), "unavailable"),
    "401": (answer(401, "Unauthorized"), "no_rights"),
    "403 of a proxy": (answer(403, "<html>", content_type="text/html"), "no_rights"),
    "400 of a proxy": (answer(400, "<html>Bad Request", content_type="text/html"), "blocked"),
    "200 of a page": (answer(200, "<html>Welcome", content_type="text/html"), "answer"),
    "200 and nothing": (answer(200, {}), "answer"),
    "200 and no items": (answer(200, {"errors": False, "items": []}), "answer"),
    "items throttled": (item_errors(range(0, 50, 7), "rejected_execution_exception", 429), "throttled"),
    "items on a red shard": (item_errors({0, 49}, "unavailable_shards_exception", 503), "unavailable"),
    "items before a full disk": (item_errors(range(50), BLOCKED, 429), "blocked"),
    "items before a block": (item_errors(range(50), BLOCKED, 403), "blocked"),
    "items of a closed index": (item_errors(range(50), "index_closed_exception", 400), "blocked"),
    "items of a missing index": (item_errors({3}, "index_not_found_exception", 404), "blocked"),
    "items nobody has heard of": (item_errors({3}, "surprising_exception", 418), "blocked"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_was_under_way_is_stored_exactly_once(behind: tuple[Corner, FaultProxy, Settings], name: str) -> None:
    place, proxy, settings = behind
    fault, *causes = FAULTS[name]
    if "time_out" in causes:
        settings = replace(settings, opensearch_timeout=1.5)
    entries = place.record(200)
    proxy.inject(fault, times=3, path="_bulk")
    with shipping(settings) as running:
        all_stored_once(place, entries, running)
        assert running.causes() <= set(causes)
        assert bool(running.causes()) == bool(causes)
        assert proxy.count("_bulk", faulty=True) == 3
        assert running.shipper.progress.dead_letters == 0


def test_faults_of_all_kinds_at_random(behind: tuple[Corner, FaultProxy, Settings]) -> None:
    place, proxy, settings = behind
    entries = place.record(1000)
    for fault, *_ in FAULTS.values():
        proxy.inject(fault, times=1, path="_bulk")
    with shipping(replace(settings, bulk_entries=20, bulks_in_flight=4, opensearch_timeout=2.0)) as running:
        all_stored_once(place, entries, running)


def test_with_opensearch_away_it_waits_and_then_goes_on_at_once(behind: tuple[Corner, FaultProxy, Settings]) -> None:
    place, proxy, settings = behind
    entries = place.record(100)
    proxy.refuse()
    with shipping(settings) as running:
        eventually(lambda: "no_connection" in running.causes())
        entries += place.record(100)
        proxy.accept()
        all_stored_once(place, entries, running)


def test_dns_that_comes_back_is_enough(behind: tuple[Corner, FaultProxy, Settings]) -> None:
    place, proxy, settings = behind
    entries = place.record(100)
    by_name = replace(settings, opensearch_hosts=(f"http://localhost:{proxy.port}",))
    with ExitStack() as without_dns:
        without_dns.enter_context(unresolvable("localhost"))
        with shipping(by_name) as running:
            eventually(lambda: "no_connection" in running.causes())
            assert "Name or service not known" in running.reasons()
            without_dns.close()
            all_stored_once(place, entries, running)


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_opensearch_that_hangs_for_minutes(behind: tuple[Corner, FaultProxy, Settings]) -> None:
    place, proxy, settings = behind
    entries = place.record(5000)
    proxy.inject(hang())
    with shipping(replace(settings, opensearch_timeout=30.0)) as running:
        threading.Event().wait(170)  # the very fault: minutes without an answer
        assert running.shipper.progress.shipped == 0
        assert running.causes() <= {"time_out", "no_connection"}
        proxy.clear()
        proxy.drop()
        all_stored_once(place, entries, running, seconds=90)  # one pause of at most 30 s, and then all of it
