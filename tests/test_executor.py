"""Asynchronous calls: what was called is recorded, whatever the application, its loop and its process do meanwhile."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

import whodid
from tests.recording import configured, recorded
from whodid.errors import InvalidEntry
from whodid.recording.executor import THREADS, hand_over

DEADLINE = 60


@pytest.fixture
def journal_dir(tmp_path: Path) -> Iterator[Path]:
    structlog.reset_defaults()
    yield configured(tmp_path, echo=False)
    structlog.reset_defaults()


class Disk:
    """Syncs that wait until `release` is set, counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.asked, self.release = threading.Event(), threading.Event()
        monkeypatch.setattr("whodid.journal.segment.datasync", self)

    def __call__(self, fd: int) -> None:
        self.count += 1
        self.asked.set()
        assert self.release.wait(DEADLINE)
        os.fsync(fd)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, no_flush: None) -> Disk:
    return Disk(monkeypatch)


def call(target: object, log: Any = None) -> Coroutine[Any, Any, whodid.Receipt]:
    called: Coroutine[Any, Any, whodid.Receipt] = (log or whodid.get_logger()).aaudit(
        "credentials_accessed", target=str(target), principal="42"
    )
    return called


async def until_recorded(journal_dir: Path, number: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while len(targets(journal_dir)) < number:
            await asyncio.sleep(0.005)


def targets(journal_dir: Path) -> list[str]:
    return sorted(entry["target"] for entry in recorded(journal_dir)) if journal_dir.exists() else []


def test_a_call_does_not_wait_for_the_application_s_own_threads(journal_dir: Path) -> None:
    async def main() -> None:
        release = threading.Event()
        busy = [asyncio.create_task(asyncio.to_thread(release.wait)) for _ in range(min(32, (os.cpu_count() or 1) + 4))]
        try:
            async with asyncio.timeout(DEADLINE):
                await asyncio.gather(*(call(number) for number in range(20)))
        finally:
            release.set()
        await asyncio.gather(*busy)

    asyncio.run(main())
    assert len(targets(journal_dir)) == 20


def test_threads_of_the_application_that_wait_for_a_call_do_not_stop_it(journal_dir: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        def work(number: int) -> bool:
            return asyncio.run_coroutine_threadsafe(call(number), loop).result(DEADLINE).recorded

        assert all(await asyncio.gather(*(asyncio.to_thread(work, number) for number in range(40))))

    asyncio.run(main())
    assert len(targets(journal_dir)) == 40


@pytest.mark.parametrize("kind", ["typed", "stdlib", "structlog"])
def test_a_task_that_is_cancelled_before_it_starts_is_recorded(journal_dir: Path, kind: str) -> None:
    log: Any = {"typed": whodid.get_logger(), "stdlib": logging.getLogger("app"), "structlog": structlog.get_logger()}

    async def main() -> None:
        with suppress(ZeroDivisionError, BaseExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(call("7", log[kind]))
                raise ZeroDivisionError
        await until_recorded(journal_dir, 1)

    asyncio.run(main())
    assert targets(journal_dir) == ["7"]


def test_cancelling_ends_the_waiting_at_once_and_not_the_recording(journal_dir: Path, disk: Disk) -> None:
    async def main() -> None:
        tasks = [asyncio.create_task(call(number)) for number in range(3 * THREADS)]  # most of them wait for a thread
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
        assert not disk.release.is_set()
        disk.release.set()
        await until_recorded(journal_dir, 3 * THREADS)

    asyncio.run(main())
    assert len(targets(journal_dir)) == 3 * THREADS


def test_a_loop_that_is_closed_in_the_middle_loses_nothing(
    journal_dir: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.new_event_loop()
    called = call("7")
    task = loop.create_task(called)
    loop.call_soon(loop.stop)
    loop.run_forever()
    called.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined] # what asyncio would say of it
    loop.close()
    disk.release.set()
    asyncio.run(until_recorded(journal_dir, 1))
    assert targets(journal_dir) == ["7"]
    assert caplog.records == []


def test_a_call_before_any_loop_runs_is_recorded_and_awaited_in_one(journal_dir: Path) -> None:
    called = call("7")
    assert asyncio.run(called).recorded
    assert targets(journal_dir) == ["7"]


def test_loops_of_several_threads_share_the_executor(journal_dir: Path) -> None:
    async def main(thread: int) -> None:
        receipts = await asyncio.gather(*(call(f"{thread}-{number}") for number in range(20)))
        assert all(receipt.recorded for receipt in receipts)

    threads = [threading.Thread(target=lambda n=n: asyncio.run(main(n))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(targets(journal_dir)) == 80
    assert sum(thread.name == "whodid-record" for thread in threading.enumerate()) <= THREADS


def test_many_calls_at_once_share_a_sync_of_the_disk(journal_dir: Path, disk: Disk) -> None:
    async def main() -> None:
        tasks = [asyncio.create_task(call(number)) for number in range(THREADS)]
        journal = whodid.recording.runtime.recorder().journal
        async with asyncio.timeout(DEADLINE):
            while len(journal._group._queue) + 1 < THREADS:  # one writes, the others wait for it
                await asyncio.sleep(0.005)
        disk.release.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert len(targets(journal_dir)) == THREADS
    assert disk.count <= 2


def test_the_context_is_that_of_the_call(journal_dir: Path) -> None:
    async def main() -> None:
        log = whodid.get_logger()
        with whodid.context(principal="42"):
            called = log.aaudit("credentials_accessed", target="7")
        with whodid.context(principal="43"):
            await called

    asyncio.run(main())
    assert [entry["principal"] for entry in recorded(journal_dir)] == ["42"]


def test_an_error_reaches_who_awaits_and_else_is_warned_of(journal_dir: Path) -> None:
    async def awaited() -> None:
        with pytest.raises(InvalidEntry, match="principal is missing"):
            await whodid.get_logger().aaudit("credentials_accessed", target="7")

    async def cancelled() -> None:
        task = asyncio.create_task(whodid.get_logger().aaudit("credentials_accessed", target="7"))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(awaited())
    with pytest.warns(RuntimeWarning, match=r"that was not awaited failed: .*principal is missing") as warned:  # noqa: PT031
        asyncio.run(cancelled())
        until = time.monotonic() + DEADLINE
        while not len(warned) and time.monotonic() < until:  # the thread that records says it
            time.sleep(0.005)


def test_frameworks_see_that_it_is_to_be_awaited(journal_dir: Path) -> None:
    from starlette.background import BackgroundTasks

    async def main() -> None:
        tasks = BackgroundTasks()
        for number, log in enumerate((whodid.get_logger(), logging.getLogger("app"), structlog.get_logger().bind())):
            tasks.add_task(log.aaudit, "credentials_accessed", target=str(number), principal="42")
        assert all(task.is_async for task in tasks.tasks)
        await tasks()

    asyncio.run(main())
    assert targets(journal_dir) == ["0", "1", "2"]


def test_an_intent_whose_task_is_cancelled_has_an_outcome_although_the_block_never_ran(
    journal_dir: Path, disk: Disk
) -> None:
    async def act() -> None:
        async with whodid.get_logger().aauditing("team_deleted", target="9", principal="42"):
            raise AssertionError("the block ran")

    async def main() -> None:
        task = asyncio.create_task(act())
        await asyncio.to_thread(disk.asked.wait, DEADLINE)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        disk.release.set()
        await until_recorded(journal_dir, 2)

    asyncio.run(main())
    assert [(entry["phase"], entry.get("outcome")) for entry in recorded(journal_dir)] == [
        ("intent", None),
        ("outcome", "failure"),
    ]


def test_an_action_whose_coroutine_is_closed_has_an_outcome(journal_dir: Path) -> None:
    loop = asyncio.new_event_loop()

    async def act() -> None:
        async with whodid.get_logger().aauditing("team_deleted", target="9", principal="42"):
            loop.stop()
            await loop.create_future()

    acting = act()
    task = loop.create_task(acting)
    task._log_destroy_pending = False  # type: ignore[attr-defined] # what asyncio would say of it
    loop.run_forever()
    acting.close()
    loop.close()
    phases = [(entry["phase"], entry.get("outcome")) for entry in recorded(journal_dir)]
    assert phases == [("intent", None), ("outcome", "failure")]


@pytest.mark.parametrize("seen", [True, False], ids=["seen by Python", "unseen"])
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(seen: bool) -> None:
    fork = os.fork if seen else ctypes.PyDLL(None).fork
    running, release = threading.Semaphore(0), threading.Event()

    def work() -> bool:
        running.release()
        return release.wait(DEADLINE)

    busy = [hand_over(work) for _ in range(2 * THREADS)]  # in the child nobody would ever do these
    for _ in range(THREADS):  # a thread that is just starting holds a lock of Python's, which an unseen fork copies
        assert running.acquire(timeout=DEADLINE)
    child = fork()
    if child == 0:
        try:
            hand_over(lambda: None).result(10)
        except BaseException:  # noqa: BLE001 (the child must end here)
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    release.set()
    assert all(each.result(DEADLINE) for each in busy)
    assert status == 0


PROGRAM = """
import asyncio, atexit, os, sys, threading, time
import whodid
from whodid.recording.executor import hand_over

def call(number):
    return whodid.get_logger().aaudit("credentials_accessed", target=str(number), principal="42")

async def calls(first):
    tasks = [asyncio.create_task(call(number)) for number in range(first, first + 50)]
    await asyncio.sleep(0)
    for task in tasks: task.cancel()

if __name__ == "__main__":
    whodid.configure(journal_dir=sys.argv[1], echo=False)
"""

ENDS = {
    "at the exit": "    asyncio.run(calls(0))",
    "in a handler of atexit": """
    atexit.register(lambda: asyncio.run(calls(0)))""",
    "in a handler of atexit that was registered earlier": """
    atexit.register(lambda: asyncio.run(calls(0)))
    hand_over(lambda: None).result()""",
    "in a thread that outlives the main one": """
    main = threading.current_thread()
    def work():
        main.join()
        asyncio.run(calls(0))
    threading.Thread(target=work).start()""",
    "in a forked child": """
    import multiprocessing
    hand_over(lambda: None).result()
    def work():
        asyncio.run(calls(0))
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start(); child.join()
    assert child.exitcode == 0""",
    "without any thread": """
    def refuse(*_, **__): raise RuntimeError("can't start new thread")
    threading._start_new_thread = threading._start_joinable_thread = refuse
    asyncio.run(calls(0))""",
}


@pytest.mark.parametrize("name", ENDS)
def test_a_process_that_ends_records_what_was_called(tmp_path: Path, name: str) -> None:
    (tmp_path / "program.py").write_text(PROGRAM + ENDS[name])
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "program.py", "journal"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert len(targets(tmp_path / "journal")) == 50, done.stderr


INTERRUPTED = """
    import signal
    from whodid.recording.executor import _threads
    def interrupted_at(at):
        left = at
        def trace(frame, event, _):
            nonlocal left
            if not frame.f_code.co_filename.endswith("executor.py"): return trace if event == "call" else None
            left -= event in ("line", "return")
            if left == 0:
                sys.settrace(None)
                left = -1
                raise KeyboardInterrupt
            return trace
        async def main():
            try: await call(at)
            except KeyboardInterrupt: pass
        _threads()
        sys.settrace(trace)
        try: asyncio.run(main())
        except KeyboardInterrupt: pass
        atexit.register(lambda: os.write(1, f"{at} {left}\\n".encode()))  # the last one is met by no signal

    {before}
    for at in range(1, 70):
        child = os.fork()
        if child == 0:
            interrupted_at(at)
            sys.exit()
        deadline = time.monotonic() + 20
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                sys.exit(f"hangs after an interruption at point {at}")
            time.sleep(0.001)
        sys.stdout.flush()
"""


@pytest.mark.parametrize("threads", [True, False], ids=["with threads", "without any thread"])
def test_a_process_whose_call_was_interrupted_at_any_line_ends(tmp_path: Path, threads: bool) -> None:
    refuse = ENDS["without any thread"].replace("asyncio.run(calls(0))", "").strip()
    (tmp_path / "program.py").write_text(PROGRAM + INTERRUPTED.replace("{before}", "" if threads else refuse))
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "program.py", "journal"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = targets(tmp_path / "journal")
    assert len(found) == len(set(found)) > 30
