"""The JSON formatter: whole entries as JSON lines on a stream, a python-json-logger formatter for everything else."""

from __future__ import annotations

import logging

from pythonjsonlogger.orjson import OrjsonFormatter

from ..call import Message

__all__ = ["AuditJsonFormatter"]


class AuditJsonFormatter(OrjsonFormatter):
    """A `logging` formatter that prints whole entries as JSON lines, and other records as python-json-logger does.

    It prints personal fields too: point it at a stream that may hold them.

    Example:
        >>> handler = logging.StreamHandler(sys.stdout)
        >>> handler.setFormatter(whodid.AuditJsonFormatter())
    """

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, Message) and record.msg.call.line:
            return record.msg.call.line.decode()
        return super().format(record)
