"""uWSGI: in which of its processes whodid may start threads, and whether they run.

uWSGI forks its workers without telling Python. A worker that is forked while another thread holds or wants Python's
global lock finds it held by a thread that it doesn't have, and hangs for ever, before its first request. So no thread
of whodid's starts in a process that forks workers: neither before the first fork, nor in the master, which replaces
workers as long as it runs. The module `uwsgi` exists inside of uWSGI alone.
"""

from __future__ import annotations

import sys
from os import getpid

__all__ = ["forks_unseen", "suspends_threads"]


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
