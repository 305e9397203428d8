"""What the conversions to standards share: nested objects, checked values, times as numbers, verbs of event types.

The verb is one of the few words that the standards know: `credentials_created` means `create`, and
`workflow_relaunched` means `other`. An application's own event types follow the same words, so they need no mapping.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Literal

from ..entry import TARGET_KEYS

__all__ = ["METHODS", "Verb", "ip_version", "is_time", "milliseconds", "moment", "nanoseconds", "nested"]
__all__ += ["objects", "verb_of", "when"]

METHODS = frozenset(["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"])
"""The HTTP methods that each standard knows."""


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


def objects(value: object) -> list[dict[str, str]]:
    """The further targets of an entry; none if the value is anything but a list of `{id, type, name}`, all texts."""
    return value if isinstance(value, list) and all(map(_is_target, value)) else []


def _is_target(value: object) -> bool:
    if not isinstance(value, dict) or not value.get("id"):
        return False
    return value.keys() <= TARGET_KEYS.keys() and all(isinstance(text, str) for text in value.values())


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(timestamp: object) -> datetime | None:
    """Parses a timestamp; `None` if it is invalid, as in a foreign document."""
    try:
        found = datetime.fromisoformat(str(timestamp))
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or UTC)


def is_time(value: object) -> bool:
    """Whether a value is a time of RFC 3339."""
    return isinstance(value, str) and _TIME.fullmatch(value) is not None and moment(value) is not None


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def when(entry: Mapping[str, Any]) -> Any:
    """When it happened: `occurred_at`, or `@timestamp` for what was recorded at once."""
    return entry["occurred_at"] if is_time(entry.get("occurred_at")) else entry.get("@timestamp")


def nanoseconds(timestamp: object) -> int:
    """Nanoseconds since 1970; 0, as in OTLP, if the time is unknown or beyond the 64 bits of OTLP."""
    at = moment(timestamp)
    found = (at - _EPOCH) // timedelta(microseconds=1) * 1000 if at else 0
    return found if 0 <= found < 2**64 else 0


def milliseconds(timestamp: object) -> int:
    """Milliseconds since 1970; 0 if the time is unknown."""
    at = moment(timestamp)
    return (at - _EPOCH) // timedelta(milliseconds=1) if at else 0


@lru_cache(maxsize=1024)
def ip_version(value: object) -> int:
    """4 or 6 for an IP address; 0 for anything else."""
    try:
        return ip_address(value).version if isinstance(value, str) and "%" not in value else 0
    except ValueError:
        return 0


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
