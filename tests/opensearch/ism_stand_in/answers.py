"""Answers: status and body, and errors in OpenSearch's form."""

from __future__ import annotations

from typing import Any

__all__ = ["Answer", "Refused", "error"]

Answer = tuple[int, Any]


class Refused(Exception):
    """A request that is answered by an error."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


def error(status: int, kind: str, reason: str, caused_by: dict[str, str] | None = None, **more: Any) -> Refused:
    """`more` are keys of the error and of its root cause."""
    cause = {"type": kind, "reason": reason, **more}
    whole = {"root_cause": [cause], **cause, **({"caused_by": caused_by} if caused_by else {})}
    return Refused((status, {"error": whole, "status": status}))
