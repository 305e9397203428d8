"""The process that whodid runs in: how to warn, which exceptions to pass on, and whether it may start threads.

- A warning never changes the outcome of a call.
- Exceptions of an application's own objects may be ignored. An exception that a signal handler or another thread
  raised, such as the time limit of a task, may not, nor may it pass for an error of the system.
- uWSGI forks its workers without notifying Python. A worker that is forked while another thread holds or waits for the
  GIL finds it held by a thread that does not exist, and hangs before its first request. So whodid starts no thread in a
  process that forks workers: neither before the first fork nor in the master, which replaces workers as long as it
  runs. The module `uwsgi` exists inside uWSGI only.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from inspect import CO_VARARGS
from os import getpid
from types import FrameType

from .errors import WhodidError

__all__ = ["by_handler", "forks_unseen", "pass_on", "suspends_threads", "warn", "warnings_afterwards"]


def pass_on(error: BaseException) -> None:
    """Raises `error` again if a signal handler or another thread raised it, and not what was called."""
    if by_handler(error) or _by_thread(error):
        raise error


def by_handler(error: BaseException) -> bool:
    """Whether a signal handler raised the error: a function that was called with the very frame that called it.

    A handler that did not keep that frame is known by its code, as long as it is installed.
    """
    frames = [frame for frame in _frames(error) if not _is_ours(frame)]
    if not frames:
        return False
    handlers = {getattr(handler, "__code__", None) for handler in _handlers()} - {None}
    return any(frame.f_code in handlers or _was_given_its_caller(frame) for frame in frames)


def _handlers() -> list[object]:
    """The signal handlers that are installed. Imports nothing: the process may not reach its files any more."""
    signal = sys.modules.get("signal")
    return [signal.getsignal(number) for number in signal.valid_signals()] if signal else []


def _was_given_its_caller(frame: FrameType) -> bool:
    code, given, caller = frame.f_code, frame.f_locals, frame.f_back
    several = bool(code.co_flags & CO_VARARGS)
    arguments = [given.get(name) for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + several]]
    if several and type(arguments[-1]) is tuple:
        arguments += arguments[-1]
    return caller is not None and any(argument is caller for argument in arguments)


def _by_thread(error: BaseException) -> bool:
    """Whether another thread raised the error in this one (`PyThreadState_SetAsyncExc`), as RQ does at a time limit.

    It comes out of a line of whodid's own, as do errors of what such a line calls that is written in C, of Python or of
    a database driver. But the other thread can give only a class, of which the error is made without arguments.
    """
    if isinstance(error, WhodidError) or (type(error).__module__ == "builtins" and not isinstance(error, OSError)):
        return False
    return all(map(_is_ours, _frames(error))) and _says_no_more_than_its_class(error)


def _says_no_more_than_its_class(error: BaseException) -> bool:
    try:
        return bool(error.args == type(error)().args)
    except Exception as raised:
        if by_handler(raised):
            raise
        return False


def _frames(error: BaseException) -> Iterator[FrameType]:
    at = error.__traceback__
    while at is not None:
        yield at.tb_frame
        at = at.tb_next


def _is_ours(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__", "").partition(".")[0] in {"whodid", "abc", "rfc8785"}


_Warning = tuple[str, type[Warning], FrameType, int]


class _Here(threading.local):
    warning = False
    held_back: list[_Warning] | None = None


_here = _Here()


def warn(message: str, category: type[Warning] = UserWarning, *, stacklevel: int = 1) -> None:
    """As `warnings.warn`, but raises nothing: neither under `-W error` nor if the application's own hook fails.

    A warning that a filter turns into an error is still shown. A hook that records an audit entry causes no second
    warning if that fails.
    """
    place = sys._getframe(1)
    for _ in range(stacklevel - 1):
        place = place.f_back or place
    if _here.held_back is not None:
        _here.held_back.append((message, category, place, place.f_lineno))
    else:
        _warn(message, category, place, place.f_lineno)


def _warn(message: str, category: type[Warning], place: FrameType, line: int) -> None:
    if _here.warning:
        return
    _here.warning = True
    file, names = place.f_code.co_filename, place.f_globals
    try:
        registry = names.setdefault("__warningregistry__", {})
        warnings.warn_explicit(message, category, file, line, names.get("__name__"), registry)
    except Exception as error:  # noqa: BLE001 (a hook may raise anything)
        pass_on(error)
        if isinstance(error, category):
            _show(error, category, file, line)
    finally:
        _here.warning = False


def _show(message: Warning, category: type[Warning], file: str, line: int) -> None:
    with suppress(Exception):
        warnings.showwarning(message, category, file, line)


class warnings_afterwards:  # noqa: N801 (used like a function)
    """Holds back this thread's warnings to the end of a block: a hook may audit, and so need what the block holds."""

    def __enter__(self) -> None:
        self._held: list[_Warning] = []
        _here.held_back = self._held

    def __exit__(self, *_: object) -> None:
        _here.held_back = None
        for held in self._held:
            _warn(*held)


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
