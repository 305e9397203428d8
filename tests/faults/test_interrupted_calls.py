"""A signal handler raises (Ctrl-C, the time limit of a task queue) at each line of a call to `audit()` in turn.

The call raises what the handler raised. Its entry is recorded once or not at all. Nothing is left behind: afterwards
the same thread, another thread that was waiting meanwhile, and another process record, in one whole chain. `soak` does
the same before each single instruction, so also between taking a lock and entering the `try` that gives it back.

A call with a key that was interrupted and is made again is recorded once.

Whatever handler it is, what it raises is known for what it is, even under settings that make no error of anything else.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import gc
import operator
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import pytest

import whodid
from tests.opensearch_node import in_memory
from tests.recording import WHO, recorded
from whodid.catalog import Catalog
from whodid.errors import NotRecorded
from whodid.files import is_there, names_in
from whodid.journal import Journal, JournalDirectory
from whodid.journal.descriptor import Descriptor, close_forgotten
from whodid.journal.directory import not_recorded, segment_size
from whodid.journal.durable import on_disk
from whodid.recording.call import AuditCall
from whodid.recording.recorder import Recorder
from whodid.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # between opening and `with`

DEADLINE = 60
SOURCE = str(Path(whodid.__file__).parent)
CATALOG = Catalog.load()
Durability = Literal["disk", "process"]


class Interrupted(Exception):
    """As Celery's SoftTimeLimitExceeded. `TimeoutError`, the other one used here, is an `OSError`."""


def signal_handler(error: object, _frame: FrameType | None = None) -> None:
    assert isinstance(error, type)
    raise error


@pytest.fixture(autouse=True)
def _handled() -> Iterator[None]:
    """The process has the signal handler, which is called where a signal would come."""
    before = signal.signal(signal.SIGUSR2, signal_handler)
    gc.disable()  # no finalizer of something else, in which an exception would get lost
    yield
    gc.enable()
    gc.collect()
    signal.signal(signal.SIGUSR2, before)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """In memory where the system has such a place: what reaches the disk is tested elsewhere."""
    with in_memory(tmp_path) as path:
        yield path


class Interruption:
    """Raises at point number `at` of what is traced, after `meanwhile` was called there."""

    def __init__(self, at: int, error: type[Exception], meanwhile: Callable[[], object], *, dense: bool) -> None:
        self.where = ""
        self._left = at
        self._error = error
        self._meanwhile = meanwhile
        self._dense = dense

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(SOURCE):
            return self if event == "call" else None
        frame.f_trace_opcodes = self._dense
        if event in (("opcode",) if self._dense else ("line", "return")):
            self._left -= 1
            if self._left <= 0:
                sys.settrace(None)
                self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}, {event}"
                self._meanwhile()
                signal_handler(self._error)
        return self

    @contextmanager
    def inside(self) -> Iterator[None]:
        sys.settrace(self)
        try:
            yield
        finally:
            sys.settrace(None)


class BetweenSteps(Interruption):
    """As `Interruption`, in the constructor of a `Descriptor` only."""

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        return super().__call__(frame, event, argument) if frame.f_code is Descriptor.__init__.__code__ else None


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_descriptor_that_was_not_finished_is_closed_and_disturbs_no_other(path: Path) -> None:
    path.mkdir(exist_ok=True)
    finished, at = False, 0
    while not finished:
        at += 1
        before = {one.name for one in Path("/proc/self/fd").iterdir()}
        interruption = BetweenSteps(at, Interrupted, lambda: None, dense=False)
        with suppress(Interrupted), interruption.inside():
            Descriptor(path / "file", os.O_RDWR | os.O_CREAT)
        close_forgotten()
        left = {one.name for one in Path("/proc/self/fd").iterdir()} - before  # those of earlier tests may go
        assert left == set(), interruption.where
        finished = not interruption.where
    assert at > 10


