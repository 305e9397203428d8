"""A real node: what works on it, and that it is gone whenever it should be."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import psutil
import pytest

from whodid import devserver
from whodid.devserver.folder import ProcessMark, read_record
from whodid.errors import DevServerError

from .conftest import Mirror, Wait

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

UP = "from whodid.cli.dev import dev; dev()"
OWNER = """
import sys
from pathlib import Path
from whodid import devserver
node = devserver.start(port=0, data_dir=Path(sys.argv[1]), detached=False)
print(node.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[devserver.RunningNode]:
    """Started on a given port over the data of an earlier start, which had one that was free."""
    folder = tmp_path_factory.mktemp("node")
    with devserver.start(port=0, data_dir=folder, detached=False) as first:
        call(first, "PUT", "/kept", {"settings": {"number_of_replicas": 0}})
        call(first, "PUT", "/kept/_doc/0?refresh=true", {"n": 5})
    assert not devserver.status(folder).running
    # Below those that the system hands out, so that no other test gets it meanwhile.
    port = next(port for port in range(29_000 + os.getpid() % 1000, 32_000) if is_free(port))
    with devserver.start(port=port, data_dir=folder, detached=False) as second:
        assert second.url == f"http://127.0.0.1:{port}"
        yield second


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def call(node: devserver.RunningNode, method: str, path: str, body: Json | list[Json] = None) -> dict[str, Json]:
    """One request to the node; a list goes as one JSON line each, as `_bulk` wants it."""
    lines = body if isinstance(body, list) else [body]
    data = "".join(f"{json.dumps(line)}\n" for line in lines).encode() if body is not None else None
    request = urllib.request.Request(  # noqa: S310 - http to this machine
        f"{node.url}{path}", data, {"Content-Type": "application/json"}, method=method
    )
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - http to this machine
        answer: dict[str, Json] = json.load(response)
        return answer


def sources(answer: dict[str, Json]) -> list[Json]:
    """The `n` of each hit, in order."""
    hits = answer["hits"]
    assert isinstance(hits, dict)
    found = hits["hits"]
    assert isinstance(found, list)
    numbers = []
    for hit in found:
        assert isinstance(hit, dict)
        source = hit["_source"]
        assert isinstance(source, dict)
        numbers.append(source["n"])
    return numbers


@pytest.fixture(scope="module")
def filled(node: devserver.RunningNode) -> devserver.RunningNode:
    """The node with three documents in `trail-1`, whose mapping comes from an index template."""
    template: Json = {
        "index_patterns": ["trail-*"],
        "template": {
            "settings": {"index": {"number_of_replicas": 0, "sort.field": "at", "sort.order": "desc"}},
            "mappings": {
                "properties": {
                    "at": {"type": "date_nanos"},
                    "ip": {"type": "ip"},
                    "details": {"type": "flat_object"},
                    "n": {"type": "integer"},
                }
            },
        },
    }
    call(node, "PUT", "/_index_template/trail", template)
    lines: list[Json] = []
    for n, ip in enumerate(["203.0.113.9", "198.51.100.1", "203.0.113.77"]):
        lines.append({"create": {"_id": str(n)}})
        lines.append({"at": f"2026-01-01T00:00:00.00000000{n}Z", "ip": ip, "details": {"k": f"v{n}"}, "n": n})
    answer = call(node, "POST", "/trail-1/_bulk?refresh=true", lines)
    assert answer["errors"] is False
    return node


def test_cluster_is_green_and_of_the_promised_version(node: devserver.RunningNode) -> None:
    version = call(node, "GET", "/")["version"]
    assert isinstance(version, dict)
    assert version["number"] == devserver.OPENSEARCH_VERSION
    assert call(node, "GET", "/_cluster/health?wait_for_status=green&timeout=30s")["status"] == "green"


def test_each_module_is_loaded(node: devserver.RunningNode) -> None:
    nodes = call(node, "GET", "/_nodes/plugins")["nodes"]
    assert isinstance(nodes, dict)
    (only,) = nodes.values()
    assert isinstance(only, dict)
    modules = only["modules"]
    assert isinstance(modules, list)
    assert {module["name"] for module in modules if isinstance(module, dict)} == {
        "aggs-matrix-stats", "ingest-common", "lang-painless", "mapper-extras", "parent-join", "reindex",
        "transport-netty4",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"match_all": {}}, [2, 1, 0]),
        ({"term": {"ip": "203.0.113.0/24"}}, [2, 0]),
        ({"term": {"details.k": "v1"}}, [1]),
        ({"range": {"at": {"gt": "2026-01-01T00:00:00.000000000Z", "lt": "2026-01-01T00:00:00.000000002Z"}}}, [1]),
    ],
)
def test_search_finds_in_order(filled: devserver.RunningNode, query: Json, expected: list[int]) -> None:
    answer = call(filled, "POST", "/trail-1/_search", {"query": query, "sort": [{"at": "desc"}]})
    assert sources(answer) == expected


