"""The trace: the W3C trace ID of an entry, by OpenTelemetry's span at the call or a request's header."""

from __future__ import annotations

import re
import sys

__all__ = ["current_trace_id", "trace_id_of"]

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def current_trace_id() -> str | None:
    """The trace ID of the span that is recording here, if the application has loaded OpenTelemetry's API.

    Not imported: nobody can have begun a span without it, and looking is all that an application without it pays.
    """
    get_current_span = getattr(sys.modules.get("opentelemetry.trace"), "get_current_span", None)
    if get_current_span is None:
        return None
    span = get_current_span()
    if not span.is_recording():
        return None
    trace_id: int = span.get_span_context().trace_id
    return f"{trace_id:032x}" if trace_id else None


def trace_id_of(traceparent: str) -> str | None:
    """The trace ID of a request by its header; `None` for one that is malformed or names no trace."""
    found = _TRACEPARENT.fullmatch(traceparent)
    return found[1] if found else None
