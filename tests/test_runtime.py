"""The runtime: one recorder a process, and a fork in the middle of setting it up."""

from __future__ import annotations

import os
import threading
import time

import pytest

from whodid import runtime


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_child_forked_while_another_thread_configures_can_configure_as_well() -> None:
    holding = threading.Event()

    def configuring() -> None:
        with runtime._lock:
            holding.set()
            time.sleep(0.2)  # the fork has to come within; it waits

    thread = threading.Thread(target=configuring)
    thread.start()
    holding.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if runtime._lock.acquire(timeout=5) else 1)
    assert os.waitpid(child, 0)[1] == 0
    thread.join()
    assert runtime._lock.acquire(timeout=5)
    runtime._lock.release()
