"""A node: starts and stops it, reports its status, and resets its data directory.

Guard and node hold the lock of the data directory while they run; the record (`whodid.devserver.folder`) identifies
their processes. The order of a start is: lock, home, configuration, guard, ready, record, detach. If the owner is
killed before it detaches, the guard stops the node, and at most a record of ended processes remains.

A node is ready when `GET /` returns 200 and the health of the cluster is at least yellow. A node with accounts is
queried as its administrator over TLS.
"""

from __future__ import annotations

import http.client
import shutil
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from whodid.devserver.folder import MARKER, DataDir, cache_dir, require_extra
from whodid.devserver.guarded import GuardedProcess
from whodid.devserver.home import prepare_home
from whodid.devserver.security import ADMIN, Access, prepare_security
from whodid.errors import DevServerError
from whodid.locks import hold_lock, is_locked
from whodid.text import FOREIGN, json_of

from .cache import SECURITY, read_lock
from .folder import (
    NodeRecord,
    OnProgress,
    ProcessMark,
    Progress,
    diagnose,
    forget_record,
    ignore_progress,
    read_record,
    write_record,
)
from .home import OPENSEARCH_VERSION, Release, find_release, java_command, java_program, write_config

__all__ = [
    "NodeStatus",
    "RunningNode",
    "bound_port",
    "is_ready",
    "require_free",
    "reset",
    "start",
    "status",
    "stop",
    "wait_for",
]


def require_free(port: int) -> None:
    """Raise DevServerError if 127.0.0.1:`port` is in use. Port 0 is always free."""
    if not 0 <= port <= 65535:
        raise DevServerError(f"{port} is not a valid port; --port must be from 1 to 65535, or 0 for a free one")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DevServerError(
                f"can't listen on 127.0.0.1:{port}: {_owner(port) or error.strerror}; "
                "choose another --port, or --port 0 for a free one"
            ) from error


def _owner(port: int) -> str | None:
    """Describe the process that uses the port, if this user may see it."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (PID {connection.pid}) uses it"
    except psutil.Error:
        return None
    return None


REQUEST_SECONDS = 2.0
POLL_SECONDS = 0.1


def wait_for(condition: Callable[[], bool], timeout: float, each_time: Callable[[float], None]) -> bool:
    """Poll until the condition holds (return True) or `timeout` seconds have passed (return False).

    `each_time` gets the seconds passed, and may raise to cancel.
    """
    started = time.monotonic()
    while not condition():
        passed = time.monotonic() - started
        if passed >= timeout:
            return False
        each_time(passed)
        time.sleep(POLL_SECONDS)
    return True


def bound_port(ports: Path) -> int | None:
    """Read the port from `http.ports`, which OpenSearch writes as lines of `127.0.0.1:PORT` once it listens."""
    try:
        first = (ports / "http.ports").read_text("utf-8").splitlines()[0]
        return int(first.rpartition(":")[2])
    except (FileNotFoundError, IndexError, ValueError):
        return None


def is_ready(port: int, get: Callable[[int, str], bytes | None] | None = None) -> bool:
    """Return whether the node answers and its health is at least yellow; `get` replaces plain HTTP."""
    ask = get or _get
    return ask(port, "/") is not None and _health(ask(port, "/_cluster/health")) in ("yellow", "green")


def _health(body: bytes | None) -> str:
    try:
        return str(json_of(body)["status"]) if body is not None else "none"
    except FOREIGN:
        return "none"


def _get(port: int, path: str) -> bytes | None:
    """Return the body of a response 200; None for any other response, or none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        return None
    else:
        return body if response.status == http.client.OK else None
    finally:
        connection.close()


STOP_SECONDS = 20.0
LOCK_SECONDS = 1.0


@dataclass(frozen=True)
class NodeStatus:
    """The status of the node of a data directory; `url`, `port` and `pid` are None unless it runs."""

    running: bool
    starting: bool
    healthy: bool
    url: str | None
    port: int | None
    pid: int | None
    version: str | None
    detached: bool
    data_dir: Path
    log_file: Path
    user: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    """These three are set if the node has accounts."""


