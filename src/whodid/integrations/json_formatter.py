"""The JSON formatter: whole entries as JSON lines on a stream, a python-json-logger formatter for everything else."""

from __future__ import annotations

import logging

from pythonjsonlogger.orjson import OrjsonFormatter

from ..call import Message

__all__ = ["AuditJsonFormatter"]


class AuditJsonFormatter(OrjsonFormatter):
    """Whole entries as JSON lines, for those who want them on stdout; other records as python-json-logger prints them.

    It prints personal fields too: point it at a stream that may hold them.
    """

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, Message) and record.msg.call.line:
            return record.msg.call.line.decode()
        return super().format(record)
