"""Integrations: one module a framework, each giving it whodid's call or binding its requests to the context.

The runtime is below and knows none of them: it is handed `equip_loggers` as soon as one is imported, and `configure` is
public from here, so that nobody sets up recording without.
"""

from __future__ import annotations

from ..recording.runtime import configure, when_set_up

__all__ = ["configure", "equip_loggers"]


def equip_loggers() -> None:
    """Gives every logger of `logging` and of structlog its `audit` method, those made earlier included."""
    from . import stdlib, structlog

    stdlib.install()
    structlog.install()


when_set_up(equip_loggers)