@dataclass(frozen=True)
class RunningNode:
    """A node that is ready. Leaving the `with` block stops it, even if it was detached."""

    url: str
    port: int
    pid: int
    data_dir: Path
    log_file: Path
    _record: NodeRecord = field(repr=False)
    _guarded: GuardedProcess = field(repr=False, compare=False)

    def stop(self) -> None:
        """Stop the node and wait until it has ended; a second call does nothing."""
        self._guarded.end()
        forget_record(DataDir(self.data_dir).record, self._record)

    def __enter__(self) -> RunningNode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(
    *,
    port: int = 9200,
    data_dir: Path | None = None,
    heap_mb: int = 512,
    detached: bool,
    security: bool = False,
    on_progress: OnProgress | None = None,
    timeout: float = 120.0,
    settings: Mapping[str, object] | None = None,
    version: str = OPENSEARCH_VERSION,
    java: Path | None = None,
) -> RunningNode:
    """Start a node and return when it is ready.

    `port` 0 chooses a free one. A `detached` node runs until `stop`; any other ends with this process, or when the
    returned object is stopped or garbage collected. With `security` it has accounts and TLS: `status` returns the
    administrator, the password file, and the certificate authority. `timeout` (seconds) limits the start, not the
    download. `settings` replaces or adds lines of opensearch.yml; `None` removes one. `version` is for the tests
    of whodid; `java` is an executable to use instead of the one of the extra. Raises DevServerError.
    """
    require_extra()
    release = find_release(version)
    program = java_program(release, java)
    directory = DataDir.of(data_dir)
    directory.claim()
    report = on_progress or ignore_progress
    with hold_lock(directory.lock, LOCK_SECONDS, lambda: None) as lock:
        if lock is None:
            raise DevServerError(_in_use(directory))
        require_free(port)
        _secure(directory, security)
        jars = [jar for jar in read_lock(release.lock) if security or jar.folder != SECURITY]
        home = prepare_home(cache_dir(), release, jars, report)
        command = java_command(home, directory, heap_mb, program, release)
        guarded = _launch(command, directory, port, lock, settings or {})
        try:
            bound = _await_ready(guarded, directory, report, timeout)
            return _started(guarded, directory, bound, release, detached)
        except BaseException:
            guarded.end()
            raise


def _secure(directory: DataDir, security: bool) -> None:
    if security:
        prepare_security(directory)
    elif directory.password.exists():
        raise DevServerError(f"{directory.path} belongs to a node with accounts; add --security, or another --data-dir")


def _in_use(directory: DataDir) -> str:
    record = read_record(directory.record)
    if record is not None and record.node.runs():
        return (
            f"a node is already running in {directory.path}: {record.url} (PID {record.node.pid}); "
            "use it, stop it with `whodid dev down`, or choose another --data-dir"
        )
    return f"another process is starting a node in {directory.path}; wait for it, or choose another --data-dir"


def _launch(
    command: list[str], directory: DataDir, port: int, lock: int, settings: Mapping[str, object]
) -> GuardedProcess:
    try:
        directory.record.unlink(missing_ok=True)
        (directory.ports / "http.ports").unlink(missing_ok=True)
        directory.log.write_bytes(b"")
        write_config(directory, port, settings)
        return GuardedProcess(command, lock, directory.log, directory.path)
    except OSError as error:
        raise DevServerError(f"can't start a node in {directory.path}: {error}; choose another --data-dir") from error


