"""The port that a node is to listen on, and who has it if it is taken."""

from __future__ import annotations

import socket

from whodid.errors import DevServerError

__all__ = ["require_free"]


def require_free(port: int) -> None:
    """Raise DevServerError when something listens on 127.0.0.1:`port`. Port 0 is always free."""
    if not 0 <= port <= 65535:
        raise DevServerError(f"{port} is not a port; give one from 1 to 65535 with --port, or 0 for a free one")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DevServerError(
                f"can't listen on 127.0.0.1:{port}: {_owner(port) or error.strerror}; "
                "give another port with --port, or --port 0 for a free one"
            ) from error


def _owner(port: int) -> str | None:
    """Who listens there, as far as this user may know."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (PID {connection.pid}) does"
    except psutil.Error:
        return None
    return None
