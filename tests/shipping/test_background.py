"""The background: `configure(ship=True)` over forks, over the end of the parent, and configured again."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import whodid
from tests.live.corner import eventually
from tests.shipping.small_cluster import SmallCluster, small_cluster
from whodid.journal import JournalDirectory
from whodid.shipping.background import _running, stop_background_shipping
from whodid.shipping.loop import Shipper
from whodid.shipping.service import connected_shipper

WHO: dict[str, Any] = {"principal": "42"}

PROGRAM = """
import ctypes, os, signal, sys, threading, time, types
import whodid

def configure():
    whodid.configure(journal_dir=sys.argv[1], opensearch_hosts=sys.argv[2], ship=True, echo=False, poll_interval=0.05)

def record(*targets):
    for target in targets:
        whodid.get_logger().audit("credentials_accessed", target=target, principal="42")

def shipped():
    from whodid.shipping.status import directory_status
    deadline = time.monotonic() + 60
    while directory_status(sys.argv[1]).backlog:
        assert time.monotonic() < deadline, directory_status(sys.argv[1])
        time.sleep(0.01)

worker = 0

def fork(fork=os.fork):
    child = fork()
    signal.alarm(100)  # whatever hangs is not left behind
    return child

def unseen_fork():  # as uWSGI forks: Python runs none of its handlers
    return fork(ctypes.PyDLL(None).fork)

if "uwsgi" in sys.argv:
    sys.modules["uwsgi"] = types.SimpleNamespace(worker_id=lambda: worker)
configure()
"""

FORKS = {
    "a daemon whose parent ends": """
record("parent")
shipped()
if fork() == 0:
    record("a", "b")
    shipped()
os._exit(0)
""",
    "a fork right after configure()": """
if fork() == 0:
    record("parent", "a", "b")
    shipped()
os._exit(0)
""",
    "a worker beside one that never records": """
record("parent")
shipped()
parent = os.getpid()
ended, alive = os.pipe()
if fork() == 0:  # idle, with whatever the parent had open
    os.close(alive)
    os.read(ended, 1)
    os._exit(0)
if fork() == 0:
    while os.getppid() == parent:
        time.sleep(0.01)
    record("a", "b")
    shipped()
os._exit(0)
""",
    "a worker of uWSGI, which forks unseen by Python": """
parent = os.getpid()
record("parent")
assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
if unseen_fork() == 0:
    worker = 1
    while os.getppid() == parent:
        time.sleep(0.01)
    record("a", "b")
    shipped()
os._exit(0)
""",
    "a worker that configures again": """
record("parent")
if fork() == 0:
    configure()
    record("a", "b")
    shipped()
