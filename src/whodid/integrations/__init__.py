"""Integrations with loggers and frameworks, one module each: `audit` methods for loggers, context for requests.

`whodid.recording.runtime` does not depend on them. This package registers `equip_loggers` there and exports
`configure`, so that configuring always equips the loggers.
"""

from __future__ import annotations

from ..recording.runtime import configure, when_set_up

__all__ = ["configure", "equip_loggers"]


def equip_loggers() -> None:
    """Gives every logger of `logging` and structlog its `audit` method, including existing loggers."""
    from . import stdlib, structlog

    stdlib.install()
    structlog.install()


when_set_up(equip_loggers)
