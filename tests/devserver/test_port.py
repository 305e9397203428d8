"""Ports that are taken are named with their owner."""

from __future__ import annotations

import os
import socket

import pytest

from whodid.devserver.node import require_free
from whodid.errors import DevServerError


def test_taken_port_is_named_with_owner_and_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(DevServerError, match=rf"127\.0\.0\.1:{port}: .*--port") as caught:
            require_free(port)
    assert f"(PID {os.getpid()})" in str(caught.value) or "in use" in str(caught.value)


def test_port_just_let_go_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    require_free(port)


@pytest.mark.parametrize("port", [-1, 65536])
def test_impossible_port_is_refused(port: int) -> None:
    with pytest.raises(DevServerError, match="is not a valid port"):
        require_free(port)
