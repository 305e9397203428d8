"""A shop's tasks, for tests: the same application queues them in the test and runs them in a real worker.

The broker is a folder, so are the results: no network.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery

import tests.integrations.queuefolder  # noqa: F401 (what it does to the transport)
import whodid
from whodid.integrations.celery import install
from whodid.recording.context import current_fields

log = whodid.get_logger("shop")


def record(self: Any, target: str, /, *_: object) -> list[object]:
    return [log.audit("credentials_created", target=target).entry_id, os.getpid(), self.request.id]


def seen(self: Any, *_: object, **__: object) -> dict[str, Any]:
    return {**current_fields(), "headers": {**(self.request.headers or {}), "whodid": None}}


def nest(self: Any, target: str, depth: int) -> None:
    log.audit("credentials_created", target=f"{target}-{depth}")
    if depth:
        self.delay(target, depth - 1)


def flaky(self: Any, target: str) -> str:
    log.audit("credentials_created", target=f"{target}-{self.request.retries}")
    whodid.bind(principal="bound by the try before", organization_id="8")
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return "done"


def leak(_self: Any, fails: bool) -> None:
    whodid.bind(principal="leaked", client_ip="192.0.2.1", workspace_id="leaked")
    if fails:
        raise ZeroDivisionError


def complete(_self: Any, target: str) -> None:
    log.audit("workflow_completed", target=target, status="SUCCEEDED")


def by_system(self: Any, target: str) -> None:
    with whodid.system():
        log.audit("workflow_completed", target=target, status="SUCCEEDED")
        self.app.tasks["complete"].delay(f"{target}-nested")


def refused(_self: Any, **_: object) -> str:
    try:
        log.audit("credentials_created", target="refused")
    except whodid.InvalidEntry as error:
        return str(error)
    return "recorded"


def make(folder: Path) -> Any:
    """The application, with its queue and its results in `folder`."""
    for name in ("queue", "results"):
        (folder / name).mkdir(exist_ok=True)
    app = Celery("shop", broker="filesystem://", backend=f"file://{folder / 'results'}", set_as_current=False)
    app.conf.update(
        broker_transport_options={
            "data_folder_in": str(folder / "queue"),
            "data_folder_out": str(folder / "queue"),
            "polling_interval": 0.02,
        },
        worker_enable_remote_control=False,
        worker_prefetch_multiplier=1,
        result_chord_retry_delay=0.1,
    )
    for task in (record, seen, nest, flaky, leak, complete, by_system, refused):
        app.task(task, name=task.__name__, bind=True, shared=False)
    install(app, principal=lambda task: task.request.kwargs.get("user"))
    return app


if "SHOP_FOLDER" in os.environ:
    whodid.configure()
    whodid.context(organization_id="the worker's own", principal="the worker's own").__enter__()  # no task may see it
    app = make(Path(os.environ["SHOP_FOLDER"]))