def _await_ready(guarded: GuardedProcess, directory: DataDir, report: OnProgress, timeout: float) -> int:
    """Return the port of the node when it is ready."""

    def ready() -> bool:
        found = bound_port(directory.ports)
        return found is not None and is_ready(found, _get_of(directory))

    def each_time(passed: float) -> None:
        report(Progress("start", int(passed), int(timeout), "starting OpenSearch"))
        if guarded.has_ended():
            raise DevServerError(f"OpenSearch ended while starting: {diagnose(directory.log)}")

    if not wait_for(ready, timeout, each_time):
        raise DevServerError(
            f"OpenSearch was not ready after {timeout:.0f} s; on a slow machine increase --timeout; "
            f"{diagnose(directory.log)}"
        )
    return bound_port(directory.ports) or 0


def _get_of(directory: DataDir) -> Callable[[int, str], bytes | None] | None:
    return Access(directory).get if directory.password.exists() else None


def _started(guarded: GuardedProcess, directory: DataDir, port: int, release: Release, detached: bool) -> RunningNode:
    """Write the record, detach if requested, and return the node."""
    node, watcher = ProcessMark.of(guarded.node_pid), ProcessMark.of(guarded.pid)
    if node is None or watcher is None:
        raise DevServerError(f"OpenSearch ended as soon as it was ready: {diagnose(directory.log)}")
    record = NodeRecord(node, watcher, port, release.version, detached, directory.password.exists())
    write_record(directory.record, record)
    if detached:
        guarded.detach()
    return RunningNode(record.url, port, node.pid, directory.path, directory.log, record, guarded)


def status(data_dir: Path | None = None) -> NodeStatus:
    """Return the status of the node of a data directory, including its health."""
    directory = DataDir.of(data_dir)
    record = read_record(directory.record)
    live = record if record is not None and record.node.runs() else None
    return NodeStatus(
        running=live is not None,
        starting=live is None and is_locked(directory.lock),
        healthy=live is not None and is_ready(live.port, _get_of(directory)),
        url=live.url if live else None,
        port=live.port if live else None,
        pid=live.node.pid if live else None,
        version=live.version if live else None,
        detached=live is not None and live.detached,
        data_dir=directory.path,
        log_file=directory.log,
        user=ADMIN if live and live.secured else None,
        password_file=directory.password if live and live.secured else None,
        ca_file=directory.authority if live and live.secured else None,
    )


def stop(data_dir: Path | None = None) -> bool:
    """Stop the node of a data directory, wait until it has ended, and return whether one was running."""
    directory = DataDir.of(data_dir)
    record = read_record(directory.record)
    if record is None or not (record.node.runs() or record.guard.runs()):
        if is_locked(directory.lock):
            raise DevServerError(
                f"another process is starting a node in {directory.path}; stop that process to stop its node"
            )
        return False
    _end_processes(record)
    forget_record(directory.record, record)
    return True


def _end_processes(record: NodeRecord) -> None:
    """Stop the guard, or a node without one, by SIGTERM and then by SIGKILL."""

    def gone() -> bool:
        return not record.node.runs() and not record.guard.runs()

    (record.guard if record.guard.runs() else record.node).send(signal.SIGTERM)
    if wait_for(gone, STOP_SECONDS, lambda _passed: None):
        return
    record.node.send(signal.SIGKILL)
    record.guard.send(signal.SIGKILL)
    if not wait_for(gone, STOP_SECONDS, lambda _passed: None):
        raise DevServerError(f"can't stop the node (PID {record.node.pid}) of {record.url}; stop it manually")


def reset(data_dir: Path | None = None) -> bool:
    """Stop the node, delete its data directory if it has the marker, and return whether it existed."""
    directory = DataDir.of(data_dir)
    if not directory.path.exists():
        return False
    if not directory.is_ours():
        raise DevServerError(
            f"{directory.path} has no {MARKER} file, so it does not belong to a development OpenSearch: not deleted"
        )
    stop(directory.path)
    try:
        # The marker is deleted last, so that an interrupted reset can be repeated.
        for entry in directory.path.iterdir():
            if entry.name != MARKER:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        shutil.rmtree(directory.path)
    except OSError as error:
        raise DevServerError(f"could not delete all of {directory.path}: {error}; delete it manually") from error
    return True