def test_index_is_sorted_on_disk(filled: devserver.RunningNode) -> None:
    call(filled, "POST", "/trail-1/_forcemerge?max_num_segments=1")  # each segment is sorted; a flush may have cut two
    call(filled, "POST", "/trail-1/_refresh")
    answer = call(filled, "POST", "/trail-1/_search", {"sort": ["_doc"]})
    assert sources(answer) == [2, 1, 0]


def test_point_in_time_does_not_see_later_documents(filled: devserver.RunningNode) -> None:
    call(filled, "PUT", "/pit-1/_doc/0?refresh=true", {"n": 0})
    pit = call(filled, "POST", "/pit-1/_search/point_in_time?keep_alive=1m")["pit_id"]
    call(filled, "PUT", "/pit-1/_doc/1?refresh=true", {"n": 1})
    answer = call(filled, "POST", "/_search", {"pit": {"id": pit}, "sort": [{"n": "asc"}]})
    assert sources(answer) == [0]
    call(filled, "DELETE", "/_search/point_in_time", {"pit_id": [pit]})


def test_update_by_query_runs_a_painless_script(filled: devserver.RunningNode) -> None:
    call(filled, "PUT", "/counted/_doc/0?refresh=true", {"n": 1})
    script: Json = {"script": {"lang": "painless", "source": "ctx._source.n += 41"}}
    assert call(filled, "POST", "/counted/_update_by_query?refresh=true", script)["updated"] == 1
    assert sources(call(filled, "POST", "/counted/_search", {})) == [42]


def test_reindex_with_an_ingest_pipeline(filled: devserver.RunningNode) -> None:
    call(filled, "PUT", "/_ingest/pipeline/add", {"processors": [{"set": {"field": "n", "value": 7}}]})
    body: Json = {"source": {"index": "trail-1"}, "dest": {"index": "copied", "pipeline": "add"}}
    assert call(filled, "POST", "/_reindex?refresh=true", body)["created"] == 3
    assert sources(call(filled, "POST", "/copied/_search", {})) == [7, 7, 7]


def test_second_node_on_the_same_data_is_refused_with_the_url(node: devserver.RunningNode) -> None:
    with pytest.raises(DevServerError, match=f"is already running in .*{node.url}"):
        devserver.start(port=0, data_dir=node.data_dir, detached=False)


def test_taken_port_is_refused_before_anything_starts(node: devserver.RunningNode, tmp_path: Path) -> None:
    with pytest.raises(DevServerError, match=rf"can't listen on 127\.0\.0\.1:{node.port}"):
        devserver.start(port=node.port, data_dir=tmp_path / "other", detached=False)
    assert not devserver.status(tmp_path / "other").running


def test_status_tells_a_running_node(node: devserver.RunningNode) -> None:
    now = devserver.status(node.data_dir)
    assert (now.running, now.healthy, now.detached) == (True, True, False)
    assert (now.url, now.port, now.pid, now.version) == (node.url, node.port, node.pid, "3.4.0")


def test_log_can_be_read(node: devserver.RunningNode) -> None:
    assert any("started" in line for line in devserver.logs(node.data_dir, lines=1000))


