"""Celery integration that carries the principal and the client from the caller that queues a task to its entries.

    app = Celery("shop")
    whodid.integrations.celery.install(app)                # in processes that queue tasks and in workers

The message header `whodid` is a JSON object of strings: the fields in `CARRIED` of the caller's context, always with
`correlation_id`.

- A `whodid` header passed to `apply_async` is replaced, and removed if there is no context. A retry keeps the header
  that the task came with.
- A task without the header was queued outside any context (beat, a script): `principal` is called at each audit call;
  without one, the task sets its principal, for example with `whodid.system()`. Its correlation ID is that of the group
  or root task.
- A malformed header (not an object, no `correlation_id`, or a value that is not a string) names no principal, and
  `principal` is not called: the task runs, but its entries are refused unless it sets a principal. Unknown fields are
  ignored, so that workers of different versions work together.

Each task has its own scope, from before it starts until its callbacks and the next task of its chain are queued. Fields
bound outside, in the worker or by another task, do not apply, also not in eager mode.

The header is as trustworthy as the broker: anyone who may queue tasks may name any principal.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from celery import signals
from celery.app import app_or_default

from ..entry import LISTS
from ..process import pass_on, warn
from ..recording.context import Resolver, bind, current_fields, is_open, scope

__all__ = ["CARRIED", "install"]

HEADER = "whodid"

_WHO = (
    *("principal", "principal_name", "principal_email", "principal_type", "on_behalf_of", "roles"),
    *("access_token_id", "session_id", "auth_method"),
)

CARRIED = (
    *_WHO,
    *("organization_id", "organization_name", "workspace_id", "workspace_name"),
    *("client_ip", "forwarded_for", "user_agent"),
    *("correlation_id", "trace_id"),
)
"""Fields that are sent with a task: the principal, the organization and the client, but no fields of single entries."""

_NOBODY = {"principal": None}
"""The header of a task whose principal is unknown because the caller's context is not valid."""

Principal = Callable[[Any], Mapping[str, object] | str | None]
"""Task → a user ID, entry fields (`principal`, `organization_id`, …), or `None` if unknown."""


def install(app: Any = None, *, principal: Principal | None = None) -> None:
    """Opens a context for each task of `app` (default: the current app), and sends the context with queued tasks.

    `principal` is called at each audit call of a task that came without a principal. Its argument is the task, whose
    `request` has the arguments. Installing again replaces `principal`.
    """
    found = app_or_default(app)
    own = found._get_current_object() if hasattr(found, "_get_current_object") else found
    installed = getattr(own.send_task, "__self__", None)
    if isinstance(installed, _Tasks):
        installed.principal = principal
        return
    tasks = _Tasks(own, principal)
    ours = f"whodid {id(tasks)}"  # without an ID, Celery 5.4 confuses the methods of two applications
    signals.task_prerun.connect(tasks.begin, weak=False, dispatch_uid=ours)
    signals.task_postrun.connect(tasks.end, weak=False, dispatch_uid=ours)


class _Tasks:
    """The tasks of one application: the headers of queued tasks, and the scopes of running ones."""

    def __init__(self, app: Any, principal: Principal | None) -> None:
        self.principal = principal
        self._app = app
        self._send = app.send_task
        app.send_task = self.send_task

    def send_task(self, name: str, *args: Any, **options: Any) -> Any:
        """Adds the header and calls the original method; retries and chains are queued through this method too."""
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
            fields = {name: value for name, value in fields.items() if name not in _WHO}
        opened = scope(fields, resolver, alone=True)
        request.whodid_end = opened.held()  # from before the scope is opened, as by a `with` statement
        opened.__enter__()
        if carried is None:
            _warn(f"the {HEADER} header of a task {task.name} is malformed; the task has no principal")

    def end(self, task: Any, **_: object) -> None:
        end = vars(task.request).pop("whodid_end", None)
        if end is not None:
            end(None, None, None)

    def _resolver(self, task: Any) -> Resolver | None:
        principal = self.principal
        return None if principal is None else lambda: principal(task)


def _carried() -> dict[str, Any]:
    """The header for tasks queued here; empty outside any context. Adds a correlation ID to a context without one."""
    try:
        fields: dict[str, Any] = {name: value for name, value in current_fields().items() if value is not None}
    except Exception as error:  # noqa: BLE001 (an application's resolver may raise anything)
        pass_on(error)
        _warn(f"a task was queued without a principal: the principal resolver failed with {type(error).__name__}")
        return dict(_NOBODY)
    if fields and "correlation_id" not in fields:
        fields["correlation_id"] = fields.get("request_id", uuid.uuid4().hex)
        if is_open():
            bind(correlation_id=fields["correlation_id"])
    carried = {name: fields[name] for name in CARRIED if name in fields}
    sent = {name: _texts(name, value) for name, value in carried.items()}
    if wrong := [name for name, value in sent.items() if value is None]:
        _warn(f"a task was queued without a principal: {', '.join(wrong)} of the context must be strings")
        return dict(_NOBODY)
    return sent


def _texts(name: str, value: object) -> str | list[str] | None:
    """The text, or a list of texts where the field may hold one; `None` for anything else."""
    if name in LISTS and isinstance(value, list | tuple):
        return [str.__str__(one) for one in value] if all(isinstance(one, str) for one in value) else None
    return str.__str__(value) if isinstance(value, str) else None


def _header(request: Any) -> object:
    """The header of a task's message; `request.headers` would miss it if a header named `headers` was sent."""
    return vars(request).get(HEADER)


def _read(header: object) -> dict[str, object] | None:
    """The fields in a message's header; empty if there is no header, and `None` if it is malformed."""
    if header is None:
        return {}
    if not isinstance(header, Mapping) or "correlation_id" not in header:
        return None
    fields: dict[str, object] = {name: _texts(name, header[name]) for name in CARRIED if name in header}
    return None if None in fields.values() else fields


def _warn(what: str) -> None:
    warn(what, RuntimeWarning, stacklevel=3)
