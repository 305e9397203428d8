"""The warning: what the owner of an application should know, and what changes the outcome of no call.

The interruption: an exception that a signal handler raised amid a call, as for the time limit of a task.

Where whatever an application's own objects raise is let pass, this is not: who set the limit waits for it.

uWSGI: in which of its processes whodid may start threads, and whether they run.

uWSGI forks its workers without telling Python. A worker that is forked while another thread holds or wants Python's
global lock finds it held by a thread that it doesn't have, and hangs for ever, before its first request. So no thread
of whodid's starts in a process that forks workers: neither before the first fork, nor in the master, which replaces
workers as long as it runs. The module `uwsgi` exists inside of uWSGI alone.
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
    """As `warnings.warn`, and raises nothing: neither under `-W error` nor when the application's own hook fails.

    A warning that a filter made an error is shown all the same. A hook that audits, where no entry can be recorded,
    causes no second warning.
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
    """Whether this process of uWSGI forks others: it has no number, as workers have, and is the master or has none.

    Mules and spoolers have no number either; theirs is another process than the master.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None or getattr(uwsgi, "worker_id", lambda: 1)() != 0:
        return False
    return getattr(uwsgi, "masterpid", getpid)() in (0, getpid())


def suspends_threads() -> bool:
    """Whether threads of Python's run during requests only: uWSGI before 2.0.27, unless `enable-threads` is set."""
    return not getattr(sys.modules.get("uwsgi"), "has_threads", True)
