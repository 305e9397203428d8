"""The fault kit: without a fault the proxy is not noticed, and each kind of fault is what it says."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.faults.kit import (
    ControlledProcess,
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
from tests.faults.kit.exchange import Seen
from tests.live.corner import Corner, corner, eventually
from tests.opensearch_node import SecuredNode
from whodid.devserver.security import issue, make_authority

ITEMS = [{"create": {"status": 201}}] * 4


class _Echo(BaseHTTPRequestHandler):
    """Answers what it was sent, and counts."""

    protocol_version = "HTTP/1.1"
    bodies: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.bodies.append(body)
        lines = body.count(b"\n") // 2
        shown = json.dumps({"errors": False, "items": ITEMS[:lines]} if "bulk" in self.path else {"got": len(body)})
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(shown)))
        self.end_headers()
        self.wfile.write(shown.encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def echo() -> Iterator[tuple[str, list[bytes]]]:
    bodies: list[bytes] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Echo", (_Echo,), {"bodies": bodies}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", bodies
    server.shutdown()
    thread.join()
    server.server_close()


def post(
    proxy: FaultProxy, path: str = "/x", body: bytes = b"x" * 100_000, timeout: float = 5.0, method: str = "POST"
) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout)
    try:
        connection.request(method, path, body=body)
        response = connection.getresponse()
        return response.status, response.read(), dict(response.getheaders())
    finally:
        connection.close()


def test_without_a_fault_it_passes_everything_on(echo: tuple[str, list[bytes]]) -> None:
    with FaultProxy(echo[0]) as proxy:
        status, body, headers = post(proxy)
        assert (status, json.loads(body), headers["content-type"]) == (200, {"got": 100_000}, "application/json")
        assert proxy.seen == [Seen("POST", "/x", False, 200)]


@pytest.mark.parametrize(
    ("fault", "error", "reaches"),
    [
        (reset(), ConnectionResetError, 0),
        (reset_request(), ConnectionResetError, 0),
        (reset_answer(), ConnectionResetError, 1),
        (cut(0.9), http.client.IncompleteRead, 1),
        (hang(), TimeoutError, 0),
        (lost_answer(), TimeoutError, 1),
    ],
    ids=["reset", "reset request", "reset answer", "cut", "hang", "lost answer"],
)
def test_a_fault_of_the_connection(
    echo: tuple[str, list[bytes]], fault: Fault, error: type[Exception], reaches: int
) -> None:
    with FaultProxy(echo[0]) as proxy:
        proxy.inject(fault, times=1)
        with pytest.raises((error, BrokenPipeError) if error is ConnectionResetError else error):
            post(proxy, timeout=0.5)
        assert len(echo[1]) == reaches
        assert post(proxy)[0] == 200
        assert (proxy.count(faulty=True), proxy.count("/x"), proxy.count("/y")) == (1, 2, 0)


@pytest.mark.parametrize(
    "fault", [latency(0.05), drip(0.05), drip_request(0.05)], ids=["latency", "drip", "drip request"]
)
def test_a_slow_exchange_is_whole_in_the_end(echo: tuple[str, list[bytes]], fault: Fault) -> None:
    with FaultProxy(echo[0]) as proxy:
        proxy.inject(fault)
        assert post(proxy)[:2] == (200, b'{"got": 100000}')


@pytest.mark.parametrize(
    ("fault", "status", "text", "headers"),
    [
        (throttled(), 429, b"rejected_execution_exception", {}),
        (throttled(7), 429, b"rejected_execution_exception", {"retry-after": "7"}),
        (unavailable(3), 503, b"cluster_manager_not_discovered_exception", {"retry-after": "3"}),
        (too_large(), 413, b"<h1>413", {"content-type": "text/html"}),
        (bad_gateway(), 502, b"<h1>502", {"content-type": "text/html"}),
        (answer(401, "no"), 401, b"no", {}),
        (answer(200, {"a": 1}), 200, b'{"a": 1}', {"content-type": "application/json"}),
    ],
)
def test_an_answer_of_its_own_goes_no_further(
    echo: tuple[str, list[bytes]], fault: Fault, status: int, text: bytes, headers: dict[str, str]
) -> None:
    with FaultProxy(echo[0]) as proxy:
        proxy.inject(fault, path="/x")
        got = post(proxy)
        assert (got[0], text in got[1], headers.items() <= got[2].items()) == (status, True, True)
        assert echo[1] == []


def test_half_of_the_json_in_a_whole_answer(echo: tuple[str, list[bytes]]) -> None:
    with FaultProxy(echo[0]) as proxy:
        proxy.inject(truncated())
        assert post(proxy)[:2] == (200, b'{"got":')


def test_items_are_refused_without_reaching_opensearch(echo: tuple[str, list[bytes]]) -> None:
    body = b"".join(b'{"create":{"_id":"%d"}}\n{"n":%d}\n' % (n, n) for n in range(4))
    with FaultProxy(echo[0]) as proxy:
        proxy.inject(item_errors({1, 2}, "some_exception", 503), path="_bulk")
        found = json.loads(post(proxy, "/_bulk", body)[1])
        assert [item["create"]["status"] for item in found["items"]] == [201, 503, 503, 201]
        assert echo[1] == [b'{"create":{"_id":"0"}}\n{"n":0}\n{"create":{"_id":"3"}}\n{"n":3}\n']


def test_faults_are_for_so_many_requests_of_a_path_one_after_the_other(echo: tuple[str, list[bytes]]) -> None:
    with FaultProxy(echo[0]) as proxy:
        proxy.inject(answer(500), times=1, path="/a")
        proxy.inject(answer(501), times=2)
        assert [post(proxy, path)[0] for path in ("/b", "/a", "/a", "/a")] == [501, 500, 501, 200]
        proxy.inject(answer(500))
        proxy.clear()
        assert post(proxy)[0] == 200


def test_it_refuses_connections_and_accepts_them_again_on_the_same_port(echo: tuple[str, list[bytes]]) -> None:
    with FaultProxy(echo[0]) as proxy:
        port = proxy.port
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            post(proxy)
        proxy.accept()
        assert (post(proxy)[0], proxy.port) == (200, port)


def test_it_speaks_tls_with_the_certificate_that_it_was_given_last(
    echo: tuple[str, list[bytes]], tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        make_authority(tmp_path / name)
        issue(tmp_path / name, "server", server=True)
    paths = {name: (tmp_path / name / "server.pem", tmp_path / name / "server-key.pem") for name in ("one", "two")}

    def trusted(name: str) -> int:
        context = ssl.create_default_context(cafile=tmp_path / name / "ca.pem")
        connection = http.client.HTTPSConnection("127.0.0.1", proxy.port, timeout=60, context=context)
        connection.request("POST", "/x", body=b"")
        status = connection.getresponse().status
        connection.close()
        return status

    with FaultProxy(echo[0], certificate=paths["one"]) as proxy:
        assert (proxy.url, trusted("one")) == (f"https://127.0.0.1:{proxy.port}", 200)
        with pytest.raises(ssl.SSLCertVerificationError):
            trusted("two")
        proxy.present(*paths["two"])
        assert trusted("two") == 200


def test_a_name_has_no_address_within_the_block() -> None:
    with unresolvable("localhost"):
        with pytest.raises(socket.gaierror):
            socket.create_connection(("localhost", 9))
        assert socket.getaddrinfo("127.0.0.1", 9)
    assert socket.getaddrinfo("localhost", 9)


@pytest.mark.live
def test_opensearch_answers_through_it_as_without_it(place: Corner, tmp_path: Path) -> None:
    with FaultProxy(place.settings.opensearch_hosts[0]) as proxy, corner(proxy.url, tmp_path) as through:
        through.set_up()
        entries = through.record(50)
        assert through.ship().shipped == 50
        assert len(through.stored()) == len(entries)
        for path in (
            "/",
            "/_cluster/health?filter_path=cluster_name",
            "/nothing",
            f"/{through.settings.index_prefix}-*/_count",
        ):
            asked = [
                each.transport.perform_request("GET", path, params={"ignore": 404})
                for each in (place.client, through.client)
            ]
            assert asked[0] == asked[1]


@pytest.mark.live
def test_it_stands_before_a_node_with_tls(secured_node: SecuredNode, tmp_path: Path) -> None:
    with FaultProxy(secured_node.url, upstream_ca=secured_node.ca_file) as proxy:
        assert post(proxy, "/", b"", method="GET")[0] == 401


LOOP = "import time, sys\nprint('begun', flush=True)\nwhile True: time.sleep(0.01); print('x', flush=True)"


def test_a_process_is_suspended_resumed_killed_and_started_again() -> None:
    with ControlledProcess([sys.executable, "-c", LOOP]) as process:
        process.until(lambda: "begun" in process.output)
        process.suspend()
        eventually(lambda: Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "T")
        before = process.output
        assert process.output == before
        process.resume()
        process.until(lambda: len(process.output) > len(before))
        process.kill()
        assert (process.running(), process.wait()) == (False, -signal.SIGKILL)
        process.start()
        process.until(lambda: process.output.count("begun") == 2)
        process.terminate()
        assert process.wait() == -signal.SIGTERM
        process.start()
        pid = process.pid
    assert not Path(f"/proc/{pid}").exists()


def test_what_a_process_did_just_before_it_ended_counts(tmp_path: Path) -> None:
    with ControlledProcess([sys.executable, "-c", "pass"]) as process:

        def ended_meanwhile() -> bool:
            looks.append(process.wait())
            return len(looks) > 1

        looks: list[int] = []
        process.until(ended_meanwhile)
    assert looks == [0, 0]


def test_waiting_for_a_process_that_ends_or_never_does_it_shows_what_it_said() -> None:
    short = [sys.executable, "-c", "print('gone wrong'); raise SystemExit(3)"]
    with ControlledProcess(short) as process, pytest.raises(RuntimeError, match=r"ended with 3:\ngone wrong"):
        process.until(lambda: False)
    with ControlledProcess([sys.executable, "-c", LOOP]) as process, pytest.raises(TimeoutError, match="begun"):
        process.until(lambda: "never" in process.output, timeout=0.5)
