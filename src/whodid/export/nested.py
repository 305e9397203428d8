"""Nested: objects from dotted names, which is how the standards write their fields.

Moments: an entry's `@timestamp` as the numbers that other forms count in.

The verbs: what the last words of an event type say was done, in the few words that the standards know.

`credentials_created` is a creation, `workflow_relaunched` something that no standard has a word for. An application's
own types follow the same words, so that they need no mapping of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

__all__ = ["Verb", "milliseconds", "moment", "nanoseconds", "nested", "verb_of"]


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`; `None` is left out. Values stay as they are."""
    whole: dict[str, Any] = {}
    for name, value in flat.items():
        if value is None:
            continue
        *path, last = name.split(".")
        inner = whole
        for step in path:
            inner = inner.setdefault(step, {})
        inner[last] = value
    return whole


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(timestamp: object) -> datetime | None:
    """The moment; `None` for what is no time, as in a document that whodid didn't write."""
    try:
        found = datetime.fromisoformat(str(timestamp))
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or UTC)


def nanoseconds(timestamp: object) -> int:
    """Since 1970; 0 where there is none, OTLP's word for an unknown time."""
    at = moment(timestamp)
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000 if at else 0


def milliseconds(timestamp: object) -> int:
    """Since 1970; 0 where there is none."""
    return nanoseconds(timestamp) // 1_000_000


Verb = Literal[
    "create", "read", "update", "delete", "start", "stop", "sign_in", "download", "upload", "preview", "assign", "other"
]

_WORDS: dict[str, Verb] = {
    "sign_in": "sign_in",
    "logged_in": "sign_in",
    "role_updated": "assign",
    "build_started": "other",
    "build_succeeded": "other",
    "build_failed": "other",
    "file_download": "download",
    "file_upload": "upload",
    "file_preview": "preview",
    "downloaded": "download",
    "uploaded": "upload",
    "previewed": "preview",
    "created": "create",
    "added": "create",
    "updated": "update",
    "changed": "update",
    "edited": "update",
    "set": "update",
    "deleted": "delete",
    "removed": "delete",
    "dropped": "delete",
    "destroyed": "delete",
    "accessed": "read",
    "read": "read",
    "viewed": "read",
    "searched": "read",
    "exported": "read",
    "started": "start",
    "stopped": "stop",
}


def verb_of(event_type: str) -> Verb:
    """What an event type says was done."""
    words = event_type.split("_")
    for count in (2, 1):
        if verb := _WORDS.get("_".join(words[-count:])):
            return verb
    return "other"
