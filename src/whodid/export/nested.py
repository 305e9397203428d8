"""What the conversions to standards share: nested objects, times as numbers, and the verb of an event type.

The verb is one of the few words that the standards know: `credentials_created` means `create`, and
`workflow_relaunched` means `other`. An application's own event types follow the same words, so they need no mapping.
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
    """Parses a timestamp; `None` if it is invalid, as in a foreign document."""
    try:
        found = datetime.fromisoformat(str(timestamp))
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or UTC)


def nanoseconds(timestamp: object) -> int:
    """Nanoseconds since 1970; 0, as in OTLP, if the time is unknown."""
    at = moment(timestamp)
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000 if at else 0


def milliseconds(timestamp: object) -> int:
    """Milliseconds since 1970; 0 if the time is unknown."""
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
    """Returns the verb of an event type."""
    words = event_type.split("_")
    for count in (2, 1):
        if verb := _WORDS.get("_".join(words[-count:])):
            return verb
    return "other"
