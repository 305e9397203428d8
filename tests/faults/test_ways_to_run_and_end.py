"""However a process runs and ends: each receipt that a call returned is of an entry in the journal, exactly once.

Every program prints the ID of each entry after the call returned, and nothing before. What it printed must be in the
journal; the chain must be whole. Python's own ways to end are covered here, `kill -9` in `test_kill_while_recording`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.live.corner import eventually
from tests.recording import recorded
from whodid.entry import entry_id

START = """
import os, sys
import whodid
log = whodid.get_logger()

def record(target):
    receipt = log.audit("credentials_created", target=str(target), principal="42", client_ip="203.0.113.9")
    os.write(1, receipt.entry_id.encode() + b"\\n")  # sys.stdout has a lock, which a fork may copy locked

if __name__ == "__main__":
    whodid.configure(journal_dir=sys.argv[1], durability=sys.argv[2], echo=False, segment_bytes=40_000)
"""

PROGRAMS = {
    "daemon threads, which the end stops, and a finalizer that records then": (
        '''
    import threading, time
    elsewhere = {"log": log}  # what a stopped thread still uses is never cleared, and so would `closing` not be
    exec("""if True:
        def again(target): return log.audit("credentials_created", target=target, principal="42")
        def work():
            while True: again("again")
    """, elsewhere)
    class Closing:
        again, refused = staticmethod(elsewhere["again"]), whodid.JournalLocked
        def __del__(self, write=os.write):
            try: self.again("closed")
            except self.refused: pass
            write(2, b"closed")
    closing = Closing()
    for _ in range(2): threading.Thread(target=elsewhere["work"], daemon=True).start()
    record("first")
    time.sleep(0.2)
''',
        1,
        0,
    ),
    "64 threads": (
        """
    import threading
    threads = [threading.Thread(target=lambda n=n: [record(f"{n}-{i}") for i in range(10)]) for n in range(64)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
""",
        640,
        0,
    ),
    "asyncio": (
        """
    import asyncio
    async def one(n):
        receipt = await log.aaudit("credentials_created", target=str(n), principal="42")
        print(receipt.entry_id, flush=True)
    async def main(): await asyncio.gather(*(one(n) for n in range(200)))
    asyncio.run(main())
""",
        200,
        0,
    ),
    "asyncio, cancelled": (
        """
    import asyncio
    async def many(n):
        for i in range(1000):
            receipt = await log.aaudit("credentials_created", target=str(n), principal="42")
            print(receipt.entry_id, flush=True)
            if i == 20: raise ZeroDivisionError
    async def main():
        async with asyncio.TaskGroup() as group:
            for n in range(8): group.create_task(many(n))
    asyncio.run(main())
""",
        21,
        1,
    ),
    "os._exit": ("    import os\n    for n in range(40): record(n)\n    os._exit(7)\n", 40, 7),
    "sys.exit with a daemon thread at work": (
        """
    import threading, itertools
    begun = threading.Event()
    def work():
        for n in itertools.count():
            record(f"daemon {n}")
            if n == 20: begun.set()
    threading.Thread(target=work, daemon=True).start()
    begun.wait()
    sys.exit(3)
""",
        21,
        3,
    ),
    "atexit": ("    import atexit\n    atexit.register(lambda: record('at exit'))\n    record('before')\n", 2, 0),
    "a thread that outlives the main one": (
        """
    import threading
    main = threading.current_thread()
    def work():
        main.join()
        for n in range(30): record(n)
    threading.Thread(target=work).start()
""",
        30,
        0,
    ),
    "an asynchronous call after the loop's executor was shut down": (
        """
    import asyncio
    async def main():
        await asyncio.get_running_loop().shutdown_default_executor()
        receipt = await log.aaudit("credentials_created", target="late", principal="42")
        print(receipt.entry_id, flush=True)
    asyncio.run(main())
""",
        1,
        0,
    ),
    "fork": (
        """
    import os
    record("before")
    children = []
    for n in range(6):
        child = os.fork()
        if child == 0:
            for i in range(15): record(f"{n}-{i}")
            os._exit(0)
        children.append(child)
        record(f"parent {n}")
    for child in children: assert os.waitpid(child, 0)[1] == 0
""",
        1 + 6 * 15 + 6,
        0,
    ),
    "fork while threads record": (
        """
    import os, threading
    go_on = True
    def work(n):
        i = 0
        while go_on:
            i += 1
            record(f"{n}-{i}")
    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads: thread.start()
    for n in range(10):
        child = os.fork()
        if child == 0:
            record(f"child {n}")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    go_on = False
    for thread in threads: thread.join()
""",
        18,
        0,
    ),
    "multiprocessing, forked": (
        """
    import multiprocessing
    record("before")
    with multiprocessing.get_context("fork").Pool(4) as pool: pool.map(record, range(100))
""",
        101,
        0,
    ),
    "multiprocessing, spawned": (
        """
    import multiprocessing
    record("before")
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool: pool.map(record, range(60))
""",
        61,
        0,
    ),
    "multiprocessing, recycled after each 5 tasks": (
        """
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=5) as pool: pool.map(record, range(40), 1)
""",
        40,
        0,
    ),
}
"""What it does; how many receipts there are at least; how it ends."""


def check(journal_dir: Path, output: str, at_least: int) -> None:
    receipts = output[: output.rfind("\n") + 1].split()
    found = Counter(entry_id(entry) for entry in recorded(journal_dir))
    assert len(receipts) >= at_least
    assert [receipt for receipt in receipts if found[receipt] != 1] == []


@pytest.mark.parametrize("durability", ["disk", "process"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_each_receipt_is_of_an_entry_in_the_journal(tmp_path: Path, name: str, durability: str) -> None:
    body, at_least, status = PROGRAMS[name]
    journal_dir = tmp_path / "journal"
    (tmp_path / "program.py").write_text(START + body)
    environment = {"WHODID_JOURNAL_DIR": str(journal_dir), "WHODID_DURABILITY": durability, "WHODID_ECHO": "no"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "program.py", str(journal_dir), durability],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stderr
    check(journal_dir, done.stdout, at_least)


SERVING = """
    import signal, threading
    {handler}
    def work(n):
        i = 0
        while True:
            i += 1
            record(f"{{n}}-{{i}}")
    for n in range(4): threading.Thread(target=work, args=(n,), daemon=True).start()
    i = 0
    while True:
        i += 1
        record(f"main {{i}}")