os._exit(0)
""",
}


@pytest.fixture
def cluster() -> Iterator[SmallCluster]:
    with small_cluster() as made:
        yield made


@pytest.fixture(autouse=True)
def _stopped() -> Iterator[None]:
    eventually(lambda: threads() == [])  # those of earlier tests end
    yield
    stop_background_shipping()


def configure(tmp_path: Path, url: str, journal: str = "journal") -> None:
    whodid.configure(journal_dir=tmp_path / journal, opensearch_hosts=url, ship=True, echo=False, poll_interval=0.05)


def record(*targets: str) -> None:
    for target in targets:
        whodid.get_logger().audit("credentials_accessed", target=target, **WHO)


def await_stored(cluster: SmallCluster, target: str) -> None:
    eventually(lambda: target in cluster.targets)


def of_whodid() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("whodid-")}


def threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name == "whodid-ship")


@pytest.mark.parametrize("fork", FORKS)
def test_a_child_ships_what_it_records_when_its_parent_has_ended(
    fork: str, cluster: SmallCluster, tmp_path: Path
) -> None:
    with (tmp_path / "said").open("wb") as said:
        done = subprocess.run(
            [
                *(sys.executable, "-W", "ignore", "-c", PROGRAM + FORKS[fork], tmp_path / "journal", cluster.url),
                *(["uwsgi"] if "uWSGI" in fork else []),
            ],
            stdout=said,
            stderr=said,
            timeout=120,
            check=False,
        )
    eventually(lambda: cluster.targets == {"parent", "a", "b"}, 60)
    assert done.returncode == 0, (tmp_path / "said").read_text()
    assert set(cluster.stored.values()) == {1}


def test_configured_again_it_ships_to_the_new_cluster_and_no_longer_to_the_old(
    cluster: SmallCluster, tmp_path: Path
) -> None:
    configure(tmp_path, cluster.url)
    record("a")
    eventually(lambda: cluster.targets == {"a"})
    with small_cluster() as other:
        configure(tmp_path, other.url)
        record("b", "c")
        eventually(lambda: other.targets == {"b", "c"})
        assert cluster.targets == {"a"}
        whodid.configure(journal_dir=tmp_path / "journal", echo=False)
        eventually(lambda: threads() == [])


def test_what_the_old_cluster_did_not_take_goes_to_the_new_one(cluster: SmallCluster, tmp_path: Path) -> None:
    configure(tmp_path, "http://127.0.0.1:1")
    record("a", "b")
    configure(tmp_path, cluster.url)
    eventually(lambda: cluster.targets == {"a", "b"})


def test_another_journal_is_shipped_before_the_shipper_changes(cluster: SmallCluster, tmp_path: Path) -> None:
    configure(tmp_path, cluster.url, "one")
    record("a")
    configure(tmp_path, cluster.url, "two")
    record("b")
    eventually(lambda: cluster.targets == {"a", "b"})


@pytest.mark.parametrize("journals", [["one", "two"], ["one", "two", "three"], ["one", "two", "one"]])
@pytest.mark.parametrize("late", ["before", "after"])
def test_a_journal_whose_shipper_had_not_begun_is_shipped_before_the_next(
    journals: list[str], late: str, cluster: SmallCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whodid.shipping.background._STOP", 0.0)
    configured = threading.Event()

    def begin_late(*args: Any, **options: Any) -> Shipper:
        if late == "before":
            configured.wait(60)
        shipper = connected_shipper(*args, **options)
        configured.wait(60)
        return shipper

    monkeypatch.setattr("whodid.shipping.background.connected_shipper", begin_late)
    for number, journal in enumerate(journals):
        configure(tmp_path, cluster.url, journal)
        record(str(number))
    configured.set()
    eventually(lambda: cluster.targets == set(map(str, range(len(journals)))))


def test_configured_while_an_earlier_shipper_ends_it_ships_what_is_recorded_once(
    cluster: SmallCluster, tmp_path: Path
) -> None:
    for number in range(20):
        configure(tmp_path, cluster.url)
        record(str(number))
        stop_background_shipping(0.0)
    configure(tmp_path, cluster.url)
    eventually(lambda: cluster.targets == set(map(str, range(20))))


def test_however_often_it_is_configured_there_is_one_thread_and_those_of_earlier_shippers_end(
    cluster: SmallCluster, tmp_path: Path
) -> None:
    others = of_whodid()
    for number in range(10):
        configure(tmp_path, cluster.url, str(number % 2))
        assert len(threads()) == 1
        record(str(number))
        await_stored(cluster, str(number))
    earlier = {thread for thread in of_whodid() - others if thread.name != "whodid-ship"}
    assert "whodid-send" in {thread.name for thread in earlier}
    configure(tmp_path, cluster.url)
    eventually(lambda: earlier.isdisjoint(of_whodid()))
    record("last")
    await_stored(cluster, "last")
    stop_background_shipping()
    eventually(lambda: of_whodid() <= others)


def test_a_thread_that_ended_is_replaced_at_the_next_record(
    cluster: SmallCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("whodid.shipping.background._Worker.run", lambda worker: None)
        configure(tmp_path, cluster.url)
        eventually(lambda: not _running())
    record("a")
    eventually(lambda: cluster.targets == {"a"})


def test_a_process_that_can_start_no_thread_records_all_the_same(
    cluster: SmallCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        configure(tmp_path, cluster.url)
        record("a")
    assert not cluster.targets
    record("b")
    eventually(lambda: cluster.targets == {"a", "b"})


ENDS = {
    "by a thread that outlives the main one": """
main = threading.current_thread()
def late():
    main.join()
    record("a", "b")
    shipped()
threading.Thread(target=late).start()
""",
    "by a handler of atexit": """
import atexit
def late():
    record("a", "b")
    shipped()
atexit.register(late)
""",
}


@pytest.mark.parametrize("end", ENDS)
def test_what_is_recorded_when_no_thread_can_start_any_more_is_shipped(
    end: str, cluster: SmallCluster, tmp_path: Path
) -> None:
    """Python 3.12 refuses to start threads once the main one has ended."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + ENDS[end], tmp_path / "journal", cluster.url],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert cluster.targets == {"a", "b"}


def test_the_threads_import_nothing(cluster: SmallCluster, tmp_path: Path) -> None:
    """A child forked meanwhile would wait for ever for the lock of an import that a thread had begun."""
    program = f"""
import sys, threading
imported = []
def hook(event, arguments):
    if event == "import" and threading.current_thread() is not threading.main_thread():
        imported.append((threading.current_thread().name, arguments[0]))
sys.addaudithook(hook)
{PROGRAM}
from whodid.shipping.status import directory_status  # which `shipped` needs
before = len(imported)
record("a")
shipped()
whodid.configure(journal_dir=sys.argv[1], echo=False)
print(imported)
"""
    url = cluster.url.replace("127.0.0.1", "localhost")  # by name, which has to be looked up
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, tmp_path / "journal", url],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_warnings_that_are_errors_stop_nothing(
    cluster: SmallCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turned_into_errors: list[str]
) -> None:
    failures = [KeyError("foreign"), RuntimeWarning("an error, by -W error")]

    def connected(*arguments: Any, **keywords: Any) -> Shipper:
        if failures:
            raise failures.pop()
        return connected_shipper(*arguments, **keywords)

    JournalDirectory(tmp_path / "journal", create=True)  # so that there is a place for alarms
    monkeypatch.setattr("whodid.shipping.background.connected_shipper", connected)
    monkeypatch.setattr("whodid.shipping.guard._FIRST_PAUSE", 0.01)
    configure(tmp_path, cluster.url)
    record("a")
    eventually(lambda: cluster.targets == {"a"})
    alarms = [alarm["about"] for alarm in JournalDirectory(tmp_path / "journal").alarms()]
    assert [about.partition(" at ")[0] for about in alarms] == [
        "shipping: unexpected RuntimeWarning",
        "shipping: unexpected KeyError",
    ]
    assert len(turned_into_errors) == 2
    turned_into_errors.clear()
