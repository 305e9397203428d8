"""The warning: what the owner of an application should know, and what changes the outcome of no call."""

from __future__ import annotations

import sys
import threading
import warnings
from contextlib import suppress

from .interruption import pass_on

__all__ = ["warn"]


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