class Applications:
    """Threads of this process and another process, which record into one journal directory; what came of it."""

    def __init__(self, below: Path, durability: Durability, segment_bytes: int, *, keyed: bool = False) -> None:
        self.returned: list[str] = []
        self.journals: list[Path] = []
        self._below = below
        self.keyed = keyed
        self._settings = Settings(durability=durability)
        self._segment_bytes = segment_bytes
        self._other = subprocess.Popen(
            [sys.executable, "-c", _OTHER, durability],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def next_journal(self) -> None:
        self.journals.append(self._below / str(len(self.journals)))

    def recorder(self) -> Recorder:
        journal = Journal(self.journals[-1], segment_bytes=self._segment_bytes, lock_timeout=DEADLINE)
        return Recorder(self._settings, catalog=CATALOG, journal=journal)

    def record(self, recorder: Recorder, target: str) -> None:
        """As through a logger whose handler records."""
        key = {"once": target} if self.keyed else {}
        call = AuditCall(recorder, "credentials_created", {"target": target, **key, **WHO})
        call.through(call.record, records=True, chain_name="the chain")
        self.returned.append(target)

    def record_elsewhere(self, target: str) -> None:
        assert self._other.stdin
        assert self._other.stdout
        self._other.stdin.write(f"{self.journals[-1]}:{target}\n")
        self._other.stdin.flush()
        assert self._other.stdout.readline() == f"{target}\n"
        self.returned.append(target)

    def end(self) -> None:
        with self._other:
            assert self._other.stdin
            self._other.stdin.close()


_OTHER = f"""
import sys
import whodid
before = None
for line in sys.stdin:
    path, target = line.strip().split(":")
    if path != before:
        whodid.configure(journal_dir=path, durability=sys.argv[1], echo=False, lock_timeout={DEADLINE}.0)
        before = path
    whodid.get_logger().audit("credentials_created", target=target, principal="42", client_ip="203.0.113.9")
    print(target, flush=True)
"""


class Sweep:
    """Each point of a call in turn."""

    def __init__(self, applications: Applications, *, first: bool, every: int, dense: bool) -> None:
        self.points = 0
        self.swallowed: list[str] = []
        self.refused: list[str] = []
        self.failed: BaseException | None = None
        self.where = ""
        self._applications = applications
        self._first = first
        self._every = every
        self._dense = dense

    def run(self) -> None:
        try:
            recorder = self._in_next_journal()
            while self._interrupted_at(1 + self.points * self._every, recorder):
                self.points += 1
                if self.points % 50 == 0:  # many segments would take long
                    recorder = self._in_next_journal()
                    gc.collect()  # between two calls: frames of interrupted ones are cycles, and keep files open
                if self._first:
                    recorder = self._applications.recorder()
        except BaseException as error:  # noqa: BLE001 (looked at by the test)
            self.failed = error

    def _in_next_journal(self) -> Recorder:
        self._applications.next_journal()
        recorder = self._applications.recorder()
        self._applications.record(recorder, f"{self.points} before")
        return self._applications.recorder() if self._first else recorder

    def _interrupted_at(self, at: int, recorder: Recorder) -> bool:
        waiting = threading.Thread(target=self._record_meanwhile, args=(recorder, f"{at} meanwhile"))

        def meanwhile() -> None:
            waiting.start()
            waiting.join(0.001)  # time to come as far as it gets, which is all the same to what is promised

        error = (Interrupted, TimeoutError)[at % 2]
        interruption = Interruption(at, error, meanwhile, dense=self._dense)
        try:
            with interruption.inside():
                self._applications.record(recorder, f"{at} interrupted")
        except error:
            pass
        else:
            if interruption.where:
                self.swallowed.append(interruption.where)
        self.where = interruption.where
        if not interruption.where:
            return False
        self._applications.record_elsewhere(f"{at} in another process")
        if self._applications.keyed:
            self._applications.record(recorder, f"{at} interrupted")
        waiting.join()
        self._applications.record(recorder, f"{at} again")
        return True

    def _record_meanwhile(self, recorder: Recorder, target: str) -> None:
        try:
            self._applications.record(recorder, target)
        except NotRecorded as error:
            self.refused.append(str(error))


def sweep(
    path: Path, durability: Durability, state: str, every: int = 1, *, dense: bool = False, keyed: bool = False
) -> Sweep:
    segment_bytes = 1 if state == "closing a segment" else 1 << 26
    applications = Applications(path, durability, segment_bytes, keyed=keyed)
    swept = Sweep(applications, first=state == "the first call", every=every, dense=dense)
    thread = threading.Thread(target=swept.run, daemon=True)
    thread.start()
    reached = -1
    while thread.is_alive() and swept.points > reached:  # what hangs comes to no other point
        reached = swept.points
        thread.join(DEADLINE)
    applications.end()
    assert not thread.is_alive(), f"hangs after an interruption at {swept.where}"
    if swept.failed is not None:
        raise AssertionError(f"after an interruption at {swept.where}") from swept.failed
    assert [alarm for journal in applications.journals for alarm in JournalDirectory(journal).alarms()] == []
    found = Counter(entry["target"] for journal in applications.journals for entry in recorded(journal))
    assert {target: found[target] for target in applications.returned if found[target] != 1} == {}
    assert max(found.values()) == 1
    assert {error for error in swept.refused if "thread that wrote for several was interrupted" not in error} == set()
    return swept


class AnObject:
    def __call__(self, _number: int, _frame: object) -> None:
        raise Interrupted


def with_a_number(_number: int, _frame: object) -> None:
    raise TimeoutError(errno.ETIMEDOUT, "the time limit")


def printing(_number: int, _frame: object) -> None:
    raise BrokenPipeError(errno.EPIPE, "nobody reads what was printed")


def looking_for_a_file(_number: int, _frame: object) -> None:
    raise FileNotFoundError(errno.ENOENT, "no such file")


def logging_on_a_full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "no space left")