def test_node_keeps_its_data_over_a_stop_and_a_start_on_a_given_port(node: devserver.RunningNode) -> None:
    call(node, "GET", "/_cluster/health/kept?wait_for_status=yellow&timeout=30s")
    assert sources(call(node, "POST", "/kept/_search", {})) == [5]


def test_heap_that_cannot_be_had_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DevServerError, match="it ran out of memory"):
        devserver.start(port=0, data_dir=tmp_path / "node", detached=False, heap_mb=100_000_000)


def test_node_that_is_not_ready_in_time_is_ended(tmp_path: Path) -> None:
    with pytest.raises(DevServerError, match="was not ready after 1 s"):
        devserver.start(port=0, data_dir=tmp_path / "node", detached=False, timeout=1)
    now = devserver.status(tmp_path / "node")
    assert (now.running, now.starting) == (False, False)


def test_owner_killed_with_9_leaves_neither_guard_nor_node(
    tmp_path: Path, environment: dict[str, str], wait: Wait
) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "node")],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert owner.stdout is not None
    owner.stdout.readline()
    record = read_record(tmp_path / "node" / "node.json")
    assert record is not None
    assert record.node.runs()
    owner.kill()
    owner.communicate()
    wait(lambda: not record.node.runs() and not record.guard.runs(), 30)
    now = devserver.status(tmp_path / "node")
    assert (now.running, now.starting) == (False, False)


def descendants(process: subprocess.Popen[bytes]) -> list[ProcessMark]:
    """Guard and node of a process, as far as they have started."""
    found = [ProcessMark.of(child.pid) for child in psutil.Process(process.pid).children(recursive=True)]
    return [mark for mark in found if mark is not None]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_up_killed_while_it_starts_leaves_nothing(
    tmp_path: Path, environment: dict[str, str], wait: Wait, number: signal.Signals
) -> None:
    log = tmp_path / "node" / "opensearch.log"
    up = subprocess.Popen(
        [sys.executable, "-c", UP, "up", "--port", "0", "--data-dir", str(tmp_path / "node")],
        env=environment, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait(lambda: log.exists() and log.stat().st_size > 0, 250)
    found = descendants(up)
    assert len(found) == 2
    os.kill(up.pid, number)
    assert up.wait(30) != 0
    wait(lambda: not any(mark.runs() for mark in found), 30)
    now = devserver.status(tmp_path / "node")
    assert (now.running, now.starting) == (False, False)


def test_up_stays_until_down(tmp_path: Path, environment: dict[str, str]) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", UP, *words, "--data-dir", str(tmp_path / "node")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250)

    assert run("status").returncode == 1
    first = run("up", "--port", "0", "--json")
    assert first.returncode == 0, first.stderr
    up = json.loads(first.stdout)
    assert (up["running"], up["healthy"]) == (True, True)
    again = run("up", "--port", "0")
    assert (again.returncode, again.stdout) == (0, f"{up['url']}\n")
    assert run("status").returncode == 0
    assert json.loads(run("down", "--json").stdout) == {"stopped": True}
    assert json.loads(run("down", "--json").stdout) == {"stopped": False}
    assert json.loads(run("status", "--json").stdout)["running"] is False
    assert run("reset", "--yes").returncode == 0
    assert not (tmp_path / "node").exists()


def test_stop_does_not_touch_a_process_that_only_has_the_recorded_pid(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    folder = tmp_path / "node"
    folder.mkdir()
    mark = {"pid": other.pid, "started": 1.0}
    (folder / "node.json").write_text(
        json.dumps({"node": mark, "guard": mark, "port": 1, "version": "3.4.0", "detached": True})
    )
    assert devserver.stop(folder) is False
    assert other.poll() is None
    other.kill()
    other.wait()


def test_unreachable_repository_stops_a_start_before_java(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHODID_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(DevServerError, match=f"could not download .* from {mirror.url}: not found"):
        devserver.start(port=0, data_dir=tmp_path / "node", detached=False)
    assert not (tmp_path / "node" / "opensearch.log").exists()
