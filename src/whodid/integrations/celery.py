"""Celery: who and from where travel with a task, from whoever queues it to the entries that it records.

    app = Celery("shop")
    whodid.integrations.celery.install(app)                # where tasks are queued and where they run

On the wire: the message header `whodid`, a JSON object of strings: those of the fields in `CARRIED` that the context of
the caller has, `correlation_id` always among them. What holds for it:

- It says who queued this message and nothing else: a `whodid` header that someone passes to `apply_async` is replaced,
  and removed where there is no context. A retry is the same task again, and keeps the header it came with.
- Without it, nobody queued the task (beat, a script): `principal` is asked, at the call, and else the task says
  `whodid.system()`. The cascade's ID is then the group's, or the root task's.
- One that can't be read (not an object, no `correlation_id`, a value that is no string) names nobody, and `principal`
  is not asked either: the task runs, and its entries are refused unless it says itself who acts. Unknown names are left
  out, so that old and new workers get along.

Each task has a scope of its own, from before it starts until after its callbacks and the next of its chain are queued.
Nothing bound around it, in the worker or by another task, shows through, in eager mode neither.

The header is as trustworthy as the broker: whoever may queue tasks may name anyone.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from celery import signals
from celery.app import app_or_default

from ..process import warn
from ..recording.context import Resolver, bind, current_fields, is_open, scope

__all__ = ["CARRIED", "install"]

HEADER = "whodid"

_WHO = ("principal", "principal_name", "principal_email", "on_behalf_of", "access_token_id")

CARRIED = (
    *_WHO,
    *("organization_id", "organization_name", "workspace_id", "workspace_name"),
    *("client_ip", "forwarded_for", "user_agent"),
    *("correlation_id", "trace_id"),
)
"""Fields that go along: who, where in the application and from where; not what a single entry is about."""

_NOBODY = {"principal": None}
"""A header that can't be read: somebody queued the task, and it is not known who."""

Principal = Callable[[Any], Mapping[str, object] | str | None]
"""From the task: a user ID, entry fields (`principal`, `organization_id`, …), or `None` for not known."""


def install(app: Any = None, *, principal: Principal | None = None) -> None:
    """Binds the context of each task of `app` (the current app by default), and sends it along with those queued.

    `principal` is asked at the moment of an audit call, for tasks that came without one; it gets the task, whose
    `request` has the arguments. Installing again replaces it.
    """
    found = app_or_default(app)
    own = found._get_current_object() if hasattr(found, "_get_current_object") else found
    installed = getattr(own.send_task, "__self__", None)
    if isinstance(installed, _Tasks):
        installed.principal = principal
        return
    tasks = _Tasks(own, principal)
    ours = f"whodid {id(tasks)}"  # Celery 5.4 takes the methods of two applications' tasks for one
    signals.task_prerun.connect(tasks.begin, weak=False, dispatch_uid=ours)
    signals.task_postrun.connect(tasks.end, weak=False, dispatch_uid=ours)


class _Tasks:
    """The tasks of one application: what goes along with them, and the scope of each that runs."""

    def __init__(self, app: Any, principal: Principal | None) -> None:
        self.principal = principal
        self._app = app
        self._send = app.send_task
        app.send_task = self.send_task

    def send_task(self, name: str, *args: Any, **options: Any) -> Any:
        """The application's own, with the header. Through here goes whatever is queued, retries and chains included."""
        headers = {key: value for key, value in (options.get("headers") or {}).items() if key != HEADER}
        running = self._app.current_worker_task
        again = running is not None and options.get("retries") and options.get("task_id") == running.request.id
        carried = _header(running.request) if again else _carried()
        if carried:
            headers[HEADER] = carried
        return self._send(name, *args, **{**options, "headers": headers})

    def begin(self, task_id: str, task: Any, **_: object) -> None:
        if task.app is not self._app:
            return
        request = task.request
        carried = _read((_carried() or None) if request.is_eager else _header(request))
        fields: dict[str, object] = {"correlation_id": request.group or request.root_id or task_id}
        fields |= (carried or {}) | {"request_id": task_id}
        resolver = None
        if carried is not None and "principal" not in carried:
            resolver = self._resolver(task)
            fields = {name: value for name, value in fields.items() if name not in _WHO}  # a name or token of nobody
        opened = scope(fields, resolver, alone=True)
        opened.__enter__()
        request.whodid_scope = opened
        if carried is None:
            _warn(f"the {HEADER} header of a task {task.name} can't be read; nobody is named as its principal")

    def end(self, task: Any, **_: object) -> None:
        opened = vars(task.request).pop("whodid_scope", None)
        if opened is not None:
            opened.__exit__(None, None, None)

    def _resolver(self, task: Any) -> Resolver | None:
        principal = self.principal
        return None if principal is None else lambda: principal(task)


def _carried() -> dict[str, Any]:
    """The header for what is queued here; empty outside any context. A context without a cascade's ID is given one."""
    try:
        fields: dict[str, Any] = {name: value for name, value in current_fields().items() if value is not None}
    except Exception as error:  # noqa: BLE001 (an application's resolver may raise anything)
        _warn(f"who queues a task is not known, as the principal resolver failed with {type(error).__name__}")
        return dict(_NOBODY)
    if fields and "correlation_id" not in fields:
        fields["correlation_id"] = fields.get("request_id", uuid.uuid4().hex)
        if is_open():
            bind(correlation_id=fields["correlation_id"])
    carried = {name: fields[name] for name in CARRIED if name in fields}
    wrong = [name for name, value in carried.items() if not isinstance(value, str)]
    if wrong:
        _warn(f"who queues a task is not known, as {', '.join(wrong)} of the context must be strings")
        return dict(_NOBODY)
    return {name: str.__str__(value) for name, value in carried.items()}


def _header(request: Any) -> object:
    """What the message of a task has; `request.headers` would miss it where someone sent a header named `headers`."""
    return vars(request).get(HEADER)


def _read(header: object) -> dict[str, object] | None:
    """The fields in a message's header, none where there is no header, and `None` where it can't be read."""
    if header is None:
        return {}
    if not isinstance(header, Mapping) or "correlation_id" not in header:
        return None
    fields = {name: header[name] for name in CARRIED if name in header}
    return fields if all(isinstance(value, str) for value in fields.values()) else None


def _warn(what: str) -> None:
    warn(what, RuntimeWarning, stacklevel=3)