def bound(error: type[Exception], _number: int, _frame: object) -> None:
    raise error


def restoring(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    raise Interrupted


def forgetting(_number: int, frame: object) -> None:
    del frame
    raise Interrupted


HANDLERS: list[Callable[..., None]] = [
    with_a_number,
    printing,
    looking_for_a_file,
    logging_on_a_full_disk,
    functools.partial(bound, Interrupted),
    AnObject(),
    restoring,
    forgetting,
]


class Signalled:
    """Sends the process a signal at point number `at` of what is traced, amid a frame of whodid's: from C."""

    def __init__(self, at: int) -> None:
        self.where = ""
        self._left = at
        raising = map(operator.not_, map(signal.raise_signal, repeat(signal.SIGUSR2)))
        self._send = functools.partial(min, key=functools.partial(next, raising))

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(SOURCE):
            return self if event == "call" else None
        self._left -= event != "return"
        if self._left:
            return self
        self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        return self._send  # at what comes next in this frame


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("durability", "state"),
    [("disk", "later"), ("process", "later"), ("process", "first"), ("process", "first with a key")],
)
@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: getattr(handler, "__name__", type(handler).__name__))
def test_what_a_signal_handler_raised_is_what_the_call_raises(
    path: Path, handler: Callable[..., None], durability: Durability, state: str
) -> None:
    settings = Settings(durability=durability, on_invalid="quarantine", on_failure="warn")
    at, every, raised = 1, 3 if state == "later" else 20, Counter[str]()
    key = {"once": "a"} if state.endswith("key") else {}
    while True:
        directory = path / str(at)
        recorder = Recorder(settings, catalog=CATALOG, journal=Journal(directory))
        recorder.record("credentials_created", {"target": "before", **WHO})
        if state.startswith("first"):
            recorder = Recorder(settings, catalog=CATALOG, journal=Journal(directory))
        signal.signal(signal.SIGUSR2, handler)
        signalled = Signalled(at)
        try:
            sys.settrace(signalled)
            recorder.record("credentials_created", {"target": "interrupted", **key, **WHO})
        except Exception as error:  # noqa: BLE001 (looked at below)
            raised[f"{type(error).__name__}: {error}"] += 1
        else:
            if not signalled.where:
                break
            raised[f"nothing, at {signalled.where}"] += 1
        finally:
            sys.settrace(None)
        recorder.record("credentials_created", {"target": "after", **WHO})
        assert list(JournalDirectory(directory).alarms()) == []
        found = Counter(entry["target"] for entry in recorded(directory))
        assert (found["before"], found["after"], found["interrupted"] <= 1) == (1, 1, True)
        at += every
    with pytest.raises(Exception) as expected:  # noqa: PT011 (whatever this handler raises)
        handler(signal.SIGUSR2, None)
    assert set(raised) == {f"{type(expected.value).__name__}: {expected.value}"}
    assert sum(raised.values()) > 20


