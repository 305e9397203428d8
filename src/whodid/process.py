"""What whodid needs of the process that it runs in: warnings, signal handlers that raise, and uWSGI's workers.

- A warning never changes the outcome of a call.
- Exceptions of an application's own objects may be ignored; an exception that a signal handler raised, such as the time
  limit of a task, may not.
- uWSGI forks its workers without notifying Python. A worker that is forked while another thread holds or waits for the
  GIL finds it held by a thread that does not exist, and hangs before its first request. So whodid starts no thread in a
  process that forks workers: neither before the first fork nor in the master, which replaces workers as long as it
  runs. The module `uwsgi` exists inside uWSGI only.
"""

from __future__ import annotations

import sys
import threading
import warnings
from contextlib import suppress
from os import getpid

__all__ = ["forks_unseen", "pass_on", "suspends_threads", "warn"]


def pass_on(error: BaseException) -> None:
    """Raises `error` again if a signal handler of this process raised it."""
    import signal  # `import whodid` stays light

    handlers = {getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()} - {None}
    at = error.__traceback__
    while at is not None:
        if at.tb_frame.f_code in handlers:
            raise error
        at = at.tb_next


class _Here(threading.local):
    warning = False


_here = _Here()


def warn(message: str, category: type[Warning] = UserWarning, *, stacklevel: int = 1) -> None:
    """As `warnings.warn`, but raises nothing: neither under `-W error` nor if the application's own hook fails.

    A warning that a filter turns into an error is still shown. A hook that records an audit entry causes no second
    warning if that fails.
    """
    if _here.warning:
        return
    _here.warning = True
    try:
        warnings.warn(message, category, stacklevel + 1)
    except Exception as error:  # noqa: BLE001 (a hook may raise anything)
        pass_on(error)
        if isinstance(error, category):
            _show(error, category, stacklevel + 1)
    finally:
        _here.warning = False


def _show(message: Warning, category: type[Warning], stacklevel: int) -> None:
    with suppress(Exception):
        frame = sys._getframe(stacklevel)
        warnings.showwarning(message, category, frame.f_code.co_filename, frame.f_lineno)


def forks_unseen() -> bool:
    """Whether this is a process of uWSGI that forks workers: the master, or the process before a master is started.

    Workers have a number. Mules and spoolers have none, but their PID differs from the master's.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None or getattr(uwsgi, "worker_id", lambda: 1)() != 0:
        return False
    return getattr(uwsgi, "masterpid", getpid)() in (0, getpid())


def suspends_threads() -> bool:
    """Whether threads run only during requests: in uWSGI before 2.0.27, unless `enable-threads` is set."""
    return not getattr(sys.modules.get("uwsgi"), "has_threads", True)
