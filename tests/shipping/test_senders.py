"""The senders: batches are delivered by threads, and without them where none can be started."""

from __future__ import annotations

import threading

import pytest

from whodid.shipping.delivery import Senders


def test_where_no_thread_can_be_started_a_batch_is_delivered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: object) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    here = threading.current_thread()
    senders: Senders[str, threading.Thread] = Senders(lambda _batch: threading.current_thread(), 2)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        flight = senders.submit("a")
    assert flight.wait(0)
    assert flight.result() is here
    later = senders.submit("b")
    assert later.wait(60)
    assert later.result() is not here
    senders.close()