class TimeLimit(Exception):
    """As RQ's, whose message is set by the class."""

    def __init__(self) -> None:
        super().__init__("the job took too long")


@pytest.mark.parametrize("error", [Interrupted, TimeoutError, TimeLimit])
def test_what_another_thread_raises_in_a_call_is_what_the_call_raises(path: Path, error: type[Exception]) -> None:
    """As the time limit of an RQ job."""
    prototype = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.py_object)
    interrupt = prototype(("PyThreadState_SetAsyncExc", ctypes.pythonapi))
    clock: Callable[[], int] = functools.partial(interrupt, threading.get_ident(), error)  # a step of the call, in C
    settings = Settings(on_invalid="quarantine", on_failure="warn")
    recorder = Recorder(settings, catalog=CATALOG, journal=Journal(path), clock_ns=clock)
    with pytest.raises(error):
        recorder.record("credentials_created", {"target": "interrupted", **WHO})
    assert not (path / "rejected.ndjson").exists()


@pytest.mark.parametrize("durability", ["disk", "process"])
def test_an_interruption_at_any_line_leaves_nothing_behind(path: Path, durability: Durability) -> None:
    swept = sweep(path, durability, "a later call")
    assert swept.points > 100
    assert swept.swallowed == []


@pytest.mark.parametrize("state", ["the first call", "closing a segment"])
@pytest.mark.parametrize("durability", ["disk", "process"])
def test_an_interruption_while_a_file_is_opened_or_closed_leaves_nothing_behind(
    path: Path, durability: Durability, state: str
) -> None:
    swept = sweep(path, durability, state, every=7)
    assert swept.points > 50
    assert swept.swallowed == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("state", "every"), [("a later call", 1), ("the first call", 7), ("closing a segment", 7)])
@pytest.mark.parametrize("durability", ["disk", "process"])
def test_an_interrupted_call_with_a_key_that_is_made_again_is_recorded_once(
    path: Path, durability: Durability, state: str, every: int
) -> None:
    swept = sweep(path, durability, state, every, keyed=True)
    assert swept.points > 50
    assert swept.swallowed == []


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("state", ["the first call", "closing a segment"])
@pytest.mark.parametrize("durability", ["disk", "process"])
def test_an_interruption_at_any_line_while_a_file_is_opened_or_closed_leaves_nothing_behind(
    path: Path, durability: Durability, state: str
) -> None:
    assert sweep(path, durability, state).swallowed == []


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("state", ["the first call", "a later call", "closing a segment"])
@pytest.mark.parametrize("durability", ["disk", "process"])
def test_an_interruption_before_any_instruction_leaves_nothing_behind(
    path: Path, durability: Durability, state: str
) -> None:
    assert sweep(path, durability, state, dense=True).points > 900


LOOKS: list[Callable[[Path], object]] = [
    names_in,
    is_there,
    JournalDirectory,
    not_recorded,
    lambda path: segment_size(path / "file"),
    lambda path: on_disk(path / "file", "journal"),
]


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.__name__)
def test_what_a_signal_handler_did_not_find_is_not_absent(tmp_path: Path, look: Callable[[Path], object]) -> None:
    (tmp_path / "file").touch()
    before, at = signal.signal(signal.SIGUSR2, looking_for_a_file), 1
    try:
        while True:
            signalled = Signalled(at)
            try:
                sys.settrace(signalled)
                look(tmp_path)
            except FileNotFoundError:
                at += 1
            else:
                assert signalled.where == ""
                break
            finally:
                sys.settrace(None)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert at > 2