"""

HANDLERS = {
    "none": ("pass", -signal.SIGTERM),
    "one that exits": ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))", 5),
    "one that records, and exits": (
        """
    def stop(*_):
        try: record("stopped")
        except whodid.WhodidError as error: sys.stderr.write(f"refused: {error}")
        sys.exit(5)
    signal.signal(signal.SIGTERM, stop)
    """.strip(),
        5,
    ),
}


@pytest.mark.parametrize("durability", ["disk", "process"])
@pytest.mark.parametrize("name", HANDLERS)
def test_a_terminated_process_loses_no_entry_whose_receipt_was_returned(
    tmp_path: Path, name: str, durability: str
) -> None:
    handler, status = HANDLERS[name]
    journal_dir = tmp_path / "journal"
    (tmp_path / "program.py").write_text(START + SERVING.format(handler=handler))
    for _ in range(4):
        command = [sys.executable, "program.py", str(journal_dir), durability]
        with subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            assert process.stderr
            first = [process.stdout.readline() for _ in range(60)]
            process.terminate()
            rest = process.stdout.read()  # `communicate` would leave out what is buffered, and begin amid a line
            errors = process.stderr.read()
        assert process.returncode == status, errors
        check(journal_dir, "".join(first) + rest, 60)


UNDER_UWSGI = """
import os, threading
import uwsgi
import whodid
log = whodid.get_logger()
receipts, done = (os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for name in ("receipts", "done"))

def record(target):
    receipt = log.audit("credentials_created", target=target, principal="42", client_ip="203.0.113.9")
    os.write(receipts, receipt.entry_id.encode() + b"\\n")

def work(what):
    for n in range(30): record(f"{os.getpid()}-{n}")
    os.write(done, f"{what} {os.getpid()}\\n".encode())

def application(environ, start_response):
    work("request")
    start_response("200 OK", [])
    return [b""]

record("before the workers")
assert threading.active_count() == 1  # a worker that is forked beside another thread may hang
uwsgi.post_fork_hook = lambda: work("hook")
"""
REQUESTS = 5
"""After so many a worker ends, and the master forks another."""


@contextmanager
def under_uwsgi(folder: Path, workers: int, durability: str) -> Iterator[Path]:
    """Serves on the socket that is given, until the block ends. What it prints is in the file `log`."""
    (folder / "app.py").write_text(UNDER_UWSGI)
    settings = {"JOURNAL_DIR": "journal", "DURABILITY": durability, "ECHO": "no", "SEGMENT_BYTES": "20000"}
    options = f"--http-socket s --wsgi-file app.py --need-app --master --processes {workers} --max-requests {REQUESTS}"
    options += " --min-worker-lifetime 0 --die-on-term --worker-reload-mercy 10"
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [Path(sys.executable).with_name("uwsgi"), *options.split()],
            cwd=folder,
            env={**os.environ, **{f"WHODID_{name}": value for name, value in settings.items()}},
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield folder / "s"
            process.terminate()
            process.wait(120)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # workers that hang are not left behind
            print((folder / "log").read_text())  # shown when the test fails


def get(path: Path) -> None:
    """One request, tried until the server listens."""
    deadline = time.monotonic() + 60
    while True:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            if client.connect_ex(str(path)) == 0:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.0 200")
                return
        assert time.monotonic() < deadline, "uWSGI did not start"
        time.sleep(0.01)


@pytest.mark.skipif(find_spec("pyuwsgi") is None, reason="uWSGI is not installed")
@pytest.mark.parametrize("durability", ["disk", "process"])
def test_workers_of_uwsgi_that_python_does_not_see_fork_share_one_chain(tmp_path: Path, durability: str) -> None:
    def done() -> Counter[str]:
        return Counter((tmp_path / "done").read_text().splitlines())

    def hooks() -> int:
        """How many workers there were: the first four, and one for each that has answered its number of requests."""
        return 4 + sum(count == REQUESTS for what, count in done().items() if what.startswith("request"))

    with under_uwsgi(tmp_path, 4, durability) as served:
        with ThreadPoolExecutor(4) as clients:
            list(clients.map(get, [served] * 24))
        # uWSGI sets a worker's signal handlers up after its hook: a worker that is stopped before that doesn't notice,
        # and waits for requests until the master kills it, `worker-reload-mercy` seconds later.
        eventually(lambda: sum(what.startswith("hook") for what in done()) == hooks())
    receipts = (tmp_path / "receipts").read_text()
    assert len(receipts.split()) == 1 + hooks() * 30 + 24 * 30
    check(tmp_path / "journal", receipts, 0)
    salts = [entry["salt"] for entry in recorded(tmp_path / "journal")]
    assert len(set(salts)) == len(salts)
    assert not (tmp_path / "journal" / "alarms.ndjson").exists()
    assert "Traceback" not in (tmp_path / "log").read_text()
