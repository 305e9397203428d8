"""The Celery example, run for real: two users queue at once in processes of their own, two workers refund."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.recording import recorded

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "celery_app"
USERS = {"42": "7", "43": "8"}


def python(code: str, *arguments: str) -> list[str]:
    """A command of the example's README lines, with a transport whose messages are whole."""
    return [sys.executable, "-c", f"import tests.integrations.queuefolder\n{code}", *arguments]


def test_each_refund_is_by_the_user_who_asked_for_it_and_what_the_clock_starts_by_the_system(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(EXAMPLE)]),
        "SHOP_QUEUE": str(tmp_path / "queue"),
        "WHODID_JOURNAL_DIR": str(tmp_path / "journal"),
    }
    options = ["--app", "app", "worker", "--pool", "prefork", "--concurrency", "2", "--max-tasks-per-child", "10"]
    worker = python("from celery.__main__ import main; main()", *options)
    log = tmp_path / "worker.log"
    with (
        log.open("w") as out,
        subprocess.Popen(worker, env=environment, stdout=out, stderr=subprocess.STDOUT) as process,
    ):
        try:
            _queue_at_once(environment)
            deadline = time.monotonic() + 120
            while not (tmp_path / "journal").exists() or len(recorded(tmp_path / "journal")) < 82:
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            process.terminate()
            assert process.wait(timeout=60) == 0, log.read_text()
        finally:
            process.kill()
    entries = recorded(tmp_path / "journal")
    types = Counter(entry["type"] for entry in entries)
    assert types == {"invoice_refunded": 40, "refund_announced": 40, "reminders_sent": 2}
    cascades = set()
    for entry in entries:
        if entry["type"] == "reminders_sent":
            assert (entry["principal"], "client_ip" in entry) == ("system", False)
            continue
        user = entry["target"].split("-")[0]
        assert (entry["principal"], entry["organization_id"], entry["client_ip"]) == (user, USERS[user], "203.0.113.9")
        cascades.add((user, entry["correlation_id"]))
    assert sorted(user for user, _ in cascades) == ["42", "43"]


def _queue_at_once(environment: dict[str, str]) -> None:
    queueing = [
        subprocess.Popen(
            python(
                "import app; app.main()",
                *("--user", user, "--organization", organization),
                *(f"{user}-{number}" for number in range(20)),
            ),
            env=environment,
        )
        for user, organization in USERS.items()
    ]
    assert [each.wait(timeout=60) for each in queueing] == [0, 0]
